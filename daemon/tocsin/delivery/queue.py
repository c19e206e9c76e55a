"""The delivery queue of one channel type: claims what is due, lane by lane, and has it tried.

The store is the queue; a lane holds a small window of it in memory. Each lane has its own
workers, at most its width, and its own claims, so what hangs in one lane is never waited for by
another. Lanes whose next delivery lies ahead stand in one heap of deadlines.

A blocked lane claims nothing; what it held goes back uncounted. Due times, deadlines and what
blocks a lane follow the daemon's own clock, which never steps (`ops.clock`): the wall clock may
jump either way without an attempt too early, too late or past its deadline.
"""

import heapq
import time
from collections.abc import Callable
from typing import Protocol

import structlog
import trio

from tocsin.delivery.directory import Directory
from tocsin.delivery.events import Events
from tocsin.delivery.lane import Lane
from tocsin.delivery.lanecontrol import LaneStatus
from tocsin.delivery.settings import DeliverySettings
from tocsin.delivery.settler import Settler
from tocsin.delivery.slots import Slots
from tocsin.model.channel import Channel, ChannelState, ChannelType, type_of_lane
from tocsin.model.delivery import Delivery
from tocsin.model.errors import StoreError
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.store.interface import Store
from tocsin.store.records import Claimed

LEASE = 120_000
MOST_CLAIMS = 64
TURN = 16
PAUSE_AFTER_FAILURE = 1000
MOST_STALE = 64
RESULTS = {Delivered: "delivered", Deferred: "deferred", Refused: "refused", Gone: "gone"}

log = structlog.get_logger()


class Transport(Protocol):
    """Tries one delivery once."""

    async def attempt(self, delivery: Delivery) -> Outcome:
        """Exactly one outcome; decides nothing. Cancellation leaves no half-used connection."""


