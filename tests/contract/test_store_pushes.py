"""The rules of `tocsin.store.interface`, for every store: gateway pushes and their repeats."""

import trio
from tests.fakes.deliveries import T0, device_channel, notification
from tests.fakes.gatewaypushes import A, B, accept, claim, ids, push, pushes
from tests.fakes.stores import OpenStore, add, assert_counts_are_right, letter

from tocsin.model.channel import ChannelType
from tocsin.store.interface import Store
from tocsin.store.records import (
    Acceptance,
    Ended,
    FirstPush,
    PushIdentity,
    Rescheduled,
    Settlements,
)

STRANGER = PushIdentity(A.key, A.proof + 1)


# -- repeats -------------------------------------------------------------------------------


async def test_a_repeat_of_a_pending_push_stores_nothing(store: Store) -> None:
    """It is told which delivery to wait for (PU-18, PU-19)."""
    channel = device_channel()
    await add(store, channel)
    first = await accept(store, pushes((channel, A)))
    again = await accept(store, pushes((channel, B), (channel, A), (channel, None)))
    assert (first.firsts, again.firsts) == ({}, {1: FirstPush(ids(first)[0], None)})
    assert [len(legs) for legs in again.fresh()] == [1, 1]
    await assert_counts_are_right(store, omapush=3)


async def test_a_repeat_is_told_what_became_of_the_first(store: Store) -> None:
    """Delivered or gone, though its delivery is over (PU-19)."""
    channel = device_channel()
    await add(store, channel)
    first = await accept(store, pushes((channel, A), (channel, B)))
    one, two = ids(first)
    await claim(store)
    results = [(one, "delivered"), (two, "gone")]
    await store.settle(Settlements(finished=[one, two], pushes=results), now=T0)
    again = await accept(store, pushes((channel, A), (channel, B)))
    assert again.firsts == {0: FirstPush(one, "delivered"), 1: FirstPush(two, "gone")}
    await assert_counts_are_right(store)


async def test_what_ended_otherwise_is_not_remembered(store: Store) -> None:
    """Refused or dead: who repeats it tries again (PU-19)."""
    channel = device_channel()
    await add(store, channel)
    await accept(store, pushes((channel, A), (channel, B)))
    one, two = await claim(store)
    await store.settle(Settlements(finished=[one.id], dead=[letter(two)]), now=T0)
    again = await accept(store, pushes((channel, A), (channel, B)))
    assert again.firsts == {}
    third = await accept(store, pushes((channel, A)))
    assert third.firsts == {0: FirstPush(ids(again)[0], None)}


async def test_a_push_that_is_tried_again_is_still_pending(store: Store) -> None:
    """Its repeats wait like the first (PU-19)."""
    channel = device_channel()
    await add(store, channel)
    await accept(store, pushes((channel, A)))
    [one] = await claim(store)
    await store.settle(Settlements(rescheduled=[Rescheduled(one.id, T0 + 9, 1, 0)]), now=T0)
    assert (await accept(store, pushes((channel, A)))).firsts == {0: FirstPush(one.id, None)}


async def test_a_repeat_is_found_within_its_own_request(store: Store) -> None:
    """The first of them is sent (PU-18)."""
    channel = device_channel()
    await add(store, channel)
    made = await accept(store, pushes((channel, A), (channel, B), (channel, A)))
    assert made.firsts == {2: FirstPush(ids(made)[0], None)}
    assert len(await claim(store)) == 2
    await assert_counts_are_right(store, omapush=2)


async def test_repeats_at_once_are_sent_once(store: Store) -> None:
    """Requests that share a commit see each other (PU-18)."""
    channel = device_channel()
    await add(store, channel)
    made = [pushes((channel, A)) for _ in range(10)]
    async with trio.open_nursery() as callers:
        for one in made:
            callers.start_soon(accept, store, one)
    [first] = [one for one in made if not one.firsts]
    others = [one.firsts for one in made if one is not first]
    assert others == [{0: FirstPush(ids(first)[0], None)}] * 9
    await assert_counts_are_right(store, omapush=1)


async def test_a_stranger_with_the_same_key_is_no_repeat(store: Store) -> None:
    """Two digests must agree (PU-18)."""
    channel = device_channel()
    await add(store, channel)
    await accept(store, pushes((channel, A)))
    assert (await accept(store, pushes((channel, STRANGER)))).firsts == {}
    assert store.remembered["push"] == 1


async def test_repeats_survive_a_restart_and_are_forgotten_in_time(open_store: OpenStore) -> None:
    """For a day, and no id of a delivery is given twice (PU-18)."""
    channel = device_channel()
    async with trio.open_nursery() as first:
        store = open_store()
        await first.start(store.run)
        await add(store, channel)
        made = await accept(store, pushes((channel, A), (channel, B), at=T0))
        [one, two] = ids(made)
        results = Settlements(finished=[one, two], pushes=[(one, "delivered")])
        await store.settle(results, now=T0)
        first.cancel_scope.cancel()
    async with trio.open_nursery() as second:
        again = open_store()
        await second.start(again.run)
        assert again.remembered["push"] == 2
        found = await accept(again, pushes((channel, A), (channel, B), at=T0 + 5))
        assert found.firsts == {0: FirstPush(one, "delivered")}
        assert min(ids(found)) > two
        assert await again.forget_submissions(T0 + 1, keep=9, limit=9) == 1
        assert again.remembered["push"] == (await again.counts()).remembered["push"] == 1
        assert (await accept(again, pushes((channel, A)))).firsts == {}
        second.cancel_scope.cancel()


