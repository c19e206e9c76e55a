"""The rules of `tocsin.store.interface`: legs that wait for the receipt of another leg."""

from typing import Any

import attrs
import pytest
import trio
from tests.fakes.deliveries import T0, device_channel, notification, socket_channel
from tests.fakes.stores import (
    LEASE,
    SOCKETS,
    OpenStore,
    Reports,
    add,
    assert_counts_are_right,
    waiting,
)

from tocsin.model.channel import Channel, ChannelState, ChannelType
from tocsin.model.notification import Priority
from tocsin.store.archive import LogQuery
from tocsin.store.records import (
    Acceptance,
    Claimed,
    Ended,
    Held,
    Identity,
    Rescheduled,
    Resumption,
    Settlements,
)
from tocsin.store.sqlite import SqliteStore

PUSHES = ChannelType.OMAPUSH
LATER = T0 + 10_000
LANE = "apns/com.example.app"


@attrs.define
class Pair:
    """A phone with a socket and a push channel, and what is held for its sockets."""

    store: SqliteStore
    sockets: list[Channel]
    push: Channel
    told: list[Ended] = attrs.field(factory=list)

    async def accept(
        self, id_: str, *, not_before: int | None = LATER, now: int = T0, **members: Any
    ) -> list[int]:
        """Store a notification for every socket and the push, which waits; the ids of its legs."""
        one = notification(id_, accepted_at=now, **members)
        acceptance = Acceptance()
        acceptance.add(one, [*self.sockets, self.push])
        *first, later = acceptance.deliveries[0]
        if not_before is not None:
            acceptance.held.append(Held(first, [later], not_before))
        await self.store.accept(acceptance, Reports())
        return [leg.id for leg in acceptance.deliveries[0]]

    async def receipt(self, *ids: int, now: int = T0) -> None:
        """A client has these."""
        counted: list[object] = []
        self.store.settle_lazily(ids, counted.append, now=now)
        await self.store.barrier()
        assert counted == [{SOCKETS: len(ids)}]

    async def claim(self, now: int) -> list[Claimed]:
        """What is due for the push's provider."""
        return (await self.store.claim(LANE, now=now, limit=100, provisional=LEASE)).deliveries

    async def due(self, now: int) -> list[str]:
        """Which notifications are due for it."""
        return [one.notification.id for one in await self.claim(now)]

    async def deliver(self, now: int) -> list[str]:
        """The same, and they are delivered."""
        found = await self.claim(now)
        await self.store.settle(Settlements(finished=[one.id for one in found]), now=now)
        return [one.notification.id for one in found]

    async def suspend(self, on: bool) -> None:
        """Take the push channel off its lane, or put it back."""
        self.push.state = ChannelState.SUSPENDED if on else ChannelState.ACTIVE
        if on:
            await self.store.suspend_channel(self.push)
        else:
            await self.store.resume_channel(self.push, Reports(), now=T0)

    async def escalate(self, *connected: Channel, now: int = T0 + 1) -> object:
        """Nobody but these is connected any more."""
        reports = Reports()
        self.store.escalate([self.push], connected, now=now, then=reports.both)
        await self.store.barrier()
        assert reports.errors == [None]
        return reports.results[0]


@pytest.fixture
async def store(open_store: OpenStore, nursery: trio.Nursery) -> SqliteStore:
    """An empty store that runs."""
    opened = open_store()
    await nursery.start(opened.run)
    return opened


@pytest.fixture
async def pair(store: SqliteStore) -> Pair:
    """Two tabs and the push of one device."""
    made = Pair(store, [socket_channel(), socket_channel()], device_channel())
    await add(store, *made.sockets, made.push)
    store.on_cancelled = made.told.append
    return made


# -- held ----------------------------------------------------------------------------------


async def test_held_until_its_time(pair: Pair) -> None:
    """Not claimed a moment before; the claim says when, and afterwards that it was held."""
    await pair.accept("a")
    early = await pair.store.claim(LANE, now=LATER - 1, limit=9, provisional=LEASE)
    assert (early.deliveries, early.next_due) == ([], LATER)
    [one] = await pair.claim(LATER)
    assert (one.notification.id, one.attempts, one.is_escalated) == ("a", 1, True)


