"""The SQLite store against a model made of dicts: the same calls, the same answers."""

import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)
from tests.fakes.deliveries import T0, notification, socket_channel, webhook_channel
from tests.fakes.stores import Reports, letter

from tocsin.model.channel import Channel, ChannelState, ChannelType
from tocsin.model.notification import Notification, Priority
from tocsin.store.records import Acceptance, Claimed, Rescheduled, Settlements
from tocsin.store.sqlite import SqliteStore, StoreSettings

LANES = ("https://a.example", "https://b.example")
MUCH = 1000


@attrs.define(eq=False)
class Leg:
    """What the model knows of one delivery."""

    id: int
    channel: Channel
    notification: Notification
    due: int | None = None
    attempts: int = 0
    unanswered: int = 0
    claimed: bool = False
    seq: int | None = None
    rank: int = 0

    @property
    def line(self) -> tuple[str, str]:
        """Where it stands in line."""
        return self.channel.id, self.notification.order_key


class StoreMachine(RuleBasedStateMachine):
    """Every rule asks the store and the model for the same and compares."""

    channels: Bundle[Channel] = Bundle("channels")
    claimed: Bundle[Claimed] = Bundle("claimed")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._path = str(Path(self._folder.name) / "store.db")
        self.store = self._open()
        self.now = T0
        self.alive: dict[str, Channel] = {}
        self.legs: dict[int, Leg] = {}
        self.dead: set[int] = set()

    def teardown(self) -> None:
        self._close()
        self._folder.cleanup()

    # -- channels --------------------------------------------------------------------------

    @initialize(target=channels)
    def first_channels(self) -> Any:
        """There is always something to deliver to."""
        return multiple(self.add_webhook(LANES[0]), self.add_webhook(LANES[0]), self.add_socket())

    @rule(target=channels, lane=st.sampled_from(LANES))
    def add_webhook(self, lane: str) -> Channel:
        return self._add(webhook_channel(origin=lane))

    @rule(target=channels)
    def add_socket(self) -> Channel:
        return self._add(socket_channel())

    @rule(channel=consumes(channels))
    def remove_channel(self, channel: Channel) -> None:
        """Its deliveries end, counted per type."""
        gone = [leg for leg in self.legs.values() if leg.channel is channel]
        answers: list[Any] = []
        self._ask(lambda: self.store.remove_channel(channel, lambda *told: answers.append(told)))
        [(ended, error)] = answers
        assert error is None
        assert ended.counts == ({channel.type: len(gone)} if gone else {})
        del self.alive[channel.id]
        for leg in gone:
            del self.legs[leg.id]

    @rule(channel=channels)
    def suspend(self, channel: Channel) -> None:
        if channel.lane is None:
            return
        channel.state = ChannelState.SUSPENDED
        self._ask(lambda: self.store.suspend_channel(channel))
        for leg in self._of(channel):
            leg.due = None

    @rule(channel=channels)
    def resume(self, channel: Channel) -> None:
        if channel.lane is None:
            return
        channel.state = ChannelState.ACTIVE
        self._ask(lambda: self.store.resume_channel(channel, Reports(), now=self.now))
        for leg in self._heads():
            if leg.channel is channel and not leg.claimed:
                leg.due = self.now

    # -- deliveries ------------------------------------------------------------------------

    @rule(
        chosen=st.lists(channels, min_size=1, max_size=3, unique_by=lambda channel: channel.id),
        priority=st.sampled_from(Priority),
        key=st.sampled_from(["k", "l", None]),
        expires_in=st.sampled_from([1000, 60_000, 10_000_000]),
    )
    def accept(
        self, chosen: list[Channel], priority: Priority, key: str | None, expires_in: int
    ) -> None:
        one = notification(
            priority=priority, order_key=key, accepted_at=self.now, expires_in=expires_in
        )
        acceptance = Acceptance()
        acceptance.add(one, chosen)
        self._ask(lambda: self.store.accept(acceptance, lambda _error: None))
        for delivery in acceptance.deliveries[0]:
            assert all(delivery.id > earlier for earlier in self.legs)
            self.legs[delivery.id] = leg = Leg(delivery.id, delivery.channel, one, rank=priority)
            for earlier in self._of(delivery.channel):
                if earlier.line == leg.line and earlier.seq is None:
                    earlier.rank = min(earlier.rank, priority)
            if leg in self._heads() and delivery.channel.state is ChannelState.ACTIVE:
                leg.due = self.now

    @rule(target=claimed, lane=st.sampled_from(LANES), limit=st.integers(1, 4))
    def claim(self, lane: str, limit: int) -> Any:
        """The due ones of a lane, by priority, due time and age; each once."""
        claim = self._ask(
            lambda: self.store.claim(lane, now=self.now, limit=limit, provisional=self.now)
        )
        due = [leg for leg in self._due(lane) if leg.due is not None and leg.due <= self.now]
        due.sort(key=lambda leg: (leg.notification.priority, leg.due, leg.id))
        expected = due[:limit]
        for leg in expected:
            leg.due, leg.claimed, leg.attempts = None, True, leg.attempts + 1
        assert [(one.id, one.attempts, one.unanswered) for one in claim.deliveries] == [
            (leg.id, leg.attempts, leg.unanswered) for leg in expected
        ]
        assert claim.next_due == self._next_due(lane)
        return multiple(*claim.deliveries)

    @rule(one=consumes(claimed), delay=st.integers(0, 5000), unanswered=st.integers(0, 2))
    def reschedule(self, one: Claimed, delay: int, unanswered: int) -> None:
        again = Rescheduled(one.id, self.now + delay, one.attempts, unanswered)
        leg = self.legs.get(one.id)
        if leg is not None:
            leg.claimed, leg.unanswered = False, unanswered
            leg.attempts = one.attempts
            active = leg.channel.state is ChannelState.ACTIVE
            leg.due = self.now + delay if active else None
        self._settle(Settlements(rescheduled=[again]), ended=0, leg=leg)

    @rule(one=consumes(claimed), dead=st.booleans())
    def finish(self, one: Claimed, dead: bool) -> None:
        leg = self.legs.pop(one.id, None)
        self._promote()
        if dead:
            self.dead.add(one.id)
        settlements = Settlements(
            finished=[] if dead else [one.id], dead=[letter(one, died_at=self.now)] if dead else []
        )
        self._settle(settlements, ended=int(leg is not None), leg=leg)

    @rule(target=claimed, again=st.just(None))
    def restart(self, again: None) -> Any:
        """Close and open; what was claimed is due again, nothing else changes."""
        self._close()
        self.store = self._open()
        self._ask(lambda: self.store.release_claims(ChannelType.WEBHOOKS, self.now))
        for leg in self.legs.values():
            if leg.claimed:
                leg.claimed = False
                leg.due = self.now if leg.channel.state is ChannelState.ACTIVE else None
        return multiple()

    # -- sockets ---------------------------------------------------------------------------

    @rule(channel=channels, limit=st.integers(1, 4))
    def write(self, channel: Channel, limit: int) -> None:
        """Fetch what was never written, urgent first, and note it as written."""
        if channel.lane is not None:
            return
        fresh = [leg for leg in self._living(channel) if leg.seq is None]
        fresh.sort(key=lambda leg: (leg.rank, leg.id))
        found = self._fetch(channel, channel.last_seq, limit)
        assert found == [(leg.id, None) for leg in fresh[:limit]]
        for leg in fresh[:limit]:
            channel.last_seq += 1
            leg.seq = channel.last_seq
        self.store.mark_written(
            channel, [(leg.id, leg.seq) for leg in fresh[:limit] if leg.seq is not None]
        )

    @rule(channel=channels, count=st.integers(1, 3))
    def receipt(self, channel: Channel, count: int) -> None:
        """Replay what was written, in its order, and receipt the first few."""
        if channel.lane is not None:
            return
        written = [leg for leg in self._living(channel) if leg.seq is not None]
        written.sort(key=lambda leg: leg.seq or 0)
        replayed = self._fetch(channel, 0, len(written)) if written else []
        assert replayed == [(leg.id, leg.seq) for leg in written]
        ended: list[object] = []
        ids = [leg.id for leg in written[:count]]
        self.store.settle_lazily(ids, ended.append, now=self.now)
        self._ask(self.store.barrier)
        assert ended == [{channel.type: len(ids)} if ids else {}]
        for id_ in ids:
            del self.legs[id_]

    # -- time ------------------------------------------------------------------------------

    @rule(milliseconds=st.sampled_from([1, 500, 2000, 60_000]))
    def pass_time(self, milliseconds: int) -> None:
        self.now += milliseconds

    @rule()
    def expire(self) -> None:
        """What was attempted of the kept type becomes a dead letter, the rest just ends."""
        late = [leg for leg in self.legs.values() if leg.notification.expires_at <= self.now]
        over = [leg for leg in late if not leg.claimed]
        ended = self._ask(
            lambda: self.store.expire_deliveries(self.now, limit=MUCH, keep=[ChannelType.WEBHOOKS])
        )
        assert ended.counts == Counter(leg.channel.type for leg in over)
        for leg in over:
            del self.legs[leg.id]
            if leg.attempts and leg.channel.type is ChannelType.WEBHOOKS:
                self.dead.add(leg.id)
        self._promote()

    @invariant()
    def counts_agree(self) -> None:
        """The running counts, the walked ones and the model's are the same."""
        counts = self._ask(self.store.counts)
        pending = Counter(leg.channel.type for leg in self.legs.values())
        assert counts.pending == pending
        assert self.store.backlog == pending.total()
        assert counts.channels == Counter(channel.type for channel in self.alive.values())
        assert sum(counts.dead.values()) == len(self.dead)

    @invariant()
    def lanes_agree(self) -> None:
        """Which lanes have work, and from when on."""
        found = {lane.name: lane.due_at for lane in self._ask(self.store.lanes)}
        due = {lane: self._next_due(lane) for lane in LANES}
        assert found == {lane: at for lane, at in due.items() if at is not None}

    # -- plumbing --------------------------------------------------------------------------

    def _open(self) -> SqliteStore:
        return SqliteStore(StoreSettings(path=self._path), threaded=False)

    def _close(self) -> None:
        async def run_and_end() -> None:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.store.run)
                nursery.cancel_scope.cancel()

        trio.run(run_and_end)

    def _ask(self, call: Callable[[], Awaitable[Any]]) -> Any:
        async def ask() -> Any:
            return await call()

        return trio.run(ask)

    def _add(self, channel: Channel) -> Channel:
        self._ask(lambda: self.store.add_channel(channel, lambda _error: None))
        self.alive[channel.id] = channel
        return channel

    def _settle(self, settlements: Settlements, *, ended: int, leg: Leg | None) -> None:
        settled = self._ask(lambda: self.store.settle(settlements, now=self.now))
        assert sum(settled.ended.values()) == ended
        lanes = {} if leg is None else {leg.channel.lane: self._next_due(leg.channel.lane)}
        assert settled.lanes == lanes

    def _fetch(self, channel: Channel, after: int, limit: int) -> list[tuple[int, int | None]]:
        told: list[Any] = []
        self.store.fetch_waiting(
            channel,
            now=self.now,
            after=after,
            limit=limit,
            then=lambda *answer: told.append(answer),
        )
        [(found, error)] = told
        assert error is None
        return [(one.id, one.seq) for one in found]

    def _of(self, channel: Channel) -> list[Leg]:
        return [leg for leg in self.legs.values() if leg.channel is channel]

    def _living(self, channel: Channel) -> list[Leg]:
        return [leg for leg in self._of(channel) if leg.notification.expires_at > self.now]

    def _heads(self) -> list[Leg]:
        """The first of each line."""
        heads: dict[tuple[str, str], Leg] = {}
        for leg in sorted(self.legs.values(), key=lambda leg: leg.id):
            if leg.channel.lane is not None:
                heads.setdefault(leg.line, leg)
        return list(heads.values())

    def _promote(self) -> None:
        for leg in self._heads():
            active = leg.channel.state is ChannelState.ACTIVE
            if leg.due is None and not leg.claimed and active:
                leg.due = self.now

    def _due(self, lane: str | None) -> list[Leg]:
        return [
            leg for leg in self.legs.values() if leg.channel.lane == lane and leg.due is not None
        ]

    def _next_due(self, lane: str | None) -> int | None:
        return min((leg.due for leg in self._due(lane) if leg.due is not None), default=None)


TestStoreAgainstModel = StoreMachine.TestCase
TestStoreAgainstModel.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
