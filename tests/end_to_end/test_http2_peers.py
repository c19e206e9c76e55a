"""The HTTP/2 pool against servers of others, over TLS on loopback (push.md, part F)."""

import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import hypercorn.trio
import pytest
import trio
import trio.testing
from hypercorn.config import Config
from tests.end_to_end.peers.processes import Certificates, NodePeer, start_nghttpd

from tocsin.model.notification import Priority
from tocsin.transports.push.call import NotSent, Result, Unknown
from tocsin.transports.push.pool import Http2Pool
from tocsin.transports.push.tls import Origin
from tocsin.wire.http2.events import Answer
from tocsin.wire.http2.headers import encode

FIXED = encode([(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost")])
BODY = b'{"aps":{"alert":{"title":"hello"}}}'


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.write(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def pool_to(
    origin: Origin, certificates: Certificates, *, connections: int = 1
) -> AsyncIterator[Http2Pool]:
    """A pool that runs, and is closed in order."""
    pool = Http2Pool(origin, ssl_context=certificates.client, connections=connections)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)  # noqa: ASYNC113 - posts wait for it
        yield pool
        await pool.aclose()
    assert pool.statistics().connections == 0


async def post(
    pool: Http2Pool,
    path: str,
    *,
    body: bytes = BODY,
    seconds: float = 30.0,
    priority: Priority = Priority.NORMAL,
) -> Result:
    headers = [(b":path", path.encode()), (b"apns-id", path.encode()), (b"apns-topic", b"a.b")]
    deadline = trio.current_time() + seconds
    return await pool.post(FIXED, headers, body, deadline=deadline, priority=priority)


async def post_many(
    pool: Http2Pool, count: int, *, at_a_time: int = 100, **options: Any
) -> dict[str, Result]:
    """So many posts, some at a time; their results by path."""
    results: dict[str, Result] = {}

    async def work(paths: Iterable[str]) -> None:
        for path in paths:
            results[path] = await post(pool, path, **options)

    paths = iter([f"/3/device/{number}" for number in range(count)])
    async with trio.open_nursery() as nursery:
        for _ in range(at_a_time):
            nursery.start_soon(work, paths)
    return results


def kinds(results: dict[str, Result]) -> dict[object, int]:
    """How often what came of them: a status, or the class of what was no answer."""
    return dict(
        Counter(
            result.status if isinstance(result, Answer) else type(result)
            for result in results.values()
        )
    )


@pytest.mark.end_to_end
async def test_graceful_goaways(certificates: Certificates) -> None:
    """PU-84: one every 500 requests, 3,000 pushes, 100 at a time: none lost, doubled, unknown."""
    async with trio.open_nursery() as nursery:
        peer = await NodePeer.start(nursery, certificates, "--goaway-every", "500", "--delay", "2")
        async with pool_to(peer.origin, certificates, connections=2) as pool:
            assert kinds(await post_many(pool, 3000)) == {200: 3000}
            report = await peer.report()
            assert report["requests"] == report["distinct"] == 3000
            assert pool.statistics().goaways >= 5
            assert pool.statistics().streams == pool.statistics().waiting == 0
        nursery.cancel_scope.cancel()


@pytest.mark.end_to_end
async def test_abrupt_goaways(certificates: Certificates) -> None:
    """PU-62: a connection cut behind its GOAWAY loses none silently and doubles none."""
    async with trio.open_nursery() as nursery:
        peer = await NodePeer.start(nursery, certificates, "--delay", "5")
        async with pool_to(peer.origin, certificates) as pool:
            results: dict[str, Result] = {}

            async def push() -> None:
                results.update(await post_many(pool, 500))

            async with trio.open_nursery() as pushing:
                pushing.start_soon(push)
                await peer.next("connection")
                await peer.tell("goaway", how="abrupt")
            report = await peer.report()
        found = kinds(results)
        assert set(found) <= {200, Unknown}
        assert sum(found.values()) == 500
        assert report["requests"] == report["distinct"]
        assert report["distinct"] >= found[200]
        nursery.cancel_scope.cancel()


@pytest.mark.end_to_end
async def test_limits_that_change_live(certificates: Certificates) -> None:
    """PU-61, PU-91: 100 to 1 and back to 100 while pushes go on; all are answered."""
    async with trio.open_nursery() as nursery:
        peer = await NodePeer.start(nursery, certificates, "--limit", "100", "--delay", "1")
        async with pool_to(peer.origin, certificates) as pool:
            for limit in (1, 100):
                assert kinds(await post_many(pool, 200)) == {200: 200}
                await peer.tell("settings", settings={"maxConcurrentStreams": limit})
            results: dict[str, Result] = {}

            async def push() -> None:
                results.update(await post_many(pool, 500))

            async with trio.open_nursery() as pushing:
                pushing.start_soon(push)
                await peer.tell("settings", settings={"maxConcurrentStreams": 1})
                await peer.report()
                await peer.tell("settings", settings={"maxConcurrentStreams": 100})
            assert kinds(results) == {200: 500}
            report = await peer.report()
            assert report["requests"] == 900
            assert report["most_open"] <= 100
        nursery.cancel_scope.cancel()


@pytest.mark.end_to_end
async def test_shapes_of_the_peer(certificates: Certificates) -> None:
    """The peer answers like APNs and FCM, and by rules; what it saw can be asked for."""
    rules = [
        {"path": "gone", "status": 410, "body": {"reason": "Unregistered", "timestamp": 1}},
        {"path": "refused", "times": 1, "do": "reset", "code": 7},
        {"path": "reset", "do": "reset", "code": 2},
        {"path": "cut", "do": "cut"},
        {"path": "hang", "do": "hang"},
    ]
    async with trio.open_nursery() as nursery:
        peer = await NodePeer.start(nursery, certificates)
        await peer.tell("rules", rules=rules)
        async with pool_to(peer.origin, certificates) as pool:
            await peer.report()
            answer = await post(pool, "/3/device/1")
            assert isinstance(answer, Answer)
            assert answer.headers[b"apns-id"] == b"/3/device/1"
            answer = await post(pool, "/v1/projects/p/messages:send")
            assert isinstance(answer, Answer)
            assert answer.body == b'{"name":"projects/p/messages/2"}'
            answer = await post(pool, "/3/device/gone")
            assert isinstance(answer, Answer)
            assert (answer.status, answer.body) == (
                410,
                b'{"reason":"Unregistered","timestamp":1}',
            )
            assert isinstance(await post(pool, "/refused"), Answer)
            assert await post(pool, "/reset") == Unknown("reset")
            assert await post(pool, "/cut") == Unknown("cut")
            assert isinstance(await post(pool, "/3/device/2"), Answer)  # connected again
            assert await post(pool, "/hang", seconds=1.0) == Unknown("timeout")
            last = (await peer.report())["last"][0]
            assert last["headers"]["apns-topic"] == "a.b"
            assert last["body"] == BODY.decode()
        nursery.cancel_scope.cancel()


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="as it is"),
        pytest.param(["--window-bits=1"], id="window of one byte"),
        pytest.param(["--window-bits=4", "--connection-window-bits=16"], id="small windows"),
        pytest.param(["--max-concurrent-streams=1"], id="one stream"),
        pytest.param(["--early-response"], id="early response"),
        pytest.param(["--trailer=a: b"], id="trailers"),
        pytest.param(["--padding=64"], id="padding"),
    ],
)
async def test_nghttpd(options: list[str], certificates: Certificates) -> None:
    """PU-59, PU-60: every body comes back whole through windows, limits, trailers, padding."""
    async with trio.open_nursery() as nursery:
        origin = await start_nghttpd(nursery, certificates, "--echo-upload", *options)
        async with pool_to(origin, certificates) as pool:
            body = bytes(range(256)) * (1 if "--window-bits" in "".join(options) else 8)
            results = await post_many(pool, 100, body=body, at_a_time=3)
            assert kinds(results) == {200: 100}
            bodies = {result.body for result in results.values() if isinstance(result, Answer)}
            assert bodies == {body}
        nursery.cancel_scope.cancel()


