"""The HTTP server on real sockets: the order of the checks, framing, limits."""

import socket

import orjson
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.http_client import authorize, error_code, serving
from tests.fakes.http_routes import (
    LIMITS,
    connected,
    echo,
    get,
    post,
    router,
)

from tocsin.server.http import HttpPolicy, HttpServer, Request, Response
from tocsin.server.router import Router
from tocsin.server.settings import HttpLimits


async def test_keep_alive_and_pipelining() -> None:
    """Requests on one connection are answered one by one in order, sent together or not."""
    async with connected() as (front, client):
        await client.send(get("/open?1") + post("/open?2", b"b") + get("/open?3"))
        answers = [await client.answer() for _ in range(3)]
        assert [orjson.loads(a.body)[1] for a in answers] == ["/open?1", "/open?2", "/open?3"]
        await client.send(get("/open?4"))
        assert orjson.loads((await client.answer()).body)[1] == "/open?4"
        assert front.reported == [(200, "ok")] * 4


async def test_byte_by_byte() -> None:
    """A request that drips in is answered like any other."""
    async with connected() as (_front, client):
        for byte in post("/open", b"ab"):
            await client.send(bytes([byte]))
        assert orjson.loads((await client.answer()).body) == ["POST", "/open", "ab"]


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (get("/nowhere"), 404, "unknown_path"),
        (get("/%ff"), 404, "unknown_path"),
        (get("/small"), 405, "method"),
        (post("/v1/alice/channels", b"x"), 401, "token_missing"),
        (post("/v1/bob/channels", b"x", "Authorization: Bearer bad"), 401, "token_invalid"),
        (post("/v1/bob/channels", b"x", "Authorization: Bearer publish"), 403, "scope_missing"),
        (post("/v1/bob/channels", b"x", "Authorization: Bearer alice"), 403, "user_mismatch"),
        (
            post("/v1/alice/channels", b"x", "Authorization: Bearer alice", "Accept: text/html"),
            406,
            "not_acceptable",
        ),
        (post("/json", b"{"), 400, "body"),
        (post("/json", b"{}", "Content-Type: text/plain"), 415, "media_type"),
        (post("/small", b"123456"), 413, "too_large"),
    ],
)
async def test_refusals(request_bytes: bytes, status: int, code: str) -> None:
    """Each check refuses with its status and code, in JSON, with CORS headers (CH-6, CH-13)."""
    async with connected() as (front, client):
        await client.send(request_bytes)
        answer = await client.answer()
        assert (answer.status, error_code(answer)) == (status, code)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cache-control"] == "no-store"
        assert front.reported[0][0] == status


@pytest.mark.parametrize("user", ["alice", "%61lice"])
async def test_what_passes_every_check(user: str) -> None:
    """The token's own user gets through, also percent-encoded; admin acts for any (CH-12, T17)."""
    async with connected() as (_front, client):
        for token in ("alice", "admin"):
            await client.send(post(f"/v1/{user}/channels", b"", f"Authorization: Bearer {token}"))
            assert (await client.answer()).status == 200


async def test_nobody_uploads_without_a_token() -> None:
    """A 401 is sent when the head is there, before the body, and ends the connection (CH-13)."""
    async with connected() as (_front, client):
        await client.send(post("/v1/alice/channels", b"x" * 100)[:-50])
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert await client.ended()


async def test_a_refused_request_with_its_body_here_keeps_the_connection() -> None:
    """A refused body that has arrived is stepped over, never read as the next request."""
    async with connected() as (_front, client):
        await client.send(post("/nowhere", get("/open?smuggled")) + get("/open?next"))
        assert (await client.answer()).status == 404
        assert orjson.loads((await client.answer()).body)[1] == "/open?next"


