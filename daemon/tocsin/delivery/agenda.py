"""Which lanes a queue looks at next: those that are ready now, and one heap of alarms."""

import heapq
from collections.abc import Callable, Iterable

import trio

MOST_STALE = 64
LONGEST = 1.0


class Agenda:
    """Names of lanes, and when to look at them. Times are epoch milliseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._ready: dict[str, None] = {}
        self._alarms: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._woken = trio.Event()

    def __len__(self) -> int:
        """How many alarms are noted."""
        return len(self._heap)

    def mark(self, lane: str) -> None:
        """Look at a lane now."""
        self._ready[lane] = None
        self._woken.set()

    def nudge(self) -> None:
        """There may be an alarm sooner than was waited for, or something free."""
        self._woken.set()

    def set_alarm(self, lane: str, at: int) -> None:
        """Look at a lane then; what comes later is planned by then."""
        known = self._alarms.get(lane)
        if known is not None and known <= at:
            return
        self._alarms[lane] = at
        heapq.heappush(self._heap, (at, lane))
        if len(self._heap) > 2 * len(self._alarms) + MOST_STALE:
            self._heap = [(at, lane) for lane, at in self._alarms.items()]
            heapq.heapify(self._heap)

    def take(self) -> Iterable[str]:
        """The lanes to look at now."""
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            at, lane = heapq.heappop(self._heap)
            if self._alarms.get(lane) == at:
                del self._alarms[lane]
                self._ready[lane] = None
        ready, self._ready = self._ready, {}
        return ready

    async def wait(self) -> None:
        """Until a lane is ready or the next alarm comes, at most a second."""
        seconds = LONGEST
        if self._heap:
            seconds = min(seconds, max(0.0, (self._heap[0][0] - self._clock()) / 1000))
        with trio.move_on_after(seconds):
            await self._woken.wait()
        if self._woken.is_set():
            self._woken = trio.Event()

    async def wait_marked(self) -> None:
        """Until something has happened to a lane."""
        await self._woken.wait()

    def clear_alarms(self) -> None:
        """Forget when to look at what; what is ready stays so."""
        self._alarms.clear()
        self._heap.clear()
