"""Answers as h11 reads them."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.response import (
    CLOSE,
    KEEP_ALIVE,
    LAST_CHUNK,
    Response,
    Upgrade,
    chunk,
    render,
    render_streamed,
    render_upgrade,
)


def parse(data: bytes, *, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """One whole answer, read by h11, which refuses what is malformed."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data[0] == b""
    return head.status_code, {k.decode(): v.decode("latin-1") for k, v in head.headers}, body


@given(st.sampled_from([200, 201, 202, 400, 404, 413, 429, 500, 503]), st.binary(max_size=100))
def test_h11_reads_every_answer(status: int, body: bytes) -> None:
    """Status, body and the headers every answer has arrive (CH-5)."""
    read_status, headers, read_body = parse(render(Response(status, body, [("Location", "/x")])))
    assert (read_status, read_body) == (status, body)
    assert headers["cache-control"] == "no-store"
    assert headers["location"] == "/x"
    assert headers.get("content-type") == ("application/json" if body else None)


def test_204_has_nothing() -> None:
    """A 204 has neither body nor Content-Type nor length, whatever the handler gave (CH-5)."""
    status, headers, body = parse(render(Response(204, b"x")))
    assert (status, headers, body) == (204, {"cache-control": "no-store"}, b"")


def test_head_has_the_headers_only() -> None:
    """The answer to HEAD says how long the body would be and has none."""
    _, headers, body = parse(render(Response(200, b"{}"), head_only=True), method="HEAD")
    assert (headers["content-length"], body) == ("2", b"")


def test_content_type_override() -> None:
    """A handler that does not answer JSON says so."""
    _, headers, _ = parse(render(Response(200, b"a 1\n", content_type="text/plain; version=0.0.4")))
    assert headers["content-type"] == "text/plain; version=0.0.4"


@pytest.mark.parametrize("line", [CLOSE, KEEP_ALIVE])
def test_connection_line(line: bytes) -> None:
    """The connection option asked for is written."""
    assert line in render(Response(200), connection=line)


@pytest.mark.parametrize("value", ["/a\r\nX: y", "/a\nb", "/a\x00", "\ud800", "日本"])
def test_no_header_injection(value: str) -> None:
    """A header value cannot bring another header along, and is no guess at an encoding."""
    with pytest.raises(ValueError):  # noqa: PT011 - UnicodeEncodeError is one
        render(Response(201, b"{}", [("Location", value)]))


def test_upgrade_head() -> None:
    """101 goes out with the handler's headers and no length."""
    client = h11.Connection(h11.CLIENT)
    fields = [("host", "x"), ("connection", "Upgrade"), ("upgrade", "websocket")]
    client.send(h11.Request(method="GET", target="/", headers=fields))
    client.send(h11.EndOfMessage())
    upgrade = Upgrade([("Upgrade", "websocket"), ("Connection", "Upgrade")], lambda *_: None)
    client.receive_data(render_upgrade(upgrade))
    head = client.next_event()
    assert isinstance(head, h11.InformationalResponse)
    assert head.status_code == 101


def test_endless_answer_head() -> None:
    """Another status than 101 starts an answer the adopter goes on with."""
    upgrade = Upgrade([("Transfer-Encoding", "chunked")], lambda *_: None, status=200)
    assert parse(render_upgrade(upgrade) + b"2\r\nhi\r\n0\r\n\r\n")[2] == b"hi"


@pytest.mark.parametrize("data", [b"x", b"hello\r\n" * 1000])
def test_streamed_answers(data: bytes) -> None:
    """Chunks end with the last one; without them the answer ends with the stream."""
    head = render_streamed(200, [("X-A", "b")], chunked=True, connection=b"")
    status, headers, body = parse(head + chunk(data) + LAST_CHUNK)
    assert (status, headers["x-a"], body) == (200, "b", data)
    head = render_streamed(200, (), chunked=False, connection=CLOSE)
    assert b"Transfer-Encoding" not in head
    assert b"Connection: close\r\n" in head


def test_not_modified_has_no_body() -> None:
    """304 announces neither a length nor a type."""
    data = render(Response(304, b"{}", [("ETag", '"a"')]))
    assert data.startswith(b"HTTP/1.1 304")
    assert b"Content-" not in data
    assert data.endswith(b"\r\n\r\n")


def test_what_may_be_cached() -> None:
    """Nothing, unless the answer says so itself or leaves it to its headers."""
    assert b"Cache-Control: no-store\r\n" in render(Response(200))
    assert b"Cache-Control: private\r\n" in render(Response(200, cache_control="private"))
    assert b"Cache-Control" not in render(Response(200, cache_control=None))
