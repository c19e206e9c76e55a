"""tocsin.server.http: when an answer has been read, and how connections end."""

import socket

import pytest
import trio
import trio.testing
from tests.fakes.http_client import serving
from tests.fakes.http_routes import (
    LIMITS,
    get,
    router,
)

from tocsin.model import errors
from tocsin.server.http import Request, Response, Upgrade
from tocsin.server.limits import ConnectionGate
from tocsin.server.peers import Networks
from tocsin.server.router import Router


async def test_receipts() -> None:
    """A receipt says True when all was written, and False after a reset without a next request."""
    receipts: list[bool] = []

    async def handler(_request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        return Response(200, b"{}", receipt=receipts.append)

    routes = Router()
    routes.add("GET", "/", handler, scope=None)
    async with serving(routes) as front:
        client = await front.connect_tcp()
        for _ in range(2):
            await client.send(get("/"))
            await client.answer()
        assert receipts == [True, True]
        client.reset()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert receipts == [True, True, False]


async def test_a_held_answer_ends_with_its_client() -> None:
    """Where the route says so, a handler is cancelled when its client hangs up (CH-68)."""
    cancelled = trio.Event()

    async def hold(_request: Request) -> Response:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()
        return Response(204)

    routes = Router()
    routes.add("GET", "/", hold, scope=None, ends_with_client="close")
    async with serving(routes) as front:
        client = front.connect()
        await client.send(get("/"))
        await trio.testing.wait_all_tasks_blocked()
        client.sock.close()
        with trio.fail_after(30):
            await cancelled.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert front.reported == [(499, "hangup")]


async def test_who_only_ends_his_side_has_his_answer() -> None:
    """SE-12: an answer that waits for its turn is cancelled by a reset, not by a half-closed
    socket."""
    turn, cancelled = trio.Event(), trio.Event()

    async def wait(_request: Request) -> Response:
        try:
            await turn.wait()
        except trio.Cancelled:
            cancelled.set()
            raise
        return Response(200, b"{}")

    routes = Router()
    routes.add("GET", "/", wait, scope=None, ends_with_client="reset")
    async with serving(routes) as front:
        gone, half = await front.connect_tcp(), await front.connect_tcp()
        await gone.send(get("/"))
        await half.send(get("/"))
        half.sock.shutdown(socket.SHUT_WR)
        await trio.testing.wait_all_tasks_blocked()
        gone.reset()
        with trio.fail_after(30):
            await cancelled.wait()
        turn.set()
        assert (await half.answer()).status == 200


@pytest.mark.parametrize(
    "error", [None, errors.not_found("channelId"), errors.StoreError("full"), ValueError("bug")]
)
async def test_a_watched_handler_answers_like_any_other(error: Exception | None) -> None:
    """Watching the client changes neither answers, nor refusals, nor the fence, nor pipelining."""

    async def answer(_request: Request) -> Response:
        await trio.testing.wait_all_tasks_blocked()
        if error is not None:
            raise error
        return Response(200, b"{}")

    routes = Router()
    routes.add("GET", "/", answer, scope=None, ends_with_client="close")
    statuses = {errors.RequestError: 404, errors.StoreError: 503, ValueError: 500}
    status = statuses.get(type(error), 200)
    async with serving(routes) as front:
        client = front.connect()
        await client.send(get("/") * 2)
        assert (await client.answer()).status == status
        if status != 500:
            assert (await client.answer()).status == status


async def test_upgrade_hands_the_socket_over() -> None:
    """After 101 the socket and the bytes behind the request belong to the adopter; the place in
    the limits too, if it asked for it."""
    adopted: list[tuple[socket.socket, bytes]] = []
    gate = ConnectionGate(LIMITS, Networks([]))

    async def handler(request: Request) -> Upgrade:
        await trio.lowlevel.checkpoint()
        assert request.keep_lease is not None
        releases.append(request.keep_lease())
        return Upgrade([("Upgrade", "websocket"), ("Connection", "Upgrade")], adopt)

    def adopt(sock: socket.socket, leftover: bytes) -> None:
        adopted.append((sock, leftover))

    releases = []
    routes = Router()
    routes.add("GET", "/ws", handler, scope=None)
    async with serving(routes) as front:
        client = front.connect(lease=gate.admit("192.0.2.1"))
        await client.send(get("/ws", "Connection: upgrade", "Upgrade: websocket") + b"\x81\x00")
        answer = await client.answer("UPGRADE")
        await trio.testing.wait_all_tasks_blocked()
        ((sock, leftover),) = adopted
        blocking = sock.getblocking()
        sock.setblocking(True)
        sock.sendall(b"frame")
        assert await client.sock.recv(10) == b"frame"
        sock.close()
    assert (answer.status, leftover, blocking) == (101, b"\x81\x00", False)
    assert front.reported == [(101, "ok")]
    assert (gate.open, gate.per_address("192.0.2.1")) == (0, 1)
    releases[0]()
    assert gate.per_address("192.0.2.1") == 0


async def test_drain() -> None:
    """Draining lets requests finish, and takes one more on a connection that was idle; both are
    told that it was the last. Then what is still idle is closed."""
    proceed, started = trio.Event(), trio.Event()

    async def slow(_request: Request) -> Response:
        started.set()
        await proceed.wait()
        return Response(200, b"{}")

    routes = router()
    routes.add("GET", "/slow", slow, scope=None)
    async with serving(routes) as front:
        idle, later, busy = front.connect(), front.connect(), front.connect()
        for client in (idle, later):
            await client.send(get("/open"))
            await client.answer()
        await busy.send(get("/slow"))
        await started.wait()
        await trio.testing.wait_all_tasks_blocked()
        front.server.drain()
        assert front.server.draining
        await later.send(get("/open"))
        answer = await later.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await later.ended()
        front.server.close_idle()
        assert await idle.ended()
        proceed.set()
        answer = await busy.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await busy.ended()


async def test_cancellation_closes_the_socket() -> None:
    """Cancelled in the middle of a handler, a connection is closed and its lease given back."""
    gate = ConnectionGate(LIMITS, Networks([]))

    async def hold(_request: Request) -> Response:
        await trio.sleep_forever()
        return Response(204)

    routes = Router()
    routes.add("GET", "/", hold, scope=None)
    async with serving(routes) as front:
        client = front.connect(lease=gate.admit("192.0.2.1"))
        await client.send(get("/"))
        await trio.testing.wait_all_tasks_blocked()
        assert gate.open == 1
        front.nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True), trio.fail_after(30):
            assert await client.ended()
    assert gate.open == 0
