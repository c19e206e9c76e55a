"""Tests of one connection: its upkeep, and what its end means for the requests on it."""

import ssl

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from tests.fakes.h2_provider import FIXED, Provider, Request, echo, pool_to, pooled, post

from tocsin.model.notification import Priority
from tocsin.transports.push.call import NotSent, Unknown
from tocsin.transports.push.pool import Http2Pool, PoolStatistics
from tocsin.transports.push.tls import Origin
from tocsin.wire.http2.events import Answer


@pytest.mark.parametrize(("every", "pings"), [(10, 15), (61, 14), (3600, 3)])
async def test_pings(every: float, pings: int, autojump_clock: trio.testing.MockClock) -> None:
    """PU-65: PING every 60 s in use and every 5 min idle."""
    async with pooled(on_request=echo) as (pool, provider):
        with trio.move_on_after(15 * 60 + 1):
            while True:
                assert isinstance(await post(pool), Answer)
                await trio.sleep(every)
        [connection] = provider.connections
        assert len(connection.server.pings) == pytest.approx(pings, abs=1)


async def test_a_ping_that_is_not_answered(autojump_clock: trio.testing.MockClock) -> None:
    """PU-65: without an answer in 10 s the connection drains and another one takes over."""
    async with pooled(on_request=echo) as (pool, provider):
        assert isinstance(await post(pool), Answer)
        await trio.sleep(61)
        provider.is_deaf = True
        await trio.sleep(5 * 60 + 8)
        assert len(provider.connections) == 1
        provider.is_deaf = False
        await trio.sleep(2)
        old, new = provider.connections
        assert old.is_closed
        assert isinstance(await post(pool), Answer)
        assert len(new.requests) == 1


async def test_three_timeouts_in_a_row(autojump_clock: trio.testing.MockClock) -> None:
    """PU-65: the third post in a row without an answer has the connection replaced."""
    async with pooled() as (pool, provider):
        for _ in range(3):
            assert len(provider.connections) <= 1
            assert await post(pool, seconds=2) == Unknown("timeout")
        await trio.sleep(1)
        old, new = provider.connections
        assert old.is_closed
        assert old.server.goaway_code == ErrorCodes.NO_ERROR
        assert not new.is_closed


async def test_timeouts_with_answers_between(autojump_clock: trio.testing.MockClock) -> None:
    """PU-65: as long as answers come, timeouts concern their own requests alone."""

    async def every_other(request: Request) -> None:
        if request.path != "/hang":
            await request.answer()

    async with pooled(on_request=every_other) as (pool, provider):
        for _ in range(5):
            assert await post(pool, "/hang", seconds=2) == Unknown("timeout")
            assert await post(pool, "/hang", seconds=2) == Unknown("timeout")
            assert isinstance(await post(pool, "/good"), Answer)
        assert len(provider.connections) == 1


async def test_a_server_that_breaks_the_protocol(autojump_clock: trio.testing.MockClock) -> None:
    """PU-59, PU-62: it is told what was wrong, its requests are unknown, and it is replaced."""

    async def garble(request: Request) -> None:
        request.connection.server.send_raw(b"\0\0\0\5\0\0\0\0\1")
        await request.connection.flush()

    async with pooled(on_request=garble) as (pool, provider):
        assert await post(pool) == Unknown("cut")
        provider.on_request = echo
        assert isinstance(await post(pool), Answer)
        old, new = provider.connections
        assert old.server.goaway_code == ErrorCodes.PROTOCOL_ERROR
        assert old.is_closed
        assert not new.is_closed


