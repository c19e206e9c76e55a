"""The time of day as the daemon sees it."""

import time
from collections.abc import Callable
from typing import Self

import attrs
import trio


@attrs.frozen
class Clock:
    """Call it for epoch milliseconds.

    It is set once against the wall clock and from then on follows Trio's clock: it never steps
    while the daemon runs, and a test's mock clock moves it. It may be called from any thread.
    """

    _seconds: Callable[[], float]
    _offset: float

    @classmethod
    def start(cls, wall: Callable[[], float] = time.time) -> Self:
        """A clock set now; must be called inside Trio. `wall` gives epoch seconds."""
        seconds = trio.lowlevel.current_clock().current_time
        return cls(seconds, wall() - seconds())

    def __call__(self) -> int:
        return int((self._seconds() + self._offset) * 1000)
