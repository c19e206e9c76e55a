"""Tests of the pool's connections: when they open and end, and what becomes of calls on them."""

import ssl
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from tests.fakes.h2_posts import Posts, answer_all, numbered, open_paths
from tests.fakes.h2_provider import Provider, Request, echo, pool_to, pooled, post

from tocsin.transports.push.call import NotSent, Reply
from tocsin.transports.push.pool import CONNECT_SECONDS, Http2Pool, PoolStatistics
from tocsin.transports.push.tls import Origin


async def test_nothing_is_asked_before_settings(autojump_clock: trio.testing.MockClock) -> None:
    """PU-58: a server that is silent after TLS gets no request and is left after 10 s."""
    async with pooled() as (pool, provider):
        provider.is_silent = True
        assert await post(pool) == NotSent("connect")
        assert trio.current_time() == pytest.approx(10, abs=0.1)
        await trio.sleep(1.2)
        assert len(provider.dials) == 2
        assert provider.requests == []


async def test_an_unreachable_server(autojump_clock: trio.testing.MockClock) -> None:
    """PU-66: a post waits within its deadline; dials back off from 0.2 s to 30 s."""
    async with pooled() as (pool, provider):
        provider.refuses = "connect"
        assert await post(pool, seconds=5) == NotSent("connect")
        assert trio.current_time() == pytest.approx(5, abs=0.1)
        await trio.sleep(300)
        gaps = [b - a for a, b in zip(provider.dials, provider.dials[1:], strict=False)]
        assert gaps[:8] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6], abs=0.01)
        assert gaps[8:] == pytest.approx([30] * len(gaps[8:]), abs=0.01)
        assert pool.statistics() == PoolStatistics(0, 0, 0, 0)


async def test_a_server_that_comes_back(autojump_clock: trio.testing.MockClock) -> None:
    """PU-66: who still waits when the server can be reached again is served."""
    async with pooled(on_request=echo) as (pool, provider):
        provider.refuses = "tls"
        async with trio.open_nursery() as nursery:
            posts = Posts(nursery, pool)
            await posts.start("/1")
            await trio.sleep(2)
            provider.refuses = None
        assert posts.statuses == {"/1": 200}