async def test_a_connection_that_ends_before_settings(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PU-58: a server that hangs up at once is dialled again, with backoff."""
    async with trio.open_nursery() as nursery:
        provider = Provider(nursery, on_request=echo)
        provider.is_silent = True
        pool = pool_to(provider)
        nursery.start_soon(pool.run)
        nursery.start_soon(hang_up_soon, provider)
        assert isinstance(await post(pool), Answer)
        assert provider.dials == pytest.approx([0, 1.2])
        nursery.cancel_scope.cancel()


async def hang_up_soon(provider: Provider) -> None:
    await trio.sleep(1)
    provider.is_silent = False
    await provider.connections[0].cut()


class Throttled(trio.abc.Stream):
    """A stream that, once it is told, takes so many bytes more and then blocks until it is cut, or
    flows again."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self.takes = 1 << 30
        self._inner = inner
        self._goes_on = trio.Event()
        self._is_cut = False

    def cut(self) -> None:
        self._is_cut = True
        self._goes_on.set()

    def flow(self) -> None:
        self.takes = 1 << 30
        self._goes_on.set()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        part = bytes(data[: self.takes])
        self.takes -= len(part)
        await self._inner.send_all(part)
        if len(part) < len(data):
            await self._goes_on.wait()
            if self._is_cut:
                raise trio.BrokenResourceError
            await self._inner.send_all(data[len(part) :])

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._inner.aclose()


class ThrottledProvider(Provider):
    """A provider whose streams can be throttled."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__(nursery, on_request=echo)
        self.streams: list[Throttled] = []

    async def dial(self, origin: Origin, context: ssl.SSLContext) -> trio.abc.Stream:
        self.streams.append(Throttled(await super().dial(origin, context)))
        return self.streams[-1]


@pytest.mark.parametrize("takes", [5, 20, 60])
async def test_cut_inside_our_headers(takes: int, autojump_clock: trio.testing.MockClock) -> None:
    """PU-62, PU-91: what was handed over is unknown, what was made behind it was not sent."""
    async with trio.open_nursery() as nursery:
        provider = ThrottledProvider(nursery)
        pool = pool_to(provider)
        nursery.start_soon(pool.run)
        assert isinstance(await post(pool), Answer)
        provider.requests.clear()
        [stream] = provider.streams
        stream.takes = takes
        results = {}

        async def one(path: str) -> None:
            results[path] = await post(pool, path)

        for path in ("/1", "/2"):
            nursery.start_soon(one, path)
            await trio.testing.wait_all_tasks_blocked()
        stream.cut()
        await trio.testing.wait_all_tasks_blocked()
        assert results["/1"] == Unknown("cut")
        assert isinstance(results["/2"], Answer)
        assert [request.path for request in provider.requests if request.seen.is_complete] == ["/2"]
        nursery.cancel_scope.cancel()


async def test_a_server_that_does_not_read(autojump_clock: trio.testing.MockClock) -> None:
    """PU-66: posts to it end at their deadline, as not sent if they were not handed over."""
    async with trio.open_nursery() as nursery:
        provider = ThrottledProvider(nursery)
        pool = pool_to(provider)
        nursery.start_soon(pool.run)
        assert isinstance(await post(pool), Answer)
        provider.streams[0].takes = 0
        results = {}

        async def one(number: int) -> None:
            results[number] = await post(pool, body=bytes(4096), seconds=5)

        for number in range(20):
            nursery.start_soon(one, number)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(5.1)
        assert results.pop(0) == Unknown("timeout")
        assert list(results.values()) == 19 * [NotSent("not_sent")]
        assert isinstance(await post(pool), Answer)
        await trio.sleep(60)
        assert pool.statistics() == PoolStatistics(1, streams=0, waiting=0, goaways=0)
        nursery.cancel_scope.cancel()


async def test_what_expires_unsent_is_not_sent_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PU-62: a server that reads again gets the end of what was handed over, and of nothing that
    its caller was told was not sent."""
    async with trio.open_nursery() as nursery:
        provider = ThrottledProvider(nursery)
        pool = pool_to(provider)
        nursery.start_soon(pool.run)
        assert isinstance(await post(pool), Answer)
        provider.requests.clear()
        [stream] = provider.streams
        stream.takes = 0
        results = {}

        async def one(path: str) -> None:
            results[path] = await post(pool, path, seconds=5)

        for path in ("/1", "/2"):
            nursery.start_soon(one, path)
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(5.1)
        assert results == {"/1": Unknown("timeout"), "/2": NotSent("not_sent")}
        stream.flow()
        await trio.testing.wait_all_tasks_blocked()
        assert [one.path for one in provider.requests if one.seen.is_complete] == ["/1"]
        nursery.cancel_scope.cancel()


async def test_stream_ids_are_used_up(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PU-65: before its ids end a connection is replaced, and no request is lost."""
    monkeypatch.setattr("tocsin.wire.http2.sending.LAST_ID", 7)
    async with pooled(on_request=echo) as (pool, provider):
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(check_answered, pool, f"/{number}")
        assert len(provider.requests) == 20
        assert max(request.stream_id for request in provider.requests) <= 7
        assert len(provider.connections) >= 5


async def check_answered(pool: Http2Pool, path: str) -> None:
    assert isinstance(await post(pool, path), Answer)


async def test_headers_of_many_posts_do_not_mix(autojump_clock: trio.testing.MockClock) -> None:
    """PU-58: a fixed block shared by all posts goes with headers of each one's own."""
    async with pooled(on_request=echo) as (pool, provider):
        for number in range(3):
            headers = [(b":path", b"/%d" % number), (b"apns-id", b"%d" % number)]
            await pool.post(FIXED, headers, b"", deadline=10, priority=Priority.LOW)
        seen = [request.seen.headers for request in provider.requests]
        assert [(h[b":path"], h[b"apns-id"]) for h in seen] == [
            (b"/0", b"0"),
            (b"/1", b"1"),
            (b"/2", b"2"),
        ]
