"""tocsin.ops.trace: where a task stands."""

import trio
from trio.testing import wait_all_tasks_blocked

from tocsin.ops.trace import task_trace


async def inner_wait() -> None:
    await trio.sleep_forever()


async def outer_wait() -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(inner_wait)


async def test_shows_the_await_chain_of_a_task_and_its_children(nursery: trio.Nursery) -> None:
    """The line each task waits at is there, and the number of tasks shown has a bound."""
    nursery.start_soon(outer_wait)
    await wait_all_tasks_blocked()
    (task,) = nursery.child_tasks
    text = task_trace(task)
    assert "in outer_wait" in text
    assert text.count("await trio.sleep_forever()") == 9
    assert text.endswith("... and 11 more tasks")
    nursery.cancel_scope.cancel()
