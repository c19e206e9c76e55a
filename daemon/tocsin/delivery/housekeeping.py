"""What has to be looked after though nobody asks: clocks, deadlines, old letters, gauges."""

from collections.abc import Callable

import structlog

from tocsin.delivery.devices import Devices
from tocsin.delivery.directory import Directory
from tocsin.delivery.endings import Ending, Endings
from tocsin.delivery.expiry import Expiry
from tocsin.delivery.settings import DeliverySettings
from tocsin.delivery.sweeping import keep_sweeping
from tocsin.model.channel import ChannelType
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.store.interface import Store

SLICE = 500
DAY = 86_400_000
KEPT = (ChannelType.WEBHOOKS, ChannelType.OMAPUSH)
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
        forget_tokens_days: int = 30,
        remembered: int = 5_000_000,
        signs_all: bool = False,
        devices: Devices | None = None,
        endings: Endings | None = None,
    ) -> None:
        """`on_lane` is told of lanes where an expiry has made way for what waited behind it.
        `signs_all`: webhooks without a secret of their own are signed, too (PU-76). Webhooks go
        after `collect_unused_days` without use, device tokens of the gateway after
        `forget_tokens_days`; of what is remembered `remembered` rows of a kind are kept.
        `tell` makes an event of a dead letter (`Events.emit`)."""
        self._signs_all = signs_all
        self._unused = {
            ChannelType.WEBHOOKS: collect_unused_days * DAY,
            ChannelType.OMAPUSH: forget_tokens_days * DAY,
        }
        self._remembered = remembered
        self._devices = devices
        self._endings = Endings() if endings is None else endings
        self._store = store
        self._directory = directory
        self._expiry = Expiry(store, directory, clock=clock)
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._on_lane = on_lane
        self.tell: Callable[..., None] = log.warning
        self._next_ages = 0
        self._next_prune = clock() + PRUNE_EVERY

    def reconfigure(self, *, remembered: int, signs_all: bool) -> None:
        """See the constructor."""
        self._remembered = remembered
        self._signs_all = signs_all

    async def run(self, progress: Progress) -> None:
        """Sweep once a second until cancelled; a failing store is tried again."""
        await keep_sweeping(self.sweep, progress, every=1, on_failure="housekeeping.failed")

    async def sweep(self, beat: Callable[[], None] = lambda: None) -> None:
        """Everything that is due now, in slices that let others in between."""
        now = self._clock()
        if self._store.failing is not None:
            await self._store.probe(now)
        while await self._expiry.end_channels(SLICE) == SLICE:
            beat()
        while await self._directory.take_over_abandoned(SLICE) == SLICE:
            beat()
        while await self._expiry.end_subscriptions(SLICE) == SLICE:
            beat()
        while await self._expire_deliveries() >= SLICE:
            beat()
        await self._forget(now, beat)
        if now >= self._next_ages:
            self._next_ages = now + AGES_EVERY
            await self._measure_ages(now)
            await self._count_unsigned()
        if now >= self._next_prune:
            self._next_prune = now + PRUNE_EVERY
            await self._prune(now, beat)

    async def _forget(self, now: int, beat: Callable[[], None]) -> None:
        """What was submitted, and what went with its token, too long ago or too much of it."""
        before, keep = now - KEPT_SUBMISSIONS, self._remembered
        while await self._store.forget_submissions(before, keep=keep, limit=SLICE) >= SLICE:
            beat()
        if self._devices is not None:
            while await self._devices.forget(keep=keep, limit=SLICE) >= SLICE:
                beat()
        for table, rows in self._store.remembered.items():
            self._metrics.remembered[table].set(rows)

    async def _expire_deliveries(self) -> int:
        """Who is told that his push has expired needs no dead letter (PU-15)."""
        ended = await self._store.expire_deliveries(
            self._clock(), limit=SLICE, keep=KEPT, spare=self._endings.watched
        )
        self._endings.tell_all(ended.pushes, Ending("expired", "expired"))
        for kind, count in ended.counts.items():
            self._metrics.deliveries[kind, "expired"].inc(count)
        for letter in ended.buried:
            self.tell(
                "delivery.dead",
                notification_id=letter.notification_id,
                channel_id=letter.channel_id,
                attempts=letter.attempts,
                reason="expired",
            )
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
        for kind, unused in self._unused.items():
            while await self._expiry.end_unused(kind, now - unused, SLICE) == SLICE:
                beat()

    async def _count_unsigned(self) -> None:
        unsigned = 0 if self._signs_all else await self._store.count_unsigned()
        self._metrics.webhook_unsigned_channels.set(unsigned)
