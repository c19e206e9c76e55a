"""The rules of `tocsin.store.interface`, for every store: records, failures, cancellation."""

from contextlib import suppress

import attrs
import pytest
import trio
from tests.fakes.deliveries import (
    HOOK,
    T0,
    notification,
    socket_channel,
    subscription,
    webhook_channel,
)
from tests.fakes.stores import (
    WEBHOOKS,
    OpenStore,
    Reports,
    accept,
    add,
    assert_counts_are_right,
    claim,
    claimed_ids,
    letter,
    waiting,
)

from tocsin.model.channel import ChannelState
from tocsin.model.errors import StoreError
from tocsin.store.interface import Store
from tocsin.store.records import Acceptance, Ended, Settlements

# -- channels and subscriptions ------------------------------------------------------------


async def test_channels_come_back_as_they_were_stored(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    """Every field of every type of channel survives closing and opening (CH-22, CH-130)."""
    hook = webhook_channel()
    assert hook.webhook is not None
    hook.webhook = attrs.evolve(hook.webhook, authorization="Bearer t", secret="whsec_x")
    hook.webhook = hook.webhook.rotated("whsec_y", until=T0 + 5)
    hook.failing_since = T0 - 1
    hook.state = ChannelState.SUSPENDED
    socket = attrs.evolve(
        socket_channel(), check_role="client", application_tag="tag", creator="sub", last_seq=7
    )
    first = open_store()
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, hook, socket)
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    [record] = await second.load_accounts(["u"])
    assert [attrs.asdict(one) for one in record.channels] == [
        attrs.asdict(hook),
        attrs.asdict(socket),
    ]


async def test_accounts_are_answered_in_the_order_asked_for(store: Store) -> None:
    """One record per user, empty for a user nobody has heard of."""
    mine, hers = socket_channel("me"), socket_channel("her")
    await add(store, mine, hers)
    records = await store.load_accounts(["her", "nobody", "me"])
    assert [record.user for record in records] == ["her", "nobody", "me"]
    assert [[one.id for one in record.channels] for record in records] == [
        [hers.id],
        [],
        [mine.id],
    ]


async def test_subscriptions_point_to_the_channels_of_their_record(store: Store) -> None:
    """A loaded subscription holds the loaded channel object, and its filters."""
    channel = socket_channel()
    stored = subscription(channel, destination="+1", sender="+2")
    await add(store, channel)
    await store.add_subscription(stored, b"{}", Reports().both)
    [record] = await store.load_accounts(["u"])
    [loaded] = record.subscriptions
    assert loaded.channel is record.channels[0]
    assert loaded.identity == stored.identity


async def test_texts_of_subscriptions_come_in_the_order_asked_for(store: Store) -> None:
    """Byte for byte, without those that are gone (CH-90)."""
    channel = socket_channel()
    await add(store, channel)
    stored = [subscription(channel) for _ in range(3)]
    for number, one in enumerate(stored):
        await store.add_subscription(one, b'{"n": %d}' % number, Reports().both)
    await store.remove_subscription(stored[1], T0, Reports())
    ids = [stored[2].id, stored[1].id, stored[0].id]
    assert await store.subscription_bodies(ids) == [b'{"n": 2}', b'{"n": 0}']


async def test_a_subscription_needs_its_channel(store: Store) -> None:
    """One to a channel that was not stored is refused, and its account can still be loaded."""
    channel = socket_channel()
    reports = Reports()
    with pytest.raises(StoreError):
        await store.add_subscription(subscription(channel), b"{}", reports.both)
    assert isinstance(reports.errors[0], StoreError)
    [record] = await store.load_accounts(["u"])
    assert record.subscriptions == []


async def test_removing_a_channel_takes_everything_of_it_along(store: Store) -> None:
    """Subscriptions and deliveries go in the same transaction, and are counted (CH-21)."""
    gone, stays = webhook_channel(), socket_channel()
    await add(store, gone, stays)
    kept = subscription(stays)
    for one in (subscription(gone), kept):
        await store.add_subscription(one, b"{}", Reports().both)
    await accept(store, (notification("a"), [gone, stays]), (notification("b"), [gone]))
    await claim(store, limit=1)
    reports = Reports()
    await store.remove_channel(gone, reports.both)
    [ended] = reports.results
    assert isinstance(ended, Ended)
    assert (ended.counts, ended.lanes) == ({WEBHOOKS: 2}, frozenset({HOOK}))
    [record] = await store.load_accounts(["u"])
    assert [one.id for one in record.channels] == [stays.id]
    assert [one.id for one in record.subscriptions] == [kept.id]
    assert await claimed_ids(store) == []
    await assert_counts_are_right(store, websockets=1)


