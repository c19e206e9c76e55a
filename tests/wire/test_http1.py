"""The request reader, with h11 as the second opinion."""

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.http1 import END, NEED_DATA, Head, Refused, RequestReader

POST = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"PUT /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b'3;ext="1"\r\nabc\r\n00a\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n'
)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

Seen = list[tuple[str, str, dict[str, str], bytes]]


def read(*feeds: bytes, header_bytes: int = 16_384) -> tuple[Seen, Refused | None]:
    """Whole messages, and the refusal that ended them."""
    reader = RequestReader(header_bytes=header_bytes)
    messages: Seen = []
    head, body = None, b""
    for data in feeds:
        reader.feed(data)
        while (event := reader.next_event()) is not NEED_DATA:
            match event:
                case Head():
                    head, body = event, b""
                case bytes():
                    body += event
                case Refused():
                    return messages, event
                case _:
                    assert head is not None
                    messages.append((head.method, head.target, head.headers, body))
    return messages, None


def refusal(data: bytes) -> Refused:
    messages, refused = read(data)
    assert not messages
    assert refused is not None
    return refused


@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
def test_split_anywhere(a: int, b: int, c: int) -> None:
    """Pipelined messages read the same however the bytes are cut into feeds."""
    stream = POST + CHUNKED + b"\r\n" + GET + POST
    cuts = [0, *sorted((a, b, c)), len(stream)]
    pieces = [stream[i:j] for i, j in itertools.pairwise(cuts)]
    messages, refused = read(*pieces)
    assert refused is None
    assert [(m[0], m[3]) for m in messages] == [
        ("POST", b"hello"),
        ("PUT", b"abc0123456789"),
        ("GET", b""),
        ("POST", b"hello"),
    ]


def test_split_at_every_byte() -> None:
    """Bytes fed one by one give the same messages as bytes fed at once."""
    stream = POST + CHUNKED + GET
    assert read(*(bytes([byte]) for byte in stream)) == read(stream)


_TOKEN = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
_VALUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"]),
    headers=st.dictionaries(_TOKEN.map("x-{}".format), _VALUE, max_size=5),
    body=st.binary(max_size=200),
    chunked=st.booleans(),
)
def test_reads_what_h11_writes(
    method: str, headers: dict[str, str], body: bytes, chunked: bool
) -> None:
    """Every request h11 can write is read as it was meant."""
    framing = ("transfer-encoding", "chunked") if chunked else ("content-length", str(len(body)))
    client = h11.Connection(h11.CLIENT)
    fields = [("host", "x"), framing, *headers.items()]
    sent = client.send(h11.Request(method=method, target="/p?q=1", headers=fields)) or b""
    sent += client.send(h11.Data(data=body)) or b""
    sent += client.send(h11.EndOfMessage()) or b""
    messages, refused = read(sent)
    assert refused is None
    assert messages == [(method, "/p?q=1", dict(fields), body)]


@given(st.binary(max_size=300))
def test_random_bytes_never_raise(data: bytes) -> None:
    """Whatever arrives, the reader answers with an event (SE-6)."""
    read(data)
    read(GET[:10] + data + b"\r\n\r\n")
    read(CHUNKED[:66] + data + b"\r\n\r\n")


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n folded",
        b"GET / HTTP/1.1\nHost: x\r\nX: a",
        b"GET / HTTP/1.1\r\nHost: x\nX: a",
        b"GET / HTTP/1.1\r\nHost: x\rX: a",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b",
        b"GET / HTTP/1.1\r\nX: no host",
        b"GET / HTTP/1.1\r\nHost: a b",
        b"GET / HTTP/1.1\r\nHost: a@b",
        b"GET / HTTP/1.1\r\nHost: a/b",
        b"GET / HTTP/1.1\r\nHost: a, b",
        b"GET / HTTP/1.1\r\nHost: a:b",
        b"GET / HTTP/1.1\r\nHost: a:1:2",
        b"GET / HTTP/1.1\r\nHost: [::1",
        b"GET / HTTP/1.1\r\nHost: ::1",
        b"GET / HTTP/1.1\r\nHost: a%2",
        b"GET / HTTP/1.1\r\nHost: \xc3\xa4",
        b"GET / HTTP/1.0\r\nHost: a/b",
        b"GET  / HTTP/1.1\r\nHost: x",
        b"GET / HTTP/2.0\r\nHost: x",
        b"GET / HTTP/0.9\r\nHost: x",
        b"GET /",
        b"GET /a b HTTP/1.1\r\nHost: x",
        b"GET /#fragment HTTP/1.1\r\nHost: x",
        b"GET /\xff HTTP/1.1\r\nHost: x",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_ambiguous_heads_are_refused(head: bytes) -> None:
    """What two parsers could read in two ways, or what is no HTTP/1.x, is a 400 (SE-6)."""
    assert refusal(head + b"\r\n\r\n0\r\n\r\n").status == 400


