"""Header blocks (RFC 7541): requests as literals that touch no table, replies decoded by hpack."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import hpack

from tocsin.wire.http2.frames import ConnectionViolation, ErrorCode, StreamViolation

BLOCK_LIMIT = 65_536
REPLIES_REMEMBERED = 64

_WITHOUT_INDEXING = 0x00
_NEVER_INDEXED = 0x10
_SECRET = frozenset({b":path", b"authorization"})
# The names among those we send that the static table has (RFC 7541, appendix A).
_STATIC_NAMES = {
    b":authority": 1,
    b":method": 2,
    b":path": 4,
    b":scheme": 6,
    b"accept": 19,
    b"accept-encoding": 16,
    b"authorization": 23,
    b"content-encoding": 26,
    b"content-length": 28,
    b"content-type": 31,
    b"user-agent": 58,
}

# RFC 9113, section 8.2.1.
_NAME = re.compile(rb"[\x21-\x39\x3b-\x40\x5b-\x7e]+")
_VALUE = re.compile(rb"(?![ \t])[^\0\r\n]*(?<![ \t])")
_STATUS = re.compile(rb"[1-9][0-9]{2}")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_OF_CONNECTIONS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)

# Status and headers by name, the last of a repeated one.
Head = tuple[int, Mapping[bytes, bytes]]


def encode(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block of lower-case names and values; blocks may be joined, pseudo-headers first.

    Nothing is put into a table, so a block is good for any connection at any time. `:path` and
    `authorization`, which carry tokens, are marked never to be put into one on the way.
    """
    parts: list[bytes] = []
    for name, value in pairs:
        parts += (_name(name), _length(len(value)), value)
    return b"".join(parts)


@lru_cache(256)
def _name(name: bytes) -> bytes:
    form = _NEVER_INDEXED if name in _SECRET else _WITHOUT_INDEXING
    index = _STATIC_NAMES.get(name)
    if index is None:
        return bytes((form,)) + _length(len(name)) + name
    return _integer(index, prefix=4, form=form)


@lru_cache(1024)
def _length(length: int) -> bytes:
    """The length of a string that is not Huffman-coded."""
    return _integer(length, prefix=7, form=0)


def _integer(value: int, *, prefix: int, form: int) -> bytes:
    """An integer behind the bits of its form (RFC 7541, section 5.1)."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes((form | value,))
    encoded = bytearray((form | most,))
    value -= most
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


class Fields:
    """What one header block of a reply says, judged when it is known what it stands for."""

    __slots__ = ("_head", "_pairs")

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs
        self._head: Head | None = None

    def head(self) -> Head:
        """Status and headers; StreamViolation if they are malformed (RFC 9113, section 8.1.1)."""
        if self._head is None:
            self._head = _read_head(self._pairs)
        return self._head

    def check_trailers(self) -> None:
        """Trailers are dropped, but have to be sound: no pseudo-headers (section 8.1)."""
        if not all(_is_sound(name, value) for name, value in self._pairs):
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR)


class ReplyDecoder:
    """Decodes the header blocks of one connection, all of them and in their order.

    Some providers answer nearly every push with the same few bytes, all references into the
    table. What those came to is remembered until a block may have changed the table.
    """

    __slots__ = ("_decoder", "_remembered")

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=BLOCK_LIMIT)
        self._remembered: dict[bytes, Fields] = {}

    def decode(self, block: bytes) -> Fields:
        """The fields of a block; ConnectionViolation, as the table is lost with it."""
        fields = self._remembered.get(block)
        if fields is None:
            fields = self._decode(block)
            if not _only_refers(block):
                self._remembered.clear()
            elif len(self._remembered) < REPLIES_REMEMBERED:
                self._remembered[block] = fields
        return fields

    def _decode(self, block: bytes) -> Fields:
        try:
            return Fields(list(self._decoder.decode(block, raw=True)))
        except hpack.OversizedHeaderListError:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "too many headers") from None
        except hpack.HPACKError:
            raise ConnectionViolation(ErrorCode.COMPRESSION_ERROR, "bad header block") from None


def _only_refers(block: bytes) -> bool:
    """Whether a block is nothing but one-byte references into the table."""
    return bool(block) and min(block) > 0x80 and max(block) < 0xFF


def _read_head(pairs: Sequence[tuple[bytes, bytes]]) -> Head:
    status = 0
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name == b":status":
            if status or headers or not _STATUS.fullmatch(value):
                raise StreamViolation(ErrorCode.PROTOCOL_ERROR)
            status = int(value)
        elif _is_sound(name, value) and _may_follow(headers, name, value):
            headers[name] = value
        else:
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR)
    if not status or status == 101:
        raise StreamViolation(ErrorCode.PROTOCOL_ERROR)
    return status, headers


def _is_sound(name: bytes, value: bytes) -> bool:
    return (
        _NAME.fullmatch(name) is not None
        and _VALUE.fullmatch(value) is not None
        and name not in _OF_CONNECTIONS
    )


def _may_follow(headers: Mapping[bytes, bytes], name: bytes, value: bytes) -> bool:
    """Whether a content-length is a number, and the only one."""
    return name != b"content-length" or (
        _LENGTH.fullmatch(value) is not None and headers.get(name, value) == value
    )
