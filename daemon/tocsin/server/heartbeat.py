"""One schedule for the heartbeats of all sockets: no task and no timer per socket.

A wheel of slots a quarter of a second wide. A socket stands in at most one slot; when its slot
comes up it looks after itself and says when it wants to be called again.
"""

from collections import defaultdict
from typing import Protocol

import structlog

SLOT = 0.25
MOST_PER_TURN = 2000

log = structlog.get_logger()


class Ticking(Protocol):
    """What stands in the wheel."""

    def tick(self, now: float) -> float | None:
        """Do what is due; when to be called next (`trio.current_time()`), None: never again."""

    def end(self, code: int) -> None:
        """Close; it has crashed."""


class Wheel:
    """Calls `tick` of everything whose time has come; turned by the heartbeat supervisor."""

    def __init__(self) -> None:
        self._slots: defaultdict[int, list[Ticking]] = defaultdict(list)
        self._next = 0

    def add(self, one: Ticking, at: float) -> None:
        """Call `one` at this time, at most a slot late."""
        self._slots[max(int(at / SLOT) + 1, self._next)].append(one)

    def turn(self, now: float) -> None:
        """Call what is due, at most so many; the rest follows with the next turn."""
        current = int(now / SLOT)
        if not self._next:
            self._next = min([current, *self._slots])
        called = 0
        while self._next <= current and called < MOST_PER_TURN:
            due = self._slots.get(self._next)
            if not due:
                self._slots.pop(self._next, None)
                self._next += 1
                continue
            batch = due[-(MOST_PER_TURN - called) :]
            del due[-len(batch) :]
            called += len(batch)
            for one in batch:
                again = _ticked(one, now)
                if again is not None:
                    self._slots[max(int(again / SLOT) + 1, current + 1)].append(one)

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))


def _ticked(one: Ticking, now: float) -> float | None:
    """The fence around one session: a crash ends that one, not the heartbeats of the others."""
    try:
        return one.tick(now)
    except Exception:
        log.exception("session.crashed")
        one.end(1011)
        return None
