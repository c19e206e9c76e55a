"""The rules of `tocsin.store.interface`, for every store: abandoned channels make way (CH-45)."""

import pytest
import trio
from tests.fakes.deliveries import (
    T0,
    notification,
    socket_channel,
    subscription,
    webhook_channel,
)
from tests.fakes.stores import (
    SOCKETS,
    OpenStore,
    Reports,
    accept,
    add,
    assert_counts_are_right,
    waiting,
)

from tocsin.delivery.position import decide
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StoreError
from tocsin.model.notification import Priority
from tocsin.model.subscription import Subscription
from tocsin.store.interface import Store
from tocsin.store.records import Ended, Position, Takeover

POLLS = ChannelType.LONG_POLLING


class Pair:
    """An abandoned channel with an sms subscription, and a newer one of the same client."""

    def __init__(self, heir: ChannelType = SOCKETS) -> None:
        self.old = socket_channel()
        self.heir = socket_channel(now=T0 + 1000, kind=heir)
        self.subscription = subscription(self.old)

    async def store_in(self, store: Store) -> None:
        """Both channels and the subscription."""
        await add(store, self.old, self.heir)
        await store.add_subscription(self.subscription, b"{}", Reports().both)

    def takeover(self, *, until: int = T0, ends: bool = True) -> Takeover:
        """The heir takes over."""
        return Takeover(self.subscription, self.heir, until, ends)


async def take_over(store: Store, *takeovers: Takeover) -> Ended:
    """What a take-over reports."""
    reports = Reports()
    await store.take_over(takeovers, reports.both)
    [ended] = reports.results
    assert isinstance(ended, Ended)
    return ended


async def ids(store: Store, channel: Channel) -> list[str]:
    """What waits for a channel, in order."""
    return [one.notification.id for one in await waiting(store, channel)]


async def stored(store: Store) -> tuple[list[Channel], list[Subscription]]:
    """What the store has of `u`."""
    [record] = await store.load_accounts(["u"])
    return record.channels, record.subscriptions


async def test_what_waits_moves_and_the_empty_channel_ends(store: Store) -> None:
    """Same ids, same order; the old subscription and channel are gone in one step."""
    pair = Pair()
    await pair.store_in(store)
    moved = await accept(
        store,
        *((notification(id_), [pair.old]) for id_ in "ab"),
        (notification("c", priority=Priority.URGENT), [pair.old]),
    )
    ended = await take_over(store, pair.takeover())
    assert (ended.counts, ended.channels) == ({}, {pair.old.key: SOCKETS})
    assert ended.subscriptions == {"sms": 1}
    assert await ids(store, pair.heir) == ["c", "a", "b"]
    assert sorted(one.id for one in await waiting(store, pair.heir)) == moved
    channels, subscriptions = await stored(store)
    assert [one.id for one in channels] == [pair.heir.id]
    assert subscriptions == []
    await assert_counts_are_right(store, websockets=3)


async def test_the_new_subscription_and_its_inheritance_are_one_step(store: Store) -> None:
    """What is refused is refused whole: nothing has moved, nothing is subscribed."""
    pair = Pair()
    await add(store, pair.old)
    await store.add_subscription(pair.subscription, b"{}", Reports().both)
    await accept(store, (notification("a"), [pair.old]))
    new = subscription(pair.heir)
    with pytest.raises(StoreError):  # the heir is not stored
        await store.add_subscription(new, b"{}", Reports().both, takeovers=[pair.takeover()])
    assert await ids(store, pair.old) == ["a"]
    assert [one.id for one in (await stored(store))[1]] == [pair.subscription.id]
    await add(store, pair.heir)
    reports = Reports()
    await store.add_subscription(new, b"{}", reports.both, takeovers=[pair.takeover()])
    assert await ids(store, pair.heir) == ["a"]
    assert [one.id for one in (await stored(store))[1]] == [new.id]
    await assert_counts_are_right(store, websockets=1)


async def test_only_that_service_and_user_move(store: Store) -> None:
    """And only what was accepted until then; the rest ends with the channel, counted."""
    pair = Pair()
    await pair.store_in(store)
    await accept(
        store,
        (notification("sms"), [pair.old]),
        (notification("chat", service="chat"), [pair.old]),
        (notification("project", user="acct/proj"), [pair.old]),
        (notification("late", accepted_at=T0 + 1), [pair.old]),
    )
    ended = await take_over(store, pair.takeover())
    assert ended.counts == {SOCKETS: 3}
    assert await ids(store, pair.heir) == ["sms"]
    await assert_counts_are_right(store, websockets=1)


async def test_a_channel_that_does_not_end_keeps_the_rest(store: Store) -> None:
    """Its other subscriptions still need it."""
    pair = Pair()
    await pair.store_in(store)
    other = subscription(pair.old, "chat")
    await store.add_subscription(other, b"{}", Reports().both)
    await accept(
        store,
        (notification("sms"), [pair.old]),
        (notification("chat", service="chat"), [pair.old]),
    )
    ended = await take_over(store, pair.takeover(ends=False))
    assert (ended.counts, ended.channels, ended.subscriptions) == ({}, {}, {"sms": 1})
    assert (await ids(store, pair.old), await ids(store, pair.heir)) == (["chat"], ["sms"])
    channels, subscriptions = await stored(store)
    assert len(channels) == 2
    assert [one.id for one in subscriptions] == [other.id]


