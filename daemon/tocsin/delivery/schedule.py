"""When to try again: the retry lists of delivery.md as a pure function.

Due times, deadlines and what blocks a lane go by the daemon's own clock (`ops.clock`), which is
set at the start and never steps: while the daemon runs, the wall clock may jump either way and
nothing is early, late or past its deadline. What is stored are epoch milliseconds, so a wall clock
that was set between two runs shifts what waits by as much, and no more: set forward, retries and
deadlines come sooner, as after a longer stop; set back, they come later by the step. Only what a
receiver compares with its own clock, a webhook's timestamp and a `Retry-After` date, is the wall's.
"""

import random

from tocsin.delivery.settings import DeliverySettings
from tocsin.model.channel import ChannelType
from tocsin.model.notification import Notification, Priority

MOST_URGENT_GAP = 30.0
LONGEST_RETRY_AFTER = 86_400.0
PUSH_GAP = 300.0


class Schedule:
    """Gaps between attempts, stretched or shrunk by jitter. Devices are tried until the deadline,
    webhooks until the end of their list."""

    def __init__(
        self,
        settings: DeliverySettings,
        rng: random.Random,
        kind: ChannelType = ChannelType.WEBHOOKS,
    ) -> None:
        is_push = kind is ChannelType.OMAPUSH
        self._normal = settings.push_retries if is_push else settings.webhook_retries
        self._last = max(PUSH_GAP, self._normal[-1]) if is_push else None
        self._urgent = settings.urgent_retries
        self._jitter = settings.jitter
        self._rng = rng

    def next_attempt(
        self, notification: Notification, attempts: int, *, now: int, retry_after: float | None
    ) -> int | None:
        """When to try again after `attempts` tries (epoch ms); None when the list is at its end.

        `retry_after` seconds is a floor, clamped to a day. The caller compares the answer with
        the notification's deadline.
        """
        gap = self._gap(attempts, urgent=notification.priority is Priority.URGENT)
        if gap is None:
            return None
        gap *= 1 + self._jitter * self._rng.uniform(-1, 1)
        floor = min(retry_after or 0.0, LONGEST_RETRY_AFTER)
        return now + int(max(gap, floor) * 1000)

    def _gap(self, attempts: int, *, urgent: bool) -> float | None:
        if not urgent:
            return self._normal[attempts] if attempts < len(self._normal) else self._last
        if attempts < len(self._urgent):
            return self._urgent[attempts]
        doublings = min(attempts - len(self._urgent) + 1, 16)
        return min(max(self._urgent[-1], 0.1) * 2.0**doublings, MOST_URGENT_GAP)
