"""The rules of `tocsin.store.interface`, for every store: work found and settled."""

import attrs
import pytest
import trio
from tests.fakes.deliveries import (
    HOOK,
    T0,
    device_channel,
    notification,
    socket_channel,
    webhook_channel,
)
from tests.fakes.stores import (
    LEASE,
    WEBHOOKS,
    OpenStore,
    Reports,
    accept,
    add,
    assert_counts_are_right,
    claim,
    claimed_ids,
    letter,
)

from tocsin.model.channel import Channel, ChannelState, ChannelType
from tocsin.model.notification import Priority
from tocsin.store.interface import Store
from tocsin.store.records import Acceptance, Held, Rescheduled, Settled, Settlements

# -- claiming ------------------------------------------------------------------------------


async def test_urgent_is_claimed_first_then_by_age(store: Store) -> None:
    """Priority before age, within the limit."""
    channel = webhook_channel()
    await add(store, channel)
    for id_, priority in (("l", 2), ("n1", 1), ("u1", 0), ("n2", 1), ("u2", 0)):
        await accept(store, (notification(id_, priority=Priority(priority)), [channel]))
    assert await claimed_ids(store, limit=3) == ["u1", "u2", "n1"]
    assert await claimed_ids(store, limit=3) == ["n2", "l"]


async def test_what_is_due_longest_is_claimed_first(store: Store) -> None:
    """Among equals by the time it became due, so that a retry does not starve."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, (notification("a"), [channel]), (notification("b"), [channel]))
    one, other = await claim(store)
    again = [Rescheduled(one.id, T0 + 10, 1, 0), Rescheduled(other.id, T0 + 5, 1, 0)]
    await store.settle(Settlements(rescheduled=again), now=T0)
    assert await claimed_ids(store, now=T0 + 10, limit=1) == ["b"]


async def test_nobody_else_gets_what_is_claimed(store: Store) -> None:
    """A claim counts the attempt and takes the delivery; it says when the next is due."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, (notification("a"), [channel]), (notification("b"), [channel]))
    first = await store.claim(HOOK, now=T0, limit=1, provisional=LEASE)
    assert [(one.notification.id, one.attempts) for one in first.deliveries] == [("a", 1)]
    assert first.next_due == T0
    second = await store.claim(HOOK, now=T0, limit=5, provisional=LEASE)
    assert [one.notification.id for one in second.deliveries] == ["b"]
    assert second.next_due is None


async def test_a_lane_is_claimed_alone(store: Store) -> None:
    """Work of one lane is not found by another; `lanes` knows both."""
    one, other = webhook_channel(), webhook_channel(origin="https://other.example")
    await add(store, one, other)
    await accept(store, (notification("a"), [one]), (notification("b"), [other]))
    found = [(lane.name, lane.due_at) for lane in await store.lanes()]
    assert sorted(found) == [(HOOK, T0), ("https://other.example", T0)]
    assert await claimed_ids(store) == ["a"]
    assert [lane.name for lane in await store.lanes()] == ["https://other.example"]


async def test_sockets_have_no_lane(store: Store) -> None:
    """What waits for a client is nothing to claim."""
    channel = socket_channel()
    await add(store, channel)
    await accept(store, (notification(), [channel]))
    assert await store.lanes() == []


async def test_only_the_first_of_an_order_key_is_claimed(store: Store) -> None:
    """The next one when the first is over; urgency does not change that (delivery.md, order)."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, (notification("a", order_key="k"), [channel]))
    await accept(
        store,
        (notification("b", order_key="k", priority=Priority.URGENT), [channel]),
        (notification("c", order_key="other"), [channel]),
    )
    first = await claim(store)
    assert [one.notification.id for one in first] == ["a", "c"]
    await store.settle(Settlements(finished=[first[1].id]), now=T0)
    assert await claimed_ids(store) == []
    settled = await store.settle(Settlements(finished=[first[0].id]), now=T0 + 5)
    assert settled.lanes == {HOOK: T0 + 5}
    assert await claimed_ids(store, now=T0 + 5) == ["b"]


async def test_an_order_key_is_a_channels_own(store: Store) -> None:
    """The same key on two channels of a lane is two keys."""
    one, other = webhook_channel(), webhook_channel("v")
    await add(store, one, other)
    await accept(store, (notification("a", order_key="k"), [one]))
    await accept(store, (notification("b", order_key="k"), [other]))
    assert await claimed_ids(store) == ["a", "b"]


@pytest.mark.parametrize("key", ["a\0b", "\0", "é\U0001f600", '"\\', " ", "1", "null"])
async def test_order_keys_are_any_text(store: Store, key: str) -> None:
    """What waits behind such a key is found again."""
    channel = webhook_channel()
    await add(store, channel)
    for id_ in "ab":
        await accept(store, (notification(id_, order_key=key), [channel]))
    [first] = await claim(store)
    await store.settle(Settlements(finished=[first.id]), now=T0)
    assert await claimed_ids(store) == ["b"]


async def test_what_a_dead_process_had_claimed_is_due_again(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    """With its attempt counted, and still ahead of what stands behind it."""
    first = open_store()
    channel = webhook_channel()
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, channel)
        for id_ in "ab":
            await accept(first, (notification(id_, order_key="k"), [channel]))
        assert await claimed_ids(first) == ["a"]
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    assert await second.lanes() == []
    await second.release_claims(ChannelType.WEBHOOKS, T0 + 9)
    [again] = await claim(second, now=T0 + 9)
    assert (again.notification.id, again.attempts) == ("a", 2)


# -- settling ------------------------------------------------------------------------------


async def test_a_rescheduled_delivery_waits_for_its_time(store: Store) -> None:
    """Due at the given time with the given counts; the lane's next time is told."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, (notification("a"), [channel]))
    [one] = await claim(store)
    settled = await store.settle(
        Settlements(rescheduled=[Rescheduled(one.id, T0 + 5000, 4, 2)]), now=T0
    )
    assert (settled.ended, settled.lanes) == ({}, {HOOK: T0 + 5000})
    early = await store.claim(HOOK, now=T0 + 4999, limit=9, provisional=LEASE)
    assert (early.deliveries, early.next_due) == ([], T0 + 5000)
    [again] = await claim(store, now=T0 + 5000)
    assert (again.attempts, again.unanswered) == (5, 2)


