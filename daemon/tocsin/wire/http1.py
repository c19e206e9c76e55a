"""Reading HTTP/1.1 requests from bytes (RFC 9112), without I/O.

    reader.feed(bytes) ; reader.next_event() -> Head, then bytes, bytes, ..., END, then Head, ...

The reader cuts the head off its buffer before it parses it, so three things are exact: the bound
on a head, the place where one pipelined request ends and the next begins, and the bytes left over
when a connection is handed to another protocol. httptools judges the syntax of the head; what is
ambiguous between two parsers in a row (bare LF, folded lines, two lengths, a length beside
chunks) is refused rather than repaired, because that is what request smuggling lives on.
"""

import enum
import re
from typing import Final

import attrs
import httptools

from tocsin.wire.chunked import ChunkedBody, ChunkError

HEADER_COUNT: Final = 100
SINGLE: Final = frozenset({"host", "content-length", "transfer-encoding"})
# A request line starts with a method; anything else (a TLS handshake, say) need not be waited for.
FIRST_BYTES: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
FOLD: Final = re.compile(rb"\r\n[ \t]")
# RFC 9112, 3.2, and RFC 3986, 3.2.2: an address in brackets or a name, and a port.
HOST: Final = re.compile(
    r"(?:\[[A-Za-z0-9._~!$&'()*+,;=:%-]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)"
    r"(?::[0-9]*)?"
)
# A table of the usual spellings costs less than to lower and decode each name.
_USUAL: Final = (
    *("host", "authorization", "content-type", "content-length", "accept", "user-agent"),
    *("connection", "expect", "origin", "accept-encoding", "accept-language", "cookie"),
    *("idempotency-key", "upgrade", "x-forwarded-for", "cache-control"),
)
_KNOWN_NAMES: Final = {name.title().encode(): name for name in _USUAL} | {
    name.encode(): name for name in _USUAL
}


class Signal(enum.Enum):
    """The events without content: feed more bytes; the message is complete."""

    NEED_DATA = enum.auto()
    END = enum.auto()


NEED_DATA: Final = Signal.NEED_DATA
END: Final = Signal.END


