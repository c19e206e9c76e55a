"""The SQLite store against a model, for clients that come to us: what was submitted before, what
moves to another channel, positions, and subscriptions that end."""

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
from tests.fakes.deliveries import T0, notification, socket_channel, subscription

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.notification import Notification, Priority
from tocsin.model.subscription import Subscription
from tocsin.store.records import CLASH, Acceptance, Identity, Resumption, Takeover
from tocsin.store.sqlite import SqliteStore, StoreSettings

KINDS = (ChannelType.WEBSOCKETS, ChannelType.LONG_POLLING)
SERVICES = ("sms", "chat")
MUCH = 1000


@attrs.define(eq=False)
class Leg:
    """What the model knows of one delivery."""

    id: int
    channel: Channel
    notification: Notification
    rank: int
    seq: int | None = None


class PolledMachine(RuleBasedStateMachine):
    """Every rule asks the store and the model for the same and compares."""

    channels: Bundle[Channel] = Bundle("channels")
    subscriptions: Bundle[Subscription] = Bundle("subscriptions")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._path = str(Path(self._folder.name) / "store.db")
        self.store = self._open()
        self.now = T0
        self.alive: dict[str, Channel] = {}
        self.legs: dict[int, Leg] = {}
        self.living: dict[str, Subscription] = {}
        self.known: dict[int, tuple[int, int, int]] = {}
        self._first = [self._add(kind, reserved=100) for kind in KINDS]

    def teardown(self) -> None:
        self._close()
        self._folder.cleanup()

    @initialize(target=channels)
    def first_channels(self) -> Any:
        """There is always somebody to move to."""
        return multiple(*self._first)

    @initialize(target=subscriptions)
    def first_subscriptions(self) -> Any:
        """And something to move, of everybody."""
        return multiple(
            *(
                self.subscribe(channel, service, None)
                for channel in self._first
                for service in SERVICES
            )
        )

    @rule(target=channels, kind=st.sampled_from(KINDS), counts=st.booleans())
    def add_channel(self, kind: ChannelType, counts: bool) -> Channel:
        return self._add(kind, reserved=100 if counts else None)

    def _add(self, kind: ChannelType, *, reserved: int | None) -> Channel:
        channel = socket_channel(kind=kind)
        channel.reserved = reserved
        self._ask(lambda: self.store.add_channel(channel, lambda _error: None))
        self.alive[channel.id] = channel
        return channel

    @rule(
        target=subscriptions,
        channel=channels,
        service=st.sampled_from(SERVICES),
        lasts=st.sampled_from([None, 1000, 60_000]),
    )
    def subscribe(self, channel: Channel, service: str, lasts: int | None) -> Any:
        if channel.id not in self.alive:
            return multiple()
        end = None if lasts is None else self.now + lasts
        one = subscription(channel, service, expires_at=end)
        told: list[Any] = []
        self._ask(
            lambda: self.store.add_subscription(one, b"{}", lambda *answer: told.append(answer))
        )
        assert told[0][1] is None
        self.living[one.id] = one
        return one

    @rule(one=subscriptions, lasts=st.sampled_from([None, 1000, 60_000]))
    def renew(self, one: Subscription, lasts: int | None) -> None:
        one.expires_at = None if lasts is None else self.now + lasts
        self._ask(lambda: self.store.renew_subscription(one, lambda _error: None))

    @rule()
    def expire_subscriptions(self) -> None:
        """The ends that are in the store are found, and removed one by one."""
        found = self._ask(lambda: self.store.expired_subscriptions(self.now, limit=MUCH))
        over = [
            one.id
            for one in self.living.values()
            if one.expires_at is not None and one.expires_at <= self.now
        ]
        assert sorted(id_ for _, id_ in found) == sorted(over)
        for id_ in over:
            one = self.living.pop(id_)
            self._remove(one)

    def _remove(self, one: Subscription) -> None:
        self._ask(lambda: self.store.remove_subscription(one, self.now, lambda _error: None))

    # -- submissions -----------------------------------------------------------------------

    @rule(
        chosen=st.lists(channels, min_size=1, max_size=3, unique_by=lambda channel: channel.id),
        names=st.lists(
            st.tuples(st.integers(1, 9), st.integers(1, 2), st.integers(1, 2)),
            min_size=1,
            max_size=4,
        ),
        service=st.sampled_from(SERVICES),
        priority=st.sampled_from(Priority),
        key=st.sampled_from(["k", None]),
    )
    def submit(
        self,
        chosen: list[Channel],
        names: list[tuple[int, int, int]],
        service: str,
        priority: Priority,
        key: str | None,
    ) -> None:
        """One notification for each name (key, proof, subject), repeats and clashes among them."""
        targets = [channel for channel in chosen if channel.id in self.alive]
        made, expected = Acceptance(), {}
        for position, (digest, proof, subject) in enumerate(names):
            one = notification(
                service=service, priority=priority, order_key=key, accepted_at=self.now
            )
            made.add(one, targets, Identity(digest, proof, subject))
            before = self.known.get(digest)
            if before is not None and before[0] == proof:
                expected[position] = before[2] if before[1] == subject else CLASH
            else:
                self.known[digest] = (proof, subject, len(targets))
        self._ask(lambda: self.store.accept(made, lambda _error: None))
        assert made.repeats == expected
        for legs in made.fresh():
            for delivery in legs:
                self._take_in(Leg(delivery.id, delivery.channel, delivery.notification, priority))

    def _deliver(self, channel: Channel, service: str, priority: Priority) -> None:
        made = Acceptance()
        one = notification(service=service, priority=priority, order_key="k", accepted_at=self.now)
        made.add(one, [channel])
        self._ask(lambda: self.store.accept(made, lambda _error: None))
        self._take_in(Leg(made.deliveries[0][0].id, channel, one, priority))

    @rule()
    def forget(self) -> None:
        """All of it, as after a day."""
        gone = self._ask(lambda: self.store.forget_submissions(self.now + 1, keep=MUCH, limit=MUCH))
        assert gone == len(self.known)
        self.known.clear()

    # -- take-overs ------------------------------------------------------------------------

    @rule(
        one=consumes(subscriptions),
        heir=channels,
        ends=st.booleans(),
        ranks=st.lists(st.sampled_from(Priority), max_size=4),
        read=st.integers(0, 3),
    )
    def take_over(
        self, one: Subscription, heir: Channel, ends: bool, ranks: list[Priority], read: int
    ) -> None:
        """What waits moves, unless the heir has it; the emptied channel goes with the rest."""
        old = one.channel
        if one.id not in self.living or heir.id not in self.alive or heir is old:
            return
        for number, rank in enumerate(ranks):
            self._deliver(old, one.service, rank)
            if number < read:
                self.write(old, 1)
        told: list[Any] = []
        takeover = Takeover(one, heir, self.now, ends)
        self._ask(lambda: self.store.take_over([takeover], lambda *answer: told.append(answer)))
        [(ended, error)] = told
        assert error is None
        has = {leg.notification.id for leg in self._of(heir)}
        for leg in self._of(old):
            if leg.notification.service == one.service and leg.notification.id not in has:
                leg.channel, leg.seq = heir, None
        for leg in self._of(heir):
            self._raise_before(leg)
        assert self._fetch(heir, MUCH) == [leg.id for leg in self._unwritten(heir)]
        del self.living[one.id]
        gone = [] if any(other.channel is old for other in self.living.values()) else self._of(old)
        if not ends or any(other.channel is old for other in self.living.values()):
            assert (ended.counts, ended.channels) == ({}, {})
            return
        assert ended.channels == {old.key: old.type}
        assert ended.counts == Counter(leg.channel.type for leg in gone)
        del self.alive[old.id]
        for leg in gone:
            del self.legs[leg.id]

    # -- positions -------------------------------------------------------------------------

    @rule(channel=channels, limit=st.integers(1, 3))
    def write(self, channel: Channel, limit: int) -> None:
        """Fetch what was never written, urgent first within the order of a key, and place it."""
        fresh = self._unwritten(channel)[:limit]
        assert self._fetch(channel, limit) == [leg.id for leg in fresh]
        for leg in fresh:
            channel.last_seq += 1
            leg.seq = channel.last_seq
        places = [(leg.id, leg.seq) for leg in fresh if leg.seq is not None]
        self._ask(lambda: self.store.place(channel, places))

    @rule(channel=channels, back=st.integers(0, 3), shift=st.sampled_from([0, 10]))
    def resume(self, channel: Channel, back: int, shift: int) -> None:
        """The client has all but the last few; the rest gets new places where there is a gap."""
        claim = max(0, channel.last_seq - back)
        written = self._written(channel)
        over = [leg for leg in written if (leg.seq or 0) <= claim]
        rest = [leg for leg in written if (leg.seq or 0) > claim] if shift else []
        channel.last_seq += shift
        for leg in rest:
            channel.last_seq += 1
            leg.seq = channel.last_seq
        resumption = Resumption(
            settle_upto=claim, renumbered=[(leg.id, leg.seq) for leg in rest if leg.seq]
        )
        told: list[Any] = []
        self.store.resume(channel, resumption, now=T0, then=lambda *answer: told.append(answer))
        assert told == [(len(over), None)]
        for leg in over:
            del self.legs[leg.id]

    @rule(milliseconds=st.sampled_from([1, 2000, 60_000]))
    def pass_time(self, milliseconds: int) -> None:
        self.now += milliseconds

    @rule()
    def restart(self) -> None:
        """Close and open: nothing changes, and no reserved number is given again."""
        self._close()
        self.store = self._open()
        [record] = self._ask(lambda: self.store.load_accounts(["u"]))
        found = {channel.id: channel for channel in record.channels}
        assert list(found) == list(self.alive)
        for channel in self.alive.values():
            channel.last_seq = max(channel.last_seq, channel.reserved or 0)
            assert found[channel.id].last_seq == channel.last_seq

    @invariant()
    def all_agree(self) -> None:
        """Positions, subscriptions, and the running counts with the walked ones."""
        for channel in self.alive.values():
            told: list[Any] = []
            self.store.read_position(channel, then=lambda *answer, told=told: told.append(answer))
            assert told[0][0].written == [(leg.id, leg.seq) for leg in self._written(channel)]
        counts = self._ask(self.store.counts)
        pending = Counter(leg.channel.type for leg in self.legs.values())
        assert counts.pending == pending == +self.store.pending
        assert counts.channels == Counter(channel.type for channel in self.alive.values())
        assert counts.subscriptions == Counter(one.service for one in self.living.values())

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

    def _take_in(self, leg: Leg) -> None:
        self.legs[leg.id] = leg
        self._raise_before(leg)

    def _raise_before(self, leg: Leg) -> None:
        """What stands unwritten before it, with its order key, goes before it."""
        for earlier in self._of(leg.channel):
            if (
                earlier.id < leg.id
                and earlier.seq is None
                and leg.seq is None
                and earlier.notification.order_key == leg.notification.order_key
            ):
                earlier.rank = min(earlier.rank, leg.rank)

    def _of(self, channel: Channel) -> list[Leg]:
        return [leg for leg in self.legs.values() if leg.channel is channel]

    def _unwritten(self, channel: Channel) -> list[Leg]:
        fresh = [leg for leg in self._of(channel) if leg.seq is None]
        return sorted(fresh, key=lambda leg: (leg.rank, leg.id))

    def _written(self, channel: Channel) -> list[Leg]:
        written = [leg for leg in self._of(channel) if leg.seq is not None]
        return sorted(written, key=lambda leg: leg.seq or 0)

    def _fetch(self, channel: Channel, limit: int) -> list[int]:
        told: list[Any] = []
        self.store.fetch_waiting(
            channel,
            now=self.now,
            after=channel.last_seq,
            limit=limit,
            then=lambda *answer: told.append(answer),
        )
        [(found, error)] = told
        assert error is None
        return [one.id for one in found]


TestPolledAgainstModel = PolledMachine.TestCase
TestPolledAgainstModel.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