class DeliveryQueue:
    """Runs the deliveries of one channel type through one transport."""

    def __init__(
        self,
        kind: ChannelType,
        store: Store,
        directory: Directory,
        transport: Transport,
        settler: Settler,
        *,
        settings: DeliverySettings,
        width: Callable[[str], int],
        slots: int,
        events: Events,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        """`width` says how many attempts a lane has under way at most, `slots` all lanes."""
        self._kind = kind
        # Bound once, a call below the level does nothing at all.
        self._log = log.bind()
        self._store = store
        self._directory = directory
        self._transport = transport
        self._settler = settler
        self._window = settings.lane_window
        self._width = width
        self._slots = Slots(slots)
        self._claims = 0
        self._crowded: dict[str, None] = {}
        self._events = events
        self._metrics = metrics
        self._clock = clock
        self._lanes: dict[str, Lane] = {}
        self._deadlines: list[tuple[int, str]] = []
        self._woken = trio.Event()
        self._ready: dict[str, None] = {}
        self._stopping = False
        settler.on_due = self.due

    # -- called from outside -----------------------------------------------------------------

    def wake(self, name: str, urgent: bool = False) -> None:
        """There is something new in the store for a lane, due at once; one of another type of
        channel is no concern of this queue."""
        if type_of_lane(name) is not self._kind:
            return
        lane = self._lane(name)
        lane.due_at = 0
        lane.woken = True
        lane.urgent = lane.urgent or urgent
        self._mark_ready(name)

    def due(self, name: str, due_at: int | None, urgent_at: int | None = None) -> None:
        """A lane's next delivery is due then, and its next urgent one."""
        if due_at is None:
            return
        lane = self._lane(name)
        if lane.claiming and (lane.heard is None or due_at < lane.heard):
            lane.heard = due_at  # the claim under way may not have seen it
        if lane.due_at is None or due_at < lane.due_at:
            lane.due_at = due_at
            lane.woken = True
            self._set_alarm(lane, due_at)
            self._woken.set()

    def statistics(self) -> dict[str, int]:
        """Lanes known, those of them that wait for a free slot, deadlines noted, attempts under
        way."""
        return {
            "lanes": len(self._lanes),
            "crowded": len(self._crowded),
            "deadlines": len(self._deadlines),
            "attempts": sum(lane.workers for lane in self._lanes.values()),
        }

    def lane_statuses(self) -> list[LaneStatus]:
        """See `LaneControl`. `full` is told here only: with many lanes at work it comes and goes
        with every attempt."""
        return [
            LaneStatus(
                lane.name,
                self._kind,
                lane.width,
                lane.blocked or ("full" if lane.name in self._crowded else None),
                lane.workers,
                lane.held,
                lane.due_at,
            )
            for lane in self._lanes.values()
        ]

    def pause(self, name: str) -> None:
        """See `LaneControl`. Until resumed or until the daemon ends."""
        lane = self._lane(name)
        lane.paused = True
        self._note_blocked(lane, self._clock())

    def resume(self, name: str) -> bool:
        """See `LaneControl`."""
        lane = self._lanes.get(name)
        if lane is None or not lane.unblock():
            return False
        self._note_blocked(lane, self._clock())
        self._mark_ready(name)
        return True

    def stop(self) -> None:
        """Claim nothing more and put back what was not attempted; attempts under way go on."""
        self._stopping = True
        for lane in self._lanes.values():
            self._give_back(lane)

    async def wait_idle(self) -> None:
        """Wait until no attempt is under way; to be called after `stop`."""
        while any(lane.workers or lane.claiming for lane in self._lanes.values()):
            await self._woken.wait()

    # -- the loop ----------------------------------------------------------------------------

    async def run(self, progress: Progress) -> None:
        """Deliver until cancelled; attempts cut off by that go back to the store.

        What an earlier run had claimed, in this process or one that died, is due again.
        """
        progress.waiting("the store")
        while not await self._recover():
            progress.waiting("the store")
            await trio.sleep(PAUSE_AFTER_FAILURE / 1000)
        async with trio.open_nursery() as nursery:
            while True:
                progress.beat()
                self._note_due()
                ready, self._ready = self._ready, {}
                for name in ready:
                    self._serve(name, nursery)
                await self._wait()

    async def _recover(self) -> bool:
        """Take up the work an earlier run has left; False when the store fails.

        What is woken meanwhile is kept.
        """
        for lane in self._lanes.values():
            lane.reset()
        self._lanes = {name: lane for name, lane in self._lanes.items() if lane.blocked}
        self._deadlines.clear()
        self._crowded.clear()
        for name in self._lanes:
            self._mark_ready(name)
        self._claims = self._slots.busy = 0
        try:
            await self._settler.flush()
            await self._store.release_claims(self._clock())
            lanes = await self._store.lanes()
        except StoreError as error:
            log.warning("store.claim_failed", reason=str(error))
            return False
        for found in lanes:
            if type_of_lane(found.name) is self._kind:
                self.due(found.name, found.due_at)
        return True

    async def _wait(self) -> None:
        """Until something is woken or the next deadline comes, at most a second."""
        seconds = 1.0
        if self._deadlines:
            seconds = min(seconds, max(0.0, (self._deadlines[0][0] - self._clock()) / 1000))
        with trio.move_on_after(seconds):
            await self._woken.wait()
        if self._woken.is_set():
            self._woken = trio.Event()

    def _set_alarm(self, lane: Lane, at: int) -> None:
        """Look at a lane then; what comes later is planned by then. Deadlines that no longer hold
        are thrown out when they are more than the lanes."""
        if lane.alarm is not None and lane.alarm <= at:
            return
        lane.alarm = at
        heapq.heappush(self._deadlines, (at, lane.name))
        if len(self._deadlines) > 2 * len(self._lanes) + MOST_STALE:
            lanes = self._lanes.values()
            self._deadlines = [(one.alarm, one.name) for one in lanes if one.alarm is not None]
            heapq.heapify(self._deadlines)

    def _note_due(self) -> None:
        now = self._clock()
        while self._deadlines and self._deadlines[0][0] <= now:
            name = heapq.heappop(self._deadlines)[1]
            self._ready[name] = None
            lane = self._lanes.get(name)
            if lane is not None and lane.alarm is not None and lane.alarm <= now:
                lane.alarm = None

    def _mark_ready(self, name: str) -> None:
        self._ready[name] = None
        self._woken.set()

    def _lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            width = self._width(name)
            lane = self._lanes[name] = Lane(name, width, max(self._window, width))
        return lane

    def _serve(self, name: str, nursery: trio.Nursery) -> None:
        """Start what a lane has work and room for; forget a lane that has neither."""
        lane = self._lanes.get(name)
        if lane is None or self._stopping:
            return
        now = self._clock()
        slots = self._slots
        limit = lane.wants(now)
        if limit and (self._claims >= MOST_CLAIMS or (slots.are_taken and not lane.workers)):
            self._crowded[name] = None
        elif limit:
            self._start_claim(lane, limit, nursery)
        room = min(slots.share(lane.width) - lane.workers, slots.total - slots.busy)
        for _ in range(min(lane.spare_workers(now), room)):
            lane.workers += 1
            slots.busy += 1
            nursery.start_soon(self._work, lane)
        if lane.held and not lane.workers:
            self._crowded[name] = None
        self._note_blocked(lane, now)
        if lane.is_idle(now):
            self._forget(lane, now)
        elif (look_at := lane.next_look(now)) is not None:
            self._set_alarm(lane, look_at)

    def _forget(self, lane: Lane, now: int) -> None:
        if lane.blocked is not None:
            lane.unblock()
            self._note_blocked(lane, now)
        del self._lanes[lane.name]

    def _note_blocked(self, lane: Lane, now: int) -> None:
        """Where the reason has changed: give back what cannot be attempted, and tell."""
        reason, before = lane.reason(now), lane.blocked
        if reason == before:
            return
        lane.blocked = reason
        if not lane.most(now):
            self._give_back(lane)
        for one, step in ((before, -1), (reason, 1)):
            if one is not None:
                self._metrics.lanes_blocked[self._kind, one].inc(step)
        event = "lane.blocked" if reason is not None else "lane.unblocked"
        self._events.emit(
            event, lane=lane.name, channel_type=self._kind.value, reason=reason or before
        )

    def _give_back(self, lane: Lane) -> None:
        for claimed in lane.release():
            self._settler.release(claimed)

    def _start_claim(self, lane: Lane, limit: int, nursery: trio.Nursery) -> None:
        """Claim a window's worth, or, when slots are scarce, what can be started soon."""
        if self._slots.are_scarce:
            limit = min(limit, 2 * self._slots.share(lane.width))
        lane.claiming = True
        lane.woken = lane.urgent = False
        self._claims += 1
        nursery.start_soon(self._claim, lane, limit)

    def _make_way(self) -> None:
        """Something is free again: the lane that has waited longest is served next."""
        if self._crowded:
            name = next(iter(self._crowded))
            del self._crowded[name]
            self._mark_ready(name)

    async def _claim(self, lane: Lane, limit: int) -> None:
        """Fill a lane's window from the store."""
        now = self._clock()
        try:
            claim = await self._store.claim(
                lane.name, now=now, limit=limit, provisional=now + LEASE
            )
        except StoreError as error:
            log.warning("store.claim_failed", lane=lane.name, reason=str(error))
            next_due: int | None = now + PAUSE_AFTER_FAILURE
        else:
            lane.hold(claim.deliveries)
            next_due = claim.next_due
        finally:
            lane.claiming = False
            self._claims -= 1
            self._make_way()
        heard, lane.heard = lane.heard, None
        if not lane.woken:
            lane.due_at = None
            self.due(lane.name, next_due)
            self.due(lane.name, heard)
        if self._stopping or not lane.most(self._clock()):
            self._give_back(lane)
        self._mark_ready(lane.name)

    async def _work(self, lane: Lane) -> None:
        """One worker of a lane: attempt after attempt, as long as something is held."""
        done = 0
        try:
            while not self._should_yield(lane, done) and (claimed := lane.take()) is not None:
                if lane.wants(self._clock()):
                    self._mark_ready(lane.name)
                await self._handle(claimed, lane)
                done += 1
        finally:
            lane.workers -= 1
            self._slots.busy -= 1
            self._make_way()
            self._mark_ready(lane.name)

    def _should_yield(self, lane: Lane, done: int) -> bool:
        """This lane has been narrowed, or others wait for a slot, and it has more than its share
        or had its turn."""
        if not done:
            return False
        if lane.workers > lane.width:
            return True
        if not self._crowded:
            return False
        return lane.workers > self._slots.share(lane.width) or done >= TURN

    # -- one delivery ------------------------------------------------------------------------

    async def _handle(self, claimed: Claimed, lane: Lane) -> None:
        """Attempt one claimed delivery, or settle it without an attempt."""
        try:
            await self._settler.wait_room()
            account = self._directory.cached(claimed.owner)
            if account is None:
                account = await self._directory.account(claimed.owner)
            channel = account.channels.get(claimed.channel_id)
            now = self._clock()
            if channel is None or channel.state is ChannelState.SUSPENDED or not lane.most(now):
                self._settler.release(claimed)
            elif claimed.notification.expires_at <= now:
                self._settler.expire(claimed)
            elif channel.held_until > now:
                self._settler.release(claimed, after=channel.held_until - now)
            else:
                await self._try(claimed, channel, lane)
        except StoreError:
            self._settler.release(claimed, after=PAUSE_AFTER_FAILURE)
        except trio.Cancelled:
            self._settler.release(claimed)
            raise

    async def _try(self, claimed: Claimed, channel: Channel, lane: Lane) -> None:
        """Attempt a delivery; settle it, and let the lane learn from it."""
        era = lane.breaker.era
        started = time.perf_counter()
        outcome, result = await self._attempt(claimed, channel)
        seconds = time.perf_counter() - started
        self._settler.judge(claimed, channel, outcome, result=result, seconds=seconds)
        now = self._clock()
        lane.learn(outcome, era=era, now=now)
        self._note_blocked(lane, now)
        self._count(claimed, outcome, result, seconds)

    async def _attempt(self, claimed: Claimed, channel: Channel) -> tuple[Outcome, str]:
        """Exactly one outcome, whatever the transport does, and the word for it."""
        delivery = Delivery(
            claimed.id, claimed.notification, channel, claimed.attempts, claimed.unanswered
        )
        try:
            outcome = await self._transport.attempt(delivery)
        except Exception:  # the fence around one delivery
            log.exception("delivery.crashed", notification_id=claimed.notification.id)
            return Deferred("internal", sign=Sign.NOTHING), "crashed"
        return outcome, RESULTS[type(outcome)]

    def _count(self, claimed: Claimed, outcome: Outcome, result: str, seconds: float) -> None:
        self._metrics.delivery_attempts[self._kind, result].inc()
        self._metrics.attempt_duration[self._kind].observe(seconds)
        self._log.debug(
            "delivery.attempted",
            notification_id=claimed.notification.id,
            channel_id=claimed.channel_id,
            attempt=claimed.attempts,
            result=result,
            reason=getattr(outcome, "reason", None),
            status=outcome.status,
            seconds=round(seconds, 4),
        )
