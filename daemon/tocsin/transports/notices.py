"""What is said once an hour at most, however often it happens."""

from collections.abc import Callable

HOUR = 3600.0
KNOWN = 4_096


class Hourly:
    """Remembers what was said of whom, of the 4,096 that came last."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        """`seconds` is a clock that never steps."""
        self._seconds = seconds
        self._said: dict[str, float] = {}

    def is_due(self, about: str) -> bool:
        """Whether an hour has passed since it was last; it counts as said now."""
        now = self._seconds()
        last = self._said.get(about)
        if last is not None and now - last < HOUR:
            return False
        self._said.pop(about, None)
        if len(self._said) >= KNOWN:
            del self._said[next(iter(self._said))]
        self._said[about] = now
        return True
