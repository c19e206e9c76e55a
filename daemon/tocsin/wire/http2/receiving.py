"""The receiving half of a connection: what each frame does, and what the owner hears of it.

What the server does wrong is judged in two ways: a `ConnectionViolation` ends the connection with
GOAWAY, a `StreamViolation` one stream with RST_STREAM.

A stream that has ended leaves nothing behind. A frame for one that was open once gets the minimum
of section 5.1, whoever ended it: its header block is decoded, since the table is shared, its DATA
is given back to the connection's window, and it counts among the frames without use, of which
there may not be too many (`flood`).

DATA is given back as it is read, half a window at a time, so the server is never found to be over
a window of ours, and what it can make us keep is the bound on each answer.
"""

from collections.abc import Callable

from tocsin.wire.http2.events import (
    Answer,
    Broken,
    Event,
    Leaving,
    LimitsChanged,
    PingAnswered,
    Ready,
    Reset,
)
from tocsin.wire.http2.flood import FloodGuard
from tocsin.wire.http2.frames import (
    ACK,
    DEFAULT_WINDOW,
    END_STREAM,
    GREATEST,
    HEADERS,
    PADDED,
    PING,
    SETTINGS,
    WORD,
    ConnectionViolation,
    ErrorCode,
    StreamViolation,
    frame,
    goaway,
    rst_stream,
    window_update,
    without_padding,
)
from tocsin.wire.http2.headers import ReplyDecoder
from tocsin.wire.http2.reader import FrameReader
from tocsin.wire.http2.sending import Sender
from tocsin.wire.http2.stream import Stream

HALF_WINDOW = DEFAULT_WINDOW // 2
# Acknowledgements between two calls of `outgoing`, for a server that writes and does not read.
ACKNOWLEDGEMENTS = 1_000

_LIMITS_CHANGED = LimitsChanged()


