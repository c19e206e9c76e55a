"""Tests of the bucket that paces pushes to one project (push.md, PU-46)."""

import math

import pytest
import trio
from trio.testing import MockClock

from tocsin.transports.push.quota import Quota


async def count(quota: Quota, seconds: float) -> int:
    """How many pushes get a slot within so many seconds, if always one waits for the next."""
    slots = 0
    deadline = trio.current_time() + seconds
    while await quota.acquire(deadline=deadline):
        slots += 1
    await trio.sleep_until(deadline)
    return slots


async def test_without_a_ramp_the_rate_is_kept_from_the_start(autojump_clock: MockClock) -> None:
    """PU-46: 100 a second, and after a moment's rest a tenth of a second's worth at once."""
    quota = Quota(100, 0)
    assert await count(quota, 10) == pytest.approx(1000, abs=2)
    await trio.sleep(5)
    assert await count(quota, 0) == pytest.approx(10, abs=1)


async def test_the_ramp(autojump_clock: MockClock) -> None:
    """PU-46: from a tenth of the rate to all of it in 60 s."""
    quota = Quota(100, 60)
    assert quota.rate == 10
    slots = [await count(quota, 10) for _ in range(7)]
    assert slots == pytest.approx([175, 325, 475, 625, 775, 925, 1000], rel=0.03)


async def test_a_rest_is_a_pause(autojump_clock: MockClock) -> None:
    """PU-46: after half a minute without a push the ramp begins again."""
    quota = Quota(100, 60)
    await count(quota, 70)
    assert quota.rate == 100
    await trio.sleep(31)
    assert await quota.acquire(deadline=math.inf)
    assert quota.rate == 10


async def test_a_complaint_halves_the_rate_which_recovers(autojump_clock: MockClock) -> None:
    """PU-46: nothing until the pause is over, then half, and more each 10 clean seconds."""
    quota = Quota(100, 0)
    quota.pause(20)
    assert not await quota.acquire(deadline=trio.current_time() + 10)
    before = trio.current_time()
    assert await quota.acquire(deadline=math.inf)
    assert trio.current_time() - before == pytest.approx(20)
    rates = []
    for _ in range(12):
        rates.append(quota.rate)
        await trio.sleep(10)
    assert rates == pytest.approx([50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100, 100])


async def test_complaints_of_one_crowd_are_one(autojump_clock: MockClock) -> None:
    """PU-46: what was under way when the pause began does not halve again, but may prolong."""
    quota = Quota(100, 0)
    for _ in range(50):
        quota.pause(5)
    quota.pause(30)
    before = trio.current_time()
    assert await quota.acquire(deadline=math.inf)
    assert trio.current_time() - before == pytest.approx(30)
    assert quota.rate == 50


async def test_the_rate_never_falls_below_a_hundredth(autojump_clock: MockClock) -> None:
    """PU-46: 1 % is left however often FCM complains."""
    quota = Quota(100, 0)
    for _ in range(20):
        quota.pause(1)
        await trio.sleep(1)
    assert quota.rate == 1


async def test_waiting_for_a_pause_begins_anew_with_another(autojump_clock: MockClock) -> None:
    """PU-46: who waits for a slot when a pause begins waits for its end, in line."""
    quota = Quota(10, 0)
    went: list[tuple[int, float]] = []

    async def push(number: int) -> None:
        assert await quota.acquire(deadline=math.inf)
        went.append((number, trio.current_time()))

    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(push, number)
            await trio.lowlevel.checkpoint()
        await trio.sleep(0.05)
        quota.pause(10)
    late = [at - begin for _, at in went if at - begin > 1]
    assert len(late) >= 3
    assert min(late) >= 10.05
    assert late == pytest.approx([10.05 + 0.2 * at for at in range(len(late))], abs=0.21)


async def test_too_late_a_slot_is_not_waited_for(autojump_clock: MockClock) -> None:
    """PU-46: who cannot get one before the deadline is told so at once and takes none."""
    quota = Quota(1, 0)
    while await quota.acquire(deadline=trio.current_time()):
        pass
    before = trio.current_time()
    for _ in range(100):
        assert not await quota.acquire(deadline=before + 0.5)
    assert trio.current_time() == before
    assert await quota.acquire(deadline=before + 2)


async def test_urgent_pushes_do_not_wait_in_line(autojump_clock: MockClock) -> None:
    """PU-36: they go at once and the others come later for it; a pause holds for all."""
    quota = Quota(10, 0)
    while await quota.acquire(deadline=trio.current_time()):
        pass
    before = trio.current_time()
    for _ in range(10):
        assert await quota.acquire(deadline=before, urgent=True)
    assert trio.current_time() == before
    assert not await quota.acquire(deadline=before + 0.9)
    quota.pause(5)
    assert not await quota.acquire(deadline=before + 1, urgent=True)
    assert await quota.acquire(deadline=before + 6, urgent=True)
    assert trio.current_time() - before == pytest.approx(5)


async def test_no_limit(autojump_clock: MockClock) -> None:
    """PU-46: a rate of 0 is none, but pauses hold."""
    quota = Quota(0, 60)
    before = trio.current_time()
    for _ in range(10_000):
        assert await quota.acquire(deadline=before)
    quota.pause(3)
    assert await quota.acquire(deadline=math.inf)
    assert trio.current_time() - before == pytest.approx(3)


async def test_cancelled_waiting(autojump_clock: MockClock) -> None:
    """PU-66: who is cancelled while waiting costs one slot, and nothing is left behind."""
    quota = Quota(1, 0)
    while await quota.acquire(deadline=trio.current_time()):
        pass
    with trio.move_on_after(0.1) as scope:
        await quota.acquire(deadline=math.inf)
    assert scope.cancelled_caught
    before = trio.current_time()
    assert await quota.acquire(deadline=math.inf)
    assert trio.current_time() - before == pytest.approx(1.9, abs=0.2)
