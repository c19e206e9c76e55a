"""The rules of `tocsin.store.interface`, for every store: expiry, dead letters, counts."""

import trio
from tests.fakes.deliveries import (
    HOOK,
    T0,
    WEEK,
    notification,
    socket_channel,
    subscription,
    webhook_channel,
)
from tests.fakes.stores import (
    SOCKETS,
    WEBHOOKS,
    Reports,
    accept,
    add,
    assert_counts_are_right,
    claim,
    claimed_ids,
)

from tocsin.store.interface import Store
from tocsin.store.records import Acceptance, Rescheduled, Settlements


async def test_expired_deliveries_end_at_their_deadline(store: Store) -> None:
    """At the deadline, not before; in slices; counted per type with their lanes."""
    hook, socket = webhook_channel(), socket_channel()
    await add(store, hook, socket)
    await accept(store, (notification("a", expires_in=1000), [hook, socket]))
    await accept(store, (notification("b", expires_in=2000), [hook]))
    none = await store.expire_deliveries(T0 + 999, limit=9, keep=())
    assert (none.counts, none.lanes) == ({}, frozenset())
    ended = await store.expire_deliveries(T0 + 1000, limit=9, keep=())
    assert (ended.counts, ended.lanes) == ({WEBHOOKS: 1, SOCKETS: 1}, frozenset({HOOK}))
    await assert_counts_are_right(store, webhooks=1)
    assert (await store.counts()).dead == {}
    assert await claimed_ids(store) == ["b"]


async def test_expiry_works_in_slices(store: Store) -> None:
    """No more than `limit` at a time, and all in the end."""
    channel = socket_channel()
    await add(store, channel)
    await accept(store, *[(notification(expires_in=1), [channel]) for _ in range(5)])
    counts = [
        sum((await store.expire_deliveries(T0 + 1, limit=2, keep=())).counts.values())
        for _ in range(4)
    ]
    assert counts == [2, 2, 1, 0]


async def test_what_was_attempted_and_expired_is_kept_as_a_dead_letter(store: Store) -> None:
    """Of the types asked for; what was never tried just ends."""
    hook, socket = webhook_channel(), socket_channel()
    await add(store, hook, socket)
    await accept(store, (notification("a", expires_in=1), [hook]))
    [one] = await claim(store)
    await store.settle(Settlements(rescheduled=[Rescheduled(one.id, T0 + 9, 1, 0)]), now=T0)
    await accept(store, (notification("b", expires_in=1), [hook, socket]))
    await store.expire_deliveries(T0 + 1, limit=9, keep=[WEBHOOKS])
    assert (await store.counts()).dead == {WEBHOOKS: 1}
    await assert_counts_are_right(store)


async def test_what_is_under_way_does_not_expire(store: Store) -> None:
    """Its attempt may succeed yet; once it is put back its deadline counts."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, (notification("a", expires_in=1), [channel]))
    [one] = await claim(store)
    assert (await store.expire_deliveries(T0 + 1, limit=9, keep=())).counts == {}
    await store.settle(Settlements(rescheduled=[Rescheduled(one.id, T0, 1, 0)]), now=T0 + 1)
    assert (await store.expire_deliveries(T0 + 1, limit=9, keep=())).counts == {WEBHOOKS: 1}


async def test_expiry_makes_way_for_what_waited_behind(store: Store) -> None:
    """The next of the order key becomes due, of an active channel."""
    channel = webhook_channel()
    await add(store, channel)
    await accept(store, (notification("a", order_key="k", expires_in=1), [channel]))
    await accept(store, (notification("b", order_key="k"), [channel]))
    await store.expire_deliveries(T0 + 1, limit=9, keep=())
    assert await claimed_ids(store, now=T0 + 1) == ["b"]


async def test_oldest_is_told_per_type(store: Store) -> None:
    """When the oldest undelivered one was accepted; no entry where there is none."""
    hook, socket = webhook_channel(), socket_channel()
    await add(store, hook, socket)
    assert await store.oldest() == {}
    await accept(store, (notification(accepted_at=T0 + 1), [hook]))
    await accept(store, (notification(accepted_at=T0 + 2, expires_in=WEEK), [hook, socket]))
    assert await store.oldest() == {WEBHOOKS: T0 + 1, SOCKETS: T0 + 2}


async def test_counts_know_channels_and_subscriptions(store: Store) -> None:
    """Per type and per service."""
    channels = [webhook_channel(), socket_channel(), socket_channel()]
    await add(store, *channels)
    for service in ("sms", "chat", "sms"):
        await store.add_subscription(subscription(channels[0], service), b"", Reports().both)
    counts = await store.counts()
    assert counts.channels == {WEBHOOKS: 1, SOCKETS: 2}
    assert counts.subscriptions == {"sms": 2, "chat": 1}


async def test_the_backlog_counts_what_is_being_stored(store: Store) -> None:
    """From the call on, not from the commit on, so that a limit on it holds."""
    channel = webhook_channel()
    await add(store, channel)
    acceptance = Acceptance()
    acceptance.add(notification(), [channel])
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.accept(acceptance, Reports())
    assert store.backlog == 1
