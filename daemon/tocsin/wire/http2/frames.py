"""Frames of HTTP/2 (RFC 9113, sections 4 and 6): their numbers, and the bytes of those we send."""

from enum import IntEnum
from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Length and type in one word, flags, stream id. A length fits into the upper 24 bits.
HEADER = Struct(">IBI")
HEADER_SIZE = 9
WORD = Struct(">I")
SETTING = Struct(">HI")

DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

ENABLE_PUSH = 0x2
MAX_CONCURRENT_STREAMS = 0x3
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_SIZE = 0x5
MAX_HEADER_LIST_SIZE = 0x6

# What holds until a side's SETTINGS say otherwise; ours never do.
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME_SIZE = 16_384
GREATEST = 2**31 - 1


class ErrorCode(IntEnum):
    """Why a stream or a connection ended (RFC 9113, section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class ConnectionViolation(Exception):  # noqa: N818 - a verdict on the peer, not a fault of ours
    """The server broke the protocol or a bound: the connection ends with `code` (section 5.4.1)."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(f"{code.name}: {reason}")
        self.code = code
        self.reason = reason


class StreamViolation(Exception):  # noqa: N818 - a verdict on the peer, not a fault of ours
    """One answer is none, or is over a bound: its stream ends with `code` (section 5.4.2)."""

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code.name)
        self.code = code


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """One frame of any kind."""
    return HEADER.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings(pairs: dict[int, int]) -> bytes:
    """SETTINGS with what differs from the defaults."""
    return frame(SETTINGS, 0, 0, b"".join(SETTING.pack(*pair) for pair in pairs.items()))


def rst_stream(stream_id: int, code: int) -> bytes:
    """RST_STREAM: this stream has ended, and why."""
    return frame(RST_STREAM, 0, stream_id, WORD.pack(code))


def window_update(stream_id: int, increment: int) -> bytes:
    """WINDOW_UPDATE of a stream, or with stream 0 of the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, WORD.pack(increment))


def goaway(code: int) -> bytes:
    """GOAWAY of a client: the server has begun no stream, so its last is 0."""
    return frame(GOAWAY, 0, 0, WORD.pack(0) + WORD.pack(code))


def without_padding(flags: int, payload: bytes) -> bytes:
    """The content of a DATA or HEADERS frame, less padding and priority (sections 6.1, 6.2)."""
    start, padding = 0, 0
    if flags & PADDED:
        if not payload:
            raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "no pad length")
        start, padding = 1, payload[0]
    if flags & HAS_PRIORITY:
        start += 5
        if len(payload) < start:
            raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "no priority")
    end = len(payload) - padding
    if end < start:
        raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[start:end]
