"""Where a Trio task stands right now, for the log."""

import traceback
from collections.abc import Iterator

import trio

from tocsin.ops.log import shorten

TASK_LIMIT = 10


def task_trace(root: trio.lowlevel.Task) -> str:
    """The await chains of a task and of the first tasks below it, as a bounded text."""
    return shorten("".join(_parts(root)).rstrip())


def _parts(root: trio.lowlevel.Task) -> Iterator[str]:
    waiting = [root]
    for _ in range(TASK_LIMIT):
        if not waiting:
            return
        task = waiting.pop(0)
        yield f"Task {task.name}:\n"
        yield from traceback.StackSummary.extract(task.iter_await_frames()).format()
        for nursery in task.child_nurseries:
            waiting.extend(nursery.child_tasks)
    if waiting:
        yield f"... and {len(waiting)} more tasks\n"
