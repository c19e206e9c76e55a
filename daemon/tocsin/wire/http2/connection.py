"""One connection of HTTP/2, seen from the client: bytes and the time in, events and bytes out."""

from tocsin.wire.http2.events import Event


class Http2Connection:
    """One connection, from the preface to GOAWAY.

    No method awaits or raises for what the server does. After any of them there may be something
    in `outgoing`. Its owner writes that, feeds `receive` and counts no streams of his own.
    """

    def outgoing(self) -> bytes:
        """Everything to write now, in order, b"" for nothing; what was handed out is forgotten.

        Begins with the preface and SETTINGS. Afterwards `admits` may say yes again: it says no
        while too much waits here for a server that does not read.
        """
        raise NotImplementedError

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What came from the server, at `now` in seconds of any clock that does not go back.

        Never raises. After `Broken` it does nothing.
        """
        raise NotImplementedError

    def admits(self, size: int) -> bool:
        """Whether a request with a body of so many bytes may be made now (PU-60).

        Needs the server's SETTINGS, a free stream, and windows for the whole body; a body over
        the server's initial window of streams needs only the stream, and goes out piece by piece.
        """
        raise NotImplementedError

    def request(self, block: bytes, body: bytes) -> int:
        """Begin a POST that `admits` said yes to; its stream id.

        `block` is what `headers.encode` made, pseudo-headers first; pieces may be joined.
        """
        raise NotImplementedError

    def was_sent(self, stream_id: int) -> bool:
        """Whether the end of this open stream's request was handed out by `outgoing` (PU-62).

        Also after `Broken`. If not, the server cannot have acted on the request.
        """
        raise NotImplementedError

    def cancel(self, stream_id: int) -> None:
        """Give up an open stream with RST_STREAM(CANCEL); no event follows for it.

        Nothing happens if it is no longer open.
        """
        raise NotImplementedError

    def ping(self, payload: bytes) -> None:
        """Send PING with eight bytes; `PingAnswered` brings them back."""
        raise NotImplementedError

    def close(self, code: int = 0) -> None:
        """Say GOAWAY; no new requests from here. Open streams may still be answered."""
        raise NotImplementedError

    @property
    def is_ready(self) -> bool:
        """The server's SETTINGS have come."""
        raise NotImplementedError

    @property
    def limit(self) -> int:
        """How many streams the server allows at once; 100 if it does not say (PU-61)."""
        raise NotImplementedError

    @property
    def open_streams(self) -> int:
        """Streams that have not ended; may be above a limit that was lowered."""
        raise NotImplementedError

    @property
    def is_leaving(self) -> bool:
        """No new requests: GOAWAY was seen or said, or the stream ids are used up (PU-65)."""
        raise NotImplementedError
