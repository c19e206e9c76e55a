"""RFC 6455 framing, server side: bytes in, frames out, without I/O and without a clock.

A frame is two bytes, a length, a mask and a payload:

    byte 0   FIN, three reserved bits, opcode          `FIRST_BYTES` has all that may stand there
    byte 1   MASK, length 0-125; or 126: 2 more bytes; or 127: 8 more
    4 bytes  the mask: always from a client, never from a server (section 5.1)

What a server sends is unmasked, so the bytes of a frame are the same for every receiver and are
made once, by one of the functions here. What a client sends is read by `websocket_decoder`.
"""

import enum
import struct

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

FINAL = 0x80
MASKED = 0x80
CONTROL_LIMIT = 125

# Every other first byte has a reserved bit, a reserved opcode, or is a control frame cut up.
FIRST_BYTES = frozenset(
    {
        CONTINUATION,
        TEXT,
        BINARY,
        FINAL | CONTINUATION,
        FINAL | TEXT,
        FINAL | BINARY,
        FINAL | CLOSE,
        FINAL | PING,
        FINAL | PONG,
    }
)


class CloseCode(enum.IntEnum):
    """Section 7.4.1 and the registry of section 11.7, as far as this daemon names them."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    RESTART = 1012


def close_code(payload: bytes) -> int:
    """The code in the payload of a CLOSE frame; 1005 where it has none (section 7.1.5)."""
    return int.from_bytes(payload[:2]) if payload else CloseCode.NO_STATUS


def encode_text(payload: bytes) -> bytes:
    """A whole text message; the payload must be UTF-8 already."""
    return _encode(FINAL | TEXT, payload)


def encode_ping(payload: bytes = b"") -> bytes:
    """A Ping of at most 125 bytes."""
    return _encode_control(FINAL | PING, payload)


def encode_pong(payload: bytes = b"") -> bytes:
    """The answer to a Ping: its payload."""
    return _encode_control(FINAL | PONG, payload)


def encode_close(code: int, reason: str = "") -> bytes:
    """A Close; the reason is cut to what fits, 1005 sends none at all.

    ValueError: a code that must not be sent (section 7.4).
    """
    if code == CloseCode.NO_STATUS:
        return _encode_control(FINAL | CLOSE, b"")
    if not is_sendable(code):
        raise ValueError(f"{code} is not a code for a Close frame")
    kept = reason.encode()[: CONTROL_LIMIT - 2].decode(errors="ignore")
    return _encode_control(FINAL | CLOSE, code.to_bytes(2) + kept.encode())


def is_sendable(code: int) -> bool:
    """Whether a Close frame may carry this code (section 7.4 and the registry)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in {1004, 1005, 1006})


def _encode(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length <= CONTROL_LIMIT:
        return bytes((first, length)) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def _encode_control(first: int, payload: bytes) -> bytes:
    if len(payload) > CONTROL_LIMIT:
        raise ValueError("the payload of a control frame has at most 125 bytes")
    return _encode(first, payload)
