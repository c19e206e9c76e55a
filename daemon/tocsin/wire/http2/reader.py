"""Cutting what the server sends into frames (RFC 9113, sections 4.1 to 4.3)."""

from collections.abc import Iterator

from tocsin.wire.http2.frames import (
    ACK,
    CONTINUATION,
    DEFAULT_FRAME_SIZE,
    END_HEADERS,
    GREATEST,
    HAS_PRIORITY,
    HEADER,
    HEADER_SIZE,
    HEADERS,
    PADDED,
    SETTINGS,
    ConnectionViolation,
    ErrorCode,
    without_padding,
)
from tocsin.wire.http2.headers import BLOCK_LIMIT

_SHAPE = END_HEADERS | PADDED | HAS_PRIORITY

# Kind, flags, stream id, payload.
Frame = tuple[int, int, int, bytes]


class FrameReader:
    """One server's stream of frames.

    Keeps what an incomplete frame leaves, which is less than that frame, and a header block that
    is not complete, at most 64 KiB. What is larger ends the connection.
    """

    __slots__ = ("_block", "_expected", "_flags", "_need", "_rest", "_stream_id")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._need = HEADER_SIZE
        # The kind the next frame must have: SETTINGS come first, and a block is not interrupted.
        self._expected: int | None = SETTINGS
        self._stream_id = 0
        self._flags = 0
        self._block = bytearray()

    def read(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes; ConnectionViolation, after which nothing is read.

        Must be iterated to its end before the next call. A header block comes as one HEADERS
        frame without padding, when it is complete. CONTINUATION comes, too, with nothing in it,
        to be counted; DATA comes with its padding, to be given back.
        """
        buffer = self._joined(data)
        start, end = 0, len(buffer)
        while end - start >= HEADER_SIZE:
            word, flags, stream_id = HEADER.unpack_from(buffer, start)
            kind, length = word & 0xFF, word >> 8
            stream_id &= GREATEST
            if self._expected is not None:
                self._check_expected(kind, flags, stream_id)
            if length > DEFAULT_FRAME_SIZE:
                raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "frame too large")
            body = start + HEADER_SIZE
            if end - body < length:
                self._need = HEADER_SIZE + length
                break
            start = body + length
            payload = buffer[body:start]
            if kind == CONTINUATION or (kind == HEADERS and flags & _SHAPE != END_HEADERS):
                if kind == CONTINUATION:
                    yield kind, flags, stream_id, b""
                whole = self._assemble(kind, flags, stream_id, payload)
                if whole is None:
                    continue
                kind, flags, payload = HEADERS, self._flags, whole
            yield kind, flags, stream_id, payload
        self._rest += buffer[start:]

    def _joined(self, data: bytes) -> bytes:
        """What is there to cut: nothing, while the frame under way still lacks bytes."""
        if not self._rest:
            self._need = HEADER_SIZE
            return data
        self._rest += data
        if len(self._rest) < self._need:
            return b""
        buffer = bytes(self._rest)
        self._rest.clear()
        self._need = HEADER_SIZE
        return buffer

    def _check_expected(self, kind: int, flags: int, stream_id: int) -> None:
        if kind != self._expected or stream_id != self._stream_id:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "another frame was due")
        if kind == SETTINGS:
            if flags & ACK:
                raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "SETTINGS were due")
            self._expected = None

    def _assemble(self, kind: int, flags: int, stream_id: int, payload: bytes) -> bytes | None:
        """Take a piece of a header block; the block when it is complete."""
        if kind == HEADERS:
            self._stream_id, self._flags = stream_id, flags
            self._block = bytearray(without_padding(flags, payload))
            self._expected = CONTINUATION
        elif self._expected is None:
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "nothing to continue")
        else:
            self._block += payload
        if len(self._block) > BLOCK_LIMIT:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "header block too large")
        if not flags & END_HEADERS:
            return None
        self._expected = None
        whole, self._block = bytes(self._block), bytearray()
        return whole
