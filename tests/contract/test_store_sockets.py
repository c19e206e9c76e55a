"""The rules of `tocsin.store.interface`, for every store: what waits for sockets."""

import trio
from tests.fakes.deliveries import (
    T0,
    notification,
    socket_channel,
    webhook_channel,
)
from tests.fakes.stores import (
    SOCKETS,
    OpenStore,
    accept,
    add,
    assert_counts_are_right,
    claimed_ids,
    waiting,
)

from tocsin.model.notification import Priority
from tocsin.store.interface import Store


async def test_what_was_never_written_waits_urgent_first(store: Store) -> None:
    """Then by age, within the limit, without what has expired (CH-58)."""
    channel, other = socket_channel(), socket_channel()
    await add(store, channel, other)
    for id_, priority in (("l", 2), ("n1", 1), ("u", 0), ("n2", 1)):
        await accept(store, (notification(id_, priority=Priority(priority)), [channel]))
    await accept(store, (notification("x", expires_in=1), [channel]), (notification("y"), [other]))
    found = await waiting(store, channel, now=T0 + 1)
    assert [one.notification.id for one in found] == ["u", "n1", "n2", "l"]
    found = await waiting(store, channel, now=T0 + 1, limit=2)
    assert [one.notification.id for one in found] == ["u", "n1"]


async def test_what_was_written_is_replayed_in_its_order(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    """By sequence, not by age or priority, then the rest, from any place on; it survives a
    restart (CH-56, CH-58)."""
    first = open_store()
    channel = socket_channel()
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, channel)
        ids = await accept(first, *[(notification(id_), [channel]) for id_ in "abcd"])
        channel.last_seq = 42
        first.mark_written(channel, [(ids[2], 40), (ids[0], 41), (ids[3], 42)])
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    expected = [("c", 40), ("a", 41), ("d", 42), ("b", None)]
    for after, limit in ((0, 100), (40, 100), (42, 100), (0, 2), (0, 3), (41, 1)):
        found = await waiting(second, channel, after=after, limit=limit)
        rest = [one for one in expected if one[1] is None or one[1] > after][:limit]
        assert [(one.notification.id, one.seq) for one in found] == rest
    [record] = await second.load_accounts(["u"])
    assert record.channels[0].last_seq == 42


async def test_the_last_sequence_never_goes_back(store: Store) -> None:
    """A session that ends late does not undo a newer one's; the clock is written along."""
    channel = socket_channel()
    await add(store, channel)
    for last_seq in (9, 4):
        channel.last_seq = last_seq
        channel.restart_clock(T0 + last_seq)
        store.mark_written(channel, [])
    [record] = await store.load_accounts(["u"])
    assert record.channels[0].last_seq == 9
    assert record.channels[0].expires_at == channel.expires_at


async def test_receipted_deliveries_end(store: Store) -> None:
    """Each once, however often it is receipted; what is unknown counts for nothing."""
    channel = socket_channel()
    await add(store, channel)
    ids = await accept(store, *[(notification(), [channel]) for _ in range(3)])
    counted: list[object] = []
    store.settle_lazily([ids[0], ids[2]], counted.append, now=T0)
    store.settle_lazily([ids[0], 5], counted.append, now=T0)
    await store.barrier()
    assert counted == [{SOCKETS: 2}, {}]
    await assert_counts_are_right(store, websockets=1)


async def test_one_leg_does_not_end_another(store: Store) -> None:
    """The notification is there until its last delivery is over."""
    socket, hook = socket_channel(), webhook_channel()
    await add(store, socket, hook)
    ids = await accept(store, (notification("a"), [socket, hook]))
    store.settle_lazily(ids[:1], lambda _count: None, now=T0)
    assert await claimed_ids(store) == ["a"]
    await assert_counts_are_right(store, webhooks=1)
