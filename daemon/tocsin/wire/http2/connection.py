"""One connection of HTTP/2, seen from the client: bytes and the time in, events and bytes out.

RFC 9113 to the letter, less what a client that posts and is never pushed to does not need: no
priorities, no pushed streams, nothing in the encoder's table. `sending` has one half, `receiving`
the other; streams are what they share.
"""

from tocsin.wire.http2.events import Event
from tocsin.wire.http2.frames import (
    ENABLE_PUSH,
    MAX_HEADER_LIST_SIZE,
    PING,
    PREFACE,
    ErrorCode,
    frame,
    goaway,
    settings,
)
from tocsin.wire.http2.receiving import Receiver
from tocsin.wire.http2.sending import Sender

OPENING = PREFACE + settings({ENABLE_PUSH: 0, MAX_HEADER_LIST_SIZE: 16_384})


class Http2Connection:
    """One connection, from the preface to GOAWAY.

    No method awaits or raises for what the server does. After any of them there may be something
    in `outgoing`. Its owner writes that, feeds `receive` and counts no streams of his own.
    """

    __slots__ = ("_receiver", "_sender")

    def __init__(self) -> None:
        self._sender = Sender(OPENING)
        self._receiver = Receiver(self._sender)

    @property
    def is_ready(self) -> bool:
        """The server's SETTINGS have come."""
        return self._receiver.is_ready

    @property
    def limit(self) -> int:
        """How many streams the server allows at once; 100 if it does not say (PU-61)."""
        return self._sender.settings.streams

    @property
    def open_streams(self) -> int:
        """Streams that have not ended; may be above a limit that was lowered."""
        return len(self._sender.streams)

    @property
    def is_leaving(self) -> bool:
        """No new requests: GOAWAY was seen or said, or the stream ids are used up (PU-65)."""
        return self._receiver.is_leaving or not self._sender.has_ids

    def outgoing(self) -> bytes:
        """Everything to write now, in order, b"" for nothing; what was handed out is forgotten.

        Begins with the preface and SETTINGS. Afterwards `admits` may say yes again: it says no
        while too much waits here for a server that does not read.
        """
        self._receiver.acknowledgements = 0
        return self._sender.take()

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What came from the server, at `now` in seconds of any clock that does not go back.

        Never raises. After `Broken` it does nothing.
        """
        return self._receiver.receive(data, now)

    def admits(self, size: int) -> bool:
        """Whether a request with a body of so many bytes may be made now (PU-60).

        Needs the server's SETTINGS, a free stream, and windows for the whole body; a body over
        the server's initial window of streams needs only the stream, and goes out piece by piece.
        """
        sender = self._sender
        return (
            self._receiver.is_ready
            and len(sender.streams) < sender.settings.streams
            and sender.has_room(size)
            and not self.is_leaving
        )

    def request(self, block: bytes, body: bytes) -> int:
        """Begin a POST that `admits` said yes to; its stream id.

        `block` is what `headers.encode` made, pseudo-headers first; pieces may be joined.
        """
        return self._sender.begin(block, body)

    def was_sent(self, stream_id: int) -> bool:
        """Whether the end of this open stream's request was handed out by `outgoing` (PU-62).

        Also after `Broken`. If not, the server cannot have acted on the request.
        """
        return self._sender.was_sent(stream_id)

    def cancel(self, stream_id: int) -> None:
        """Give up an open stream with RST_STREAM(CANCEL); no event follows for it. If it was not
        sent (`was_sent`), its request is never completed, so the server will not act on it.

        Nothing happens if it is no longer open.
        """
        if stream_id in self._sender.streams and not self._receiver.is_broken:
            self._sender.cancel(stream_id)

    def ping(self, payload: bytes) -> None:
        """Send PING with eight bytes; `PingAnswered` brings them back."""
        if not self._receiver.is_broken:
            self._sender.out += frame(PING, 0, 0, payload)

    def drop(self) -> None:
        """Never hand out what waits in `outgoing`, but for the GOAWAY of a broken connection: the
        requests there are made over another one. Nothing but `close` may follow."""
        self._sender.drop(self._receiver.farewell)

    def close(self, code: int = ErrorCode.NO_ERROR) -> None:
        """Say GOAWAY; no new requests from here. Open streams may still be answered."""
        self._receiver.is_leaving = True
        if not self._receiver.is_broken:
            self._sender.out += goaway(code)
