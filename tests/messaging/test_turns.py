"""tocsin.messaging.turns"""

import gc

import trio
import trio.testing

from tocsin.messaging.turns import Turns


async def test_one_at_a_time_in_the_order_of_asking() -> None:
    """MS-21: whoever asks for the same has his turn after those who asked before; others do not
    wait."""
    turns, done = Turns(), []

    async def take(name: str, mark: int) -> None:
        async with turns.of(name):
            done.append(mark)

    async with trio.open_nursery() as nursery, turns.of("a"):
        for mark in range(3):
            nursery.start_soon(take, "a", mark)
            await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(take, "b", 9)
        await trio.testing.wait_all_tasks_blocked()
        assert done == [9]
    assert done == [9, 0, 1, 2]


async def test_nothing_is_kept_of_what_nobody_waits_for() -> None:
    """MS-68: however many names there have been."""
    turns = Turns()
    for name in range(10):
        async with turns.of(name):
            assert len(turns) == 1
    gc.collect()
    assert len(turns) == 0