class Receiver:
    """Takes what the server sends, and writes what that asks for to the sending half."""

    __slots__ = (
        "_decoder",
        "_events",
        "_flood",
        "_last_id",
        "_now",
        "_reader",
        "_sender",
        "_streams",
        "_uncredited",
        "acknowledgements",
        "farewell",
        "is_broken",
        "is_leaving",
        "is_ready",
    )

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._streams = sender.streams
        self._reader = FrameReader()
        self._decoder = ReplyDecoder()
        self._flood = FloodGuard()
        self._events: list[Event] = []
        self._now = 0.0
        self._uncredited = 0
        self._last_id = GREATEST
        self.acknowledgements = 0
        self.farewell = b""
        self.is_ready = False
        self.is_leaving = False
        self.is_broken = False

    def receive(self, data: bytes, now: float) -> list[Event]:
        """See `Http2Connection.receive`."""
        self._events = []
        if self.is_broken:
            return self._events
        self._now = now
        try:
            for kind, flags, stream_id, payload in self._reader.read(data):
                if kind > HEADERS:
                    self._count()
                if kind < len(_HANDLERS):
                    self._handle(kind, flags, stream_id, payload)
        except ConnectionViolation as violation:
            self.is_broken = self.is_leaving = True
            self.farewell = goaway(violation.code)
            self._write(self.farewell)
            self._events.append(Broken(violation.code, violation.reason))
        return self._events

    def _handle(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        try:
            _HANDLERS[kind](self, flags, stream_id, payload)
        except StreamViolation as violation:
            was_sent = self._sender.was_sent(stream_id)
            self._sender.forget(stream_id)
            self._write(rst_stream(stream_id, violation.code))
            self._events.append(Reset(stream_id, violation.code, was_sent))

    def _write(self, data: bytes) -> None:
        self._sender.out += data

    def _acknowledge(self, data: bytes) -> None:
        self.acknowledgements += 1
        if self.acknowledgements > ACKNOWLEDGEMENTS:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "does not read")
        self._write(data)

    def _count(self) -> None:
        """One more frame that brings nobody an answer."""
        self._flood.count(self._now, len(self._streams))

    def _stream(self, stream_id: int) -> Stream | None:
        """The open stream of this id, None if it has ended; one never opened is a violation."""
        stream = self._streams.get(stream_id)
        if stream is None and self._sender.is_idle(stream_id):
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "frame of a stream never opened")
        return stream

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        stream = self._stream(stream_id)
        size = len(payload)
        if flags & PADDED:
            payload = without_padding(PADDED, payload)
        self._uncredited += size
        if self._uncredited > HALF_WINDOW:
            self._write(window_update(0, self._uncredited))
            self._uncredited = 0
        if stream is None or not (payload or flags & END_STREAM):
            self._count()
        if stream is None:
            return
        stream.take_data(payload)
        if flags & END_STREAM:
            self._finish(stream_id, stream)
            return
        stream.uncredited += size
        if stream.uncredited > HALF_WINDOW:
            self._write(window_update(stream_id, stream.uncredited))
            stream.uncredited = 0

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        stream = self._stream(stream_id)
        fields = self._decoder.decode(payload)
        is_last = bool(flags & END_STREAM)
        if stream is None or not stream.take_fields(fields, is_last=is_last):
            self._count()
        elif is_last:
            self._finish(stream_id, stream)

    def _finish(self, stream_id: int, stream: Stream) -> None:
        """An answer is complete, be the request or not (RFC 9113, section 8.1)."""
        body = stream.finish()
        if self._sender.forget(stream_id):
            self._write(rst_stream(stream_id, ErrorCode.CANCEL))
        self._flood.answered()
        self._events.append(Answer(stream_id, stream.status, stream.headers, body))

    def _on_priority(self, _flags: int, stream_id: int, payload: bytes) -> None:
        """Not for clients; only its form is judged (section 6.3)."""
        if not stream_id:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "PRIORITY of stream 0")
        if len(payload) != 5:
            if stream_id in self._streams:
                raise StreamViolation(ErrorCode.FRAME_SIZE_ERROR)
            raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "bad PRIORITY")

    def _on_rst_stream(self, _flags: int, stream_id: int, payload: bytes) -> None:
        _require_size(payload, 4)
        if self._stream(stream_id) is not None:
            was_sent = self._sender.was_sent(stream_id)
            self._sender.forget(stream_id)
            self._events.append(Reset(stream_id, WORD.unpack(payload)[0], was_sent))

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        _require_connection(stream_id)
        if flags & ACK:
            _require_size(payload, 0)
            return
        # First, since the server holds what comes before it against the settings before.
        self._acknowledge(frame(SETTINGS, ACK, 0, b""))
        self._sender.apply_settings(payload)
        self._events.append(_LIMITS_CHANGED if self.is_ready else Ready())
        self.is_ready = True

    def _on_push_promise(self, _flags: int, _stream_id: int, _payload: bytes) -> None:
        raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "push is disabled")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        _require_connection(stream_id)
        _require_size(payload, 8)
        if flags & ACK:
            self._events.append(PingAnswered(payload))
        else:
            self._acknowledge(frame(PING, ACK, 0, payload))

    def _on_goaway(self, _flags: int, stream_id: int, payload: bytes) -> None:
        _require_connection(stream_id)
        if len(payload) < 8:
            raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY cut short")
        last_id = WORD.unpack_from(payload)[0] & GREATEST
        if last_id > self._last_id:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "GOAWAY takes back the last")
        self.is_leaving = True
        self._last_id = last_id
        refused = tuple(open_id for open_id in self._streams if open_id > last_id)
        for open_id in refused:
            self._sender.forget(open_id)
        self._events.append(Leaving(last_id, WORD.unpack_from(payload, 4)[0], payload[8:], refused))

    def _on_window_update(self, _flags: int, stream_id: int, payload: bytes) -> None:
        _require_size(payload, 4)
        increment = WORD.unpack(payload)[0] & GREATEST
        if not stream_id:
            self._sender.widen(increment)
            if not self._events or self._events[-1] is not _LIMITS_CHANGED:
                self._events.append(_LIMITS_CHANGED)
            return
        stream = self._stream(stream_id)
        if stream is not None:
            self._sender.widen_stream(stream_id, stream, increment)


def _require_connection(stream_id: int) -> None:
    if stream_id:
        raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "frame of the connection on a stream")


def _require_size(payload: bytes, size: int) -> None:
    if len(payload) != size:
        raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "frame of the wrong size")


# By frame type. CONTINUATION and what is unknown have been counted, which is all (section 5.5).
_HANDLERS: tuple[Callable[[Receiver, int, int, bytes], None], ...] = (
    Receiver._on_data,
    Receiver._on_headers,
    Receiver._on_priority,
    Receiver._on_rst_stream,
    Receiver._on_settings,
    Receiver._on_push_promise,
    Receiver._on_ping,
    Receiver._on_goaway,
    Receiver._on_window_update,
)
