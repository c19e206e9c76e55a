"""Chunked bodies (RFC 9112, 7.1), without I/O, to the letter: sizes in hex, CRLF, nothing else."""

import re
from typing import Final

# A size line, extensions and all; longer ones only serve to keep a server busy.
LINE_BYTES: Final = 256
# At most 15 digits, so that no two parsers can disagree about an overflow; extensions are ignored.
SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e]*)?")
TRAILER_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class ChunkError(Exception):
    """The framing of a chunked body is broken."""


class ChunkedBody:
    """Takes one chunked body off the front of a buffer.

    Trailers are checked, bounded by `trailer_bytes` in all, and dropped.
    """

    __slots__ = ("_data_ended", "_in_trailers", "_remaining", "_trailer_room", "complete")

    def __init__(self, *, trailer_bytes: int) -> None:
        self.complete = False
        self._remaining = 0
        self._data_ended = False
        self._in_trailers = False
        self._trailer_room = trailer_bytes

    def take(self, buffer: bytes) -> tuple[bytes, bytes]:
        """(content, rest of the buffer). Empty content: `complete`, or more bytes are needed.

        Raises ChunkError.
        """
        while not self.complete:
            if self._remaining:
                content = buffer[: self._remaining]
                self._remaining -= len(content)
                self._data_ended = not self._remaining
                return content, buffer[len(content) :]
            end = buffer.find(b"\r\n")
            if end < 0 or end > LINE_BYTES:
                self._judge_unfinished(buffer)
                return b"", buffer
            self._line(buffer[:end])
            buffer = buffer[end + 2 :]
        return b"", buffer

    def _line(self, line: bytes) -> None:
        if self._data_ended:
            if line:
                raise ChunkError("chunk data not ended by CRLF")
            self._data_ended = False
        elif self._in_trailers:
            self._trailer(line)
        else:
            size = SIZE_LINE.fullmatch(line)
            if size is None:
                raise ChunkError("bad chunk size")
            self._remaining = int(size[1], 16)
            self._in_trailers = not self._remaining

    def _trailer(self, line: bytes) -> None:
        self._trailer_room -= len(line) + 2
        if self._trailer_room < 0 or (line and not TRAILER_LINE.fullmatch(line)):
            raise ChunkError("bad trailer")
        self.complete = not line

    def _judge_unfinished(self, buffer: bytes) -> None:
        """Refuse early what no further byte can make right."""
        bound = self._trailer_room if self._in_trailers else LINE_BYTES
        if len(buffer) > bound or b"\n" in buffer[:bound]:
            raise ChunkError("bad line in a chunked body")
        if self._data_ended and buffer not in {b"", b"\r"}:
            raise ChunkError("chunk data not ended by CRLF")