@pytest.mark.parametrize("announced", [True, False])
async def test_too_large_bodies(announced: bool) -> None:
    """Over the route's bound: 413 and the end, whether the length is announced or not (SE-5)."""
    framing = "Content-Length: 999999" if announced else "Transfer-Encoding: chunked"
    async with connected() as (_front, client):
        await client.send(f"POST /small HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        if not announced:
            await client.send(b"6\r\n123456\r\n")
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert await client.ended()


async def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    """What still comes after a 413 is swallowed, so that no reset overtakes the answer."""
    async with connected() as (_front, client):
        head = b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"
        await client.send(head)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await client.send(b"x" * 150_000)
        assert (await client.answer()).status == 413
        client.sock.shutdown(socket.SHUT_WR)
        assert await client.ended()


async def test_a_bound_is_reached_exactly() -> None:
    """A body of exactly the bound passes."""
    async with connected() as (_front, client):
        await client.send(post("/small", b"12345"))
        assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01", 400),
        (post("/open", b"", "Transfer-Encoding: chunked"), 400),
        (b"POST /open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"GET /open HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 16_384, 431),
    ],
)
async def test_malformed_requests(request_bytes: bytes, status: int) -> None:
    """What is no request is answered in JSON and ends the connection (CH-5, SE-6)."""
    async with connected() as (front, client):
        await client.send(request_bytes + get("/open?smuggled"))
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert orjson.loads(answer.body)["requestError"]
        assert await client.ended()
        assert len(front.reported) == 1


async def test_expect_continue() -> None:
    """100 Continue goes out when the body is wanted, and not when it is refused."""
    async with connected() as (_front, client):
        whole = post("/small", b"12345", "Expect: 100-continue")
        await client.send(whole[:-5])
        with trio.fail_after(30):
            assert await client.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(whole[-5:])
        assert (await client.answer()).status == 200
        await client.send(post("/v1/alice/channels", b"12345", "Expect: 100-continue")[:-5])
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")


