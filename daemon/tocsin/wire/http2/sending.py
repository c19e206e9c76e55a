"""The sending half of a connection: stream ids, windows, and the bytes that wait to be written.

A body goes out whole with its headers if the windows allow it, which is the rule; the fast path
writes both in one go. Otherwise it waits in its stream and leaves piece by piece, the oldest
stream first (push.md, PU-60).

A request that is given up before its end was handed out is never ended: the frames that carry the
end are taken out, with what waits before it, when the rest is handed out (PU-62).
"""

from tocsin.wire.http2.frames import (
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    GREATEST,
    HEADER,
    HEADER_SIZE,
    HEADERS,
    PREFACE,
    ConnectionViolation,
    ErrorCode,
    StreamViolation,
    frame,
    rst_stream,
)
from tocsin.wire.http2.settings import ServerSettings
from tocsin.wire.http2.stream import Stream

# What may wait here for a server that does not read: over it, `admits` says no.
WAITING_LIMIT = 4 << 20
LAST_ID = 1 << 30


class Sender:
    """Requests on their way out; see `Http2Connection` for what its methods promise."""

    __slots__ = (
        "_cut_off",
        "_ended_late",
        "_handed_out",
        "_next_id",
        "_unsent",
        "_waiting",
        "out",
        "settings",
        "streams",
        "window",
    )

    def __init__(self, opening: bytes) -> None:
        self.out = bytearray(opening)
        self.settings = ServerSettings()
        self.window = DEFAULT_WINDOW
        self.streams: dict[int, Stream] = {}
        self._next_id = 1
        # Streams with something unsent, oldest first, and how many bytes that is in all.
        self._waiting: dict[int, Stream] = {}
        self._unsent = 0
        # Up to here all requests were handed out, less what waits or has ended since.
        self._handed_out = -1
        self._ended_late: set[int] = set()
        # Streams of which something in `out` is not to leave.
        self._cut_off: set[int] = set()

    @property
    def has_ids(self) -> bool:
        """Whether there is an id for one more stream."""
        return self._next_id < LAST_ID

    def is_idle(self, stream_id: int) -> bool:
        """Whether such a stream was never opened."""
        return stream_id >= self._next_id or not stream_id & 1

    def take(self) -> bytes:
        """Hand out what waits to be written."""
        if self._cut_off:
            self._cut()
            self._pump_all()
        data = bytes(self.out)
        self.out.clear()
        self._handed_out = self._next_id - 2
        if self._ended_late:
            self._ended_late.clear()
        return data

    def _cut(self) -> None:
        """Take out the bodies of streams that were cut off, and what they used of the window."""
        out = self.out
        start = len(PREFACE) if out.startswith(PREFACE) else 0
        parts: list[bytes | bytearray] = [out[:start]]
        while start < len(out):
            word, flags, stream_id = HEADER.unpack_from(out, start)
            end = start + HEADER_SIZE + (word >> 8)
            if stream_id not in self._cut_off:
                parts.append(out[start:end])
            elif word & 0xFF == DATA:
                self.window += word >> 8
            else:
                if word & 0xFF == HEADERS:
                    flags &= ~END_STREAM
                parts += (HEADER.pack(word, flags, stream_id), out[start + HEADER_SIZE : end])
            start = end
        self.out = bytearray().join(parts)
        self._cut_off.clear()

    def drop(self, instead: bytes) -> None:
        """Hand out this instead of what waits to be written."""
        self.out[:] = instead
        self._cut_off.clear()

    def was_sent(self, stream_id: int) -> bool:
        """Whether the end of an open stream's request was handed out."""
        return (
            stream_id <= self._handed_out
            and stream_id not in self._waiting
            and stream_id not in self._ended_late
        )

    def has_room(self, size: int) -> bool:
        """Whether the windows and our own bound let a body of so many bytes begin."""
        if len(self.out) + self._unsent + size > WAITING_LIMIT:
            return False
        return size <= self.window or size > self.settings.window

    def begin(self, block: bytes, body: bytes) -> int:
        """Open a stream, and write all of its request that the windows allow."""
        stream_id = self._next_id
        self._next_id = stream_id + 2
        size = len(body)
        settings = self.settings
        fits = size <= settings.window and size <= self.window
        if fits and size and size <= settings.frame_size and len(block) <= settings.frame_size:
            self.window -= size
            self.streams[stream_id] = Stream(size)
            head = HEADER.pack(len(block) << 8 | HEADERS, END_HEADERS, stream_id)
            data = HEADER.pack(size << 8 | DATA, END_STREAM, stream_id)
            self.out += b"".join((head, block, data, body))
        else:
            self._begin_in_pieces(stream_id, block, body)
        return stream_id

    def _begin_in_pieces(self, stream_id: int, block: bytes, body: bytes) -> None:
        """The same for a request that is not two frames."""
        stream = self.streams[stream_id] = Stream(0)
        size = self.settings.frame_size
        kind, flags = HEADERS, 0 if body else END_STREAM
        while len(block) > size:
            self.out += frame(kind, flags, stream_id, block[:size])
            kind, flags, block = CONTINUATION, 0, block[size:]
        self.out += frame(kind, flags | END_HEADERS, stream_id, block)
        if body:
            stream.unsent = body
            self._unsent += len(body)
            self._waiting[stream_id] = stream
            self._pump(stream_id, stream)

    def _pump(self, stream_id: int, stream: Stream) -> None:
        """Write of one body what its windows allow now."""
        room = min(len(stream.unsent), self.window, self.settings.window - stream.spent)
        if room <= 0:
            return
        stream.spent += room
        self.window -= room
        self._unsent -= room
        piece, stream.unsent = stream.unsent[:room], stream.unsent[room:]
        size = self.settings.frame_size
        for start in range(0, room, size):
            is_last = not stream.unsent and start + size >= room
            self.out += frame(
                DATA, END_STREAM if is_last else 0, stream_id, piece[start : start + size]
            )
        if not stream.unsent:
            del self._waiting[stream_id]
            self._ended_late.add(stream_id)

    def _pump_all(self) -> None:
        for stream_id, stream in list(self._waiting.items()):
            if self.window <= 0:
                return
            self._pump(stream_id, stream)

    def apply_settings(self, payload: bytes) -> None:
        """Take the server's SETTINGS, and what they let out; ConnectionViolation."""
        before = self.settings.window
        self.settings.apply(payload)
        if self.settings.window > before:
            least = min((stream.spent for stream in self.streams.values()), default=0)
            if self.settings.window - least > GREATEST:
                raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "window too large")
            self._pump_all()

    def widen(self, increment: int) -> None:
        """Take a WINDOW_UPDATE of the connection; ConnectionViolation."""
        if not increment:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        self.window += increment
        if self.window > GREATEST:
            raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "window too large")
        if self._waiting:
            self._pump_all()

    def widen_stream(self, stream_id: int, stream: Stream, increment: int) -> None:
        """Take a WINDOW_UPDATE of a stream; StreamViolation."""
        if not increment:
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR)
        stream.spent -= increment
        if self.settings.window - stream.spent > GREATEST:
            raise StreamViolation(ErrorCode.FLOW_CONTROL_ERROR)
        if stream.unsent:
            self._pump(stream_id, stream)

    def cancel(self, stream_id: int) -> None:
        """Give up an open stream; the end of its request never leaves if it has not yet."""
        if not self.was_sent(stream_id):
            self._cut_off.add(stream_id)
        self.forget(stream_id)
        self.out += rst_stream(stream_id, ErrorCode.CANCEL)

    def forget(self, stream_id: int) -> bool:
        """Drop an open stream; whether something of its request was left unsent."""
        stream = self.streams.pop(stream_id)
        if not stream.unsent:
            return False
        del self._waiting[stream_id]
        self._unsent -= len(stream.unsent)
        return True
