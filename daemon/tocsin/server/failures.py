"""Who failed to log in how often in the last minute (CH-14).

A table of at most SIZE names. When it is full the name whose last failure is longest ago makes
room; since each failure has cost a scrypt hash and those are computed one at a time, SIZE of them
take longer than the window, so that no name is pushed out before its time.
"""

import math
from collections import OrderedDict, deque

ALLOWED = 10
WINDOW = 60.0
SIZE = 10_000


class Failures:
    """Counts failures by name; times are seconds of any one clock that does not jump."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def add(self, name: str, now: float) -> None:
        """One more failure."""
        self._times.setdefault(name, deque(maxlen=ALLOWED)).append(now)
        self._times.move_to_end(name)
        if len(self._times) > self._size:
            self._times.popitem(last=False)

    def retry_after(self, name: str, now: float) -> int:
        """Whole seconds until `name` may try again; 0 if at once."""
        times = self._times.get(name)
        if times is None or len(times) < ALLOWED:
            return 0
        return max(0, math.ceil(times[0] + WINDOW - now))