@pytest.mark.end_to_end
async def test_many_pushes(certificates: Certificates) -> None:
    """PU-85: after 20,000 pushes there are no streams or waiters left over."""
    async with trio.open_nursery() as nursery:
        origin = await start_nghttpd(nursery, certificates, "--echo-upload")
        async with pool_to(origin, certificates, connections=2) as pool:
            assert kinds(await post_many(pool, 20_000, at_a_time=300)) == {200: 20_000}
            statistics = pool.statistics()
            assert (statistics.streams, statistics.waiting) == (0, 0)
        nursery.cancel_scope.cancel()


App = Callable[[dict[str, Any], Callable[..., Awaitable[Any]], Callable[..., Any]], Awaitable[None]]


def counting(seen: Counter[str]) -> App:
    """An ASGI app that counts who calls, and says hello."""

    async def app(
        scope: dict[str, Any], receive: Callable[..., Awaitable[Any]], send: Callable[..., Any]
    ) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        seen[scope["path"]] += 1
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    return app


@pytest.mark.parametrize("requests", [1000, 60])
async def test_hypercorn(requests: int, certificates: Certificates) -> None:
    """PU-62: hypercorn says GOAWAY and forgets what is open: that is unknown, none is doubled."""
    seen: Counter[str] = Counter()
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.certfile, config.keyfile = certificates.chain, certificates.key
    config.keep_alive_max_requests = requests
    config.errorlog = None
    async with trio.open_nursery() as nursery:
        [bound] = await nursery.start(partial(hypercorn.trio.serve, counting(seen), config))
        origin = Origin("localhost", int(bound.rpartition(":")[2]))
        async with pool_to(origin, certificates) as pool:
            results = await post_many(pool, 150, at_a_time=10, seconds=5)
            assert (pool.statistics().goaways > 0) == (requests < 150)
        nursery.cancel_scope.cancel()
    assert set(kinds(results)) <= {200, Unknown}
    assert kinds(results)[200] > 100
    assert max(seen.values()) == 1
    assert all(seen[path] for path, result in results.items() if isinstance(result, Answer))


async def test_what_is_no_http2_server(certificates: Certificates) -> None:
    """PU-58: a TLS server without ALPN never gets a request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.chain, certificates.key)
    got: list[bytes] = []

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            got.append(bytes(await stream.receive_some()))
        except trio.BrokenResourceError:
            pass  # it has seen what it is
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, serve, [listener])
        port = listener.transport_listener.socket.getsockname()[1]
        async with pool_to(Origin("localhost", port), certificates) as pool:
            assert await post(pool, "/", seconds=0.3) == NotSent("connect")
        nursery.cancel_scope.cancel()
    assert set(got) <= {b""}