async def test_connections_that_never_answer_are_not_opened_in_a_rush(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PU-44, PU-66: a server that greets and hangs up is dialled with backoff all the same."""
    async with pooled() as (pool, provider):

        async def hang_up(request: Request) -> None:
            await request.connection.goaway(0)
            await request.connection.cut()

        provider.on_request = hang_up
        assert await post(pool) == NotSent("not_sent")
        assert len(provider.requests) == 4
        assert trio.current_time() == pytest.approx(0.2 + 0.4 + 0.8)


async def test_the_next_connection(autojump_clock: trio.testing.MockClock) -> None:
    """PU-63: opened when all are above 80 % of their limit; the least-loaded one is used."""
    async with (
        pooled(connections=2, MAX_CONCURRENT_STREAMS=10) as (pool, provider),
        trio.open_nursery() as nursery,
    ):
        posts = Posts(nursery, pool)
        await posts.start(*numbered(8))
        assert pool.statistics().connections == 1
        await posts.start("/8")
        assert pool.statistics().connections == 2
        await posts.start(*[f"/more{number}" for number in range(30)])
        first, second = provider.connections
        assert [len(first.requests), len(second.requests)] == [9, 9]
        assert pool.statistics() == PoolStatistics(2, streams=18, waiting=21, goaways=0)
        await answer_all(provider)
        assert len(posts.results) == 39


async def test_an_idle_extra_connection_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    """PU-63: after ten minutes without a request, but for the last one."""
    async with pooled(connections=3, MAX_CONCURRENT_STREAMS=1) as (pool, provider):
        async with trio.open_nursery() as nursery:
            posts = Posts(nursery, pool)
            await posts.start(*numbered(3))
            await answer_all(provider)
        assert pool.statistics().connections == 3
        await trio.sleep(9 * 60)
        assert pool.statistics().connections == 3
        await trio.sleep(3 * 60)
        assert pool.statistics().connections == 1
        assert sorted(str(c.server.goaway_code) for c in provider.connections) == ["0", "0", "None"]
        await trio.sleep(3600)
        assert pool.statistics().connections == 1
        assert len(provider.dials) == 3


async def test_goaway(autojump_clock: trio.testing.MockClock) -> None:
    """PU-64: streams up to the last id go on, later ones move, a new connection opens at once."""
    told: list[tuple[bytes, int]] = []
    async with trio.open_nursery() as nursery:
        provider = Provider(nursery)
        pool = pool_to(provider, on_goaway=lambda debug, code: told.append((debug, code)))
        nursery.start_soon(pool.run)
        posts = Posts(nursery, pool)
        await posts.start("/early")
        await answer_all(provider)
        await posts.start("/1", "/2", "/3")
        old = provider.connections[0]
        await old.goaway(5, debug=b'{"reason":"Shutdown"}')
        await trio.testing.wait_all_tasks_blocked()
        assert provider.dials == [0, 0]
        new = provider.connections[1]
        assert open_paths(list(new.requests.values())) == ["/3"]
        await posts.start("/4")
        assert open_paths(list(new.requests.values())) == ["/3", "/4"]
        for request in [old.requests[5], old.requests[3], *new.requests.values()]:
            await request.answer()
        await trio.testing.wait_all_tasks_blocked()
        assert posts.statuses == dict.fromkeys(["/early", "/1", "/2", "/3", "/4"], 200)
        assert pool.statistics() == PoolStatistics(1, streams=0, waiting=0, goaways=1)
        assert told == [(b'{"reason":"Shutdown"}', 0)]
        assert old.server.goaway_code == 0
        assert old.is_closed
        nursery.cancel_scope.cancel()


async def test_sent_away_before_the_first_answer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PU-64: a connection that still answers what it has was no failure: its replacement opens at
    once, however often; one that is cut without an answer was."""
    async with pooled() as (pool, provider), trio.open_nursery() as nursery:
        posts = Posts(nursery, pool)
        for number in range(5):
            await posts.start(f"/{number}")
            connection = provider.connections[-1]
            await connection.goaway(1)
            await connection.requests[1].answer()
            await trio.testing.wait_all_tasks_blocked()
        assert posts.statuses == dict.fromkeys(numbered(5), 200)
        assert provider.dials == [0] * 6
        for dialled in (6, 7):
            await posts.start(f"/{dialled}")
            await provider.connections[-1].goaway(1)
            await provider.connections[-1].cut()
            await trio.testing.wait_all_tasks_blocked()
        assert len(provider.dials) == 7


async def test_two_goaways(autojump_clock: trio.testing.MockClock) -> None:
    """PU-64: 2^31-1 is a notice, all go on; the second one lowers the id, and the rest moves."""
    async with pooled() as (pool, provider), trio.open_nursery() as nursery:
        posts = Posts(nursery, pool)
        await posts.start("/1", "/2")
        old = provider.connections[0]
        await old.goaway()
        await trio.sleep(1)
        new = provider.connections[1]
        assert not new.requests
        await old.goaway(1)
        await trio.testing.wait_all_tasks_blocked()
        assert open_paths(list(new.requests.values())) == ["/2"]
        await old.requests[1].answer()
        await new.requests[1].answer()
        await trio.testing.wait_all_tasks_blocked()
        assert posts.statuses == {"/1": 200, "/2": 200}
        assert pool.statistics() == PoolStatistics(1, streams=0, waiting=0, goaways=2)


async def test_goaway_with_the_connection_cut(autojump_clock: trio.testing.MockClock) -> None:
    """PU-62, PU-64: what the server may have acted on is unknown, what it has not moves."""
    async with pooled() as (pool, provider), trio.open_nursery() as nursery:
        posts = Posts(nursery, pool)
        await posts.start("/1", "/2", "/3")
        old = provider.connections[0]
        await old.goaway(3, code=ErrorCodes.INTERNAL_ERROR)
        await old.cut()
        await trio.sleep(1)
        assert posts.statuses == {"/1": "unknown: cut", "/2": "unknown: cut"}
        [request] = provider.connections[1].requests.values()
        assert request.path == "/3"
        await request.answer()


async def test_streams_that_do_not_end_after_goaway(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PU-64: ten seconds after GOAWAY what is still open is unknown and the connection closed."""
    async with pooled() as (pool, provider), trio.open_nursery() as nursery:
        posts = Posts(nursery, pool)
        await posts.start("/1", seconds=60)
        await provider.connections[0].goaway()
        await trio.sleep(9.9)
        assert posts.statuses == {}
        await trio.sleep(0.2)
        assert posts.statuses == {"/1": "unknown: timeout"}
        assert provider.connections[0].is_closed


async def test_a_cut_connection(autojump_clock: trio.testing.MockClock) -> None:
    """PU-62: what was sent is unknown, what waits in line goes over the next connection."""
    async with pooled(MAX_CONCURRENT_STREAMS=2) as (pool, provider), trio.open_nursery() as nursery:
        posts = Posts(nursery, pool)
        await posts.start("/1", "/2", "/3")
        await provider.connections[0].cut()
        await trio.sleep(0.5)
        assert posts.statuses == {"/1": "unknown: cut", "/2": "unknown: cut"}
        provider.requests = provider.requests[2:]
        assert open_paths(provider.requests) == ["/3"]
        await answer_all(provider)
        assert posts.statuses["/3"] == 200


def reply_of(posts: Posts, path: str) -> Reply:
    """What a post was answered."""
    result = posts.results[path]
    assert isinstance(result, Reply)
    return result


async def test_replacing_a_connection(autojump_clock: trio.testing.MockClock) -> None:
    """C.3 (IdleTimeout, Shutdown): the old one drains, a new one takes what comes; what the old one
    answers late changes nothing."""
    async with pooled() as (pool, provider), trio.open_nursery() as nursery:
        posts = Posts(nursery, pool)
        await posts.start("/first")
        await answer_all(provider)
        reply = reply_of(posts, "/first")
        await trio.sleep(30)
        await posts.start("/old1", "/old2")
        pool.replace(reply)
        await posts.start("/new")
        assert provider.dials == [0, 30]
        old, new = provider.connections
        assert open_paths(list(new.requests.values())) == ["/new"]
        for stream_id, path in ((3, "/old1"), (5, "/old2")):
            assert not old.is_closed
            await old.requests[stream_id].answer(503)
            await trio.testing.wait_all_tasks_blocked()
            pool.replace(reply_of(posts, path))
        assert old.is_closed
        pool.replace(reply)
        await new.requests[1].answer()
        await trio.sleep(60)
        assert len(provider.connections) == 2
        assert not new.is_closed
        assert posts.statuses == {"/first": 200, "/old1": 503, "/old2": 503, "/new": 200}


async def test_replacing_one_of_two(autojump_clock: trio.testing.MockClock) -> None:
    """C.3: only the connection that said so drains; the other one goes on, and takes the repeat."""
    async with (
        pooled(connections=2, MAX_CONCURRENT_STREAMS=10) as (pool, provider),
        trio.open_nursery() as nursery,
    ):
        posts = Posts(nursery, pool)
        await posts.start(*numbered(10))
        bad, good = provider.connections
        victim = bad.requests[1]
        await victim.answer(503)
        await trio.testing.wait_all_tasks_blocked()
        pool.replace(reply_of(posts, victim.path))
        await posts.start("/repeat")
        assert open_paths([good.requests[max(good.requests)]]) == ["/repeat"]
        provider.requests.remove(victim)
        await answer_all(provider)
        await trio.sleep(1)
        assert (bad.is_closed, good.is_closed) == (True, False)
        assert len(posts.results) == 11


async def test_a_replacement_is_replaced_in_turn(autojump_clock: trio.testing.MockClock) -> None:
    """C.3, PU-66: no two requests go over the same connection if its answer was that it is of no
    use; new ones like that are not opened in a rush, and one that lasted is replaced at once."""
    async with pooled(on_request=shut_down) as (pool, provider):
        for _ in range(10):
            pool.replace(await replied(pool))
        assert [len(one.requests) for one in provider.connections] == [1] * 10
        gaps = [b - a for a, b in pairwise(provider.dials)]
        assert gaps == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30], abs=0.01)
        await trio.sleep(61)
        assert len(provider.dials) == 11
        pool.replace(await replied(pool))
        begin = trio.current_time()
        for wait in (0, 0.2):
            pool.replace(await replied(pool))
            assert provider.dials[-1] == pytest.approx(begin + wait, abs=0.01)


async def test_sent_away_with_the_first_answer(autojump_clock: trio.testing.MockClock) -> None:
    """C.3, PU-44, PU-64: a server that answers Shutdown and sends every connection away at the same
    moment has none opened in a rush either."""

    async def send_away(request: Request) -> None:
        request.connection.server.goaway(request.stream_id, code=0, debug=b"")
        await shut_down(request)

    async with pooled(on_request=send_away) as (pool, _):
        for _ in range(10):
            pool.replace(await replied(pool))
        # Each wait is twice the last one; it may come one connection late.
        assert trio.current_time() >= 12.8


async def shut_down(request: Request) -> None:
    await request.answer(503, b'{"reason":"Shutdown"}')


async def replied(pool: Http2Pool) -> Reply:
    """A post, and its answer."""
    reply = await post(pool, seconds=60)
    assert isinstance(reply, Reply)
    return reply


async def test_settings_that_come_too_late(autojump_clock: trio.testing.MockClock) -> None:
    """PU-58, PU-64: a connection that was given up a moment before its SETTINGS came takes no
    calls, and does not stand in the way of the next one."""
    async with trio.open_nursery() as nursery:
        provider = Provider(nursery, on_request=echo)
        provider.is_silent = True
        pool = pool_to(provider)
        nursery.start_soon(pool.run)
        posts = Posts(nursery, pool)
        await posts.start("/1", seconds=20)
        [late] = provider.connections
        provider.is_silent = False
        await trio.sleep_until(CONNECT_SECONDS)
        await late.flush()
        await trio.sleep(5)
        assert posts.statuses == {"/1": 200}
        assert not late.requests
        await provider.connections[-1].cut()
        await posts.start("/2")
        await trio.sleep(5)
        assert posts.statuses == {"/1": 200, "/2": 200}
        nursery.cancel_scope.cancel()


async def test_what_is_taken_back_is_not_written_after_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PU-62: a request that goes to another connection, since it was not sent when the first one
    ended, does not go out on that, too, when the server reads again."""
    async with trio.open_nursery() as nursery:
        provider, reads = Provider(nursery), trio.Event()
        streams: list[trio.StapledStream[Any, Any]] = []

        async def answer(request: Request) -> None:
            if not reads.is_set():
                await request.answer()

        provider.on_request = answer

        async def dial(origin: Origin, context: ssl.SSLContext) -> trio.abc.Stream:
            stream = await provider.dial(origin, context)
            assert isinstance(stream, trio.StapledStream)
            streams.append(stream)
            return stream

        async def held_up() -> None:
            await reads.wait()
            await pump()

        pool = pool_to(provider, dial=dial)
        nursery.start_soon(pool.run)  # noqa: ASYNC113 - posts wait for it
        posts = Posts(nursery, pool)
        await posts.start("/1")
        sending = streams[0].send_stream
        pump = sending.send_all_hook
        sending.send_all_hook = held_up
        await posts.start("/2", "/3")
        await provider.connections[0].violate()
        await trio.sleep(0.5)
        reads.set()
        await trio.sleep(5)
        assert posts.statuses == {"/1": 200, "/2": "unknown: cut", "/3": 200}
        assert open_paths(provider.requests).count("/3") == 1
        nursery.cancel_scope.cancel()
