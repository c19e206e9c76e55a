"""Tests of the pool: which request goes over which connection, and what becomes of it."""

import math
import ssl
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from tests.fakes.h2_provider import FIXED, Provider, Request, echo, pool_to, pooled, post

from tocsin.model.notification import Priority
from tocsin.transports.push.call import NotSent, Result, Unknown
from tocsin.transports.push.pool import Http2Pool, PoolStatistics
from tocsin.transports.push.tls import Origin
from tocsin.wire.http2.events import Answer

URGENT, NORMAL, LOW = Priority.URGENT, Priority.NORMAL, Priority.LOW


class Posts:
    """Posts under way, each with a path, and their results as they come."""

    def __init__(self, nursery: trio.Nursery, pool: Http2Pool) -> None:
        self._nursery = nursery
        self._pool = pool
        self.results: dict[str, Result] = {}

    async def start(
        self,
        *paths: str,
        priority: Priority = NORMAL,
        seconds: float = 10.0,
        body: bytes = b"{}",
    ) -> None:
        """Begin them in this order, and see how far they come by themselves."""

        async def run(path: str) -> None:
            self.results[path] = await post(
                self._pool, path, priority=priority, seconds=seconds, body=body
            )

        for path in paths:
            self._nursery.start_soon(run, path)
            await trio.testing.wait_all_tasks_blocked()

    @property
    def statuses(self) -> dict[str, int | str]:
        return {path: shown(result) for path, result in self.results.items()}


def shown(result: Result) -> int | str:
    match result:
        case Answer(status=status):
            return status
        case NotSent(reason=reason):
            return f"not sent: {reason}"
        case Unknown(reason=reason):
            return f"unknown: {reason}"


def numbered(count: int) -> list[str]:
    return [f"/{number}" for number in range(count)]


def open_paths(requests: Sequence[Request]) -> list[str]:
    return [request.path for request in requests]


async def answer_all(provider: Provider) -> None:
    """Answer what has come, until nothing more comes."""
    while provider.requests:
        await provider.requests.pop(0).answer()
        await trio.testing.wait_all_tasks_blocked()


async def test_a_request_and_its_answer(autojump_clock: trio.testing.MockClock) -> None:
    """PU-58, PU-62: the answer comes with status, headers and body; pseudo-headers go first."""
    async with pooled(on_request=echo) as (pool, provider):
        result = await post(pool, "/3/device/1", body=b'{"aps":{}}')
        assert isinstance(result, Answer)
        assert (result.status, result.body) == (200, b'{"aps":{}}')
        [request] = provider.requests
        assert request.seen.headers == {
            b":method": b"POST",
            b":scheme": b"https",
            b":authority": b"push.example",
            b":path": b"/3/device/1",
            b"apns-topic": b"com.example",
            b"apns-id": b"/3/device/1",
        }


async def test_posts_of_one_turn_share_one_send(autojump_clock: trio.testing.MockClock) -> None:
    """D.1: the writer flushes the whole buffer once per wake-up."""
    async with pooled(on_request=echo) as (pool, provider):
        await post(pool)
        await trio.testing.wait_all_tasks_blocked()
        before = provider.reads
        async with trio.open_nursery() as nursery:
            for path in numbered(50):
                nursery.start_soon(post, pool, path)
        assert len(provider.requests) == 51
        assert provider.reads - before == 1


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


async def test_the_line_is_served_in_order(autojump_clock: trio.testing.MockClock) -> None:
    """PU-60: first come, first served among urgent, normal and low; urgent before normal."""
    async with pooled(MAX_CONCURRENT_STREAMS=1) as (pool, provider), trio.open_nursery() as nursery:
        posts = Posts(nursery, pool)
        await posts.start("/first")
        await posts.start("/low1", "/low2", priority=LOW)
        await posts.start("/normal1", "/normal2", priority=NORMAL)
        await posts.start("/urgent1", "/urgent2", priority=URGENT)
        assert pool.statistics().waiting == 6
        await answer_all(provider)
        assert list(posts.results) == [
            *("/first", "/urgent1", "/urgent2", "/normal1", "/normal2", "/low1", "/low2")
        ]


