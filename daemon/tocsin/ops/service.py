"""One supervised service: what it reports and what is known about it."""

import enum
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import trio


class Activity(enum.Enum):
    """What a service last said about itself, other than a reason to wait."""

    MOVED = enum.auto()
    QUIET = enum.auto()


class Progress:
    """How a service tells that it is alive; each call is one attribute store.

    `waiting` stays true until the next `beat`: call that on waking up.
    """

    __slots__ = ("_started", "state")

    def __init__(self, started: Callable[[object], None]) -> None:
        self.state: Activity | str = Activity.QUIET
        self._started: Callable[[object], None] | None = started

    def beat(self) -> None:
        """Something moved; the bound starts again."""
        self.state = Activity.MOVED

    def waiting(self, reason: str = "work") -> None:
        """Nothing to do but wait for this; exempt from the bound."""
        self.state = reason

    def ready(self, value: object = None) -> None:
        """Set up, for an owner that waits in `nursery.start`; only the first call counts."""
        if self._started is not None:
            self._started(value)
            self._started = None

    @property
    def was_ready(self) -> bool:
        """Whether `ready` was ever called, in this run or one before."""
        return self._started is None


@attrs.define(eq=False)
class Service:
    """What the supervisor knows about one service. Times are Trio's.

    `scope` and `task` are set while it runs. `fault` says why it is down, None if it is not.
    """

    name: Final[str]
    bound: Final[float | None]
    progress: Final[Progress]
    moved_at: float = 0.0
    scope: trio.CancelScope | None = None
    task: trio.lowlevel.Task | None = None
    fault: str | None = None
    ended: bool = False
    failures: deque[float] = attrs.field(factory=deque)

    def begin(self, scope: trio.CancelScope, now: float) -> None:
        """It runs, in the current task, until `scope` is left."""
        self.scope, self.task = scope, trio.lowlevel.current_task()
        self.moved_at, self.fault = now, None
        self.progress.state = Activity.QUIET

    def end(self) -> None:
        """It does not run now; there is nothing to watch."""
        self.scope = self.task = None

    def observe(self, now: float, late: float) -> None:
        """Take in what it reported since the last look, which is `late` seconds overdue."""
        if self.progress.state is Activity.QUIET:
            self.moved_at = min(now, self.moved_at + late)
            return
        self.moved_at = now
        if self.progress.state is Activity.MOVED:
            self.progress.state = Activity.QUIET

    def overdue(self, now: float) -> bool:
        """Whether it runs, neither moves nor waits, and is past its bound."""
        if self.bound is None or self.scope is None:
            return False
        return now - self.moved_at > self.bound

    def count_failure(self, now: float, window: float) -> int:
        """Failures within the window, this one included.

        Where the bound is long the window is too, else a service that gets stuck each time
        would never spend its budget.
        """
        self.failures.append(now)
        while now - self.failures[0] > window:
            self.failures.popleft()
        return len(self.failures)

    def describe(self) -> str:
        """Its state in a few words, for `/readyz`."""
        if self.fault is not None:
            return f"down: {self.fault}"
        if self.ended:
            return "ended"
        if self.scope is None:
            return "restarting"
        state = self.progress.state
        return f"waiting: {state}" if isinstance(state, str) else "running"
