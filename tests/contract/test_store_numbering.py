"""The rules of `tocsin.store.interface`, for every store: what was written to whom, up to where."""

import pytest
import trio
from tests.fakes.deliveries import T0, notification, socket_channel, webhook_channel
from tests.fakes.stores import (
    SOCKETS,
    OpenStore,
    Reports,
    accept,
    add,
    assert_counts_are_right,
    position,
    resume,
    waiting,
)

from tocsin.model.channel import Channel
from tocsin.model.errors import StoreError
from tocsin.store.interface import Store
from tocsin.store.records import Resumption


@pytest.fixture
async def channel(store: Store) -> Channel:
    """A stored channel whose client counts along."""
    made = socket_channel()
    await add(store, made)
    made.reserved = 1000
    return made


async def written(store: Store, channel: Channel, count: int) -> list[int]:
    """Notifications accepted and written to the client, numbered from 1."""
    ids = await accept(store, *((notification(str(n)), [channel]) for n in range(1, count + 1)))
    channel.last_seq = count
    await store.place(channel, [(id_, seq) for seq, id_ in enumerate(ids, 1)])
    return ids


async def loaded(store: Store) -> Channel:
    """The channel of `u` as the store has it."""
    [record] = await store.load_accounts(["u"])
    [found] = record.channels
    return found


# -- places --------------------------------------------------------------------------------


async def test_a_position_is_what_was_written_and_not_receipted(
    store: Store, channel: Channel
) -> None:
    """By number, the last given number too; what never was written has none."""
    first, second, third = await written(store, channel, 3)
    await accept(store, (notification("waits"), [channel]))
    store.settle_lazily([second], lambda _counts: None, now=T0)
    found = await position(store, channel)
    assert (found.written, found.last_seq) == ([(first, 1), (third, 3)], 3)
    assert (found.settled_seq, found.dropped, found.missed, found.missed_at) == (0, 0, 0, 0)


async def test_a_position_of_a_channel_that_is_gone_is_empty(
    store: Store, channel: Channel
) -> None:
    """Whoever asks too late gets an answer all the same."""
    await written(store, channel, 1)
    await store.remove_channel(channel, Reports().both)
    found = await position(store, channel)
    assert (found.written, found.last_seq) == ([], 0)


async def test_a_receipted_number_is_known_though_its_place_never_was(
    store: Store, channel: Channel
) -> None:
    """The receipt may come before the places are stored; numbers only grow (CH-58)."""
    store.settle_lazily([], lambda _counts: None, upto=[(channel.key, 7)], now=T0)
    assert (await position(store, channel)).last_seq == 7
    store.settle_lazily([], lambda _counts: None, upto=[(channel.key, 5)], now=T0)
    assert (await position(store, channel)).last_seq == 7


async def test_receipts_of_many_channels_go_together(store: Store, channel: Channel) -> None:
    """Each channel gets its own number."""
    other = socket_channel("v")
    await add(store, other)
    [mine] = await written(store, channel, 1)
    told: list[object] = []
    store.settle_lazily([mine], told.append, upto=[(channel.key, 4), (other.key, 9)], now=T0)
    assert (await position(store, channel)).last_seq == 4
    assert (await position(store, other)).last_seq == 9
    assert told == [{SOCKETS: 1}]


async def test_no_number_of_a_reservation_is_given_twice(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    """After a crash the numbering goes on behind it; without one, behind the last (CH-58)."""
    first = open_store()
    counted, plain = socket_channel(), socket_channel("v")
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, counted, plain)
        counted.reserved, counted.last_seq = 500, 3
        await first.place(counted, [])
        plain.last_seq = 3
        first.mark_written(plain, [])
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    records = await second.load_accounts(["u", "v"])
    [[one], [other]] = [record.channels for record in records]
    assert (one.last_seq, one.reserved) == (500, 500)
    assert (other.last_seq, other.reserved) == (3, None)


async def test_a_number_never_goes_back(store: Store, channel: Channel) -> None:
    """A write that was overtaken does not lower it."""
    await written(store, channel, 3)
    channel.last_seq = 1
    store.mark_written(channel, [])
    assert (await position(store, channel)).last_seq == 3


async def test_places_bring_the_clock_along(store: Store, channel: Channel) -> None:
    """One write for all that a connection changes (CH-41)."""
    channel.restart_clock(T0 + 5000)
    await store.place(channel, [])
    assert (await loaded(store)).expires_at == T0 + 3_605_000


async def test_places_are_in_the_order_of_their_numbers(store: Store, channel: Channel) -> None:
    """A replay goes by number from beyond a position, then what was never written (CH-56)."""
    one, two, three = await accept(store, *((notification(id_), [channel]) for id_ in "abc"))
    await store.place(channel, [(three, 1), (one, 2)])
    assert [item.id for item in await waiting(store, channel)] == [three, one, two]
    assert [item.id for item in await waiting(store, channel, after=1)] == [one, two]


async def test_a_cancelled_place_happens(store: Store, channel: Channel) -> None:
    """Cancellation ends the waiting only."""
    [id_] = await accept(store, (notification(), [channel]))
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.place(channel, [(id_, 1)])
    assert (await position(store, channel)).written == [(id_, 1)]