# -- channels that come with their first push ----------------------------------------------


async def test_a_channel_is_stored_with_its_first_push(store: Store) -> None:
    """In the same transaction; its key is known at once (PU-23)."""
    channel = device_channel("gateway")
    channel.used_at = T0
    made = pushes((channel, None))
    made.opening.append(channel)
    await accept(store, made)
    assert made.opened == {channel.key}
    [record] = await store.load_accounts(["gateway"])
    assert [(one.id, one.key) for one in record.channels] == [(channel.id, channel.key)]
    assert [one.channel_id for one in await claim(store)] == [channel.id]


async def test_a_channel_that_is_there_is_only_used_again(store: Store) -> None:
    """Nothing else of it changes, and nobody counts it twice (PU-23)."""
    channel = device_channel("gateway")
    channel.used_at = T0
    await add(store, channel)
    channel.used_at, channel.client_correlator = T0 + 7, "other"
    made = pushes((channel, None))
    made.opening.append(channel)
    await accept(store, made)
    [record] = await store.load_accounts(["gateway"])
    [found] = record.channels
    assert (found.used_at, found.client_correlator) == (T0 + 7, "phone")
    assert made.opened == frozenset()
    assert await store.unused_channels(ChannelType.OMAPUSH, T0 + 7, limit=9) == []
    unused = [("gateway", channel.id)]
    assert await store.unused_channels(ChannelType.OMAPUSH, T0 + 8, limit=9) == unused
    assert await store.unused_channels(ChannelType.WEBHOOKS, T0 + 8, limit=9) == []


async def test_requests_at_once_open_a_channel_once(store: Store) -> None:
    """Whichever comes first brings it along (PU-23)."""
    channel = device_channel("gateway")
    made = [pushes((channel, None)) for _ in range(5)]
    async with trio.open_nursery() as callers:
        for one in made:
            one.opening.append(channel)
            callers.start_soon(accept, store, one)
    assert sorted(len(one.opened) for one in made) == [0, 0, 0, 0, 1]
    assert (await store.counts()).channels == {ChannelType.OMAPUSH: 1}
    assert len(await claim(store)) == 5


# -- what ends without an attempt ----------------------------------------------------------


async def test_calls_are_withdrawn_on_all_channels(store: Store) -> None:
    """Those no queue holds make way, and are told apart from what overflows (PU-13)."""
    one, other = device_channel("u"), device_channel("v", "token2")
    await add(store, one, other)
    held = ids(await accept(store, pushes((one, None))))
    await claim(store)
    calls = ids(await accept(store, pushes((one, None), (other, None))))
    missed = await accept(store, pushes((one, None), withdrawing=[*held, *calls]))
    assert missed.trimmed.ids == dict.fromkeys(calls, "collapsed")
    assert missed.trimmed.pushes.keys() == set(calls)
    assert missed.trimmed.ended == {(ChannelType.OMAPUSH, "collapsed"): 2}
    await assert_counts_are_right(store, omapush=2)


async def test_pushes_that_overflow_are_told_and_logged(store: Store) -> None:
    """Each with the word for it; other deliveries are not told (PU-14, PU-15)."""
    channel = device_channel()
    await add(store, channel)
    [first] = ids(await accept(store, pushes((channel, None))))
    made = Acceptance(crowded={channel.key: channel}, bounds=(1, 1 << 20))
    made.add(notification(), [channel])
    made.add(push("last"), [channel])
    await accept(store, made)
    [plain, _] = ids(made)
    assert made.trimmed.ids == {first: "overflow", plain: "overflow"}
    assert made.trimmed.pushes.keys() == {first}


async def test_expired_pushes_are_told_and_those_that_are_waited_for_are_no_letters(
    store: Store,
) -> None:
    """Who is answered 500 needs no dead letter (PU-15)."""
    channel = device_channel()
    await add(store, channel)
    made = Acceptance()
    for id_ in ("a", "b", "c"):
        made.add(push(id_, expires_in=1000), [channel])
    made.add(notification("d", expires_in=1000), [channel])
    await accept(store, made)
    attempted = await claim(store)
    back = [Rescheduled(one.id, T0, 1, 0) for one in attempted if one.notification.id != "a"]
    back += [Rescheduled(one.id, T0, 0, 0) for one in attempted if one.notification.id == "a"]
    await store.settle(Settlements(rescheduled=back), now=T0)
    ended = await store.expire_deliveries(
        T0 + 1000, limit=9, keep=[ChannelType.OMAPUSH], spare=ids(made)[:2]
    )
    assert {one.id for one in ended.pushes.values()} == {"a", "b", "c"}
    assert ended.counts == {ChannelType.OMAPUSH: 4}
    assert (await store.counts()).dead == {ChannelType.OMAPUSH: 2}


async def test_pushes_of_a_removed_channel_are_told(store: Store) -> None:
    """Whoever waits for one must learn that it is over (PU-14)."""
    channel = device_channel()
    await add(store, channel)
    made = pushes((channel, None))
    made.add(notification(), [channel])
    await accept(store, made)
    results: list[Ended | None] = []
    await store.remove_channel(channel, lambda ended, _error: results.append(ended))
    [ended] = results
    assert ended is not None
    assert list(ended.pushes) == ids(made)[:1]
    assert ended.counts == {ChannelType.OMAPUSH: 2}
