"""Tests of reading HTTP/1.1 answers, well-meant and hostile."""

import contextlib

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.http1client import BODY_KEPT, BODY_LIMIT, HEAD_LIMIT, AnswerReader, BadAnswerError

OK = b"HTTP/1.1 200 OK\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


def read(*chunks: bytes) -> AnswerReader:
    reader = AnswerReader()
    for chunk in chunks:
        reader.feed(chunk)
    return reader


def one_by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize(
    ("answer", "status", "body", "reusable"),
    [
        (OK + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", True),
        (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, b"hi", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nRetry-After: 1\r\n\r\n", 200, b"", True),
        (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
        (
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
            200,
            b"hi",
            True,
        ),
        (INTERIM + OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    ],
)
def test_answers(answer: bytes, status: int, body: bytes, reusable: bool) -> None:
    """PU-69: lengths, chunks, 1xx, HTTP/1.0 and Connection: close, whole or byte by byte."""
    for chunks in ([answer], one_by_one(answer)):
        reader = read(*chunks)
        assert (reader.status, reader.body) == (status, body)
        assert (reader.finished, reader.reusable) == (True, reusable)
        assert b"link" not in reader.headers
        assert b"retry-after" not in reader.headers


def test_headers_are_found_by_lower_case_name() -> None:
    """PU-79: header names in any case, the last value counts."""
    reader = read(OK + b"RETRY-after: 1\r\nRetry-After:  2 \r\nContent-Length: 0\r\n\r\n")
    assert reader.headers[b"retry-after"].strip() == b"2"


def test_an_answer_may_end_with_the_connection() -> None:
    """PU-69: without a length the body goes on until the end, which leaves nothing to reuse."""
    reader = read(OK + b"\r\nsome", b"thing")
    assert not reader.finished
    reader.feed(b"")
    assert (reader.status, reader.body) == (200, b"something")
    assert (reader.finished, reader.reusable) == (True, False)


def test_the_end_before_a_head_is_no_answer() -> None:
    """CH-83: a connection that ends within the head has given no status."""
    reader = read(OK, b"")
    assert reader.status is None
    assert reader.finished
    assert reader.has_begun
    assert not read(b"").has_begun


def test_a_cut_body_still_is_an_answer() -> None:
    """CH-83: once the head is whole the status is known, whatever happens to the body."""
    for rest in (b"", b"zz\r\n"):
        reader = read(OK + b"Transfer-Encoding: chunked\r\n\r\n", rest)
        assert reader.status == 200
        assert (reader.finished, reader.reusable) == (True, False)


@pytest.mark.parametrize(
    ("chunks", "problem"),
    [
        ([b"SSH-2.0-OpenSSH_9\r\n"], "malformed"),
        ([b"\x16\x03\x01\x02\x00"], "malformed"),
        ([b"HTTP/1.1 abc\r\n"], "malformed"),
        ([OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"], "malformed"),
        ([OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"], "malformed"),
        ([OK + b"Content-Length: -1\r\n\r\n"], "malformed"),
        ([OK + b"no colon\r\n\r\n"], "malformed"),
        ([b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"], "upgrade"),
        ([OK + b"X: " + b"y" * HEAD_LIMIT, b"y"], "head_too_large"),
        ([OK + b"X: " + b"y" * 3 * HEAD_LIMIT], "head_too_large"),
        ([b"HTTP/1.1 100 C\r\n\r\n" * 1000], "head_too_large"),
        ([OK, *([b"X: y\r\n"] * 3000)], "head_too_large"),
    ],
)
def test_bad_answers_have_one_error(chunks: list[bytes], problem: str) -> None:
    """PU-69, SE-6: what is no answer is one catalogued error that says why."""
    with pytest.raises(BadAnswerError) as caught:
        read(*chunks)
    assert caught.value.problem == problem


def test_a_head_may_be_as_long_as_allowed() -> None:
    """PU-69: 16 KiB of head are read, however much body comes with it."""
    start, end = OK + b"Content-Length: 40000\r\nX: ", b"\r\n\r\n"
    filler = b"y" * (HEAD_LIMIT - len(start) - len(end))
    reader = read(start + filler + end + b"z" * 40_000)
    assert (reader.status, reader.finished, reader.reusable) == (200, True, True)


def test_a_long_body_is_read_no_further() -> None:
    """PU-69: 64 KiB keep the connection, more does not, and only 2 KiB are remembered."""
    whole = read(OK + b"Content-Length: %d\r\n\r\n" % BODY_LIMIT + b"x" * BODY_LIMIT)
    assert (whole.finished, whole.reusable, whole.body) == (True, True, b"x" * BODY_KEPT)
    reader = read(OK + b"Content-Length: 10000000\r\n\r\n")
    fed = 0
    while not reader.finished:
        reader.feed(b"x" * 8192)
        fed += 8192
    assert fed <= HEAD_LIMIT + BODY_LIMIT + 8192
    assert (reader.status, reader.reusable, len(reader.body)) == (200, False, BODY_KEPT)


def test_endless_chunks_of_nothing_end() -> None:
    """PU-69: chunk extensions and trailers count like body."""
    reader = read(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(30):
        if not reader.finished:
            reader.feed(b"1;" + b"e" * 4000 + b"\r\nx\r\n")
    assert (reader.finished, reader.reusable) == (True, False)


@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\n", b"garbage", b"x"])
def test_surplus_spoils_the_connection(surplus: bytes) -> None:
    """PU-67: bytes nobody asked for must not be taken for the next answer."""
    reader = read(OK + b"Content-Length: 2\r\n\r\nhi" + surplus)
    assert (reader.status, reader.body, reader.finished) == (200, b"hi", True)
    assert not reader.reusable


def test_one_reader_serves_a_connection() -> None:
    """PU-67: after reset the next answer is read, with nothing left of the one before."""
    reader = read(OK + b"Retry-After: 5\r\nContent-Length: 2\r\n\r\nhi")
    reader.reset()
    assert not reader.has_begun
    reader.feed(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    assert (reader.status, reader.body, reader.headers) == (503, b"", {b"content-length": b"0"})
    assert reader.reusable


@given(st.lists(st.binary(max_size=200), max_size=5), st.booleans())
def test_no_bytes_raise_anything_else(chunks: list[bytes], plausible: bool) -> None:
    """SE-6: any bytes, also after a plausible start, give an answer, none, or the one error."""
    prefix = [OK + b"Transfer-Encoding: chunked\r\n"] if plausible else []
    with contextlib.suppress(BadAnswerError):
        read(*prefix, *chunks, b"")


@given(st.integers(200, 599), st.binary(max_size=BODY_KEPT), st.booleans(), st.integers(1, 4000))
def test_what_another_implementation_says_is_understood(
    status: int, body: bytes, chunked: bool, size: int
) -> None:
    """PU-69: answers written by h11 come out as they went in, however they are cut."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")
    server.next_event()
    length = [] if chunked else [("Content-Length", str(len(body)))]
    data = server.send(h11.Response(status_code=status, headers=length)) or b""
    if status not in {204, 304}:
        data += server.send(h11.Data(data=body)) or b""
        data += server.send(h11.EndOfMessage()) or b""
    reader = read(*(data[i : i + size] for i in range(0, len(data), size)))
    assert reader.status == status
    assert reader.finished
    assert reader.body == (b"" if status in {204, 304} else body)
