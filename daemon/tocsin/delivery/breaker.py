"""The circuit breaker of a lane (delivery.md): a far side that fails is left alone for a while.

    state       event                                            next
    CLOSED      of >= 10 attempts within 60 s >= 70 % failed     OPEN for 30 s
    OPEN        its time is up                                   HALF_OPEN: one at a time
    HALF_OPEN   an attempt failed                                OPEN for twice as long, <= 10 min
    HALF_OPEN   an attempt met somebody                          CLOSED, with nothing counted

What was under way when the state changed tells about the time before it: each attempt remembers
the era it began in, and counts only while that lasts. Attempts are counted in slices of the
window, so that one costs a few additions, however many there are.
"""

import enum
from collections import deque
from typing import Self

from tocsin.model.outcome import Sign

WINDOW = 60_000
SLICES = 12
SLICE = WINDOW // SLICES
FEWEST = 10
PERCENT = 70
FIRST_REST = 30_000
LONGEST_REST = 600_000


class State(enum.Enum):
    """Whether a far side is called."""

    CLOSED = enum.auto()
    OPEN = enum.auto()
    HALF_OPEN = enum.auto()


class Breaker:
    """Times are epoch milliseconds, given by the caller.

    `until` is when an open one lets a probe through. Before `forgettable_at` it knows something
    that a new one would not.
    """

    __slots__ = ("_rest", "_window", "era", "forgettable_at", "state", "until")

    def __init__(self, era: int = 0) -> None:
        """`era`: one that no attempt under way began in."""
        self.state = State.CLOSED
        self.era = era
        self.until = 0
        self.forgettable_at = 0
        self._rest = FIRST_REST
        self._window = _Window()

    @classmethod
    def opened(cls, until: int, rest: int, *, now: int) -> Self:
        """As one of an earlier process was; whatever the clock did meanwhile, no longer than it
        may last."""
        made = cls()
        made._open(now, min(max(rest, FIRST_REST), LONGEST_REST))
        made.until = min(until, now + LONGEST_REST)
        made.forgettable_at = made.until + WINDOW
        return made

    @property
    def rest(self) -> int:
        """For how long it was opened last, milliseconds."""
        return self._rest

    def most(self, width: int, now: int) -> int:
        """How many may be attempted at a time, of those that the lane's width allows."""
        if self.state is State.CLOSED:
            return width
        if self.state is State.OPEN:
            if now < self.until:
                return 0
            self._enter(State.HALF_OPEN)
        return min(width, 1)

    def note(self, sign: Sign, *, era: int, now: int) -> None:
        """Count an attempt that began in `era`."""
        if era != self.era or sign is Sign.NOTHING:
            return
        failed = sign is Sign.FAILURE
        if failed:
            self.forgettable_at = now + WINDOW
        if self.state is State.CLOSED:
            self._window.count(failed=failed, now=now)
            if failed and self._window.is_bad:
                self._open(now, FIRST_REST)
        elif failed:
            self._open(now, min(2 * self._rest, LONGEST_REST))
        else:
            self._enter(State.CLOSED)

    def _open(self, now: int, rest: int) -> None:
        self._rest = rest
        self.until = now + rest
        self.forgettable_at = self.until + WINDOW
        self._enter(State.OPEN)

    def _enter(self, state: State) -> None:
        self.state = state
        self.era += 1
        self._window = _Window()


class _Window:
    """Attempts and failures of the last minute, by slices of it."""

    __slots__ = ("_attempts", "_failures", "_number", "_slices")

    def __init__(self) -> None:
        # Of whole slices: their number, attempts and failures, oldest first; then of all together.
        self._slices: deque[list[int]] = deque()
        self._number = -1
        self._attempts = self._failures = 0

    def count(self, *, failed: bool, now: int) -> None:
        number = now // SLICE
        if number != self._number:
            self._begin(number)
        current = self._slices[-1]
        current[1] += 1
        self._attempts += 1
        if failed:
            current[2] += 1
            self._failures += 1

    @property
    def is_bad(self) -> bool:
        """Enough attempts to tell, and most of them failed."""
        return self._attempts >= FEWEST and 100 * self._failures >= PERCENT * self._attempts

    def _begin(self, number: int) -> None:
        """A new slice; what is a window older is forgotten."""
        self._number = number
        self._slices.append([number, 0, 0])
        while self._slices[0][0] <= number - SLICES:
            _, attempts, failures = self._slices.popleft()
            self._attempts -= attempts
            self._failures -= failures