async def test_clocks_are_written_and_found_when_they_run_out(store: Store) -> None:
    """A clock that stands at `now` has run out; the earliest come first (CH-43)."""
    early, late, never = socket_channel(lifetime=60), socket_channel(lifetime=90), webhook_channel()
    await add(store, late, early, never)
    assert await store.expired_channels(T0 + 59_999, limit=10) == []
    assert await store.expired_channels(T0 + 90_000, limit=10) == [("u", early.id), ("u", late.id)]
    assert await store.expired_channels(T0 + 90_000, limit=1) == [("u", early.id)]
    early.restart_clock(T0 + 60_000)
    store.extend_channels([early, late])
    assert await store.expired_channels(T0 + 90_000, limit=10) == [("u", late.id)]


async def test_no_channel_ends_before_its_grace_is_over(store: Store) -> None:
    """A start moves clocks that ran out, and only those (CH-44)."""
    out, running, never = socket_channel(lifetime=60), socket_channel(), webhook_channel()
    await add(store, out, running, never)
    await store.grant_grace(T0 + 120_000)
    [record] = await store.load_accounts(["u"])
    clocks = [one.expires_at for one in record.channels]
    assert clocks == [T0 + 120_000, T0 + 3_600_000, None]


# -- accepting -----------------------------------------------------------------------------


async def test_notifications_come_back_as_they_were_stored(store: Store) -> None:
    """Every member, the text byte for byte (CH-100)."""
    channel = webhook_channel()
    await add(store, channel)
    stored = attrs.evolve(
        notification(order_key="a\0b", destination="+1"),
        body='{"x":{"é":12345678901234567890123}}'.encode(),
        collapse_key="c",
        producer="p",
    )
    await accept(store, (stored, [channel]))
    [found] = await claim(store)
    assert attrs.asdict(found.notification) == attrs.asdict(stored)
    assert (found.channel_key, found.channel_id, found.owner) == (channel.key, channel.id, "u")


async def test_delivery_ids_grow_in_the_order_of_acceptance(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    """Within a call, from call to call, and on after closing and opening again."""
    first = open_store()
    channels = [webhook_channel(), socket_channel()]
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, *channels)
        ids = await accept(first, (notification(), channels), (notification(), channels))
        ids += await accept(first, (notification(), channels))
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    ids += await accept(second, (notification(), channels))
    assert ids == sorted(set(ids))
    assert len(ids) == 8
    await assert_counts_are_right(second, webhooks=4, websockets=4)


async def test_ids_of_dead_letters_are_not_given_again(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    """A new delivery must not overwrite a dead letter kept from before a restart."""
    first = open_store()
    channel = webhook_channel()
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, channel)
        [id_] = await accept(first, (notification(), [channel]))
        [claimed] = await claim(first)
        await first.settle(Settlements(dead=[letter(claimed)]), now=T0)
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    [later] = await accept(second, (notification(), [channel]))
    assert later > id_


async def test_channel_keys_are_given_at_once_and_never_twice(store: Store) -> None:
    """A key is there before the commit is."""
    channels = [socket_channel() for _ in range(3)]
    await add(store, *channels[:2])
    await store.remove_channel(channels[1], Reports().both)
    await add(store, channels[2])
    keys = [channel.key for channel in channels]
    assert len(set(keys)) == 3
    assert all(keys)


async def test_many_at_once(store: Store) -> None:
    """A batch of any size is stored whole."""
    channel = webhook_channel()
    await add(store, channel)
    entries = [(notification(str(number)), [channel]) for number in range(1347)]
    await accept(store, *entries)
    assert await claimed_ids(store, limit=5000) == [str(number) for number in range(1347)]
    await assert_counts_are_right(store, webhooks=1347)


# -- failures, callbacks, cancellation -----------------------------------------------------


async def test_a_refused_call_keeps_nothing_and_the_next_one_works(store: Store) -> None:
    """`StoreError` out of the call and into its callback; no trace in the store."""
    channel = socket_channel()
    await add(store, channel)
    twin = attrs.evolve(socket_channel("other"), id=channel.id)
    reports = Reports()
    with pytest.raises(StoreError):
        await store.add_channel(twin, reports)
    assert len(reports.errors) == 1
    assert isinstance(reports.errors[0], StoreError)
    [record] = await store.load_accounts(["other"])
    assert record.channels == []
    await add(store, socket_channel("other"))
    [record] = await store.load_accounts(["other"])
    assert len(record.channels) == 1


