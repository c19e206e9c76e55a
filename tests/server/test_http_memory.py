"""tocsin.server.http: what clients have in memory, all together (SE-5)."""

import pytest
import trio
import trio.testing
from tests.fakes.http_client import Front, error_code, serving
from tests.fakes.http_routes import get, post, router

from tocsin.model import errors
from tocsin.server.http import Request, Response
from tocsin.server.ledger import ANSWER, BODY, SMALL
from tocsin.server.router import Router
from tocsin.server.settings import HttpLimits

MOST = 4_194_304
LARGE = MOST // 4
LIMITS = HttpLimits(http_bytes=MOST, body=LARGE)
PAGE = b"x" * LARGE


async def page(_request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    return Response(200, PAGE, content_type="text/plain")


async def shared(_request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    return Response(200, PAGE, content_type="text/plain", is_shared=True)


def pages() -> Router:
    """Answers that are large: for each alike, for who asks, for who did something."""
    routes = router()
    for method in ("GET", "HEAD", "POST"):
        routes.add(method, "/page", page, scope=None)
        routes.add(method, "/shared", shared, scope=None)
    return routes


async def bodies_under_way(front: Front, count: int, size: int) -> None:
    """So many clients have sent all but the last byte of a body."""
    for _ in range(count):
        await front.connect().send(post("/open", b"x" * size)[:-1])
    await trio.testing.wait_all_tasks_blocked()


async def test_bodies_have_one_bound() -> None:
    """Counted by the bytes that have come; what does not fit is 503 and its connection closed,
    while what is small has room."""
    async with serving(router(), limits=LIMITS) as front:
        await bodies_under_way(front, 3, LARGE)
        assert front.server.ledger.in_use == 3 * (LARGE - 1)
        client = front.connect()
        await client.send(post("/open", b"x" * LARGE)[: -LARGE // 2])
        answer = await client.answer("POST")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert answer.headers["connection"] == "close"
        small = front.connect()
        await small.send(post("/open", b"x" * 1000))
        assert (await small.answer("POST")).status == 200
        assert front.reported == [(503, "memory"), (200, "ok")]
        assert front.server.ledger.refused == {BODY: 1, ANSWER: 0}
        assert front.server.ledger.in_use == 3 * (LARGE - 1)


async def test_nothing_is_refused_for_what_is_announced() -> None:
    """A length costs nothing; only what has come counts."""
    async with serving(router(), limits=LIMITS) as front:
        for _ in range(10):
            await front.connect().send(post("/open", b"x" * LARGE)[:-LARGE])
        await trio.testing.wait_all_tasks_blocked()
        assert front.server.ledger.in_use == 0
        client = front.connect()
        await client.send(post("/open", b"x" * SMALL))
        assert (await client.answer("POST")).status == 200


async def test_a_body_counts_until_it_is_answered() -> None:
    """While its handler is at it, and no longer."""
    go_on = trio.Event()

    async def wait(_request: Request) -> Response:
        await go_on.wait()
        return Response(204)

    routes = Router()
    routes.add("POST", "/", wait, scope=None)
    async with serving(routes, limits=LIMITS) as front:
        client = front.connect()
        await client.send(post("/", b"x" * 1000))
        await trio.testing.wait_all_tasks_blocked()
        assert front.server.ledger.in_use == 1000
        go_on.set()
        assert (await client.answer("POST")).status == 204
        assert front.server.ledger.in_use == 0


async def test_a_refused_request_behind_its_body_goes_on() -> None:
    """If all of the body is here, the connection stays as after any refusal (CH-5)."""
    async with serving(router(), limits=LIMITS) as front:
        await bodies_under_way(front, 3, LARGE)
        for _ in range(16):
            await front.connect().send(post("/open", b"x" * SMALL)[:-1])
        await trio.testing.wait_all_tasks_blocked()
        client = front.connect()
        await client.send(post("/open", b"x" * 1000) + get("/open"))
        assert (await client.answer("POST")).status == 503
        assert (await client.answer()).status == 200


async def test_unread_answers_have_the_same_bound() -> None:
    """An answer counts until the kernel has all of it; one that does not fit is 503, and its
    receipt says that it was not written."""
    receipts: list[bool] = []

    async def noted(request: Request) -> Response:
        answer = await page(request)
        answer.receipt = receipts.append
        return answer

    routes = pages()
    routes.add("GET", "/noted", noted, scope=None)
    async with serving(routes, limits=LIMITS) as front:
        readers = [front.connect() for _ in range(3)]
        for reader in readers:
            await reader.send(get("/page"))
        await trio.testing.wait_all_tasks_blocked()
        assert front.server.ledger.in_use == 3 * LARGE
        client = front.connect()
        await client.send(get("/noted") * 2)
        refused = await client.answer()
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        assert receipts == [False]
        for reader in readers:
            assert (await reader.answer()).body == PAGE
        assert front.server.ledger.in_use == 0
        assert front.server.ledger.refused == {BODY: 0, ANSWER: 2}


async def test_what_was_done_is_told_without_room() -> None:
    """A request that may have changed something has its answer, which counts; what is there for
    everybody does not, and a HEAD has no body."""
    async with serving(pages(), limits=LIMITS) as front:
        await bodies_under_way(front, 3, LARGE)
        used = front.server.ledger.in_use
        client = front.connect()
        await client.send(post("/page", b""))
        await trio.testing.wait_all_tasks_blocked()
        assert front.server.ledger.in_use == used + LARGE
        assert (await client.answer("POST")).body == PAGE
        await client.send(get("/page").replace(b"GET", b"HEAD"))
        assert (await client.answer("HEAD")).headers["content-length"] == str(LARGE)
        await client.send(get("/shared"))
        await trio.testing.wait_all_tasks_blocked()
        assert front.server.ledger.in_use == used
        assert (await client.answer()).body == PAGE


@pytest.mark.parametrize("sent", [post("/open", PAGE)[:-1], get("/page")])
async def test_nothing_is_held_for_who_has_gone(
    sent: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """A client that hangs up, or is given up, leaves nothing in the ledger."""
    async with serving(pages(), limits=LIMITS) as front:
        for _ in range(2):
            await front.connect().send(sent)
        await trio.testing.wait_all_tasks_blocked()
        assert front.server.ledger.in_use >= 2 * (LARGE - 1)
        front.clients[0].sock.close()
        await trio.testing.wait_all_tasks_blocked()
        assert LARGE - 1 <= front.server.ledger.in_use <= LARGE
        await trio.sleep(2000)
        assert front.server.ledger.in_use == 0


async def test_a_crash_leaves_nothing() -> None:
    """A bug in a handler gives back what its request held."""

    async def crash(_request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    routes = Router()
    routes.add("POST", "/", crash, scope=None)
    async with serving(routes, limits=LIMITS) as front:
        client = front.connect()
        await client.send(post("/", PAGE))
        answer = await client.answer("POST")
        assert (answer.status, error_code(answer)) == (500, "internal")
        assert front.server.ledger.in_use == 0


async def test_long_answers_are_whole() -> None:
    """Head and body leave one behind the other, and the next answer behind them."""
    async with serving(pages(), limits=LIMITS) as front:
        client = front.connect()
        await client.send(get("/page") + get("/missing") + get("/shared"))
        assert (await client.answer()).body == PAGE
        refused = await client.answer()
        assert refused.body == errors.service_error(404, "unknown_path").body()
        assert (await client.answer()).body == PAGE