async def test_what_is_not_held_is_due(pair: Pair) -> None:
    """A leg that waits for nobody is claimed at once, and did not wait."""
    await pair.accept("a", not_before=None)
    [one] = await pair.claim(T0)
    assert not one.is_escalated


async def test_behind_a_held_head(pair: Pair) -> None:
    """Order within a key holds, and each keeps its own time."""
    await pair.accept("a", order_key="k")
    await pair.accept("b", order_key="k", not_before=None)
    await pair.accept("c", order_key="k", not_before=LATER + 5)
    assert await pair.due(LATER - 1) == []
    assert await pair.deliver(LATER) == ["a"]
    assert await pair.deliver(LATER) == ["b"]
    assert await pair.due(LATER + 4) == []
    assert await pair.due(LATER + 5) == ["c"]


async def test_of_a_suspended_channel(pair: Pair) -> None:
    """Not due while it is suspended; resumed, what is held still has its time."""
    await pair.suspend(True)
    await pair.accept("a")
    await pair.accept("b", not_before=None)
    assert (await pair.escalate(*pair.sockets), await pair.due(LATER)) == ({}, [])
    await pair.suspend(False)
    assert await pair.due(LATER - 1) == ["b"]
    assert await pair.due(LATER) == ["a"]


async def test_over_a_restart(open_store: OpenStore) -> None:
    """What is held is found as it was left, and what was claimed of it is due again."""
    async with trio.open_nursery() as running:
        first = open_store()
        await running.start(first.run)
        pair = Pair(first, [socket_channel()], device_channel())
        await add(first, *pair.sockets, pair.push)
        await pair.accept("a", not_before=T0 + 5)
        await pair.accept("b")
        ids = await pair.accept("c", not_before=LATER + 5)
        assert await pair.due(T0 + 5) == ["a"]
        running.cancel_scope.cancel()
    async with trio.open_nursery() as running:
        pair.store = open_store()
        pair.store.on_cancelled = pair.told.append
        await running.start(pair.store.run)
        await pair.store.release_claims(PUSHES, T0 + 6)
        assert [lane.due_at for lane in await pair.store.lanes()] == [T0 + 6]
        assert await pair.due(LATER - 1) == ["a"]
        assert await pair.due(LATER) == ["b"]
        await pair.receipt(ids[0], now=LATER)
        assert pair.told[0].counts == {PUSHES: 1}
        running.cancel_scope.cancel()


async def test_a_repeat_is_not_held(pair: Pair) -> None:
    """It is not stored at all, whatever was decided about it."""
    for times in (1, 2):
        one = notification("a", is_named=True)
        acceptance = Acceptance()
        acceptance.add(one, [pair.sockets[0], pair.push], Identity(7, 8, 9))
        first, later = acceptance.deliveries[0]
        acceptance.held.append(Held([first], [later], LATER))
        await pair.store.accept(acceptance, Reports())
        assert dict(acceptance.repeats) == ({} if times == 1 else {0: 2})
    assert await pair.due(LATER) == ["a"]


async def test_what_makes_way_does_so_while_it_is_held(pair: Pair) -> None:
    """Bounds count a held leg like any, and what comes up behind it keeps its own time."""
    await pair.accept("a", order_key="k")
    acceptance = Acceptance(bounds=(1, 1 << 20), crowded={pair.push.key: pair.push})
    acceptance.add(notification("b", order_key="k"), [pair.sockets[0], pair.push])
    first, later = acceptance.deliveries[0]
    acceptance.held.append(Held([first], [later], LATER + 5))
    await pair.store.accept(acceptance, Reports())
    assert dict(acceptance.trimmed.ended) == {(PUSHES, "overflow"): 1}
    assert await pair.due(LATER + 4) == []
    assert await pair.due(LATER + 5) == ["b"]


# -- cancelled -----------------------------------------------------------------------------


@pytest.mark.parametrize("tab", [0, 1])
async def test_a_receipt_cancels(pair: Pair, tab: int) -> None:
    """One of either tab; the other tab still gets it, the push does not."""
    ids = await pair.accept("a")
    await pair.receipt(ids[tab])
    assert [(one.counts, set(one.lanes)) for one in pair.told] == [({PUSHES: 1}, {LANE})]
    assert await pair.due(LATER) == []
    assert [one.id for one in await waiting(pair.store, pair.sockets[1 - tab])] == [ids[1 - tab]]
    await assert_counts_are_right(pair.store, websockets=1)
    await pair.receipt(ids[1 - tab])
    assert len(pair.told) == 1
    await assert_counts_are_right(pair.store)


