"""Judging and reading what a WebSocket client sends (RFC 6455), without I/O.

The judgement is to the letter of sections 5.2 to 5.6, 7.4 and 8.1. A violation is a
`ProtocolViolation`, which carries the code to close with: 1002 for framing, 1007 for text that
is not UTF-8, 1009 for a message over the limit. The limit is compared with the announced
length, so nothing that is too long is ever stored. Fragmented text is judged fragment by
fragment, any other text when its frame is complete.

`Decoder.feed` takes a view of a receive buffer that all connections share. Frames are read
where they lie; only what an incomplete frame leaves is kept, so a connection between two
messages owns no buffer, and one that is sending a message owns at most `max_message` bytes for
the fragments it has finished and as many, with a header, for the one under way.

Unmasking is one XOR of two long integers: the only way in pure Python whose cost per byte does
not matter.
"""

import codecs
from collections.abc import Iterator

from tocsin.wire.websocket import (
    CLOSE,
    CONTINUATION,
    CONTROL_LIMIT,
    FINAL,
    FIRST_BYTES,
    MASKED,
    TEXT,
    CloseCode,
    close_code,
    is_sendable,
)

# Opcode and payload. Each frame gives one: a message as a whole with the frame that completes
# it, a control frame, and CONTINUATION with no payload for a frame that completes nothing.
Frame = tuple[int, bytes]
FRAGMENT: Frame = (CONTINUATION, b"")

_Utf8Decoder = codecs.getincrementaldecoder("utf-8")


class ProtocolViolation(Exception):  # noqa: N818 - a verdict on the peer, not a fault of ours
    """The peer broke the protocol: close with `code` and read no more."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Decoder:
    """One client's stream of frames."""

    __slots__ = ("_kind", "_max_message", "_message", "_need", "_rest", "_utf8")

    def __init__(self, *, max_message: int) -> None:
        self._max_message = max_message
        self._rest: bytearray | None = None
        self._need = 0
        self._message: bytearray | None = None
        self._kind = CONTINUATION
        self._utf8: codecs.IncrementalDecoder | None = None

    def feed(self, data: bytes | memoryview) -> Iterator[Frame]:
        """The frames that `data` completes, judged one by one as they are asked for.

        Must be iterated to its end before the next call and before the buffer behind `data`
        changes, unless the connection is given up. Nothing may be fed after a CLOSE frame or a
        ProtocolViolation: what follows is to be thrown away (sections 1.4 and 7.1.7).
        """
        buffer = self._joined(data)
        start, end = 0, len(buffer)
        while start < end:
            first = buffer[start]
            header, length = _measure(buffer, start, end - start)
            self._check(first, length)
            body = start + header
            if end - body < length:
                self._rest = bytearray(buffer[start:])
                self._need = header + length
                return
            payload = _unmask(buffer, body, length)
            start = body + length
            yield self._frame(first, payload)
            if first == FINAL | CLOSE:
                return

    def _joined(self, data: bytes | memoryview) -> bytes | bytearray:
        """What is there to parse: nothing, while the frame under way still lacks bytes."""
        if self._rest is None:
            return bytes(data)
        self._rest += data
        if len(self._rest) < self._need:
            return b""
        buffer, self._rest = self._rest, None
        return buffer

    def _check(self, first: int, length: int) -> None:
        if first not in FIRST_BYTES:
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "reserved bit or opcode")
        opcode = first & 0x0F
        if opcode >= CLOSE:
            if length > CONTROL_LIMIT:
                raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "long control frame")
        elif self._message is None:
            if opcode == CONTINUATION:
                raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "nothing to continue")
            if length > self._max_message:
                raise ProtocolViolation(CloseCode.TOO_BIG, "message too big")
        elif opcode != CONTINUATION:
            raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "message inside a message")
        elif length + len(self._message) > self._max_message:
            raise ProtocolViolation(CloseCode.TOO_BIG, "message too big")

    def _frame(self, first: int, payload: bytes) -> Frame:
        if first == FINAL | TEXT:
            if not payload.isascii():
                _require_utf8(payload)
            return TEXT, payload
        opcode = first & 0x0F
        if opcode == CLOSE:
            _check_close(payload)
        elif opcode == CONTINUATION or not first & FINAL:
            return self._fragment(opcode, payload, final=bool(first & FINAL))
        return opcode, payload

    def _fragment(self, opcode: int, payload: bytes, *, final: bool) -> Frame:
        if self._message is None:
            self._kind = opcode
            self._message = bytearray()
            self._utf8 = _Utf8Decoder() if opcode == TEXT else None
        self._message += payload
        if self._utf8 is not None:
            _require_utf8(payload, self._utf8, final=final)
        if not final:
            return FRAGMENT
        message, self._message, self._utf8 = bytes(self._message), None, None
        return self._kind, message


def _measure(buffer: bytes | bytearray, start: int, available: int) -> tuple[int, int]:
    """Sizes of header and payload; of a header cut short, how much of it is needed first."""
    if available < 2:
        return 2, 0
    length = buffer[start + 1] - MASKED
    if length < 0:
        raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "unmasked frame")
    if length < 126:
        return 6, length
    return _measure_long(buffer, start, available, size=2 if length == 126 else 8)


def _measure_long(
    buffer: bytes | bytearray, start: int, available: int, *, size: int
) -> tuple[int, int]:
    if available < 2 + size:
        return 2 + size, 0
    length = int.from_bytes(buffer[start + 2 : start + 2 + size])
    if length < (126 if size == 2 else 1 << 16):
        raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "length not in its shortest form")
    if length >> 63:
        raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "length with its top bit set")
    return 6 + size, length


def _unmask(buffer: bytes | bytearray, body: int, length: int) -> bytes:
    mask = (buffer[body - 4 : body] * ((length + 3) >> 2))[:length]
    masked = int.from_bytes(buffer[body : body + length])
    return (masked ^ int.from_bytes(mask)).to_bytes(length)


def _require_utf8(
    payload: bytes, decoder: codecs.IncrementalDecoder | None = None, *, final: bool = True
) -> None:
    try:
        if decoder is None:
            payload.decode()
        else:
            decoder.decode(payload, final)
    except UnicodeDecodeError:
        raise ProtocolViolation(CloseCode.INVALID_DATA, "text is not UTF-8") from None


def _check_close(payload: bytes) -> None:
    """Section 5.5.1: nothing, or a code that may be sent and a reason in UTF-8."""
    if not payload:
        return
    if len(payload) == 1 or not is_sendable(close_code(payload)):
        raise ProtocolViolation(CloseCode.PROTOCOL_ERROR, "bad close code")
    _require_utf8(payload[2:])
