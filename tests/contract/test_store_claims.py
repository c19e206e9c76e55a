"""The rules of `tocsin.store.interface`, for every store: what a queue claims and sets aside."""

import attrs
from tests.fakes.deliveries import HOOK, T0, notification, webhook_channel
from tests.fakes.stores import LEASE, Reports, accept, add, claim, claimed_ids

from tocsin.model.notification import Priority
from tocsin.store.interface import Store
from tocsin.store.records import Acceptance, Rescheduled, Settlements


async def test_urgent_ones_are_claimed_beyond_the_limit(store: Store) -> None:
    """So many more as are asked for, and nothing but urgent ones; it says when the next is due."""
    channel = webhook_channel()
    await add(store, channel)
    for id_, priority in (("n1", 1), ("u1", 0), ("n2", 1), ("u2", 0), ("u3", 0)):
        await accept(store, (notification(id_, priority=Priority(priority)), [channel]))

    async def claimed(limit: int, urgent: int) -> tuple[list[str], int | None]:
        found = await store.claim(HOOK, now=T0, limit=limit, provisional=LEASE, urgent=urgent)
        assert found.next_due in {T0, None}
        return [one.notification.id for one in found.deliveries], found.next_urgent

    assert await claimed(0, 1) == (["u1"], T0)
    assert await claimed(1, 1) == (["u2", "u3"], None)
    assert await claimed(0, 5) == ([], None)
    assert await claimed(1, 5) == (["n1"], None)
    assert await claimed(5, 0) == (["n2"], None)


async def test_when_something_urgent_is_due_is_told(store: Store) -> None:
    """At the start, and by every settlement: an urgent retry, or one that stood behind another."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, (notification("a", order_key="k"), [channel]))
    await accept(store, (notification("u", order_key="k", priority=Priority.URGENT), [channel]))
    await accept(store, (notification("n"), [channel]))
    [first, other] = await claim(store)
    settled = await store.settle(Settlements(finished=[other.id]), now=T0)
    assert (settled.lanes, settled.urgent) == ({HOOK: None}, {})
    settled = await store.settle(Settlements(finished=[first.id]), now=T0 + 5)
    assert (settled.lanes, settled.urgent) == ({HOOK: T0 + 5}, {HOOK: T0 + 5})
    [urgent] = await claim(store, now=T0 + 5)
    again = Settlements(rescheduled=[Rescheduled(urgent.id, T0 + 50, 1, 0)])
    assert (await store.settle(again, now=T0 + 5)).urgent == {HOOK: T0 + 50}
    [lane] = await store.lanes()
    assert (lane.due_at, lane.urgent_at) == (T0 + 50, T0 + 50)


async def test_what_a_queue_has_set_aside_makes_way(store: Store) -> None:
    """Claimed like the rest, but not begun: the newer one replaces that one alone."""
    channel = webhook_channel()
    await add(store, channel)
    older = [attrs.evolve(notification(id_), collapse_key="bob") for id_ in ("held", "begun")]
    await accept(store, *((one, [channel]) for one in older))
    held, begun = await claim(store)
    newer = Acceptance(aside=[held])
    newer.add(attrs.evolve(notification("newer"), collapse_key="bob"), [channel])
    newer.collapsing.append(newer.deliveries[0][0])
    await store.accept(newer, Reports())
    assert newer.trimmed.ids == {held.id: "collapsed"}
    await store.settle(Settlements(finished=[held.id, begun.id]), now=T0)
    assert await claimed_ids(store) == ["newer"]


async def test_what_is_being_claimed_makes_way(store: Store) -> None:
    """It is known by its lane and the mark of its claim; what an earlier one took stays."""
    channel = webhook_channel()
    await add(store, channel)
    found = []
    for mark in (LEASE, LEASE + 1):
        older = attrs.evolve(notification(f"n{mark}"), collapse_key="bob")
        found += await accept(store, (older, [channel]))
        await store.claim(HOOK, now=T0, limit=5, provisional=mark)
    newer = Acceptance(claiming={HOOK: LEASE + 1, "https://other.example": LEASE})
    newer.add(attrs.evolve(notification("newer"), collapse_key="bob"), [channel])
    newer.collapsing.append(newer.deliveries[0][0])
    await store.accept(newer, Reports())
    assert newer.trimmed.ids == {found[1]: "collapsed"}


async def test_the_oldest_that_is_set_aside_makes_room(store: Store) -> None:
    """What is claimed and not set aside stays, though it is older."""
    channel = webhook_channel()
    await add(store, channel)
    for id_ in "abc":
        await accept(store, (notification(id_), [channel]))
    begun, held, _ = await claim(store)
    newer = Acceptance(aside=[held], crowded={channel.key: channel}, bounds=(3, 1_000_000))
    newer.add(notification("d"), [channel])
    await store.accept(newer, Reports())
    assert newer.trimmed.ids == {held.id: "overflow"}
    assert begun.id < held.id
