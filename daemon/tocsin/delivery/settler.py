"""Judges outcomes and writes them in batches: done, tried again, dead, or channel suspended."""

import random
from collections.abc import Callable
from typing import assert_never

import attrs
import structlog
import trio

from tocsin.delivery.directory import Directory
from tocsin.delivery.schedule import Schedule
from tocsin.delivery.settings import DeliverySettings
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StoreError
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.store.interface import Claimed, DeadLetter, Rescheduled, Settlements, Store

MOST_GATHERED = 4096
PAUSE_AFTER_FAILURE = 1.0

log = structlog.get_logger()


class Settler:
    """What became of each attempt of one channel type, on its way to the store."""

    def __init__(
        self,
        kind: ChannelType,
        store: Store,
        directory: Directory,
        *,
        settings: DeliverySettings,
        unanswered_retries: int,
        metrics: Metrics,
        clock: Callable[[], int],
        rng: random.Random,
    ) -> None:
        """`on_due(lane, due_at)`, set by the queue, is told when a settled lane is next due."""
        self._kind = kind
        self._store = store
        self._directory = directory
        self._schedule = Schedule(settings, rng)
        self._unanswered_retries = unanswered_retries
        self._metrics = metrics
        self._clock = clock
        self.on_due: Callable[[str, int | None], None] = _nobody
        self._gathered = Settlements()
        self._suspended: list[Channel] = []
        self._work = trio.Event()
        self._room = trio.Event()

    def judge(self, claimed: Claimed, channel: Channel | None, outcome: Outcome) -> None:
        """Decide what an outcome means for its delivery; written a moment later."""
        match outcome:
            case Delivered():
                self._finish(claimed, "delivered")
            case Refused():
                self._finish(claimed, "refused")
            case Deferred():
                self._defer(claimed, outcome)
            case Gone():
                if channel is not None:
                    self._suspended.append(channel)
                self._again(claimed, self._clock(), unanswered=0)
            case _:
                assert_never(outcome)
        self._work.set()

    def release(self, claimed: Claimed, *, after: int = 0) -> None:
        """Put back a delivery that was claimed and not attempted, or cut off; due in `after` ms.

        If its channel has been removed meanwhile, the store skips it.
        """
        self._gathered.rescheduled.append(
            Rescheduled(claimed.id, self._clock() + after, claimed.attempts - 1, claimed.unanswered)
        )
        self._work.set()

    def expire(self, claimed: Claimed) -> None:
        """Its deadline passed before this attempt, which is not made."""
        if claimed.attempts > 1:
            self._bury(attrs.evolve(claimed, attempts=claimed.attempts - 1), "expired")
        else:
            self._finish(claimed, "expired")
        self._work.set()

    async def wait_room(self) -> None:
        """Wait while too much is gathered (the store is slow or failing)."""
        while len(self._gathered) >= MOST_GATHERED:
            await self._room.wait()

    async def run(self, progress: Progress) -> None:
        """Write what is gathered; what arrives during one commit shares the next."""
        while True:
            while not await self._write():
                progress.waiting("the store")
                await trio.sleep(PAUSE_AFTER_FAILURE)
            progress.waiting("outcomes")
            await self._work.wait()
            progress.beat()
            self._work = trio.Event()

    async def flush(self) -> None:
        """Write everything gathered; on a failing store, try again until it works."""
        while not await self._write():  # noqa: ASYNC110 - the store tells nobody when it works
            await trio.sleep(PAUSE_AFTER_FAILURE)

    async def _write(self) -> bool:
        """Write everything gathered; False, with nothing lost, when the store fails.

        Cancelled, what was not yet handed to the store is still gathered.
        """
        while self._gathered or self._suspended:
            try:
                await self._suspend()
                await self._settle()
            except StoreError as error:
                log.warning("store.settle_failed", reason=str(error))
                return False
        return True

    async def _suspend(self) -> None:
        """Before their deliveries are put back: nothing of them is to become due."""
        while self._suspended:
            channel = self._suspended[0]
            await self._directory.suspend(channel)
            self._suspended = [one for one in self._suspended if one is not channel]

    async def _settle(self) -> None:
        batch, self._gathered = self._gathered, Settlements()
        try:
            settled = await self._store.settle(batch, now=self._clock())
        except StoreError:
            self._put_back(batch)
            raise
        self._room.set()
        self._room = trio.Event()
        for lane, due_at in settled.lanes.items():
            self.on_due(lane, due_at)

    def _put_back(self, batch: Settlements) -> None:
        batch.finished += self._gathered.finished
        batch.rescheduled += self._gathered.rescheduled
        batch.dead += self._gathered.dead
        self._gathered = batch

    def _defer(self, claimed: Claimed, outcome: Deferred) -> None:
        unanswered = claimed.unanswered + 1 if outcome.unanswered else 0
        now = self._clock()
        if unanswered > self._unanswered_retries:
            self._bury(claimed, "unanswered", outcome.status)
            return
        due_at = self._schedule.next_attempt(
            claimed.notification, claimed.attempts, now=now, retry_after=outcome.retry_after
        )
        if due_at is None:
            self._bury(claimed, outcome.reason, outcome.status)
        elif due_at >= claimed.notification.expires_at:
            self._bury(claimed, "expired", outcome.status)
        else:
            self._again(claimed, due_at, unanswered=unanswered)

    def _again(self, claimed: Claimed, due_at: int, *, unanswered: int) -> None:
        self._gathered.rescheduled.append(
            Rescheduled(claimed.id, due_at, claimed.attempts, unanswered)
        )

    def _finish(self, claimed: Claimed, outcome: str) -> None:
        self._gathered.finished.append(claimed.id)
        self._count_outcome(claimed, outcome)

    def _bury(self, claimed: Claimed, reason: str, status: int | None = None) -> None:
        self._gathered.dead.append(
            DeadLetter(
                claimed.id,
                claimed.channel_id,
                self._kind,
                claimed.notification,
                self._clock(),
                claimed.attempts,
                reason,
                status,
            )
        )
        self._metrics.dead_letters[self._kind].inc()
        self._count_outcome(claimed, "expired" if reason == "expired" else "dead")
        log.warning(
            "delivery.dead",
            notification_id=claimed.notification.id,
            channel_id=claimed.channel_id,
            attempts=claimed.attempts,
            reason=reason,
        )

    def _count_outcome(self, claimed: Claimed, outcome: str) -> None:
        self._metrics.deliveries[self._kind, outcome].inc()
        latency = (self._clock() - claimed.notification.accepted_at) / 1000
        self._metrics.delivery_latency[self._kind].observe(latency)


def _nobody(_lane: str, _due_at: int | None) -> None:
    """No queue waits for this settler yet."""
