"""A client's bytes cut into frames, unread, for a library that does not show them one by one.

trio-websocket reads, unmasks and judges; but it keeps Pongs to itself, counts no frames, and
measures text in characters. So frames are cut out by their headers before it sees them, and
what it lacks is done here and by the link: the limit in bytes, over the fragments of a message
and from the announced length. Every other rule of RFC 6455 is the library's to enforce.
"""

from collections.abc import Iterator

import attrs

from tocsin.wire.websocket import CLOSE, CONTROL_LIMIT, FINAL, MASKED, CloseCode
from tocsin.wire.websocket_decoder import ProtocolViolation

EXTENDED = {126: 2, 127: 8}
MASK_BYTES = 4
SMALLEST_HEADER = 2


@attrs.frozen
class RawFrame:
    """A frame as it came, header included."""

    data: bytes

    @property
    def opcode(self) -> int:
        """The kind of frame."""
        return self.data[0] & 0x0F

    @property
    def ends_message(self) -> bool:
        """The last, or the only, frame of a message."""
        return bool(self.data[0] & FINAL) and self.opcode < CLOSE


class FrameCutter:
    """One client's stream. Keeps one incomplete frame: at most `max_message` and a header."""

    __slots__ = ("_before", "_buffer", "_length", "_max_message", "_need")

    def __init__(self, *, max_message: int) -> None:
        self._max_message = max_message
        self._buffer = bytearray()
        self._need = SMALLEST_HEADER
        self._before = 0  # bytes of the message under way, in frames already cut
        self._length = 0  # of the payload of the frame at the head

    def feed(self, data: bytes) -> Iterator[RawFrame]:
        """The frames that `data` completes; iterate to the end before the next call.

        ProtocolViolation: a message over the limit, 1009.
        """
        buffer = self._buffer
        buffer += data
        while len(buffer) >= self._need:
            self._need = self._measure()
            if len(buffer) >= self._need:
                yield self._cut()

    def _cut(self) -> RawFrame:
        frame = RawFrame(bytes(self._buffer[: self._need]))
        del self._buffer[: self._need]
        self._need = SMALLEST_HEADER
        if frame.ends_message:
            self._before = self._length = 0
        elif frame.opcode < CLOSE:
            self._before += self._length
        return frame

    def _measure(self) -> int:
        """The bytes of the frame at the head, or of its header while that is incomplete."""
        buffer = self._buffer
        opcode, length = buffer[0] & 0x0F, buffer[1] & ~MASKED
        header = SMALLEST_HEADER + EXTENDED.get(length, 0)
        if opcode >= CLOSE and length > CONTROL_LIMIT:
            return len(buffer)  # the library refuses it whatever follows
        if len(buffer) < header:
            return header
        if length in EXTENDED:
            length = int.from_bytes(buffer[SMALLEST_HEADER:header])
        if length >> 63:
            return len(buffer)  # likewise
        if opcode < CLOSE and self._before + length > self._max_message:
            raise ProtocolViolation(CloseCode.TOO_BIG, "message too big")
        self._length = length
        return header + (MASK_BYTES if buffer[1] & MASKED else 0) + length