@pytest.mark.parametrize(
    "host", ["", "a", "a:", "a.b.:80", "1.2.3.4:5", "[::1]", "[fe80::1%25x]:1", "a_b-c", "%C3%A4"]
)
def test_whatever_a_host_may_be_called(host: str) -> None:
    """RFC 9112, 3.2: names, addresses, a port or none, also nothing."""
    [(_, _, headers, _)], refused = read(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert refused is None
    assert headers["host"] == host


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello",
        b"1000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"x" * 300 + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    ],
)
def test_broken_chunks_are_refused(body: bytes) -> None:
    """A chunked body is read to the letter or refused, also byte by byte."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert refusal(head + body) == Refused(400, refusal(head + body).reason)
    assert read(head, *(bytes([byte]) for byte in body))[1] is not None


def test_no_waiting_for_a_request_line() -> None:
    """A peer that does not speak HTTP is refused at its first byte, not after a time-out."""
    assert read(b"\x16")[1] == Refused(400, "no request line")


@pytest.mark.parametrize(("size", "accepted"), [(512, True), (513, False)])
def test_the_head_is_bounded_to_the_byte(size: int, accepted: bool) -> None:
    """A head of exactly header_bytes passes, one byte more is a 431 (limits.header_bytes)."""
    start = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
    head = start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"
    assert len(head) == size
    for feeds in ([head], [bytes([byte]) for byte in head]):
        messages, refused = read(*feeds, header_bytes=512)
        assert (len(messages), refused) == (
            (1, None) if accepted else (0, Refused(431, "head too large"))
        )


def test_an_endless_head_is_refused_without_its_end() -> None:
    """The bound holds while the end of the head has not been seen."""
    assert read(b"GET / HTTP/1.1\r\nX: " + b"a" * 512, header_bytes=512)[1] is not None


def test_too_many_headers() -> None:
    """The number of headers is bounded too."""
    head = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n"
    assert refusal(head) == Refused(431, "too many headers")


def head_of(data: bytes) -> Head:
    reader = RequestReader(header_bytes=16_384)
    reader.feed(data)
    head = reader.next_event()
    assert isinstance(head, Head)
    return head


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        ("1.1", None, True),
        ("1.1", "close", False),
        ("1.1", "Upgrade, Close", False),
        ("1.1", "keep-alive", True),
        ("1.0", None, False),
        ("1.0", "Keep-Alive", True),
        ("1.0", "keep-alive, close", False),
    ],
)
def test_keep_alive(version: str, connection: str | None, stays: bool) -> None:
    """The connection stays by RFC 9112, 9.3."""
    line = f"Connection: {connection}\r\n" if connection else ""
    assert head_of(f"GET / HTTP/{version}\r\nHost: x\r\n{line}\r\n".encode()).keep_alive is stays


def test_expect_continue() -> None:
    """Expect: 100-continue is seen, but not from HTTP/1.0 (RFC 9110, 10.1.1)."""
    for version, expected in (("1.1", True), ("1.0", False)):
        head = f"POST / HTTP/{version}\r\nHost: x\r\nExpect: 100-Continue\r\n\r\n"
        assert head_of(head.encode()).expects_continue is expected


def test_repeated_headers_are_joined_and_trimmed() -> None:
    """Header names are lower-case, values without blanks around, repeated ones joined."""
    head = head_of(b"GET / HTTP/1.1\r\nHost: x\r\nX-A:  1 \t\r\nx-a:2\r\nEmpty:\r\n\r\n")
    assert head.headers == {"host": "x", "x-a": "1, 2", "empty": ""}


def test_an_upgrade_leaves_the_bytes_behind_it() -> None:
    """After END of an upgrade request the following bytes can be taken over, none lost."""
    reader = RequestReader(header_bytes=16_384)
    reader.feed(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        b"\x81\x85ab"
    )
    assert isinstance(reader.next_event(), Head)
    assert reader.next_event() is END
    assert reader.leftover() == b"\x81\x85ab"
    assert reader.leftover() == b""


def test_an_upgrade_nobody_wanted_keeps_its_body() -> None:
    """A POST that offers `Upgrade: h2c` in passing is an ordinary request with a body."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    messages, refused = read(head + b"Content-Length: 3\r\n\r\nabc" + GET)
    assert refused is None
    assert [(m[0], m[3]) for m in messages] == [("POST", b"abc"), ("GET", b"")]
