"""Tests of kept connections: which one is lent, and which is closed to make room."""

import attrs
import pytest
import trio
import trio.testing

from tocsin.transports.notconnected import NotConnectedError
from tocsin.transports.patience import Patience
from tocsin.transports.pool import ConnectionPool, Link, PoolStatistics
from tocsin.wire.endpoint import Endpoint, parse_url

A = parse_url("https://a.example/", allow_http=())
B = parse_url("https://b.example/", allow_http=())


@attrs.define(eq=False)
class Wire:
    """A connection that only knows whether it was closed."""

    quiet: bool = True
    closed: bool = False

    async def send_all(self, data: bytes) -> None: ...

    async def receive_some(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return b""

    def is_quiet(self) -> bool:
        return self.quiet

    def close(self) -> None:
        self.closed = True


async def dial(_endpoint: Endpoint, _patience: Patience) -> Wire:
    await trio.lowlevel.checkpoint()
    return Wire()


def wire(link: Link) -> Wire:
    assert isinstance(link.connection, Wire)
    return link.connection


def pool_of(max_sockets: int = 8) -> ConnectionPool:
    return ConnectionPool(dial, max_sockets=max_sockets)


async def test_the_one_used_last_is_lent_first() -> None:
    """PU-67: per origin, last in first out, so that the others can grow old."""
    pool = pool_of()
    first, second, other = [await pool.connect(endpoint) for endpoint in (A, A, B)]
    for link in (first, second, other):
        pool.keep(link)
    assert pool.take(A.origin) is second
    assert pool.take(A.origin) is first
    assert pool.take(A.origin) is None
    assert pool.take(B.origin) is other


async def test_a_noisy_connection_is_not_lent() -> None:
    """PU-67: something to read on an idle socket, be it its end, means that it is dead."""
    pool = pool_of()
    good, noisy = await pool.connect(A), await pool.connect(A)
    pool.keep(good)
    pool.keep(noisy)
    wire(noisy).quiet = False
    assert pool.take(A.origin) is good
    assert wire(noisy).closed
    assert pool.statistics() == PoolStatistics(open=1, idle=0)


async def test_idle_ones_are_closed_in_time(autojump_clock: trio.testing.MockClock) -> None:
    """PU-67: after 30 s idle a connection is not lent, and soon closed by the sweep."""
    pool = pool_of()
    link = await pool.connect(A)
    pool.keep(link)
    await trio.sleep(29.9)
    assert pool.take(A.origin) is link
    pool.keep(link)
    await trio.sleep(30)
    assert pool.take(A.origin) is None
    assert wire(link).closed
    link = await pool.connect(A)
    pool.keep(link)
    with trio.move_on_after(36):
        await pool.run()
    assert wire(link).closed
    assert pool.statistics() == PoolStatistics(open=0, idle=0)


async def test_old_ones_are_closed(autojump_clock: trio.testing.MockClock) -> None:
    """PU-67: five minutes after its opening a connection is used no more, busy or not."""
    pool = pool_of()
    link = await pool.connect(A)
    for _ in range(14):
        pool.keep(link)
        await trio.sleep(20)
        assert pool.take(A.origin) is link
    await trio.sleep(20)
    pool.keep(link)
    assert wire(link).closed


async def test_the_one_idle_longest_makes_room() -> None:
    """PU-67: at max_sockets an idle connection is closed, oldest first, of any origin."""
    pool = pool_of(3)
    oldest, middle, newest = [await pool.connect(endpoint) for endpoint in (B, A, A)]
    for link in (oldest, middle, newest):
        pool.keep(link)
    await pool.connect(A)
    assert [wire(link).closed for link in (oldest, middle, newest)] == [True, False, False]
    await pool.connect(B)
    assert [wire(link).closed for link in (oldest, middle, newest)] == [True, True, False]
    assert pool.take(A.origin) is newest
    assert pool.statistics() == PoolStatistics(open=3, idle=0)


@pytest.mark.parametrize("give_back", ["keep", "discard"])
async def test_with_all_in_use_a_new_one_waits(give_back: str) -> None:
    """PU-67: max_sockets holds; the next connection waits until one is given back."""
    pool = pool_of(1)
    link = await pool.connect(A)
    got: list[Link] = []

    async def connect() -> None:
        got.append(await pool.connect(B))

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as gone:
            nursery.start_soon(connect)
            await trio.testing.wait_all_tasks_blocked()
            gone.cancel()
            await pool.connect(B)
        assert not got
        getattr(pool, give_back)(link)
    assert wire(link).closed
    assert pool.statistics() == PoolStatistics(open=1, idle=0)


async def test_a_failed_or_cancelled_connect_gives_its_room_back() -> None:
    """PU-67: the books are right after an error and after a cancellation."""

    async def refuse(endpoint: Endpoint, _patience: Patience) -> Wire:
        if endpoint is A:
            raise NotConnectedError("connect")
        await trio.sleep_forever()
        raise AssertionError

    pool = ConnectionPool(refuse, max_sockets=1)
    with pytest.raises(NotConnectedError):
        await pool.connect(A)
    with trio.move_on_after(0):
        await pool.connect(B)
    assert pool.statistics() == PoolStatistics(open=0, idle=0)


async def test_closing_the_pool() -> None:
    """PU-67: idle connections are closed at once, the others when they come back."""
    pool = pool_of()
    idle, lent = await pool.connect(A), await pool.connect(A)
    pool.keep(idle)
    await pool.aclose()
    assert wire(idle).closed
    assert not wire(lent).closed
    pool.keep(lent)
    assert wire(lent).closed
    assert pool.statistics() == PoolStatistics(open=0, idle=0)