async def test_http_10() -> None:
    """An HTTP/1.0 connection ends after its answer unless it asked to stay."""
    async with connected() as (_front, client):
        await client.send(b"GET /open HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.answer()).headers["connection"] == "keep-alive"
        await client.send(b"GET /open HTTP/1.0\r\n\r\n")
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.ended()


async def test_head() -> None:
    """HEAD is a method of its own; its answer has no body, also when it is an error."""
    async with connected() as (_front, client):
        await client.send(
            b"HEAD /open HTTP/1.1\r\nHost: x\r\n\r\nHEAD /small HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert [(await client.answer("HEAD")).status for _ in range(2)] == [200, 405]


async def test_preflight() -> None:
    """OPTIONS needs no token and answers 204 with everything CH-6 lists (T12)."""
    async with connected() as (_front, client):
        await client.send(
            b"OPTIONS /v1/alice/channels HTTP/1.1\r\nHost: x\r\nOrigin: https://a\r\n\r\n"
        )
        answer = await client.answer("OPTIONS")
        assert answer.status == 204
        assert answer.headers == {
            "cache-control": "no-store",
            "access-control-allow-origin": "*",
            "access-control-allow-methods": "GET, POST, PUT, DELETE",
            "access-control-allow-headers": "Authorization, Content-Type, Accept, X-Cpaas-Agent, "
            "Idempotency-Key",
            "access-control-max-age": "86400",
        }


async def test_a_route_may_decline_cors() -> None:
    """A route without CORS says nothing of it and knows no preflight."""
    async with connected() as (_front, client):
        await client.send(get("/text") + b"OPTIONS /text HTTP/1.1\r\nHost: x\r\n\r\n")
        assert "access-control-allow-origin" not in (await client.answer()).headers
        assert (await client.answer("OPTIONS")).status == 405


@pytest.mark.parametrize("target", ["/broken", "/unwritable"])
async def test_a_bug_in_a_handler_is_a_500(target: str) -> None:
    """A handler's mistake is reported, answered 500 `internal`, and ends its connection only."""
    async with connected() as (front, client):
        other = front.connect()
        await client.send(get(target))
        answer = await client.answer()
        assert (answer.status, error_code(answer)) == (500, "internal")
        assert await client.ended()
        assert (len(front.errors), front.reported) == (1, [(500, "internal")])
        await other.send(get("/open"))
        assert (await other.answer()).status == 200


@pytest.mark.parametrize(
    ("request_bytes", "status", "label"),
    [
        (b"POST /own HTTP/1.1\r\nHost: x\r\n\r\n", 401, "token_missing"),
        (b"POST /own HTTP/1.1\r\nHost: x\r\nX-Scope: channels\r\n\r\n", 403, "scope_missing"),
        (
            b"POST /own HTTP/1.1\r\nHost: x\r\nX-Scope: push\r\nContent-Length: 999999\r\n\r\n",
            413,
            "too_large",
        ),
        (b"GET /own/broken HTTP/1.1\r\nHost: x\r\n\r\n", 500, "internal"),
    ],
)
async def test_a_route_of_its_own_mind(request_bytes: bytes, status: int, label: str) -> None:
    """A route may say itself who is asking, and how it refuses whatever is refused on it (PU-5,
    PU-9)."""
    async with serving(router()) as front:
        client = front.connect()
        await client.send(request_bytes)
        answer = await client.answer()
        assert (answer.status, orjson.loads(answer.body)) == (status, {"own": label})
        assert "access-control-allow-origin" in answer.headers


async def test_rates(autojump_clock: trio.testing.MockClock) -> None:
    """Over limits.rate per token: 429 with Retry-After, and room again when time has passed."""
    request = post("/v1/alice/channels", b"", "Authorization: Bearer alice")
    async with connected(HttpLimits(rate=1)) as (_front, client):
        await client.send(request * 4)
        answers = [await client.answer() for _ in range(4)]
        assert [a.status for a in answers] == [200, 200, 200, 429]
        assert answers[3].headers["retry-after"] == "1"
        await trio.sleep(1.01)
        await client.send(request)
        assert (await client.answer()).status == 200


async def test_failed_authentications_are_limited_per_address() -> None:
    """An address that keeps failing gets 429; a good token from it, and others, go on (SE-5)."""
    bad = post("/v1/alice/channels", b"", "Authorization: Bearer bad")
    async with connected(HttpLimits(rate=0.001)) as (front, client):
        await client.send(bad * 2 + post("/v1/alice/channels", b"", "Authorization: Bearer alice"))
        assert [(await client.answer()).status for _ in range(3)] == [401, 429, 200]
        for peer, status in (("192.0.2.1", 429), ("192.0.2.2", 401)):
            other = front.connect(peer=peer)
            await other.send(bad)
            assert (await other.answer()).status == status


async def test_the_client_behind_a_trusted_proxy() -> None:
    """X-Forwarded-For counts from a trusted proxy and from nobody else (OP-9)."""
    seen: list[str] = []

    async def note(request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        seen.append(request.peer)
        return Response(204)

    routes = Router()
    routes.add("GET", "/", note, scope=None)
    async with serving(routes, trusted_proxies=("10.0.0.0/8",)) as front:
        for peer in ("10.0.0.1", "192.0.2.1"):
            client = front.connect(peer=peer)
            await client.send(get("/", "X-Forwarded-For: 203.0.113.9, 198.51.100.7, 10.0.0.2"))
            await client.answer()
    assert seen == ["198.51.100.7", "192.0.2.1"]


def test_routes_with_unknown_rates() -> None:
    """A rate nobody defined is found when the server is built."""
    routes = Router()
    routes.add("GET", "/", echo, scope="channels", rate="chanels")
    with pytest.raises(ValueError, match="chanels"):
        HttpServer(
            routes,
            authorize=authorize,
            policy=HttpPolicy.of(LIMITS, cors=None),
            on_request=lambda *_: None,
            on_error=lambda *_: None,
        )


@given(
    st.lists(
        st.sampled_from([get("/open"), post("/json", b"{}"), b"\r\n", b"GET", b"\x00"])
        | st.binary(max_size=40),
        max_size=6,
    )
)
@settings(deadline=None, max_examples=60)
def test_random_bytes_never_break_the_server(pieces: list[bytes]) -> None:
    """Whatever is sent: no 500, no exception, and every answer is well-formed (SE-6)."""

    async def main() -> None:
        async with connected() as (front, client):
            await client.send(b"".join(pieces))
            client.sock.shutdown(socket.SHUT_WR)
            received = b""
            while data := await client.sock.recv(65536):
                received += data
            assert not front.errors
            assert all(status < 500 for status, _ in front.reported)
            assert received.count(b"HTTP/1.1 ") >= len([s for s, _ in front.reported if s != 499])

    trio.run(main)
