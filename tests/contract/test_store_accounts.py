"""The rules of `tocsin.store.interface`, for every store: devices, webhooks, subscriptions that
end, and those that point to a channel of another user."""

import attrs
import pytest
import trio
from tests.fakes.deliveries import (
    T0,
    device_channel,
    notification,
    socket_channel,
    subscription,
    webhook_channel,
)
from tests.fakes.stores import OpenStore, Reports, accept, add, assert_counts_are_right

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StoreError
from tocsin.model.subscription import Subscription
from tocsin.store.interface import Store
from tocsin.store.records import Ended


async def subscribe(store: Store, *subscriptions: Subscription) -> None:
    """Store subscriptions."""
    for one in subscriptions:
        await store.add_subscription(one, b"{}", Reports().both)


def used(channel: Channel, at: int) -> Channel:
    """A webhook that was last asked for then."""
    channel.used_at = at
    return channel


# -- what changes of a channel -------------------------------------------------------------


async def test_a_channel_comes_back_as_it_was_changed(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    """Lifetime, clock, secret, device, echoed members and use, across a restart (CH-74, CH-80)."""
    phone, hook, socket = device_channel(), webhook_channel(), socket_channel()
    first = open_store()
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, phone, hook, socket)
        assert phone.device is not None
        assert hook.webhook is not None
        phone.device = attrs.evolve(phone.device, token="newer", registered_at=T0 + 5)
        phone.echoed = {"x-Vendor": "é"}
        hook.webhook = attrs.evolve(hook.webhook, secret="whsec_new")
        hook.used_at = T0 + 6
        socket.lifetime = 90
        socket.restart_clock(T0)
        for one in (phone, hook, socket):
            await first.change_channel(one, Reports())
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    [record] = await second.load_accounts(["u"])
    found = {one.id: attrs.evolve(one, left_at=None) for one in record.channels}
    for one in (phone, hook, socket):
        assert attrs.asdict(found[one.id]) == attrs.asdict(attrs.evolve(one, left_at=None))


async def test_a_channel_that_is_gone_cannot_be_changed(store: Store) -> None:
    """Nobody is answered 2xx for it (CH-22)."""
    phone = device_channel()
    await add(store, phone)
    await store.remove_channel(phone, Reports().both)
    reports = Reports()
    with pytest.raises(StoreError):
        await store.change_channel(phone, reports)
    assert len(reports.errors) == 1
    assert isinstance(reports.errors[0], StoreError)


async def test_a_change_is_what_the_channel_was_when_it_was_asked_for(store: Store) -> None:
    """Not what it has become by the time it is written."""
    phone = device_channel(token="first")
    await add(store, phone)
    assert phone.device is not None
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.change_channel(phone, Reports())
    phone.device = attrs.evolve(phone.device, token="second")
    [record] = await store.load_accounts(["u"])
    assert record.channels[0].device is not None
    assert record.channels[0].device.token == "first"


# -- devices -------------------------------------------------------------------------------


async def test_a_device_is_found_with_whomever_it_is(store: Store) -> None:
    """By provider, app and token, all three (CH-74)."""
    mine, hers = device_channel("me"), device_channel("her")
    others = [device_channel("me", "other"), device_channel("me", app="com.example.app.voip")]
    await add(store, mine, hers, *others, webhook_channel("me"))
    assert mine.device is not None
    found = await store.find_device(mine.device)
    assert sorted(found) == [("her", hers.id), ("me", mine.id)]
    assert await store.find_device(attrs.evolve(mine.device, provider="fcm")) == []


async def test_a_replaced_token_is_found_no_more(store: Store) -> None:
    """The new one is."""
    phone = device_channel(token="old")
    await add(store, phone)
    old = phone.device
    assert old is not None
    phone.device = attrs.evolve(old, token="new")
    await store.change_channel(phone, Reports())
    assert await store.find_device(old) == []
    assert await store.find_device(phone.device) == [("u", phone.id)]


# -- webhooks nobody uses ------------------------------------------------------------------


async def test_unused_channels_are_found_longest_unused_first(store: Store) -> None:
    """Without a subscription, and of those that have a use at all (CH-42)."""
    later, sooner = used(webhook_channel(), T0 + 20), used(webhook_channel(path="/b"), T0 + 10)
    fresh = used(webhook_channel(path="/c"), T0 + 30)
    busy = used(webhook_channel(path="/d"), T0)
    await add(store, later, sooner, fresh, busy, socket_channel(), device_channel())
    await subscribe(store, subscription(busy))
    found = [("u", sooner.id), ("u", later.id)]
    assert await store.unused_channels(ChannelType.WEBHOOKS, T0 + 30, limit=9) == found
    assert await store.unused_channels(ChannelType.WEBHOOKS, T0 + 30, limit=1) == found[:1]


