"""Answers, and how they are written (channels.md, CH-5; RFC 9112, 4)."""

import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final

import attrs

JSON: Final = "application/json"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE: Final = b"Connection: close\r\n"
KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
NO_STORE: Final = "no-store"
BODILESS: Final = frozenset({204, 304})
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_NO_STORE: Final = b"Cache-Control: no-store\r\n"
_JSON_LINE: Final = b"Content-Type: application/json\r\n"

Headers = Iterable[tuple[str, str]]


@attrs.define
class Response:
    """An answer. A body is JSON unless `content_type` says otherwise; a 204 has none.

    `receipt`, if given, is called with True when the last byte was handed to the kernel, with
    False when it was not, and with False after True when the connection was reset before another
    request came on it (CH-67). `cache_control` None: the headers say it, or those of the route.
    `ends_connection`: there is no further request behind it. `is_shared`: the body is one for
    everybody, and is not copied.
    """

    status: int
    body: bytes = b""
    headers: Headers = ()
    content_type: str = JSON
    receipt: Callable[[bool], None] | None = None
    cache_control: str | None = NO_STORE
    ends_connection: bool = False
    is_shared: bool = False


@attrs.define
class Upgrade:
    """The handler takes the connection over.

    The server writes the status and `headers`, detaches the raw non-blocking socket, calls
    `adopt(sock, leftover)` with the bytes that followed the request, and never touches the socket
    again: `adopt` owns it, also when it raises. Statuses other than 101 are for answers of
    endless length (`Content-Type` and `Transfer-Encoding` are the handler's headers then).
    `adopt` is not called when the head could not be written.
    """

    headers: Headers
    adopt: Callable[[socket.socket, bytes], None]
    status: int = 101


def render(
    response: Response, *, extra: bytes = b"", connection: bytes = b"", head_only: bool = False
) -> bytes:
    """A whole answer as one piece of bytes.

    `extra` are finished header lines (CORS), `connection` is CLOSE, KEEP_ALIVE or nothing,
    `head_only` is for HEAD. Raises ValueError for a header that would break the framing.
    """
    body = response.body if response.status not in BODILESS else b""
    if response.status in BODILESS:
        content = b""
    elif not body:
        content = b"Content-Length: 0\r\n"
    elif response.content_type is JSON:
        content = b"%bContent-Length: %d\r\n" % (_JSON_LINE, len(body))
    else:
        kind = header_lines([("Content-Type", response.content_type)])
        content = b"%bContent-Length: %d\r\n" % (kind, len(body))
    return b"".join(
        (
            _STATUS_LINES[response.status],
            content,
            _cache_line(response.cache_control),
            extra,
            connection,
            header_lines(response.headers),
            b"\r\n",
            b"" if head_only else body,
        )
    )


def render_upgrade(upgrade: Upgrade, *, extra: bytes = b"") -> bytes:
    """The head that goes out before the socket changes hands."""
    no_store = b"" if upgrade.status == 101 else _NO_STORE
    lines = header_lines(upgrade.headers)
    return b"".join((_STATUS_LINES[upgrade.status], no_store, extra, lines, b"\r\n"))


def render_streamed(
    status: int, headers: Headers, *, chunked: bool, connection: bytes, extra: bytes = b""
) -> bytes:
    """The head of an answer whose length nobody knows; not chunked, it ends with the stream."""
    framing = CHUNKED if chunked else b""
    lines = header_lines(headers)
    return b"".join((_STATUS_LINES[status], framing, extra, connection, lines, b"\r\n"))


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked answer; it must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def header_lines(headers: Headers) -> bytes:
    """Finished header lines. Raises ValueError for controls or characters beyond Latin-1."""
    lines = []
    for name, value in headers:
        line = f"{name}: {value}"
        if not line.isprintable():
            raise ValueError(f"control characters in {name!r}")
        lines.append(f"{line}\r\n")
    return "".join(lines).encode("latin-1")


def _cache_line(cache_control: str | None) -> bytes:
    if cache_control == NO_STORE:
        return _NO_STORE
    return b"" if cache_control is None else header_lines([("Cache-Control", cache_control)])
