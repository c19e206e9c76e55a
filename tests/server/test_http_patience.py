"""tocsin.server.http: clients that are slow, and how long they are waited for."""

from collections.abc import Iterator

import pytest
import trio
import trio.testing
from tests.fakes.http_client import serving
from tests.fakes.http_routes import (
    connected,
    get,
    post,
)

from tocsin.server.http import Request, Response
from tocsin.server.router import Router
from tocsin.server.settings import HttpLimits


@pytest.mark.parametrize(
    ("sent", "label"),
    [
        (b"", None),
        (b"GET /open HTT", "header_timeout"),
        (post("/open", b"12345")[:-2], "body_timeout"),
    ],
)
async def test_slow_clients(
    sent: bytes, label: str | None, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that stops in the middle is closed after its bound (SE-5)."""
    async with connected() as (front, client):
        client.patience = 1000
        if sent:
            await client.send(sent)
        assert await client.ended()
        assert 10 <= trio.current_time() < 11
        assert front.reported == ([(408, label)] if label else [])


async def test_a_dripping_body(autojump_clock: trio.testing.MockClock) -> None:
    """Bytes that come slower than limits.body_rate do not buy time without end (SE-5)."""
    async with connected() as (front, client):
        await client.send(post("/open", b"x" * 60_000)[:-60_000])
        while not front.reported:
            await client.send(b"x")
            await trio.sleep(1)
        assert trio.current_time() < 12
        assert front.reported == [(408, "body_timeout")]


async def test_idle_connections(autojump_clock: trio.testing.MockClock) -> None:
    """A connection without a further request is closed after limits.idle_timeout."""
    async with connected() as (front, client):
        await client.send(get("/open"))
        await client.answer()
        client.patience = 1000
        assert await client.ended()
        assert 75 <= trio.current_time() < 76
        assert front.reported == [(200, "ok")]


async def test_a_handler_may_take_its_time(autojump_clock: trio.testing.MockClock) -> None:
    """No deadline of the connection runs while a handler has the request."""

    async def slow(_request: Request) -> Response:
        await trio.sleep(1000)
        return Response(200, b"{}")

    routes = Router()
    routes.add("GET", "/", slow, scope=None)
    async with serving(routes) as front:
        client = front.connect()
        await client.send(get("/"))
        assert (await client.answer()).status == 200


async def test_a_reader_that_stops(autojump_clock: trio.testing.MockClock) -> None:
    """An answer nobody reads is given up after limits.write_timeout, and its receipt says so."""
    receipts: list[bool] = []

    async def large(_request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(200, b"x" * 10_000_000, receipt=receipts.append)

    routes = Router()
    routes.add("GET", "/", large, scope=None)
    async with serving(routes, limits=HttpLimits(body_rate=0)) as front:
        client = front.connect()
        await client.send(get("/"))
        await trio.sleep(31)
        assert front.reported == [(408, "write_timeout")]
    assert receipts == [False]


async def test_one_connection_does_not_hog_the_loop() -> None:
    """Between two pipelined requests others get a turn."""
    turns: list[str] = []

    class Now:
        """An awaitable that is done: the handler gives up no turn by itself."""

        def __await__(self) -> Iterator[None]:
            return iter(())

    async def note(request: Request) -> Response:
        turns.append(request.params["c"])
        await Now()
        return Response(204)

    routes = Router()
    routes.add("GET", "/", note, scope=None)
    async with serving(routes) as front:
        clients = [front.connect() for _ in range(2)]
        for name, client in zip("ab", clients, strict=True):
            await client.send(get(f"/?c={name}") * 10)
        for client in clients:
            for _ in range(10):
                await client.answer()
    assert sorted(turns[:6]) == ["a", "a", "a", "b", "b", "b"]
