"""How long to wait before the next connection to a server that gives none (push.md, PU-66)."""

from collections.abc import Callable

import trio

SHORTEST = 0.2
LONGEST = 30.0


class Backoff:
    """Doubles from 0.2 s to 30 s, and waits between half of it and all.

    `jitter` gives a number from 0 to 1.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._delay = 0.0
        self._until = 0.0

    @property
    def is_first(self) -> bool:
        """Nothing has failed since it last worked."""
        return self._delay == 0

    def failed(self) -> None:
        """Wait longer than last time."""
        self._delay = min(LONGEST, max(SHORTEST, 2 * self._delay))
        self._until = trio.current_time() + self._delay * (1 + self._jitter()) / 2

    def worked(self) -> None:
        """The next one need not wait."""
        self._delay = self._until = 0.0

    async def wait(self) -> None:
        """Until it may be tried again."""
        await trio.sleep_until(self._until)