async def test_what_is_over_is_gone_and_counted(store: Store) -> None:
    """Finished and dead ones end, per type, and the lane has no more work."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, *[(notification(id_), [channel]) for id_ in "abc"])
    done, dead, _open = await claim(store)
    settled = await store.settle(Settlements(finished=[done.id], dead=[letter(dead)]), now=T0)
    assert (settled.ended, settled.lanes) == ({WEBHOOKS: 2}, {HOOK: None})
    await assert_counts_are_right(store, webhooks=1)
    assert (await store.counts()).dead == {WEBHOOKS: 1}


async def test_what_is_gone_already_is_skipped(store: Store) -> None:
    """A second settlement of the same delivery changes no count and revives nothing."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, (notification("a"), [channel]), (notification("b"), [channel]))
    one, _other = await claim(store)
    for _ in range(2):
        await store.settle(Settlements(finished=[one.id]), now=T0)
        await assert_counts_are_right(store, webhooks=1)
    settled = await store.settle(Settlements(rescheduled=[Rescheduled(one.id, T0, 1, 0)]), now=T0)
    assert (settled.ended, settled.lanes) == ({}, {})
    assert await claimed_ids(store) == []


async def test_dead_letters_are_pruned_by_age(store: Store) -> None:
    """Older than `before` only, in slices."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, *[(notification(), [channel]) for _ in range(4)])
    letters = [letter(one, died_at=T0 + n) for n, one in enumerate(await claim(store))]
    await store.settle(Settlements(dead=letters), now=T0)
    assert await store.prune_dead_letters(T0 + 3, limit=2) == 2
    assert await store.prune_dead_letters(T0 + 3, limit=2) == 1
    assert await store.prune_dead_letters(T0 + 3, limit=2) == 0
    assert (await store.counts()).dead == {WEBHOOKS: 1}


# -- suspended channels --------------------------------------------------------------------


@pytest.fixture
async def suspended(store: Store) -> Channel:
    """A suspended webhook channel."""
    channel = webhook_channel()
    await add(store, channel)
    channel.state = ChannelState.SUSPENDED
    await store.suspend_channel(channel)
    return channel


async def test_a_suspended_channels_deliveries_wait(store: Store, suspended: Channel) -> None:
    """New ones too; once resumed the first of each key is due, whatever became of it before."""
    await accept(
        store,
        (notification("a", order_key="k"), [suspended]),
        (notification("b", order_key="k"), [suspended]),
        (notification("c"), [suspended]),
    )
    assert await store.lanes() == []
    assert await claimed_ids(store) == []
    [record] = await store.load_accounts(["u"])
    assert record.channels[0].state is ChannelState.SUSPENDED
    suspended.state = ChannelState.ACTIVE
    await store.resume_channel(suspended, Reports(), now=T0 + 7)
    assert await claimed_ids(store, now=T0 + 6) == []
    assert await claimed_ids(store, now=T0 + 7) == ["a", "c"]


async def test_suspending_takes_what_is_due_off_the_lane(store: Store) -> None:
    """Also what is under way: rescheduled, it waits; finished, the next in line waits."""
    channel, neighbour = webhook_channel(), webhook_channel("v")
    await add(store, channel, neighbour)
    for id_, key in (("a", "k"), ("b", "k"), ("c", "l"), ("d", "m")):
        await accept(store, (notification(id_, order_key=key), [channel]))
    await accept(store, (notification("e"), [neighbour]))
    first, second = await claim(store, limit=2)
    channel.state = ChannelState.SUSPENDED
    await store.suspend_channel(channel)
    await store.settle(
        Settlements(finished=[first.id], rescheduled=[Rescheduled(second.id, T0, 1, 0)]), now=T0
    )
    assert await claimed_ids(store) == ["e"]
    await store.resume_channel(channel, Reports(), now=T0)
    assert await claimed_ids(store) == ["b", "c", "d"]


async def test_since_when_a_channel_fails_is_remembered_until_it_is_resumed(store: Store) -> None:
    """Written with a settlement, for those named in it; a resumed channel begins anew."""
    channel, neighbour = webhook_channel(), webhook_channel("v")
    await add(store, channel, neighbour)

    async def stored(user: str) -> int | None:
        [record] = await store.load_accounts([user])
        return record.channels[0].failing_since

    await accept(store, (notification(), [channel]))
    [one] = await claim(store)
    again = [Rescheduled(one.id, T0, 1, 0)]
    await store.settle(Settlements(rescheduled=again, failing={channel.key: T0 + 3}), now=T0)
    assert (await stored("u"), await stored("v")) == (T0 + 3, None)
    await store.settle(Settlements(finished=[one.id]), now=T0)
    assert await stored("u") == T0 + 3
    await store.resume_channel(channel, Reports(), now=T0)
    assert await stored("u") is None


async def test_until_when_a_channel_is_left_alone_is_remembered(store: Store) -> None:
    """PU-81: written with a settlement, for those named in it."""
    channel, neighbour = webhook_channel(), webhook_channel("v")
    await add(store, channel, neighbour)
    await store.settle(Settlements(held={channel.key: T0 + 3}), now=T0)
    found = await store.load_accounts(["u", "v"])
    assert [record.channels[0].held_until for record in found] == [T0 + 3, 0]


async def test_webhooks_without_a_secret_are_counted(store: Store) -> None:
    """PU-76: neither those that have one nor channels of another type."""
    signed, unsigned, socket = webhook_channel(), webhook_channel("v"), socket_channel()
    assert signed.webhook is not None
    signed.webhook = attrs.evolve(signed.webhook, secret="whsec_x")
    await add(store, signed, unsigned, socket)
    assert await store.count_unsigned() == 1


async def test_resuming_does_not_give_out_what_is_under_way(store: Store) -> None:
    """A claimed delivery stays claimed, and what stands behind it waits on."""
    channel = webhook_channel()
    await add(store, channel)
    for id_ in "ab":
        await accept(store, (notification(id_, order_key="k"), [channel]))
    [under_way] = await claim(store)
    await store.suspend_channel(channel)
    await store.resume_channel(channel, Reports(), now=T0)
    assert await claimed_ids(store) == []
    await store.settle(Settlements(finished=[under_way.id]), now=T0)
    assert await claimed_ids(store) == ["b"]


async def test_what_a_cancelled_caller_settles(store: Store) -> None:
    """It is written, and told once, as if he still waited."""
    hook = webhook_channel()
    await add(store, hook)
    [id_] = await accept(store, (notification("a"), [hook]))
    await claim(store)
    reports = Reports()
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.settle(Settlements(finished=[id_]), reports.both, now=T0)
    await store.barrier()
    assert reports.errors == [None]
    [settled] = reports.results
    assert isinstance(settled, Settled)
    assert (settled.ended, settled.lanes) == ({WEBHOOKS: 1}, {HOOK: None})
    assert store.backlog == 0


async def test_one_queue_takes_up_nothing_of_another(store: Store) -> None:
    """What is claimed of other types of channel stays with whoever has claimed it."""
    hook, phone = webhook_channel(), device_channel()
    await add(store, hook, phone)
    await accept(store, (notification("a"), [hook, phone]))
    await claim(store)
    await claim(store, phone.lane or "")
    await store.release_claims(ChannelType.OMAPUSH, T0)
    assert [lane.name for lane in await store.lanes()] == [phone.lane]
    assert await claimed_ids(store) == []


async def test_hastened(store: Store) -> None:
    """What waits for its next attempt in one lane is due; what waits for a receipt, and what is of
    another lane, waits on."""
    hook, other, phone = webhook_channel(), webhook_channel("v", "https://o:443"), device_channel()
    await add(store, hook, other, phone)
    await accept(store, (notification("a"), [hook, other]))
    again = [
        Rescheduled(one.id, T0 + 60_000, attempts=1, unanswered=0)
        for lane in (HOOK, "https://o:443")
        for one in await claim(store, lane)
    ]
    await store.settle(Settlements(rescheduled=again), now=T0)
    held = Acceptance()
    held.add(notification("b"), [socket_channel(), phone])
    first, later = held.deliveries[0]
    held.held.append(Held([first], [later], T0 + 10_000))
    await store.accept(held, Reports())
    for lane in (HOOK, phone.lane or ""):
        await store.hasten(lane, T0 + 1)
    assert {lane.name: lane.due_at for lane in await store.lanes()} == {
        HOOK: T0 + 1,
        "https://o:443": T0 + 60_000,
        phone.lane: T0 + 10_000,
    }


async def test_a_start_does_not_resume(store: Store) -> None:
    """What a dead process had claimed of a channel suspended meanwhile is not due."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, (notification("a"), [channel]))
    await claim(store)
    await store.suspend_channel(channel)
    await store.release_claims(ChannelType.WEBHOOKS, T0)
    assert await store.lanes() == []
    assert await claimed_ids(store) == []
    await store.resume_channel(channel, Reports(), now=T0)
    assert await claimed_ids(store) == ["a"]
