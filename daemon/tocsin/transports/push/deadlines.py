"""The deadlines of all calls of a pool in one place.

A cancel scope around every call costs 7 us, a bucket per twentieth of a second less than one: a
call is put into that of the first tick after its deadline, and is taken out when it has ended.
"""

import math
from collections.abc import Callable

import trio

from tocsin.transports.push.call import Call

TICKS_PER_SECOND = 20


class Deadlines:
    """Tells which calls are over their time: never early, and late by 50 ms at most."""

    def __init__(self) -> None:
        self._ticks: dict[int, dict[Call, None]] = {}
        self._next: float = math.inf
        self._sleep: trio.CancelScope | None = None

    def __len__(self) -> int:
        """Calls that are watched."""
        return sum(len(calls) for calls in self._ticks.values())

    def add(self, call: Call) -> None:
        """Watch it until it is discarded or due."""
        tick = _tick(call)
        calls = self._ticks.get(tick)
        if calls is None:
            self._ticks[tick] = {call: None}
            if tick < self._next:
                self._wake_at(tick)
        else:
            calls[call] = None

    def discard(self, call: Call) -> None:
        """Watch it no more."""
        tick = _tick(call)
        calls = self._ticks.get(tick)
        if calls is not None:
            calls.pop(call, None)
            if not calls:
                del self._ticks[tick]

    async def run(self, on_due: Callable[[list[Call]], None]) -> None:
        """Hand over those that are due together, the first ones first, until cancelled."""
        while True:
            self._next = min(self._ticks, default=math.inf)
            with trio.CancelScope(deadline=self._next / TICKS_PER_SECOND) as self._sleep:
                await trio.sleep_forever()
            due = self._take_due()
            if due:
                on_due(due)

    def _wake_at(self, tick: int) -> None:
        self._next = tick
        if self._sleep is not None:
            self._sleep.deadline = tick / TICKS_PER_SECOND

    def _take_due(self) -> list[Call]:
        now = trio.current_time()
        ticks = sorted(tick for tick in self._ticks if tick / TICKS_PER_SECOND <= now)
        return [call for tick in ticks for call in self._ticks.pop(tick)]


def _tick(call: Call) -> int:
    return math.ceil(call.deadline * TICKS_PER_SECOND)
