"""The rules of `tocsin.store.interface`, for every store: places, positions, resuming."""

import attrs
import pytest
import trio
from tests.fakes.deliveries import T0, notification, socket_channel
from tests.fakes.stores import (
    OpenStore,
    accept,
    add,
    assert_counts_are_right,
    position,
    resume,
    waiting,
)

from tocsin.model.channel import Channel, ChannelType
from tocsin.store.interface import Store
from tocsin.store.records import Position, Resumption


async def filled(store: Store, *ids: str, expires_in: int = 60_000) -> tuple[Channel, list[int]]:
    """A channel with deliveries that wait."""
    channel = socket_channel()
    await add(store, channel)
    notes = [notification(id_, expires_in=expires_in) for id_ in ids]
    return channel, await accept(store, *((one, [channel]) for one in notes))


async def test_a_fresh_channel(store: Store) -> None:
    """Nothing was numbered."""
    channel, _ = await filled(store, "a")
    assert attrs.asdict(await position(store, channel)) == attrs.asdict(Position([]))


@pytest.mark.parametrize("durably", [False, True])
async def test_places(store: Store, durably: bool) -> None:
    """Kept by delivery, read by number, with the last number of the channel."""
    channel, (a, b, _) = await filled(store, "a", "b", "c")
    channel.last_seq = 7
    if durably:
        await store.place(channel, [(b, 5), (a, 7)])
    else:
        store.mark_written(channel, [(b, 5), (a, 7)])
    found = await position(store, channel)
    assert (found.written, found.last_seq) == ([(b, 5), (a, 7)], 7)


async def test_receipts_say_what_was_numbered(store: Store) -> None:
    """Also where no place was stored; a lower number changes nothing."""
    channel, (a, _) = await filled(store, "a", "b")
    for upto in (4, 2):
        store.settle_lazily([a], lambda _counts: None, upto=[(channel.key, upto)], now=T0)
    found = await position(store, channel)
    assert (found.written, found.last_seq) == ([], 4)


async def test_resuming(store: Store) -> None:
    """What the client has is over and counted, the others get their new places, the rest is
    remembered as it was given."""
    channel, (a, b, c, d) = await filled(store, "a", "b", "c", "d")
    channel.last_seq = 3
    store.mark_written(channel, [(a, 1), (b, 2), (c, 3)])
    channel.last_seq, channel.reserved = 9, 1000
    resumption = Resumption(
        settle_upto=2, renumbered=[(c, 9)], settled_seq=2, missed=4, missed_at=8
    )
    assert await resume(store, channel, resumption) == 2
    found = await position(store, channel)
    assert (found.written, found.last_seq) == ([(c, 9)], 9)
    assert (found.settled_seq, found.missed, found.missed_at, found.dropped) == (2, 4, 8, 0)
    assert [(one.id, one.seq) for one in await waiting(store, channel)] == [(c, 9), (d, None)]
    await assert_counts_are_right(store, websockets=2)


async def test_what_was_dropped(store: Store) -> None:
    """Counted are those that ended unwritten, on channels whose client asks; `resume` takes off
    those it accounts for."""
    asking, (a, _, _) = await filled(store, "a", "b", "c", expires_in=1000)
    asking.last_seq, asking.reserved = 1, 1000
    store.mark_written(asking, [(a, 1)])
    other, _ = await filled(store, "d", expires_in=1000)
    await store.expire_deliveries(T0 + 1000, limit=10, keep=())
    assert (await position(store, other)).dropped == 0
    found = await position(store, asking)
    assert (found.written, found.dropped) == ([], 2)
    await resume(store, asking, Resumption(dropped=1))
    assert (await position(store, asking)).dropped == 1


async def test_a_reservation_outlives_the_process(open_store: OpenStore) -> None:
    """A channel that is loaded gives no number that may have been given (CH-58)."""
    for reserved, expected in ((None, 3), (1000, 1000), (3, 3)):
        async with trio.open_nursery() as nursery:
            store = open_store()
            await nursery.start(store.run)
            channel = Channel(
                Channel.new_id(ChannelType.WEBSOCKETS), "u", ChannelType.WEBSOCKETS, T0, "device"
            )
            await add(store, channel)
            channel.last_seq, channel.reserved = 3, reserved
            await store.place(channel, [])
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            store = open_store()
            await nursery.start(store.run)
            [record] = await store.load_accounts(["u"])
            assert record.channels[-1].last_seq == expected
            assert (await position(store, channel)).last_seq == 3
            nursery.cancel_scope.cancel()
