"""The delivery queue of one channel type: claims what is due, lane by lane, and has it tried.

The store is the queue; a lane holds a small window of it in memory. Each lane has its own
workers, at most its width, and its own claims, so what hangs in one lane is never waited for by
another. Urgent ones are claimed into a window of their own, whatever is held already, and given
out first. Lanes whose next delivery lies ahead stand in one heap of alarms.

A blocked lane claims nothing; what it held goes back uncounted. Due times, deadlines and what
blocks a lane follow the daemon's own clock, which never steps (`ops.clock`): the wall clock may
jump either way without an attempt too early, too late or past its deadline.
"""

from collections.abc import Callable, Sequence

import structlog
import trio

from tocsin.delivery.agenda import Agenda
from tocsin.delivery.aside import Aside
from tocsin.delivery.attempts import PAUSE_AFTER_FAILURE, Attempts, Transport
from tocsin.delivery.blocking import Blocking
from tocsin.delivery.directory import Directory
from tocsin.delivery.events import Events
from tocsin.delivery.followers import Key
from tocsin.delivery.gates import Gates
from tocsin.delivery.lane import Lane
from tocsin.delivery.lanecontrol import LaneStatus
from tocsin.delivery.lanememory import LaneMemory, Remembered
from tocsin.delivery.settings import DeliverySettings
from tocsin.delivery.settler import Settler
from tocsin.delivery.slots import Slots
from tocsin.model.channel import ChannelType, type_of_lane
from tocsin.model.errors import StoreError
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.store.interface import Store
from tocsin.store.records import Acceptance, Claimed

__all__ = ["DeliveryQueue", "Transport"]

LEASE = 120_000
MOST_CLAIMS = 64
KEPT_SHARE = 10
TURN = 16

log = structlog.get_logger()


