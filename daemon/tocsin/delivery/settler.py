"""Judges outcomes and writes them in batches: done, tried again, dead, or channel suspended.

What became of a gateway push is told, once it is written, to whoever waits for it: whether anybody
does decides whether it leaves a dead letter (push.md, PU-15).
"""

import random
from collections.abc import Callable, Sequence
from typing import assert_never

import attrs
import structlog
import trio

from tocsin.delivery.devices import DOUBTS, Devices
from tocsin.delivery.directory import Directory
from tocsin.delivery.endings import Ending, Endings
from tocsin.delivery.removals import Removal, Removals
from tocsin.delivery.schedule import Schedule
from tocsin.delivery.settings import DeliverySettings
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StoreError
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.store.interface import Store
from tocsin.store.records import Attempt, Claimed, DeadLetter, Rescheduled, Settled, Settlements

MOST_GATHERED = 4096
PAUSE_AFTER_FAILURE = 1.0
SHORTEST_REST, LONGEST_REST = 1000, 300_000

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
        unanswered_retries: int | None = None,
        suspend_after: int | None = None,
        devices: Devices | None = None,
        endings: Endings | None = None,
        metrics: Metrics,
        clock: Callable[[], int],
        rng: random.Random,
    ) -> None:
        """`unanswered_retries`: how often in a row what was not answered is sent again, None for
        ever. `devices` judges what is said of device tokens; without it a channel that is gone is
        suspended. `endings` are told what became of gateway pushes. `suspend_after`: milliseconds
        for which a channel may fail without one success, None for ever. `on_due(lane, due_at,
        urgent_at)`, set by the queue, is told when a settled lane is next due, and with something
        urgent. `tell` makes an event of a dead letter (`Events.emit`)."""
        self._kind = kind
        self._store = store
        self._directory = directory
        self._rng = rng
        self._schedule = Schedule(settings, rng, kind)
        self._unanswered_retries = unanswered_retries
        self._devices = devices
        self._removals = Removals(devices)
        self._endings = Endings() if endings is None else endings
        self._suspend_after = suspend_after
        self._metrics = metrics
        self._clock = clock
        self.on_due: Callable[[str, int | None, int | None], None] = _nobody
        self.tell: Callable[..., None] = log.warning
        self._gathered = Settlements()
        self._suspended: list[Channel] = []
        self._telling: list[tuple[Claimed, Ending]] = []
        self._marked: dict[int, Channel] = {}
        self._work = trio.Event()
        self._room = trio.Event()
        self._batches = self._written = 0

    def reconfigure(self, settings: DeliverySettings) -> None:
        """Other retry lists from now on; what has been put off stays put off."""
        self._schedule = Schedule(settings, self._rng, self._kind)

    def judge(
        self, claimed: Claimed, channel: Channel, outcome: Outcome, *, result: str, seconds: float
    ) -> None:
        """Decide what an outcome means for its delivery and its channel; written a moment later.

        `result` is the word for it in the delivery log.
        """
        if self._devices is not None:
            judged = self._devices.judge(channel, outcome, seconds=seconds)
            if judged is not outcome:
                outcome, result = judged, type(judged).__name__.lower()
        self._log(claimed, result, outcome, seconds)
        if claimed.is_escalated and claimed.attempts == 1:
            self._metrics.escalations["push"].inc()
        match outcome:
            case Delivered():
                self._delivered(claimed)
                channel.rest = 0
                if channel.failing_since is not None:
                    self._mark_failing(channel, None)
            case Refused():
                self._refuse(claimed, outcome)
            case Deferred():
                self._defer(claimed, channel, outcome)
                self._note_failure(channel, outcome)
            case Gone() if self._devices is not None:
                judged_at = self._clock() - int(seconds * 1000)
                self._removals.add(Removal(claimed, channel, outcome, judged_at))
            case Gone():
                self._suspended.append(channel)
                self._again(claimed, self._clock(), unanswered=0)
            case _:
                assert_never(outcome)
        if Word.SUSPEND in outcome.words:
            self._suspended.append(channel)
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
        claimed_before = attrs.evolve(claimed, attempts=claimed.attempts - 1)
        self._log(claimed_before, "expired")
        ending = Ending("expired", "expired")
        if claimed.attempts > 1:
            self._give_up(claimed_before, ending)
        else:
            self._finish(claimed, "expired")
            self._conclude(claimed, ending)
        self._work.set()

    async def wait_room(self) -> None:
        """Wait while too much is gathered (the store is slow or failing)."""
        while len(self._gathered) + len(self._removals) >= MOST_GATHERED:
            await self._room.wait()

    async def wait_written(self) -> None:
        """Wait until what is gathered by now has been written."""
        mine = self._batches + 1 if self._gathered else self._batches
        while self._written < mine:
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

        Cancelled, what was not yet handed to the store is still gathered, and so is what was if
        its commit fails: what became of that is noted whether or not anybody waits.
        """
        while self._gathered or self._suspended or self._removals.has_work:
            try:
                await self._suspend()
                is_through = await self._removals.carry_out(self._let_go, self._try_again)
                await self._settle()
            except StoreError as error:
                log.warning("store.settle_failed", reason=str(error))
                return False
            if not is_through:
                return False
        return True

    async def _suspend(self) -> None:
        """Before their deliveries are put back: nothing of them is to become due."""
        while self._suspended:
            channel = self._suspended[0]
            await self._directory.suspend(channel)
            self._suspended = [one for one in self._suspended if one is not channel]

    def _let_go(self, removal: Removal) -> None:
        """It has gone with its channel. Unless somebody else was to remove that, and has failed:
        then it is put back, and nobody holds it claimed."""
        self.release(removal.claimed)

    def _try_again(self, removal: Removal) -> None:
        """Its token has been registered anew meanwhile (PU-50)."""
        stale = Deferred("stale", sign=Sign.CONTACT)
        self._defer(removal.claimed, removal.channel, stale)

    async def _settle(self) -> None:
        batch, self._gathered = self._gathered, Settlements()
        self._batches += 1
        number = self._batches
        telling, self._telling = self._telling, []
        marked, self._marked = self._marked, {}
        # As it is now: a channel may have been resumed since it was marked.
        batch.failing = {key: channel.failing_since for key, channel in marked.items()}
        batch.held = {key: one.held_until for key, one in marked.items() if one.held_until}

        def done(settled: Settled | None, error: StoreError | None) -> None:
            if settled is None or error is not None:
                self._put_back(batch)
                self._telling = telling + self._telling
                self._marked = marked | self._marked
                # Whoever runs by now has not seen the failure.
                self._work.set()
            else:
                self._written = number
                self._settled(settled, telling)

        await self._store.settle(batch, done, now=self._clock())

    def _settled(self, settled: Settled, telling: Sequence[tuple[Claimed, Ending]]) -> None:
        self._room.set()
        self._room = trio.Event()
        for lane, due_at in settled.lanes.items():
            self.on_due(lane, due_at, settled.urgent.get(lane))
        for claimed, ending in telling:
            self._endings.tell(claimed.id, claimed.notification, ending)

    def _put_back(self, batch: Settlements) -> None:
        batch.finished += self._gathered.finished
        batch.rescheduled += self._gathered.rescheduled
        batch.dead += self._gathered.dead
        batch.attempts += self._gathered.attempts
        batch.pushes += self._gathered.pushes
        self._gathered = batch

    def _defer(self, claimed: Claimed, channel: Channel, outcome: Deferred) -> None:
        unanswered = claimed.unanswered + 1 if outcome.unanswered else 0
        now = self._clock()
        if outcome.sign is Sign.NOTHING and now >= claimed.notification.expires_at:
            self.expire(claimed)
            return
        most = self._unanswered_retries
        if most is not None and unanswered > most:
            self._give_up(claimed, Ending("dead", "unanswered", outcome.status))
            return
        floor = outcome.retry_after or 0.0
        if Word.DELAY in outcome.words:
            floor = max(floor, self._rest(channel, now))
        due_at = self._schedule.next_attempt(
            claimed.notification, claimed.attempts, now=now, retry_after=floor
        )
        if due_at is None:
            self._give_up(claimed, Ending("dead", outcome.reason, outcome.status))
        elif due_at >= claimed.notification.expires_at:
            self._give_up(claimed, Ending("expired", "expired", outcome.status))
        else:
            self._again(claimed, due_at, unanswered=unanswered)

    def _rest(self, channel: Channel, now: int) -> float:
        """Leave a device alone, twice as long each time; the seconds until it may be tried again
        (PU-55). Answers to what was under way together count once."""
        if not channel.held_for(now):
            channel.rest = min(max(2 * channel.rest, SHORTEST_REST), LONGEST_REST)
            channel.held_until = now + channel.rest
            self._marked[channel.key] = channel
        return (channel.held_until - now) / 1000

    def _note_failure(self, channel: Channel, outcome: Deferred) -> None:
        """Others of the channel may have to wait, too (PU-81); a channel that only fails is
        suspended. Who does not answer may have got it (CH-83)."""
        now = self._clock()
        if Word.HOLD in outcome.words:
            asked = int((outcome.retry_after or 0) * 1000)
            channel.held_until = now + max(channel.held_for(now), asked)
            self._marked[channel.key] = channel
        if outcome.unanswered or outcome.sign is Sign.NOTHING or self._suspend_after is None:
            return
        if channel.failing_since is None:
            self._mark_failing(channel, now)
        elif now - channel.failing_since >= self._suspend_after:
            self._suspended.append(channel)

    def _mark_failing(self, channel: Channel, since: int | None) -> None:
        channel.failing_since = since
        self._marked[channel.key] = channel

    def _log(
        self,
        claimed: Claimed,
        result: str,
        outcome: Outcome | None = None,
        seconds: float | None = None,
    ) -> None:
        """A line of the delivery log; without an outcome no attempt was made."""
        notification = claimed.notification
        self._gathered.attempts.append(
            Attempt(
                claimed.id,
                notification.id,
                notification.user,
                claimed.channel_id,
                self._kind,
                self._clock(),
                claimed.attempts,
                result,
                None if seconds is None else int(seconds * 1000),
                None if outcome is None else outcome.status,
                self._reason(claimed, outcome),
                None if outcome is None else outcome.excerpt or None,
            )
        )

    def _reason(self, claimed: Claimed, outcome: Outcome | None) -> str | None:
        """Why it failed; of a leg that did not, its part in an escalation."""
        if not isinstance(outcome, Delivered):
            return None if outcome is None else outcome.reason
        if claimed.is_escalated:
            return "escalated"
        escalates = self._kind is ChannelType.OMAPUSH and not claimed.notification.is_gateway_push
        return "direct" if escalates else None

    def _again(self, claimed: Claimed, due_at: int, *, unanswered: int) -> None:
        self._gathered.rescheduled.append(
            Rescheduled(claimed.id, due_at, claimed.attempts, unanswered)
        )

    def _delivered(self, claimed: Claimed) -> None:
        self._finish(claimed, "delivered")
        if self._conclude(claimed, Ending("delivered")) is not None:
            self._gathered.pushes.append((claimed.id, "delivered"))

    def _refuse(self, claimed: Claimed, outcome: Refused) -> None:
        """What was answered 2xx and is not sent after all is a dead letter (PU-15, PU-49)."""
        ending = Ending("refused", outcome.reason, outcome.status)
        if claimed.notification.is_gateway_push or outcome.reason in DOUBTS:
            self._give_up(claimed, ending)
        else:
            self._finish(claimed, "refused")

    def _give_up(self, claimed: Claimed, ending: Ending) -> None:
        """It is over: a dead letter, unless somebody is told of it now (PU-15)."""
        if self._conclude(claimed, ending):
            self._finish(claimed, ending.result)
        else:
            self._bury(claimed, ending.reason or ending.result, ending.status)

    def _conclude(self, claimed: Claimed, ending: Ending) -> bool | None:
        """Have it told how a gateway push ended, once that is stored; whether somebody waits for
        that. None of what is no push."""
        if not claimed.notification.is_gateway_push:
            return None
        self._telling.append((claimed, ending))
        return self._endings.decide(claimed.id)

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
        self._count_outcome(claimed, "expired" if reason == "expired" else "dead")
        self.tell(
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


def _nobody(_lane: str, _due_at: int | None, _urgent_at: int | None) -> None:
    """No queue waits for this settler yet."""
