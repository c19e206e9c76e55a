"""Tests of the deadlines of calls."""

import pytest
import trio
import trio.testing

from tocsin.model.notification import Priority
from tocsin.transports.push.call import Call
from tocsin.transports.push.deadlines import Deadlines


def call_until(deadline: float) -> Call:
    return Call(b"", b"", Priority.NORMAL, deadline, None)


async def collect(deadlines: Deadlines, seconds: float) -> list[tuple[float, Call]]:
    """Who was due in so many seconds, and when."""
    due: list[tuple[float, Call]] = []

    def note(calls: list[Call]) -> None:
        due.extend((trio.current_time(), call) for call in calls)

    with trio.move_on_after(seconds):
        await deadlines.run(note)
    return due


async def test_due_in_time(autojump_clock: trio.testing.MockClock) -> None:
    """PU-66: a call is due never early and 50 ms late at most, in the order of the deadlines."""
    deadlines = Deadlines()
    calls = [call_until(deadline) for deadline in (3.0, 0.3, 1.01, 1.0, 0.15, 7.33)]
    for call in calls:
        deadlines.add(call)
    due = await collect(deadlines, 10)
    assert [call for _, call in due] == sorted(calls, key=lambda call: call.deadline)
    assert all(0 <= at - call.deadline <= 0.05 for at, call in due)
    assert len(deadlines) == 0


async def test_what_is_discarded_is_not_due(autojump_clock: trio.testing.MockClock) -> None:
    """PU-85: a call that has ended leaves nothing behind; discarding it twice is harmless."""
    deadlines = Deadlines()
    first, second = call_until(1), call_until(1)
    deadlines.add(first)
    deadlines.add(second)
    deadlines.discard(first)
    deadlines.discard(first)
    assert len(deadlines) == 1
    assert [call for _, call in await collect(deadlines, 5)] == [second]
    deadlines.discard(second)
    assert len(deadlines) == 0


async def test_an_earlier_one_that_comes_later(autojump_clock: trio.testing.MockClock) -> None:
    """A call with less time than those that are waited for is due in its own time."""
    deadlines = Deadlines()
    late, early = call_until(8), call_until(2)
    deadlines.add(late)
    due: list[tuple[float, Call]] = []
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            due.extend(await collect(deadlines, 10))

        nursery.start_soon(run)
        await trio.sleep(1)
        deadlines.add(early)
    assert due == [(pytest.approx(2), early), (pytest.approx(8), late)]


async def test_one_that_is_over_already(autojump_clock: trio.testing.MockClock) -> None:
    """A deadline in the past is due at once."""
    await trio.sleep(5)
    deadlines = Deadlines()
    deadlines.add(call_until(1))
    [(at, _)] = await collect(deadlines, 1)
    assert at == pytest.approx(5)