class DeliveryQueue:
    """Runs the deliveries of one channel type through one transport.

    It is the `LaneControl` and the `bounds.Holder` of its lanes.
    """

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
        gates: Gates | None = None,
    ) -> None:
        """`width` says how many attempts a lane has under way at most, `slots` all lanes. Of
        pushes a tenth of either is kept for urgent ones (PU-36)."""
        self._kind = kind
        self._keeps_some = kind is ChannelType.OMAPUSH
        self._store = store
        self._settler = settler
        self._window = settings.lane_window
        self._width = width
        self._slots = Slots(slots, slots // KEPT_SHARE if self._keeps_some else 0)
        self._claims = 0
        self._clock = clock
        self._gates = gates
        self._lanes: dict[str, Lane] = {}
        self._agenda = Agenda(clock)
        self._memory = LaneMemory(kind, store)
        self._blocking = Blocking(kind, self._memory, events=events, metrics=metrics)
        self._attempts = Attempts(
            kind, directory, transport, settler, gates=gates, metrics=metrics, clock=clock
        )
        self._aside = Aside(kind, lambda: self._lanes, self._hold_again)
        self._has_recalled = False
        self._stopping = False
        settler.on_due = self.due
        if gates is not None:
            gates.on_changed = self._gates_changed

    # -- called from outside -----------------------------------------------------------------

    def wake(self, name: str, urgent: bool = True, keys: Sequence[Key] = ()) -> None:
        """There is something new in the store for a lane, due at once, and something urgent
        perhaps: just accepted, of these `keys`, or found there. One of another type of channel is
        no concern of this queue."""
        if type_of_lane(name) is self._kind:
            self.due(name, 0, 0 if urgent else None)
            if keys:
                self._lane(name).followers.announce(keys)

    def due(self, name: str, due_at: int | None, urgent_at: int | None = None) -> None:
        """A lane's next delivery is due then, and its next urgent one."""
        if due_at is None and urgent_at is None:
            return
        lane = self._lane(name)
        if lane.note_due(due_at, urgent_at):
            for at in (due_at, urgent_at):
                if at is not None:
                    self._agenda.set_alarm(name, at)
            self._agenda.nudge()

    def reconfigure(self, width: Callable[[str], int]) -> None:
        """Other widths from now on, and perhaps other gates."""
        self._width = width
        self._attempts.log_anew()
        for name, lane in self._lanes.items():
            size = self._size(name)
            if size[0] != lane.full_width:
                lane.resize(*size)
            self._gates_changed(name)
            self._agenda.mark(name)

    def set_aside(self, acceptance: Acceptance) -> None:
        """See `bounds.Holder`."""
        self._aside.set_aside(acceptance)

    def made_way(self, acceptance: Acceptance) -> None:
        """See `bounds.Holder`."""
        self._aside.made_way(acceptance)
        if acceptance.trimmed.ids:
            made = [*acceptance.crowded.values(), *(one.channel for one in acceptance.collapsing)]
            # What was withdrawn may have been in any of them.
            lanes = self._lanes.keys() if acceptance.withdrawing else {one.lane for one in made}
            for name in self._lanes.keys() & lanes:
                self.due(name, 0, 0)

    def blocked(self, name: str) -> str | None:
        """Why nothing is attempted on a lane now, None while it flows (PU-16)."""
        now = self._clock()
        lane = self._lanes.get(name)
        if lane is not None:
            return lane.stopped(now)
        gates = None if self._gates is None else self._gates.of(name)
        return None if gates is None else gates.reason(now)

    def statistics(self) -> dict[str, int]:
        """Lanes known, those of them that wait for a free slot, alarms noted, attempts under
        way."""
        return {
            "lanes": len(self._lanes),
            "crowded": len(self._slots),
            "deadlines": len(self._agenda),
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
                lane.blocked or ("full" if lane.name in self._slots else None),
                lane.workers,
                len(lane.hold),
                lane.due_at,
            )
            for lane in self._lanes.values()
        ]

    def pause(self, name: str) -> None:
        """See `LaneControl`."""
        lane = self._lane(name)
        lane.paused = True
        self._note_blocked(lane, self._clock())

    def resume(self, name: str) -> bool:
        """See `LaneControl`."""
        lane = self._lanes.get(name)
        if lane is None or not lane.unblock():
            return False
        if self._gates is not None and lane.gates is not None:
            self._gates.probe_now(lane.gates)
        self._note_blocked(lane, self._clock())
        self._agenda.mark(name)
        return True

    def stop(self) -> None:
        """Claim nothing more and put back what was not attempted; attempts under way go on."""
        self._stopping = True
        for lane in self._lanes.values():
            self._give_back(lane)

    async def wait_idle(self) -> None:
        """Wait until no attempt is under way; to be called after `stop`."""
        while any(lane.workers or lane.claiming for lane in self._lanes.values()):
            await self._agenda.wait_marked()

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
            nursery.start_soon(self._memory.run)
            while True:
                progress.beat()
                self._serve_waiting(nursery)
                for name in self._agenda.take():
                    self._serve(name, nursery)
                await self._agenda.wait()

    async def _recover(self) -> bool:
        """Take up the work an earlier run has left; False when the store fails.

        What is woken meanwhile is kept.
        """
        self._reset()
        try:
            if not self._has_recalled:
                self._recall(await self._memory.recall())
            await self._settler.flush()
            await self._store.release_claims(self._kind, self._clock())
            lanes = await self._store.lanes()
        except StoreError as error:
            log.warning("store.claim_failed", reason=str(error))
            return False
        for found in lanes:
            if type_of_lane(found.name) is self._kind:
                self.due(found.name, found.due_at, found.urgent_at)
        return True

    def _reset(self) -> None:
        for lane in self._lanes.values():
            lane.reset()
            if self._gates is not None and lane.gates is not None:
                self._gates.give_up_probe(lane.gates)
        self._lanes = {name: lane for name, lane in self._lanes.items() if lane.blocked}
        self._agenda.clear_alarms()
        self._slots.reset()
        self._aside.forget()
        self._claims = 0
        for name in self._lanes:
            self._agenda.mark(name)

    def _recall(self, remembered: dict[str, Remembered]) -> None:
        """What blocked lanes when an earlier process ended."""
        now = self._clock()
        for name, state in remembered.items():
            lane = self._lane(name)
            lane.recall(state, now)
            self._blocking.recall(lane, now)
            self._agenda.mark(name)
        self._has_recalled = True

    def _lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            width, window, kept = self._size(name)
            gates = None if self._gates is None else self._gates.of(name)
            lane = Lane(name, width, window, gates, kept)
            self._lanes[name] = lane
        return lane

    def _size(self, name: str) -> tuple[int, int, int]:
        """A lane's width, its window, and what it keeps for urgent ones."""
        width = self._width(name)
        kept = max(1, width // KEPT_SHARE) if self._keeps_some else 0
        return width, max(self._window, 2 * width), kept

    def _serve_waiting(self, nursery: trio.Nursery) -> None:
        """Something is free: those that have waited longest come first."""
        for _ in range(len(self._slots)):
            is_urgent = self._slots.urgent_waits
            if self._slots.are_taken(urgent=is_urgent) or self._claims >= MOST_CLAIMS:
                return
            self._serve(self._slots.next(), nursery)

    def _serve(self, name: str, nursery: trio.Nursery) -> None:
        """Start what a lane has work and room for; forget a lane that has neither."""
        lane = self._lanes.get(name)
        if lane is None or self._stopping:
            self._slots.leave(name)
            return
        now = self._clock()
        self._note_blocked(lane, now)
        is_urgent = lane.has_urgent(now)
        has_claimed = self._start_claim(lane, now, nursery)
        self._start_workers(lane, now, nursery, is_urgent=is_urgent)
        if not has_claimed or (len(lane.hold) and not lane.workers):
            self._slots.wait(name, urgent=is_urgent)
        else:
            self._slots.leave(name)
        if lane.gates is not None and lane.gates.is_probed:
            self._look_after_probe(lane)
        if lane.is_idle(now):
            self._blocking.forget(lane, now)
            del self._lanes[name]
        elif (look_at := lane.next_look(now)) is not None:
            self._agenda.set_alarm(name, look_at)

    def _start_claim(self, lane: Lane, now: int, nursery: trio.Nursery) -> bool:
        """Claim a window's worth, or, when slots are scarce, what can be started soon; False if
        that has to wait. Only for something urgent it need not wait for a slot."""
        limit, urgent = lane.wants(now)
        if not (limit or urgent):
            return True
        if self._claims >= MOST_CLAIMS:
            return False
        if self._slots.are_scarce:
            limit = min(limit, 2 * self._slots.share(lane.width))
        if self._slots.are_taken(urgent=False) and not lane.workers:
            if not urgent:
                return False
            limit = 0
        lane.begin_claim(now + LEASE)
        self._claims += 1
        nursery.start_soon(self._claim, lane, limit, urgent)
        return True

    def _start_workers(
        self, lane: Lane, now: int, nursery: trio.Nursery, *, is_urgent: bool
    ) -> None:
        share = self._slots.share(lane.width) - lane.workers
        spare = max(min(lane.spare_workers(now), share), lane.spare_kept(now))
        for _ in range(min(spare, self._slots.free(urgent=is_urgent, held=lane.hold.urgent))):
            lane.workers += 1
            self._slots.busy += 1
            nursery.start_soon(self._work, lane)

    async def _claim(self, lane: Lane, limit: int, urgent: int) -> None:
        """Fill a lane's window from the store."""
        now = self._clock()
        next_due = next_urgent = None
        found: list[Claimed] = []
        try:
            claim = await self._store.claim(
                lane.name, now=now, limit=limit, provisional=lane.mark, urgent=urgent
            )
        except StoreError as error:
            log.warning("store.claim_failed", lane=lane.name, reason=str(error))
            self._aside.sift(lane, [])
            next_due = now + PAUSE_AFTER_FAILURE
            next_urgent = next_due if urgent else None
        else:
            found, next_due, next_urgent = claim.deliveries, claim.next_due, claim.next_urgent
            lane.hold.add(self._aside.sift(lane, found))
        finally:
            lane.claiming = False
            self._claims -= 1
        self.due(lane.name, next_due, next_urgent)
        lane.followers.arrived(found)
        if self._stopping or not lane.most(self._clock()):
            self._give_back(lane)
        self._agenda.mark(lane.name)

    async def _work(self, lane: Lane) -> None:
        """One worker of a lane: attempt after attempt, as long as something is held."""
        done = 0
        try:
            while not self._should_yield(lane, done) and (claimed := lane.hold.take()) is not None:
                if lane.is_low(self._clock()):
                    self._agenda.mark(lane.name)
                if await self._attempts.handle(claimed, lane) and not lane.is_calm:
                    self._note_blocked(lane, self._clock())
                if lane.followers.may_follow(claimed):
                    await self._let_follow(claimed, lane)
                done += 1
        finally:
            lane.workers -= 1
            self._slots.busy -= 1
            self._agenda.mark(lane.name)

    async def _let_follow(self, ended: Claimed, lane: Lane) -> None:
        """What is urgent and stood behind the one that has ended goes before a normal one that is
        held already."""

        def is_coming() -> bool:
            return lane.hold.next_is_normal and lane.awaits_urgent(self._clock())

        if lane.hold.next_is_normal:
            await lane.followers.wait(ended, self._settler.wait_written, is_coming)

    def _should_yield(self, lane: Lane, done: int) -> bool:
        """This lane has been narrowed, its slot is kept for something urgent, or others wait for
        one: more urgently, or it has more than its share or had its turn, and nothing urgent."""
        if lane.is_overfull or (self._slots.are_overdrawn and not lane.hold.next_is_urgent):
            return True
        if not done or not len(self._slots):
            return False
        if self._slots.urgent_waits != lane.hold.next_is_urgent:
            return self._slots.urgent_waits
        return lane.workers > self._slots.share(lane.width) or done >= TURN

    # -- what blocks lanes -------------------------------------------------------------------

    def _note_blocked(self, lane: Lane, now: int) -> None:
        """Where the reason has changed: give back what cannot be attempted, and tell."""
        if self._blocking.note(lane, now) and not lane.most(now):
            self._give_back(lane)

    def _give_back(self, lane: Lane) -> None:
        for claimed in lane.hold.clear():
            self._settler.release(claimed)

    def _hold_again(self, name: str, claimed: Claimed) -> None:
        lane = self._lane(name)
        if self._stopping or not lane.most(self._clock()):
            self._settler.release(claimed)
            return
        lane.hold.add([claimed])
        self._agenda.mark(name)

    def _gates_changed(self, name: str) -> None:
        lane = self._lanes.get(name)
        if lane is not None and self._gates is not None:
            lane.gates = self._gates.of(name)
            self._note_blocked(lane, self._clock())
            self._agenda.mark(name)

    def _look_after_probe(self, lane: Lane) -> None:
        """It is another lane's, where this one has nothing to probe with."""
        is_busy = lane.in_hand or lane.claiming
        if self._gates is not None and lane.gates is not None and not is_busy:
            self._gates.give_up_probe(lane.gates)
