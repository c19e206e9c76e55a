"""How much a subscriber may say, over all his connections (messaging.md, 12)."""

from typing import Final

import attrs

from tocsin.messaging.settings import MessagingLimits

CAPACITY: Final = 65_536
FLOOD_SECONDS: Final = 10
# A rounding error must not cost the last of a burst.
NOTHING: Final = 1e-9


@attrs.define
class _Meter:
    """`full_at` is when the whole burst may be said again; `count` the messages of `second`, and
    `floods` how many seconds right before it were over the bound."""

    full_at: float
    second: int
    count: int = 0
    floods: int = 0


class Rates:
    """A meter for each subscriber who says something.

    When the table is full the one unused for longest makes room: it is the one most likely full,
    and a full one is as good as a new one.
    """

    def __init__(self, limits: MessagingLimits, *, capacity: int = CAPACITY) -> None:
        self._limits = limits
        self._capacity = capacity
        self._meters: dict[int, _Meter] = {}

    def __len__(self) -> int:
        return len(self._meters)

    def is_flood(self, key: int, now: float) -> bool:
        """To be asked of every message, also of those that are ignored: whether there have been
        too many in each second for so long that the connection is to be closed."""
        meter = self._meter(key, now)
        second = int(now)
        if second != meter.second:
            follows = second == meter.second + 1 and meter.count > self._limits.flood
            meter.floods = meter.floods + 1 if follows else 0
            meter.second, meter.count = second, 0
        meter.count += 1
        return meter.floods >= FLOOD_SECONDS

    def take(self, key: int, now: float) -> float:
        """0 if one more may be handled, else the seconds until it may (and nothing is taken)."""
        meter = self._meter(key, now)
        cost = 1 / self._limits.rate
        full_at = max(meter.full_at, now) + cost
        excess = full_at - now - self._limits.burst * cost
        if excess > NOTHING:
            return excess
        meter.full_at = full_at
        return 0.0

    def _meter(self, key: int, now: float) -> _Meter:
        meter = self._meters.pop(key, None) or _Meter(now, int(now))
        self._meters[key] = meter
        if len(self._meters) > self._capacity:
            del self._meters[next(iter(self._meters))]
        return meter