@pytest.mark.parametrize(("limit", "kept"), [(3, 0), (4, 1), (10, 1), (30, 3)])
async def test_slots_kept_for_urgent(
    limit: int, kept: int, autojump_clock: trio.testing.MockClock
) -> None:
    """PU-63: the last tenth, at least one of four or more, is for urgent posts alone."""
    async with (
        pooled(MAX_CONCURRENT_STREAMS=limit) as (pool, provider),
        trio.open_nursery() as nursery,
    ):
        posts = Posts(nursery, pool)
        await posts.start(*numbered(limit + 1))
        assert len(provider.requests) == limit - kept
        urgent = [f"/urgent{number}" for number in range(limit)]
        await posts.start(*urgent, priority=URGENT)
        assert open_paths(provider.requests[limit - kept :]) == urgent[:kept]
        await answer_all(provider)
        assert len(posts.results) == 2 * limit + 1


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


async def test_refused_streams_move_three_times(autojump_clock: trio.testing.MockClock) -> None:
    """PU-62: REFUSED_STREAM is not sent: tried again, but not for ever."""

    async def refuse(request: Request) -> None:
        await request.reset(ErrorCodes.REFUSED_STREAM)

    async with pooled(on_request=refuse) as (pool, provider):
        assert await post(pool) == NotSent("not_sent")
        assert len(provider.requests) == 4
        provider.on_request = echo
        assert shown(await post(pool)) == 200


async def test_a_refused_stream_goes_elsewhere(autojump_clock: trio.testing.MockClock) -> None:
    """PU-62: it moves to another connection if there is one, even to one with more to do."""
    async with (
        pooled(connections=2, MAX_CONCURRENT_STREAMS=10) as (pool, provider),
        trio.open_nursery() as nursery,
    ):
        posts = Posts(nursery, pool)
        await posts.start(*numbered(12))
        first, second = provider.connections
        assert len(first.requests) > len(second.requests)
        victim = next(iter(second.requests.values()))
        await first.requests[1].answer()
        await victim.reset(ErrorCodes.REFUSED_STREAM)
        await trio.testing.wait_all_tasks_blocked()
        assert provider.requests[-1].path == victim.path
        assert provider.requests[-1].connection is first
        provider.requests = [request for request in provider.requests if request.stream_id > 1]
        await answer_all(provider)


@pytest.mark.parametrize("code", [ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL])
async def test_any_other_reset_is_unknown(
    code: ErrorCodes, autojump_clock: trio.testing.MockClock
) -> None:
    """PU-62: a stream that was sent whole and is reset may have been acted on."""

    async def reset(request: Request) -> None:
        await request.reset(code)

    async with pooled(on_request=reset) as (pool, provider):
        assert await post(pool) == Unknown("reset")
        assert len(provider.requests) == 1


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


async def test_calm_is_kept_for_a_minute(autojump_clock: trio.testing.MockClock) -> None:
    """PU-61: ENHANCE_YOUR_CALM halves our own limit for 60 s, once for one crowd."""
    async with pooled(MAX_CONCURRENT_STREAMS=20) as (pool, provider):
        async with trio.open_nursery() as nursery:
            posts = Posts(nursery, pool)
            await posts.start(*numbered(18))
            for request in provider.requests:
                await request.reset(ErrorCodes.ENHANCE_YOUR_CALM)
            await trio.testing.wait_all_tasks_blocked()
            assert set(posts.statuses.values()) == {"unknown: reset"}
            provider.requests.clear()
            await posts.start(*[f"/more{number}" for number in range(15)])
            assert pool.statistics().streams == 9
            await answer_all(provider)
        await trio.sleep(61)
        async with trio.open_nursery() as nursery:
            posts = Posts(nursery, pool)
            await posts.start(*numbered(18))
            assert pool.statistics().streams == 18
            await answer_all(provider)