@pytest.mark.parametrize("is_there", [True, False])
async def test_what_relies_on_a_change_that_was_not_stored_is_refused(
    store: Store, is_there: bool
) -> None:
    """Alone, with nothing of it kept; others that share its commit are stored."""
    channel = socket_channel()
    await add(store, channel)
    one = subscription(channel)
    if not is_there:
        await store.add_subscription(one, b"{}", Reports().both)
    relying, other = Acceptance(premises={one.id: is_there}), Acceptance()
    reports = {"relying": Reports(), "other": Reports()}

    async def accepted(name: str, acceptance: Acceptance) -> None:
        acceptance.add(notification(name), [channel])
        with suppress(StoreError):
            await store.accept(acceptance, reports[name])

    async with trio.open_nursery() as both:
        both.start_soon(accepted, "relying", relying)
        both.start_soon(accepted, "other", other)
    assert [type(error) for error in reports["relying"].errors] == [StoreError]
    assert reports["other"].errors == [None]
    assert [found.notification.id for found in await waiting(store, channel)] == ["other"]
    await assert_counts_are_right(store, websockets=1)


async def test_what_relies_on_a_change_that_was_stored_is_stored(store: Store) -> None:
    """Subscriptions that are there, and that are not."""
    channel = socket_channel()
    await add(store, channel)
    one, gone = subscription(channel), subscription(channel)
    await store.add_subscription(one, b"{}", Reports().both)
    acceptance = Acceptance(premises={one.id: True, gone.id: False})
    acceptance.add(notification("a"), [channel])
    await store.accept(acceptance, Reports())
    await assert_counts_are_right(store, websockets=1)


async def test_a_cancelled_call_happens_and_is_reported_once(store: Store) -> None:
    """Cancellation ends the waiting, not the call; its callback comes all the same."""
    channel = webhook_channel()
    acceptance = Acceptance()
    acceptance.add(notification(), [channel])
    added, accepted, removed = Reports(), Reports(), Reports()
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.add_channel(channel, added)
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.accept(acceptance, accepted)
    await store.barrier()
    await assert_counts_are_right(store, webhooks=1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.remove_channel(channel, removed.both)
    await store.barrier()
    assert (added.errors, accepted.errors, removed.errors) == ([None], [None], [None])
    await assert_counts_are_right(store)


async def test_callbacks_come_in_the_order_of_the_calls(
    store: Store, nursery: trio.Nursery
) -> None:
    """Whatever their kind; and before the caller gets on."""
    told: list[str] = []
    channel = webhook_channel()

    async def call(name: str) -> None:
        acceptance = Acceptance()
        acceptance.add(notification(), [channel])
        await store.accept(acceptance, lambda _error: told.append(name))
        assert name in told

    await store.add_channel(channel, lambda _error: told.append("channel"))
    for name in "abc":
        with trio.CancelScope() as scope:
            scope.cancel()
            await call(name)
    store.fetch_waiting(channel, now=T0, after=0, limit=1, then=lambda _f, _e: told.append("fetch"))
    store.settle_lazily([0], lambda count: told.append(f"settled {count}"), now=T0)
    await call("last")
    assert told == ["channel", "a", "b", "c", "fetch", "settled {}", "last"]


async def test_a_read_sees_every_earlier_write(store: Store) -> None:
    """Also one that nobody has waited for."""
    channel = socket_channel()
    await add(store, channel)
    [id_] = await accept(store, (notification("a"), [channel]))
    channel.last_seq = 1
    store.mark_written(channel, [(id_, 1)])
    assert [one.seq for one in await waiting(store, channel)] == [1]
    store.settle_lazily([id_], lambda _count: None, now=T0)
    assert await waiting(store, channel) == []


async def test_a_store_that_has_ended_refuses(open_store: OpenStore) -> None:
    """Nothing hangs and nothing is stored when a call comes too late."""
    store = open_store()
    async with trio.open_nursery() as running:
        await running.start(store.run)
        running.cancel_scope.cancel()
    reports = Reports()
    with pytest.raises(StoreError):
        await store.add_channel(socket_channel(), reports)
    assert len(reports.errors) == 1
    counted: list[int | None] = []
    store.settle_lazily([1], counted.append, now=T0)
    assert counted == [None]
