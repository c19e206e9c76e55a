"""What has to be looked after though nobody asks: clocks, deadlines, old letters, gauges."""

from collections.abc import Callable

import structlog
import trio

from tocsin.delivery.directory import Directory
from tocsin.delivery.settings import DeliverySettings
from tocsin.model.channel import ChannelType
from tocsin.model.errors import StoreError
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.store.interface import Store

SLICE = 500
DAY = 86_400_000
KEPT = (ChannelType.WEBHOOKS,)
AGES_EVERY = 15_000
PRUNE_EVERY = 3_600_000
KEPT_SUBMISSIONS = DAY

log = structlog.get_logger()


class Housekeeping:
    """Ends channels and deliveries whose time is up, within a second or so."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        *,
        settings: DeliverySettings,
        metrics: Metrics,
        clock: Callable[[], int],
        on_lane: Callable[[str], None],
        collect_unused_days: int = 30,
        signs_all: bool = False,
    ) -> None:
        """`on_lane` is told of lanes where an expiry has made way for what waited behind it.
        `signs_all`: webhooks without a secret of their own are signed, too (PU-76)."""
        self._signs_all = signs_all
        self._collect_unused = collect_unused_days * DAY
        self._store = store
        self._directory = directory
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._on_lane = on_lane
        self._next_ages = 0
        self._next_prune = clock() + PRUNE_EVERY

    async def run(self, progress: Progress) -> None:
        """Sweep once a second until cancelled; a failing store is tried again."""
        while True:
            progress.beat()
            try:
                await self.sweep(progress.beat)
            except StoreError as error:
                log.warning("housekeeping.failed", reason=str(error))
            progress.waiting("the next second")
            await trio.sleep(1)

    async def sweep(self, beat: Callable[[], None] = lambda: None) -> None:
        """Everything that is due now, in slices that let others in between."""
        now = self._clock()
        if self._store.failing is not None:
            await self._store.probe(now)
        while await self._directory.expire_channels(SLICE) == SLICE:
            beat()
        while await self._directory.take_over_abandoned(SLICE) == SLICE:
            beat()
        while await self._directory.expire_subscriptions(SLICE) == SLICE:
            beat()
        while await self._expire_deliveries() >= SLICE:
            beat()
        while await self._store.forget_submissions(now - KEPT_SUBMISSIONS, limit=SLICE) >= SLICE:
            beat()
        if now >= self._next_ages:
            self._next_ages = now + AGES_EVERY
            await self._measure_ages(now)
            await self._count_dead_letters()
            await self._count_unsigned()
        if now >= self._next_prune:
            self._next_prune = now + PRUNE_EVERY
            await self._prune(now, beat)

    async def _expire_deliveries(self) -> int:
        ended = await self._store.expire_deliveries(self._clock(), limit=SLICE, keep=KEPT)
        for kind, count in ended.counts.items():
            self._metrics.deliveries[kind, "expired"].inc(count)
        for lane in ended.lanes:
            self._on_lane(lane)
        return sum(ended.counts.values())

    async def _measure_ages(self, now: int) -> None:
        oldest = await self._store.oldest()
        for kind in ChannelType:
            accepted_at = oldest.get(kind)
            age = 0.0 if accepted_at is None else max(0, now - accepted_at) / 1000
            self._metrics.queue_oldest_age[kind].set(age)

    async def _prune(self, now: int, beat: Callable[[], None]) -> None:
        before = now - self._settings.dead_letter_days * DAY
        while await self._store.prune_dead_letters(before, limit=SLICE) == SLICE:
            beat()
        while await self._directory.collect_unused(now - self._collect_unused, SLICE) == SLICE:
            beat()
        await self._count_dead_letters()

    async def _count_dead_letters(self) -> None:
        counts = await self._store.count_dead_letters()
        for kind in ChannelType:
            self._metrics.dead_letters[kind].set(counts.get(kind, 0))

    async def _count_unsigned(self) -> None:
        unsigned = 0 if self._signs_all else await self._store.count_unsigned()
        self._metrics.webhook_unsigned_channels.set(unsigned)