async def test_what_moved_is_missing_where_it_was(store: Store) -> None:
    """A client that counts and comes back to what is left of its channel is not told that it has
    everything, whether or not what moved was ever written to it (CH-58)."""
    pair = Pair()
    pair.old.reserved = 1000
    await pair.store_in(store)
    await store.add_subscription(subscription(pair.old, "chat"), b"{}", Reports().both)
    first, _ = await accept(store, (notification("a"), [pair.old]), (notification("b"), [pair.old]))
    pair.old.last_seq = 1
    store.mark_written(pair.old, [(first, 1)])
    await take_over(store, pair.takeover(ends=False))
    reports = Reports()
    store.read_position(pair.old, then=reports.both)
    await store.barrier()
    [position] = reports.results
    assert isinstance(position, Position)
    assert decide(position, last_seq=1, claim=0).missed == 2
    assert decide(position, last_seq=1, claim=1).missed == 1


async def test_a_channel_somebody_points_to_does_not_end(store: Store) -> None:
    """Though the caller did not know of him (CH-96)."""
    pair = Pair()
    await pair.store_in(store)
    guest = subscription(pair.old, user="acct/proj")
    await store.add_subscription(guest, b"{}", Reports().both)
    ended = await take_over(store, pair.takeover(ends=True))
    assert ended.channels == {}
    assert len((await stored(store))[0]) == 2
    [record] = await store.load_accounts(["acct/proj"])
    assert [one.id for one in record.subscriptions] == [guest.id]


async def test_nobody_gets_anything_twice(store: Store) -> None:
    """What the heir has a delivery of already stays behind."""
    pair = Pair()
    await pair.store_in(store)
    await accept(store, (notification("a"), [pair.old, pair.heir]), (notification("b"), [pair.old]))
    ended = await take_over(store, pair.takeover())
    assert ended.counts == {SOCKETS: 1}
    assert await ids(store, pair.heir) == ["a", "b"]
    await assert_counts_are_right(store, websockets=2)


async def test_deliveries_change_their_type_with_their_channel(store: Store) -> None:
    """A page that falls back to polling inherits from its socket; counts follow."""
    pair = Pair(heir=POLLS)
    await pair.store_in(store)
    await accept(store, (notification("a"), [pair.old]), (notification("b"), [pair.old]))
    await take_over(store, pair.takeover())
    await assert_counts_are_right(store, long_polling=2)
    told: list[object] = []
    store.settle_lazily([one.id for one in await waiting(store, pair.heir)], told.append, now=T0)
    await store.barrier()
    assert told == [{POLLS: 2}]
    await assert_counts_are_right(store)


async def test_what_was_written_is_written_again(store: Store) -> None:
    """The old client's places mean nothing to the heir: it gets all of it anew, in its order."""
    pair = Pair()
    await pair.store_in(store)
    first, second = await accept(
        store, (notification("a"), [pair.old]), (notification("b"), [pair.old])
    )
    pair.old.last_seq = 2
    store.mark_written(pair.old, [(first, 1), (second, 2)])
    await take_over(store, pair.takeover())
    assert [(one.id, one.seq) for one in await waiting(store, pair.heir)] == [
        (first, None),
        (second, None),
    ]


async def test_order_within_a_key_survives_the_move(store: Store) -> None:
    """What was written before a more urgent one of its key came is not overtaken by it now."""
    pair = Pair()
    await pair.store_in(store)
    [first] = await accept(store, (notification("1", order_key="k"), [pair.old]))
    pair.old.last_seq = 1
    store.mark_written(pair.old, [(first, 1)])
    urgent = notification("2", order_key="k", priority=Priority.URGENT)
    await accept(store, (urgent, [pair.old]))
    await take_over(store, pair.takeover())
    assert await ids(store, pair.heir) == ["1", "2"]


async def test_webhook_deliveries_of_the_same_notifications_stay(store: Store) -> None:
    """Other legs are not touched by the move, nor forgotten with it."""
    pair, hook = Pair(), webhook_channel()
    await pair.store_in(store)
    await add(store, hook)
    await accept(store, (notification("a"), [hook, pair.old]))
    await take_over(store, pair.takeover())
    await assert_counts_are_right(store, webhooks=1, websockets=1)
    await store.remove_channel(hook, Reports().both)
    assert await ids(store, pair.heir) == ["a"]


async def test_a_take_over_twice_changes_nothing_more(store: Store) -> None:
    """What is gone is skipped, and is not counted again."""
    pair = Pair()
    await pair.store_in(store)
    await accept(store, (notification("a"), [pair.old]))
    await take_over(store, pair.takeover())
    ended = await take_over(store, pair.takeover())
    assert (ended.counts, ended.channels, ended.subscriptions) == ({}, {}, {})
    await assert_counts_are_right(store, websockets=1)


async def test_a_cancelled_take_over_happens(store: Store) -> None:
    """And is reported once, as a bystander sees it."""
    pair = Pair()
    await pair.store_in(store)
    await accept(store, (notification("a"), [pair.old]))
    reports = Reports()
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.take_over([pair.takeover()], reports.both)
    await store.barrier()
    assert reports.errors == [None]
    assert await ids(store, pair.heir) == ["a"]


async def test_moved_deliveries_survive_closing_and_opening(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    """A call still rings after a restart in the middle of a reload."""
    first, pair = open_store(), Pair()
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await pair.store_in(first)
        await accept(first, (notification("a"), [pair.old]))
        await take_over(first, pair.takeover())
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    assert await ids(second, pair.heir) == ["a"]
    await assert_counts_are_right(second, websockets=1)
