"""What becomes too old: Log entries, messages, dedupe-ids, invitations (messaging.md, 12)."""

from collections.abc import Callable, Sequence

from tocsin.delivery.sweeping import keep_sweeping
from tocsin.messaging.settings import MessagingLimits
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.store.messages import Messages

EVERY = 10.0
SLICE = 500


class Housekeeping:
    """Drops it in batches that let others in between."""

    def __init__(
        self,
        store: Messages,
        *,
        limits: MessagingLimits,
        on_lapsed: Callable[[Sequence[tuple[int, int]]], None],
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        """`on_lapsed` is told of invitations that are over, by (Room, Subscriber) keys."""
        self._store = store
        self._limits = limits
        self._on_lapsed = on_lapsed
        self._metrics = metrics
        self._clock = clock

    async def run(self, progress: Progress) -> None:
        """Sweep every few seconds until cancelled; a failing store is tried again."""
        await keep_sweeping(
            self.sweep, progress, every=EVERY, on_failure="messaging.housekeeping_failed"
        )

    async def sweep(self, beat: Callable[[], None] = lambda: None) -> None:
        """Everything that is due now. Logs come before messages: what a Log still refers to is
        not too old."""
        now, limits = self._clock(), self._limits
        while await self._trim(now - limits.log_age * 1000) >= SLICE:
            beat()
        before = now - limits.history_age * 1000
        while await self._store.prune_messages(before, limit=SLICE) >= SLICE:
            beat()
        before = now - limits.dedupe_age * 1000
        while await self._store.forget_dedupes(before, limit=SLICE) >= SLICE:
            beat()
        while await self._lapse(now) >= SLICE:
            beat()

    async def _trim(self, before: int) -> int:
        count = await self._store.trim_logs(before, limit=SLICE)
        self._metrics.messaging_log_trimmed.inc(count)
        return count

    async def _lapse(self, now: int) -> int:
        lapsed = await self._store.lapse_invitations(now, limit=SLICE)
        if lapsed:
            self._on_lapsed(lapsed)
        return len(lapsed)
