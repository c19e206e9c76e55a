"""tocsin.ops.slices: what is too much at once is done in parts."""

import trio
from tests.fakes.world import CountingProgress
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.ops.slices import Slices


async def test_others_get_their_turn_between_slices(nursery: trio.Nursery) -> None:
    """OP-10: each slice is a sign of life, and what else is ready comes in between."""
    later, order = list("abc"), list[str]()
    slices = Slices(later, lambda: order.append(later.pop(0)), of="letters")
    progress = CountingProgress()

    async def other() -> None:
        for number in "12":
            order.append(number)
            await trio.lowlevel.checkpoint()

    nursery.start_soon(slices.run, progress)
    nursery.start_soon(other)
    await wait_all_tasks_blocked()
    assert [one for one in order if one in "abc"] == ["a", "b", "c"]
    assert order.index("2") < order.index("c")
    assert progress.beats == 3


async def test_it_sleeps_until_something_has_arrived(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """It says what it waits for; what came while it worked is not forgotten."""
    later: list[str] = []
    slices = Slices(later, later.clear, of="letters")
    progress = CountingProgress()
    nursery.start_soon(slices.run, progress)
    for beats in (1, 2):
        await trio.sleep(3600)
        assert progress.state == "letters"
        later.append("a")
        slices.arrived()
        slices.arrived()
        await wait_all_tasks_blocked()
        assert (later, progress.beats) == ([], beats)