async def test_a_limit_that_falls_and_rises(autojump_clock: trio.testing.MockClock) -> None:
    """PU-61: 100 to 1 stops new streams and resets none; back at 100 the line is served."""
    async with pooled() as (pool, provider), trio.open_nursery() as nursery:
        posts = Posts(nursery, pool)
        await posts.start(*numbered(20))
        connection = provider.connections[0]
        await connection.change(MAX_CONCURRENT_STREAMS=1)
        await posts.start("/late1", "/late2")
        assert len(provider.requests) == 20
        for _ in range(19):
            await provider.requests.pop(0).answer()
        await trio.testing.wait_all_tasks_blocked()
        assert len(provider.requests) == 1
        assert pool.statistics().waiting == 2
        await connection.change(MAX_CONCURRENT_STREAMS=100)
        assert open_paths(provider.requests) == ["/19", "/late1", "/late2"]
        await answer_all(provider)
        assert set(posts.statuses.values()) == {200}


@pytest.mark.parametrize("window", [0, 1])
async def test_a_tiny_window(window: int, autojump_clock: trio.testing.MockClock) -> None:
    """PU-60: a body larger than the initial window goes out in pieces, as the window opens."""
    async with pooled(on_request=echo, INITIAL_WINDOW_SIZE=window) as (pool, provider):
        async with trio.open_nursery() as nursery:
            posts = Posts(nursery, pool)
            provider.credits_data = False
            await posts.start("/1", body=b"0123456789")
            [request] = provider.requests
            assert request.seen.body == b"0123456789"[:window]
            await request.widen(4)
            await trio.testing.wait_all_tasks_blocked()
            assert request.seen.body == b"0123456789"[: window + 4]
            await request.connection.change(INITIAL_WINDOW_SIZE=100)
        assert posts.statuses == {"/1": 200}
        assert request.seen.body == b"0123456789"


