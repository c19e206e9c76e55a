"""How often somebody has asked for a Room he cannot join (messaging.md, MS-32).

Of at most `size` subscribers; where there are more, who failed longest ago is forgotten. Each
failure costs one of the messages that a subscriber may send, so it takes many subscribers to push
one out before his time.
"""

import math
from collections import OrderedDict, deque

WINDOW = 60_000
SIZE = 10_000


class Guesses:
    """Counts failures by subscriber; times are milliseconds."""

    def __init__(self, most: int, *, size: int = SIZE) -> None:
        """`most` in a minute."""
        self._most = most
        self._size = size
        self._times: OrderedDict[int, deque[int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def add(self, key: int, now: int) -> None:
        """One more failure."""
        self._times.setdefault(key, deque(maxlen=self._most)).append(now)
        self._times.move_to_end(key)
        if len(self._times) > self._size:
            self._times.popitem(last=False)

    def retry_after(self, key: int, now: int) -> int:
        """Whole seconds until he may try again; 0 if at once. Where the clock was put back, what
        has not been yet does not count: nobody waits longer than a minute."""
        times = self._times.get(key)
        if times is None or len(times) < self._most:
            return 0
        left = times[0] + WINDOW - now
        return math.ceil(left / 1000) if 0 < left <= WINDOW else 0