@attrs.define
class Head:
    """A request line and its headers.

    `headers` has lower-case names; repeated ones are joined with ", ". `length` is the body's
    announced size, None for a chunked one.
    """

    method: str
    target: str
    headers: dict[str, str]
    length: int | None
    keep_alive: bool
    http_10: bool

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body."""
        return self.headers.get("expect", "").lower() == "100-continue" and not self.http_10


@attrs.frozen
class Refused:
    """The bytes are no acceptable request; nothing after them can be understood.

    `status` is 400 (malformed) or 431 (the head is over its bound).
    """

    status: int
    reason: str


Event = Head | bytes | Signal | Refused


class RequestReader:
    """The server's side of one connection, request after request.

    After END the next call looks for the next head. `header_bytes` bounds a head from the first
    byte of the request line to the empty line. Holds at most one head and what was fed on top.
    """

    __slots__ = ("_body", "_buffer", "_ended", "_header_bytes", "_refused", "_remaining")

    def __init__(self, *, header_bytes: int) -> None:
        self._header_bytes = header_bytes
        self._buffer = b""
        self._remaining = 0
        self._body: ChunkedBody | None = None
        self._ended = True
        self._refused: Refused | None = None

    @property
    def between_messages(self) -> bool:
        """Whether nothing of a further request has arrived."""
        return self._ended and not self._buffer

    def feed(self, data: bytes) -> None:
        """Take what the peer sent."""
        self._buffer = self._buffer + data if self._buffer else data

    def leftover(self) -> bytes:
        """Hand out what was fed and not understood as part of a request, and forget it."""
        data, self._buffer = self._buffer, b""
        return data

    def next_event(self) -> Event:
        """The next event the bytes fed so far amount to."""
        if self._refused is not None:
            return self._refused
        event = self._next_head() if self._ended else self._next_body()
        if isinstance(event, Refused):
            self._refused = event
        return event

    def _next_head(self) -> Event:
        buffer = self._buffer
        if buffer[:1] in (b"\r", b"\n"):
            # RFC 9112, 2.2: empty lines before a request line are passed over.
            buffer = self._buffer = buffer.lstrip(b"\r\n")
        if not buffer:
            return NEED_DATA
        if buffer[0] not in FIRST_BYTES:
            return Refused(400, "no request line")
        end = buffer.find(b"\r\n\r\n") + 4
        if end == 3:
            too_large = len(buffer) > self._header_bytes
            return Refused(431, "head too large") if too_large else NEED_DATA
        if end > self._header_bytes:
            return Refused(431, "head too large")
        self._buffer = buffer[end:]
        head = parse_head(buffer[:end])
        if isinstance(head, Head):
            self._ended = False
            self._remaining = head.length or 0
            if head.length is None:
                self._body = ChunkedBody(trailer_bytes=self._header_bytes)
        return head

    def _next_body(self) -> Event:
        if self._body is not None:
            return self._next_chunk(self._body)
        if not self._remaining:
            self._ended = True
            return END
        data = self._buffer[: self._remaining]
        if not data:
            return NEED_DATA
        self._buffer = self._buffer[len(data) :]
        self._remaining -= len(data)
        return data

    def _next_chunk(self, body: ChunkedBody) -> Event:
        try:
            data, self._buffer = body.take(self._buffer)
        except ChunkError as error:
            return Refused(400, str(error))
        if data:
            return data
        if not body.complete:
            return NEED_DATA
        self._body = None
        self._ended = True
        return END


class _Headers:
    """What httptools calls back into; collects the headers of one head."""

    __slots__ = ("count", "fields", "repeated")

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.count = 0
        self.repeated = False

    def on_header(self, raw_name: bytes, raw_value: bytes) -> None:
        self.count += 1
        name = _KNOWN_NAMES.get(raw_name) or raw_name.lower().decode("latin-1")
        value = raw_value.decode("latin-1").strip(" \t")
        if name in self.fields:
            self.repeated = self.repeated or name in SINGLE
            value = f"{self.fields[name]}, {value}"
        self.fields[name] = value


def parse_head(raw: bytes) -> Head | Refused:
    """A whole head, its empty line included, judged and taken apart."""
    if not raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n"):
        return Refused(400, "bare CR or LF")
    if raw.count(b"\n") > HEADER_COUNT + 2:
        return Refused(431, "too many headers")
    collected = _Headers()
    try:
        httptools.HttpRequestParser(collected).feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # Whether to upgrade is the handler's decision, not the parser's.
    except httptools.HttpParserError as error:
        return Refused(400, str(error))
    line = raw[: raw.index(b"\r\n")].decode("latin-1").split(" ")
    if len(line) != 3 or line[2] not in {"HTTP/1.1", "HTTP/1.0"} or "#" in line[1]:
        return Refused(400, "bad request line")
    # Counted, so that no header can be lost between this reader and httptools.
    if collected.count != raw.count(b"\r\n") - 2 or FOLD.search(raw):
        return Refused(400, "bad header line")
    return _judge(line, collected)


def _judge(line: list[str], collected: _Headers) -> Head | Refused:
    """The rules between headers: what may stand once, what excludes what (RFC 9112, 6.3)."""
    method, target, version = line
    headers = collected.fields
    http_10 = version == "HTTP/1.0"
    if collected.repeated:
        return Refused(400, "repeated header")
    host = headers.get("host")
    if HOST.fullmatch(host or "") is None or (host is None and not http_10):
        return Refused(400, "no Host, or a bad one")
    length: int | None = 0
    if "transfer-encoding" in headers:
        chunked = headers["transfer-encoding"].lower() == "chunked"
        if not chunked or http_10 or "content-length" in headers:
            return Refused(400, "bad Transfer-Encoding")
        length = None
    elif "content-length" in headers:
        length = int(headers["content-length"])  # httptools let only digits within 64 bits pass
    return Head(method, target, headers, length, _keep_alive(headers, http_10=http_10), http_10)


def _keep_alive(headers: dict[str, str], *, http_10: bool) -> bool:
    """RFC 9112, 9.3."""
    connection = headers.get("connection")
    if connection is None:
        return not http_10
    options = {option.strip() for option in connection.lower().split(",")}
    return "close" not in options and (not http_10 or "keep-alive" in options)