async def test_a_channel_was_in_use_until_its_subscription_was_removed(store: Store) -> None:
    """The thirty days begin there, also where the subscription was somebody else's (CH-42)."""
    hook = used(webhook_channel(), T0)
    await add(store, hook)
    guest = subscription(hook, user="acct/proj")
    await subscribe(store, guest)
    assert await store.unused_channels(ChannelType.WEBHOOKS, T0 + 100, limit=9) == []
    await store.remove_subscription(guest, T0 + 50, Reports())
    assert await store.unused_channels(ChannelType.WEBHOOKS, T0 + 50, limit=9) == []
    assert await store.unused_channels(ChannelType.WEBHOOKS, T0 + 51, limit=9) == [("u", hook.id)]


async def test_a_use_is_not_made_up(store: Store) -> None:
    """A socket has none, and does not get one with the end of a subscription."""
    socket = socket_channel()
    await add(store, socket)
    one = subscription(socket)
    await subscribe(store, one)
    await store.remove_subscription(one, T0, Reports())
    assert await store.unused_channels(ChannelType.WEBHOOKS, T0 + 1, limit=9) == []


# -- subscriptions that end ----------------------------------------------------------------


async def test_subscriptions_are_found_when_their_time_is_up(store: Store) -> None:
    """One whose time is `now` is over; the earliest first, the endless never (CH-95)."""
    hook = webhook_channel()
    await add(store, hook)
    late, early = subscription(hook, expires_at=T0 + 2), subscription(hook, expires_at=T0 + 1)
    await subscribe(store, late, early, subscription(hook))
    assert await store.expired_subscriptions(T0, limit=9) == []
    found = [("u", early.id), ("u", late.id)]
    assert await store.expired_subscriptions(T0 + 2, limit=9) == found
    assert await store.expired_subscriptions(T0 + 2, limit=1) == found[:1]


@pytest.mark.parametrize(("end", "remaining"), [(T0 + 10, 1), (None, 1), (T0, 0)])
async def test_a_renewal_moves_the_end(
    open_store: OpenStore, nursery: trio.Nursery, end: int | None, remaining: int
) -> None:
    """To another time or to none, across a restart (CH-95)."""
    first, hook = open_store(), webhook_channel()
    one = subscription(hook, expires_at=T0 + 1)
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, hook)
        await subscribe(first, one)
        one.expires_at = end
        await first.renew_subscription(one, Reports())
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    [record] = await second.load_accounts(["u"])
    assert [found.expires_at for found in record.subscriptions] == [end]
    assert len(await second.expired_subscriptions(T0 + 5, limit=9)) == 1 - remaining


# -- subscriptions to channels of others ---------------------------------------------------


async def test_a_guest_is_loaded_with_the_channel_it_points_to(store: Store) -> None:
    """Which is no channel of his own, nor is the subscription one of its owner's (CH-96)."""
    channel = socket_channel("u")
    await add(store, channel)
    guest = subscription(channel, user="acct/proj")
    await subscribe(store, guest)
    visitor, owner = await store.load_accounts(["acct/proj", "u"])
    assert visitor.channels == []
    [found] = visitor.subscriptions
    assert (found.id, found.user) == (guest.id, "acct/proj")
    assert (found.channel.id, found.channel.user, found.channel.key) == (
        channel.id,
        "u",
        channel.key,
    )
    assert ([one.id for one in owner.channels], owner.subscriptions) == ([channel.id], [])


async def test_a_removed_channel_takes_guests_along(store: Store) -> None:
    """What was removed is told by service, so that it can be counted (CH-21, CH-96)."""
    channel = socket_channel()
    await add(store, channel)
    await subscribe(
        store,
        subscription(channel),
        subscription(channel, user="acct/proj"),
        subscription(channel, "chat", user="acct/proj"),
    )
    await accept(store, (notification(user="acct/proj"), [channel]))
    reports = Reports()
    await store.remove_channel(channel, reports.both)
    [ended] = reports.results
    assert isinstance(ended, Ended)
    assert ended.channels == {channel.key: ChannelType.WEBSOCKETS}
    assert ended.subscriptions == {"sms": 2, "chat": 1}
    assert ended.counts == {ChannelType.WEBSOCKETS: 1}
    [visitor] = await store.load_accounts(["acct/proj"])
    assert visitor.subscriptions == []
    await assert_counts_are_right(store)


async def test_a_channel_is_removed_once(store: Store) -> None:
    """Who comes second removes nothing, and learns it."""
    channel = socket_channel()
    await add(store, channel)
    reports = Reports()
    for _ in range(2):
        await store.remove_channel(channel, reports.both)
    assert reports.errors == [None, None]
    assert [one.channels for one in reports.results if isinstance(one, Ended)] == [
        {channel.key: ChannelType.WEBSOCKETS},
        {},
    ]
