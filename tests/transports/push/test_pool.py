"""Tests of the pool: which request goes over which connection, and in what order."""

import math

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from tests.fakes.h2_posts import Posts, answer_all, numbered, open_paths, shown
from tests.fakes.h2_provider import FIXED, Provider, Request, echo, pool_to, pooled, post

from tocsin.model.notification import Priority
from tocsin.transports.push.call import NotSent, Unknown
from tocsin.transports.push.pool import PoolStatistics
from tocsin.wire.http2.events import Answer

URGENT, NORMAL, LOW = Priority.URGENT, Priority.NORMAL, Priority.LOW


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