async def test_both_tabs_in_one_batch(pair: Pair) -> None:
    """It is cancelled once."""
    ids = await pair.accept("a")
    await pair.receipt(*ids[:2])
    assert [one.counts for one in pair.told] == [{PUSHES: 1}]
    await assert_counts_are_right(pair.store)


async def test_another_receipt_cancels_nothing(pair: Pair) -> None:
    """One of another notification, or of one whose push was not held."""
    await pair.accept("a")
    ids = await pair.accept("b", not_before=None)
    await pair.receipt(ids[0])
    assert pair.told == []
    assert await pair.due(LATER) == ["b", "a"]


async def test_another_device_is_not_cancelled(pair: Pair) -> None:
    """A notification for two devices: the receipt of the one leaves the push of the other."""
    other = device_channel(token="other", correlator="tablet")
    screen = socket_channel(correlator="tablet")
    await add(pair.store, other, screen)
    acceptance = Acceptance()
    acceptance.add(notification("a"), [pair.sockets[0], pair.push, screen, other])
    mine, my_push, its, its_push = acceptance.deliveries[0]
    acceptance.held += [Held([mine], [my_push], LATER), Held([its], [its_push], LATER)]
    await pair.store.accept(acceptance, Reports())
    await pair.receipt(its.id)
    assert [one.id for one in await pair.claim(LATER)] == [my_push.id]


async def test_a_position_cancels_as_a_receipt_does(pair: Pair) -> None:
    """What a client turns out to have when it resumes, too."""
    ids = await pair.accept("a")
    channel = pair.sockets[0]
    pair.store.mark_written(channel, [(ids[0], 1)])
    reports = Reports()
    pair.store.resume(channel, Resumption(settle_upto=1), now=T0, then=reports.both)
    await pair.store.barrier()
    assert (reports.results, reports.errors) == ([1], [None])
    assert [one.counts for one in pair.told] == [{PUSHES: 1}]
    await assert_counts_are_right(pair.store, websockets=1)


async def test_what_stood_behind_the_cancelled(pair: Pair) -> None:
    """It comes up, due at once or in its own time."""
    ids = await pair.accept("a", order_key="k")
    await pair.accept("b", order_key="k", not_before=None)
    more = await pair.accept("c", order_key="k", not_before=LATER + 5)
    await pair.receipt(ids[0], now=T0 + 7)
    assert (await pair.store.claim(LANE, now=T0 + 6, limit=9, provisional=LEASE)).next_due == T0 + 7
    assert await pair.deliver(T0 + 7) == ["b"]
    assert await pair.due(LATER + 4) == []
    await pair.receipt(more[1])
    assert await pair.due(LATER + 5) == []


async def test_what_a_queue_has_is_not_cancelled(pair: Pair) -> None:
    """Claimed, or tried before: it may be there already."""
    claimed = await pair.accept("a", not_before=T0)
    tried = await pair.accept("b", not_before=T0)
    found = {one.notification.id: one.id for one in await pair.claim(T0)}
    again = Rescheduled(found["b"], LATER, attempts=1, unanswered=0)
    await pair.store.settle(Settlements(rescheduled=[again]), now=T0)
    await pair.receipt(claimed[0], tried[0])
    assert pair.told == []
    assert await pair.due(LATER) == ["b"]
    await pair.store.settle(Settlements(finished=list(found.values())), now=LATER)
    await assert_counts_are_right(pair.store, websockets=2)


async def test_what_a_queue_put_back_untried_is_cancelled(pair: Pair) -> None:
    """A claim that came to nothing leaves it as it was."""
    ids = await pair.accept("a", not_before=T0)
    [one] = await pair.claim(T0)
    again = Rescheduled(one.id, T0, attempts=0, unanswered=0)
    await pair.store.settle(Settlements(rescheduled=[again]), now=T0)
    await pair.receipt(ids[0])
    assert await pair.due(LATER) == []