async def test_a_place_that_fails_says_so(open_store: OpenStore) -> None:
    """A client must not be told a position that is not stored."""
    store, reports = open_store(), Reports()
    async with trio.open_nursery() as running:
        await running.start(store.run)
        running.cancel_scope.cancel()
    channel = socket_channel()
    with pytest.raises(StoreError):
        await store.place(channel, [])
    store.read_position(channel, then=reports.both)
    store.resume(channel, Resumption(), now=T0, then=reports.both)
    assert [type(error) for error in reports.errors] == [StoreError, StoreError]
    assert reports.results == [None, None]


# -- what ended unwritten ------------------------------------------------------------------


async def test_what_expires_unwritten_is_counted(store: Store, channel: Channel) -> None:
    """Of a client that counts along: what it was shown keeps its number and is not counted."""
    await store.place(channel, [])
    shown, *_ = await accept(
        store, *((notification(id_, expires_in=1000), [channel]) for id_ in "abc")
    )
    await store.place(channel, [(shown, 1)])
    await store.expire_deliveries(T0 + 1000, limit=10, keep=[])
    assert (await position(store, channel)).dropped == 2


async def test_nobody_else_is_counted(store: Store) -> None:
    """Neither a client that never asked for its position nor a channel with a lane."""
    plain, hook = socket_channel(), webhook_channel("v")
    await add(store, plain, hook)
    await accept(store, (notification(expires_in=1000), [plain, hook]))
    await store.expire_deliveries(T0 + 1000, limit=10, keep=[])
    assert (await position(store, plain)).dropped == 0
    assert (await position(store, hook)).dropped == 0


# -- going on ------------------------------------------------------------------------------


async def test_what_the_client_has_is_over(store: Store, channel: Channel) -> None:
    """Up to its position, counted; what waits behind it stays in its place (CH-58)."""
    _, _, third = await written(store, channel, 3)
    assert await resume(store, channel, Resumption(settle_upto=2)) == 2
    assert [(one.id, one.seq) for one in await waiting(store, channel)] == [(third, 3)]
    await assert_counts_are_right(store, websockets=1)


async def test_nothing_unwritten_and_nothing_of_others_is_over(
    store: Store, channel: Channel
) -> None:
    """However high the position a client claims."""
    other = socket_channel("v")
    await add(store, other)
    [theirs] = await written(store, other, 1)
    await accept(store, (notification("waits"), [channel]))
    assert await resume(store, channel, Resumption(settle_upto=1_000_000)) == 0
    assert len(await waiting(store, channel)) == 1
    assert [one.id for one in await waiting(store, other)] == [theirs]


async def test_the_other_legs_of_what_the_client_has_stay(store: Store, channel: Channel) -> None:
    """Its notification is forgotten with the last of them only."""
    other = socket_channel("v")
    await add(store, other)
    [mine, _] = await accept(store, (notification("a"), [channel, other]))
    await store.place(channel, [(mine, 1)])
    await resume(store, channel, Resumption(settle_upto=1))
    assert [one.notification.id for one in await waiting(store, other)] == ["a"]


async def test_a_gap_is_remembered(open_store: OpenStore, nursery: trio.Nursery) -> None:
    """New places, the gap, numbering and reservation, across closing and opening (CH-58)."""
    first, channel = open_store(), socket_channel()
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, channel)
        one, two = await written(first, channel, 2)
        channel.last_seq, channel.reserved = 12, 2000
        told = Reports()
        first.resume(
            channel,
            Resumption(renumbered=[(one, 11), (two, 12)], settled_seq=2, missed=3, missed_at=10),
            now=T0,
            then=told.both,
        )
        await first.barrier()
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    found = await position(second, channel)
    assert (found.written, found.last_seq) == ([(one, 11), (two, 12)], 12)
    assert (found.settled_seq, found.missed, found.missed_at) == (2, 3, 10)
    assert (await loaded(second)).reserved == 2000


async def test_what_is_dropped_meanwhile_is_not_accounted_for(
    store: Store, channel: Channel
) -> None:
    """A gap covers what was read with the position; what comes in between counts for the next."""
    await store.place(channel, [])
    for moment in (1000, 2000):
        await accept(store, (notification(expires_in=moment), [channel]))
    await store.expire_deliveries(T0 + 1000, limit=10, keep=[])
    read = await position(store, channel)
    await store.expire_deliveries(T0 + 2000, limit=10, keep=[])
    await resume(store, channel, Resumption(dropped=read.dropped, missed=1, missed_at=1))
    assert (await position(store, channel)).dropped == 1


async def test_going_on_from_a_channel_that_is_gone(store: Store, channel: Channel) -> None:
    """Its deliveries went with it: nobody has any."""
    [id_] = await written(store, channel, 1)
    await store.remove_channel(channel, Reports().both)
    found = Resumption(settle_upto=1, renumbered=[(id_, 5)])
    assert await resume(store, channel, found) == 0
    await assert_counts_are_right(store)
