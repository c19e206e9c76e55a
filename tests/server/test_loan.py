"""tocsin.server.loan: answers that take their connection along, and bring it back."""

import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
from tests.fakes.http_client import serving
from trio.testing import wait_all_tasks_blocked

from tocsin.model import errors
from tocsin.server.limits import ConnectionGate
from tocsin.server.loan import Loan, Streamed
from tocsin.server.peers import Networks
from tocsin.server.router import Route, Router
from tocsin.server.settings import HttpLimits
from tocsin.wire.request import Request
from tocsin.wire.response import LAST_CHUNK, Response, chunk

GET = b"GET /lent HTTP/1.1\r\nHost: x\r\n"
Lent = list[tuple[socket.socket, bytes, Loan]]


async def plain(_request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    return Response(200, b"{}")


def lending(lent: Lent) -> Router:
    """A route whose answers are ours to write."""

    async def handler(_request: Request) -> Streamed:
        await trio.lowlevel.checkpoint()
        return Streamed([("X-A", "b")], lambda *parts: lent.append(parts))

    routes = Router()
    routes.add("GET", "/lent", handler, scope=None)
    routes.add("GET", "/plain", plain, scope=None)
    return routes


async def test_the_connection_comes_back() -> None:
    """A lent connection is no HTTP connection, but counts for its address; what came meanwhile is
    answered when it is back, and so is the request after that."""
    lent: Lent = []
    gate = ConnectionGate(HttpLimits(), Networks([]))
    async with serving(lending(lent)) as front:
        client = front.connect(lease=gate.admit("192.0.2.1"))
        await client.send(GET + b"\r\nGET /pl")
        await wait_all_tasks_blocked()
        [(sock, received, loan)] = lent
        assert (received, loan.chunked, loan.returns) == (b"GET /pl", True, True)
        assert (gate.open, gate.per_address("192.0.2.1")) == (0, 1)
        sock.send(chunk(b"body") + LAST_CHUNK)
        loan.give_back(sock, received)
        assert gate.open == 1
        assert (await client.answer()).body == b"body"
        await client.send(b"ain HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer()).body == b"{}"
        await client.send(b"GET /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await client.answer()).body == b"{}"
        client.sock.close()
        await wait_all_tasks_blocked()
        assert (gate.open, gate.per_address("192.0.2.1")) == (0, 0)
    assert front.reported == [(200, "ok")] * 3


@pytest.mark.parametrize(
    "request_bytes",
    [GET + b"Connection: close\r\n\r\n", b"GET /lent HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"],
)
async def test_a_connection_that_ends_with_its_answer(request_bytes: bytes) -> None:
    """Where no request may follow, none does, and its place is given up by `end`."""
    lent: Lent = []
    gate = ConnectionGate(HttpLimits(), Networks([]))
    async with serving(lending(lent)) as front:
        client = front.connect(lease=gate.admit("192.0.2.1"))
        await client.send(request_bytes)
        await wait_all_tasks_blocked()
        [(sock, received, loan)] = lent
        assert not loan.returns
        with pytest.raises(ValueError, match="ends with its answer"):
            loan.give_back(sock, received)
        sock.close()
        loan.end()
        assert (gate.open, gate.per_address("192.0.2.1")) == (0, 0)
        head = await client.sock.recv(1000)
        assert b"Connection: close\r\n" in head


async def test_nobody_adopts_what_was_not_begun() -> None:
    """A client that hung up before the head could be written costs nobody a thing."""
    lent: Lent = []
    gate = ConnectionGate(HttpLimits(), Networks([]))
    proceed = trio.Event()

    async def slow(_request: Request) -> Streamed:
        await proceed.wait()
        return Streamed((), lambda *parts: lent.append(parts))

    routes = Router()
    routes.add("GET", "/lent", slow, scope=None)
    async with serving(routes) as front:
        client = front.connect(lease=gate.admit("192.0.2.1"))
        await client.send(GET + b"\r\n")
        await wait_all_tasks_blocked()
        client.sock.close()
        proceed.set()
        await wait_all_tasks_blocked()
    assert lent == []
    assert (gate.open, gate.per_address("192.0.2.1")) == (0, 0)


def screened(screen: Callable[[], Awaitable[None]]) -> Router:
    """A mounted service that screens."""

    def mount(request: Request) -> Route:
        return Route(
            method=request.method,
            pattern="/mounted",
            handler=plain,
            scope=None,
            refuse=lambda error: Response(error.status, b"", error.headers, cache_control=None),
            screen=screen,
            lines=b"X-Line: yes\r\n",
        )

    routes = Router()
    routes.mount("/mounted", mount)
    return routes


async def test_a_mount_judges_before_the_body_comes() -> None:
    """What `screen` refuses needs no body; every answer carries the lines of the route and none
    of the server's own."""

    async def refuse() -> None:
        await trio.lowlevel.checkpoint()
        raise errors.unauthorized("token_missing")

    async with serving(screened(refuse)) as front:
        client = front.connect()
        head = b"POST /mounted/%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
        await client.send(head)
        answer = await client.answer()
    assert (answer.status, answer.headers["x-line"]) == (401, "yes")
    assert "cache-control" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    assert front.reported == [(401, "token_missing")]
