"""The client's half of RFC 6455 framing, able to break every rule of it."""

import struct

MASK = b"\x11\x22\x33\x44"

LENGTH_FORMS = {7: 0, 16: 126, 64: 127}


def xor(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask, the slow and obvious way."""
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def client_frame(
    first: int,
    payload: bytes = b"",
    *,
    mask: bytes | None = MASK,
    form: int | None = None,
    announced: int | None = None,
) -> bytes:
    """One frame; `form` forces a length of 7, 16 or 64 bits, `announced` a false length."""
    length = len(payload) if announced is None else announced
    if form is None:
        form = 7 if length < 126 else 16 if length < 65536 else 64
    flag = 0 if mask is None else 0x80
    head = bytes((first, flag | (LENGTH_FORMS[form] or length)))
    if form == 16:
        head += struct.pack("!H", length)
    elif form == 64:
        head += struct.pack("!Q", length)
    if mask is None:
        return head + payload
    return head + mask + xor(payload, mask)


def text(payload: bytes, *, final: bool = True) -> bytes:
    """A text frame."""
    return client_frame(0x81 if final else 0x01, payload)


def binary(payload: bytes) -> bytes:
    """A binary frame."""
    return client_frame(0x82, payload)


def continuation(payload: bytes, *, final: bool = True) -> bytes:
    """A continuation frame."""
    return client_frame(0x80 if final else 0x00, payload)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A Close frame."""
    return client_frame(0x88, b"" if code is None else code.to_bytes(2) + reason)


def ping(payload: bytes = b"") -> bytes:
    """A Ping frame."""
    return client_frame(0x89, payload)


def pong(payload: bytes = b"") -> bytes:
    """A Pong frame."""
    return client_frame(0x8A, payload)