async def test_each_leg_is_in_the_log_with_its_reason(pair: Pair) -> None:
    """The one that was receipted, and the one that ended by that without an attempt."""
    ids = await pair.accept("a")
    await pair.receipt(ids[0], now=T0 + 3)
    page = await pair.store.read_log(LogQuery(), before=None, limit=9, look=99)
    cancelled, delivered = page.items
    assert {one.notification_id for one in page.items} == {"a"}
    assert (cancelled.delivery, cancelled.channel_id) == (ids[2], pair.push.id)
    assert (cancelled.result, cancelled.reason) == ("cancelled", "receipted")
    assert (cancelled.at, cancelled.number, cancelled.latency_ms) == (T0 + 3, 0, None)
    assert (delivered.delivery, delivered.channel_id) == (ids[0], pair.sockets[0].id)
    assert (delivered.result, delivered.reason) == ("delivered", "direct")
    assert (delivered.at, delivered.number, delivered.latency_ms) == (T0 + 3, 1, 3)


# -- due at once ---------------------------------------------------------------------------


async def test_nobody_is_left(pair: Pair) -> None:
    """Heads are due at once, what stands behind them in order; the lane is told."""
    await pair.accept("a", order_key="k")
    await pair.accept("b", order_key="k")
    assert await pair.escalate() == {LANE: False}
    assert await pair.deliver(T0 + 1) == ["a"]
    [one] = await pair.claim(T0 + 1)
    assert (one.notification.id, one.is_escalated) == ("b", True)


async def test_an_urgent_one(pair: Pair) -> None:
    """The lane is told so."""
    await pair.accept("a", priority=Priority.LOW)
    await pair.accept("b", priority=Priority.URGENT)
    assert await pair.escalate() == {LANE: True}
    assert await pair.due(T0 + 1) == ["b", "a"]


async def test_another_tab_is_left(pair: Pair) -> None:
    """It waits on, for whichever of its sockets is connected."""
    await pair.accept("a")
    assert await pair.escalate(pair.sockets[1]) == {}
    assert await pair.due(LATER - 1) == []
    assert await pair.escalate() == {LANE: False}
    assert await pair.due(T0 + 1) == ["a"]


async def test_one_that_does_not_get_it_is_left(pair: Pair) -> None:
    """Nobody waits for a socket this notification does not go to, nor for one that has it."""
    ids = await pair.accept("a")
    other = socket_channel()
    await add(pair.store, other)
    await pair.store.remove_channel(pair.sockets[1], Reports().both)
    assert await pair.escalate(other) == {LANE: False}
    assert await pair.due(T0 + 1) == ["a"]
    await pair.receipt(ids[0])
    assert pair.told == []


async def test_a_socket_of_another_device_is_left(pair: Pair) -> None:
    """It is waited for by the push of its own device only."""
    other, screen = device_channel(token="other", correlator="tablet"), socket_channel()
    await add(pair.store, other, screen)
    acceptance = Acceptance()
    acceptance.add(notification("a"), [pair.sockets[0], pair.push, screen, other])
    mine, my_push, its, its_push = acceptance.deliveries[0]
    acceptance.held += [Held([mine], [my_push], LATER), Held([its], [its_push], LATER)]
    await pair.store.accept(acceptance, Reports())
    assert await pair.escalate(screen) == {LANE: False}
    assert [one.id for one in await pair.claim(T0 + 1)] == [my_push.id]


async def test_it_is_due_once(pair: Pair) -> None:
    """What is due, claimed, or of another channel is left alone."""
    await pair.accept("a", not_before=T0)
    await pair.accept("b")
    [one] = await pair.claim(T0)
    assert (await pair.escalate(), await pair.escalate()) == ({LANE: False}, {})
    assert await pair.due(T0 + 1) == ["b"]
    assert one.notification.id == "a"
    stranger = device_channel("v", "other")
    await add(pair.store, stranger)
    await pair.accept("c", now=T0 + 2)
    pair.push, mine = stranger, pair.push
    assert await pair.escalate() == {}
    pair.push = mine
    assert await pair.escalate() == {LANE: False}


async def test_a_receipt_after_that(pair: Pair) -> None:
    """A client that is back in time still cancels what no queue has."""
    ids = await pair.accept("a")
    await pair.escalate()
    await pair.receipt(ids[0])
    assert [one.counts for one in pair.told] == [{PUSHES: 1}]
    assert await pair.due(LATER) == []