async def test_a_body_cut_by_its_deadline_was_not_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PU-62: without its END_STREAM the server cannot have acted on a request."""
    async with pooled(INITIAL_WINDOW_SIZE=1) as (pool, provider):
        provider.credits_data = False
        assert await post(pool, seconds=3) == NotSent("not_sent")
        assert pool.statistics().streams == 0
        await trio.testing.wait_all_tasks_blocked()
        assert provider.requests[0].seen.reset_code == ErrorCodes.CANCEL


async def test_an_early_answer_counts(autojump_clock: trio.testing.MockClock) -> None:
    """PU-62: a complete answer before our END_STREAM is an answer."""
    async with pooled(INITIAL_WINDOW_SIZE=1) as (pool, provider), trio.open_nursery() as nursery:
        provider.credits_data = False
        posts = Posts(nursery, pool)
        await posts.start("/1")
        await provider.requests[0].answer(413)
        await trio.testing.wait_all_tasks_blocked()
        assert posts.statuses == {"/1": 413}
        assert pool.statistics().streams == 0


async def test_a_stream_that_is_never_answered(autojump_clock: trio.testing.MockClock) -> None:
    """PU-62, PU-66: its deadline makes it unknown, resets it and frees its slot."""
    async with pooled(MAX_CONCURRENT_STREAMS=1) as (pool, provider):
        assert await post(pool, seconds=3) == Unknown("timeout")
        assert trio.current_time() == pytest.approx(3, abs=0.051)
        assert pool.statistics().streams == 0
        await trio.testing.wait_all_tasks_blocked()
        assert provider.requests[0].seen.reset_code == ErrorCodes.CANCEL
        provider.on_request = echo
        assert shown(await post(pool)) == 200


async def test_a_deadline_in_line(autojump_clock: trio.testing.MockClock) -> None:
    """PU-66: who does not come to his turn in time was not sent; who is late is not begun."""
    async with pooled(MAX_CONCURRENT_STREAMS=1) as (pool, provider), trio.open_nursery() as nursery:
        posts = Posts(nursery, pool)
        await posts.start("/1", seconds=60)
        assert await post(pool, "/2", seconds=1) == NotSent("not_sent")
        assert await post(pool, "/3", seconds=0) == NotSent("not_sent")
        await answer_all(provider)
        assert list(posts.results) == ["/1"]
        assert pool.statistics() == PoolStatistics(1, 0, 0, 0)


async def test_posts_before_run_wait_for_it(autojump_clock: trio.testing.MockClock) -> None:
    """The pool is usable before its owner has come to run it."""
    async with trio.open_nursery() as nursery:
        pool = pool_to(Provider(nursery, on_request=echo))
        posts = Posts(nursery, pool)
        await posts.start("/1")
        assert pool.statistics() == PoolStatistics(0, 0, waiting=1, goaways=0)
        nursery.start_soon(pool.run)
        await trio.testing.wait_all_tasks_blocked()
        assert posts.statuses == {"/1": 200}
        nursery.cancel_scope.cancel()


async def test_replacing_connections(autojump_clock: trio.testing.MockClock) -> None:
    """C.3 (IdleTimeout, Shutdown): the old one drains, a new one opens; once for ten seconds."""
    async with pooled() as (pool, provider), trio.open_nursery() as nursery:
        posts = Posts(nursery, pool)
        await posts.start("/first")
        await answer_all(provider)
        await posts.start("/old")
        pool.replace()
        await posts.start("/new")
        old, new = provider.connections
        assert open_paths(list(new.requests.values())) == ["/new"]
        await old.requests[3].answer()
        await trio.testing.wait_all_tasks_blocked()
        assert old.is_closed
        pool.replace()
        await trio.sleep(5)
        assert len(provider.connections) == 2
        await new.requests[1].answer()
        await trio.sleep(6)
        pool.replace()
        await trio.sleep(1)
        assert len(provider.connections) == 3
        assert posts.statuses == {"/first": 200, "/old": 200, "/new": 200}


async def test_closing_waits_for_what_is_open(autojump_clock: trio.testing.MockClock) -> None:
    """Draining: what is open is answered, what waits and what comes is not sent, `run` ends."""
    async with trio.open_nursery() as nursery:
        provider = Provider(nursery)
        provider.settings = {"MAX_CONCURRENT_STREAMS": 1}
        pool = pool_to(provider)
        nursery.start_soon(pool.run)
        posts = Posts(nursery, pool)
        await posts.start("/open", "/waiting")
        nursery.start_soon(pool.aclose)
        await trio.sleep(1)
        assert posts.statuses == {"/waiting": "not sent: not_sent"}
        assert await post(pool) == NotSent("not_sent")
        await answer_all(provider)
        assert posts.statuses["/open"] == 200
    assert trio.current_time() == pytest.approx(1)
    assert pool.statistics() == PoolStatistics(0, 0, 0, 0)


async def test_closing_does_not_wait_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    """Draining: after ten seconds what is still open is unknown."""
    async with trio.open_nursery() as nursery:
        pool = pool_to(Provider(nursery))
        nursery.start_soon(pool.run)
        posts = Posts(nursery, pool)
        await posts.start("/1", seconds=60)
        await pool.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert posts.statuses == {"/1": "unknown: timeout"}
    assert trio.current_time() == pytest.approx(10)


async def test_closing_what_never_ran(autojump_clock: trio.testing.MockClock) -> None:
    """Closing a pool that was not run gives back what waits in it, and ends at once."""
    async with trio.open_nursery() as nursery:
        pool = pool_to(Provider(nursery))
        posts = Posts(nursery, pool)
        await posts.start("/1")
        await pool.aclose()
    assert posts.statuses == {"/1": "not sent: not_sent"}


async def test_closing_while_it_cannot_connect(autojump_clock: trio.testing.MockClock) -> None:
    """A dial that hangs does not hold up the end."""
    async with trio.open_nursery() as nursery:
        provider = Provider(nursery)
        provider.is_silent = True
        pool = pool_to(provider)
        nursery.start_soon(pool.run)
        posts = Posts(nursery, pool)
        await posts.start("/1")
        await pool.aclose()
        nursery.cancel_scope.cancel()
    assert trio.current_time() < 2
    assert posts.statuses == {"/1": "not sent: not_sent"}


async def test_run_is_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    """Every post gets a result when the pool is cut off, and the next run serves new ones."""
    async with trio.open_nursery() as nursery:
        provider = Provider(nursery)
        provider.settings = {"MAX_CONCURRENT_STREAMS": 1}
        pool = pool_to(provider)
        posts = Posts(nursery, pool)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(pool.run)
                await posts.start("/open", "/waiting")
                scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert posts.statuses == {"/open": "unknown: cut", "/waiting": "not sent: not_sent"}
        assert pool.statistics() == PoolStatistics(0, 0, 0, 0)
        provider.on_request = echo
        nursery.start_soon(pool.run)
        assert shown(await post(pool)) == 200
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("steps", range(14))
async def test_cancelled_anywhere(steps: int, autojump_clock: trio.testing.MockClock) -> None:
    """PU-66: whenever posts are cancelled, their slots and places are free, and only once."""
    limit = 5
    async with pooled(MAX_CONCURRENT_STREAMS=limit) as (pool, provider):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                for path in numbered(2 * limit):
                    nursery.start_soon(post, pool, path)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        assert pool.statistics().streams == pool.statistics().waiting == 0
        await trio.testing.wait_all_tasks_blocked()
        provider.requests.clear()
        async with trio.open_nursery() as nursery:
            posts = Posts(nursery, pool)
            await posts.start(*numbered(2 * limit), priority=URGENT)
            assert pool.statistics() == PoolStatistics(1, limit, waiting=limit, goaways=0)
            await answer_all(provider)
        assert set(posts.statuses.values()) == {200}


async def test_a_cancelled_request_is_reset(autojump_clock: trio.testing.MockClock) -> None:
    """PU-66: RST_STREAM(CANCEL) for one on the wire; one in line is never seen."""
    async with pooled(MAX_CONCURRENT_STREAMS=1) as (pool, provider):
        async with trio.open_nursery() as nursery:
            posts = Posts(nursery, pool)
            await posts.start("/1", "/2")
            nursery.cancel_scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert open_paths(provider.requests) == ["/1"]
        assert provider.requests[0].seen.reset_code == ErrorCodes.CANCEL


async def test_a_cancelled_request_makes_room(autojump_clock: trio.testing.MockClock) -> None:
    """PU-66: the slot of a cancelled post goes to the next in line at once."""
    async with pooled(MAX_CONCURRENT_STREAMS=1) as (pool, provider), trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                await Posts(inner, pool).start("/1")
                posts = Posts(nursery, pool)
                await posts.start("/2")
                scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert open_paths(provider.requests) == ["/1", "/2"]
        await provider.requests[1].answer()


async def test_a_deadline_must_come(autojump_clock: trio.testing.MockClock) -> None:
    """A post without an end is refused: its place in the line would never be given up."""
    async with pooled() as (pool, _):
        with pytest.raises(OverflowError):
            await pool.post(FIXED, [], b"", deadline=math.inf, priority=NORMAL)


async def test_settings_that_come_too_late(autojump_clock: trio.testing.MockClock) -> None:
    """PU-58, PU-64: a connection that was given up before its SETTINGS came takes no calls, and
    does not stand in the way of the next one."""
    async with trio.open_nursery() as nursery:
        provider = Provider(nursery, on_request=echo)
        provider.is_silent = True
        pool = pool_to(provider)
        nursery.start_soon(pool.run)
        posts = Posts(nursery, pool)
        await posts.start("/1")
        [late] = provider.connections
        provider.is_silent = False
        await late.flush()
        pool.replace()
        await trio.sleep(5)
        assert posts.statuses == {"/1": 200}
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
