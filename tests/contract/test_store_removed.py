"""The rules of `tocsin.store.interface`, for every store: what goes with a device token, and comes
back."""

from pathlib import Path

import attrs
import pytest
import trio
from tests.fakes.deliveries import T0, device_channel, subscription
from tests.fakes.fault import Fault
from tests.fakes.gatewaypushes import A, accept, claim, ids, pushes
from tests.fakes.stores import OpenStore, Reports, add, assert_counts_are_right

from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.model.errors import StoreError
from tocsin.store.interface import Store
from tocsin.store.records import Ended, FirstPush, Removal

APP = "com.example.app"
HOUR = 3_600_000
TOKEN = Device("apns", APP, "token")


async def remove(store: Store, *channels: Channel, at: int = T0, is_guarded: bool = False) -> Ended:
    """What a removal told."""
    told: list[Ended | None] = []
    removal = Removal(at, at + HOUR, is_guarded)
    await store.remove_devices(channels, removal, lambda ended, _error: told.append(ended))
    [ended] = told
    assert ended is not None
    return ended


async def subscribed(store: Store, channel: Channel, *services: str) -> None:
    """Store a channel with subscriptions."""
    await add(store, channel)
    for service in services:
        one = subscription(channel, service)
        await store.add_subscription(one, b'{"of":"%b"}' % service.encode(), Reports().both)


async def dead_tokens(store: Store, now: int = T0) -> dict[str, int]:
    """Which tokens count as gone, and until when."""
    return {device.token: until for device, until in await store.tombstones(now, limit=99)}


async def test_all_channels_of_a_token_go_at_once(store: Store) -> None:
    """With their subscriptions and deliveries; others stay (PU-48)."""
    one, two, other = device_channel("u"), device_channel("v"), device_channel("w", "another")
    await subscribed(store, one, "sms", "chat")
    await subscribed(store, two, "sms")
    await subscribed(store, other)
    await accept(store, pushes((one, None), (two, None), (other, None)))
    ended = await remove(store, one, two)
    assert ended.channels == dict.fromkeys((one.key, two.key), ChannelType.OMAPUSH)
    assert ended.subscriptions == {"sms": 2, "chat": 1}
    assert ended.counts == {ChannelType.OMAPUSH: 2}
    assert len(ended.pushes) == 2
    assert await store.find_device(TOKEN) == []
    assert store.remembered["removed"] == 2
    await assert_counts_are_right(store, omapush=1)


async def test_a_push_that_waited_is_remembered_as_gone(store: Store) -> None:
    """Until its token is registered again: then a repeat is sent (PU-19, PU-48)."""
    channel = device_channel()
    await add(store, channel)
    [first] = ids(await accept(store, pushes((channel, A))))
    await remove(store, channel)
    other = device_channel("v", "another")
    await add(store, other)
    assert (await accept(store, pushes((other, A)))).firsts == {0: FirstPush(first, "gone")}
    await add(store, device_channel())
    assert (await accept(store, pushes((other, A)))).firsts == {}


async def test_a_failing_store_removes_nothing(store: Store, tmp_path: Path) -> None:
    """All or none of the channels are there (PU-48)."""
    one, two = device_channel("u"), device_channel("v")
    await add(store, one, two)
    fault = Fault(tmp_path / "store.db")
    fault.begin("removed")
    reports = Reports()
    with pytest.raises(StoreError):
        await store.remove_devices([one, two], Removal(T0, T0 + HOUR), reports.both)
    fault.end()
    fault.close()
    assert reports.results == [None]
    assert len(await store.find_device(TOKEN)) == 2
    assert store.remembered["removed"] == 0


async def test_what_was_removed_comes_back(open_store: OpenStore) -> None:
    """Channels as they were, subscriptions with their texts, after a restart too (PU-48)."""
    channel = device_channel("u")
    channel.echoed = {"x-thing": "1"}
    async with trio.open_nursery() as first:
        store = open_store()
        await first.start(store.run)
        await subscribed(store, channel, "sms")
        await accept(store, pushes((channel, None)))
        await remove(store, channel)
        first.cancel_scope.cancel()
    async with trio.open_nursery() as second:
        again = open_store()
        await second.start(again.run)
        [removed] = await again.removed_devices(APP, T0, guarded_only=False, after=0, limit=9)
        assert (removed.at, await dead_tokens(again)) == (T0, {"token": T0 + HOUR})
        await again.restore_devices([removed], Reports())
        [record] = await again.load_accounts(["u"])
        [back] = record.channels
        was = attrs.asdict(channel, recurse=False)
        now = attrs.asdict(back, recurse=False)
        assert {name for name in was if was[name] != now[name]} <= {"key", "room", "room_bytes"}
        assert [one.service for one in record.subscriptions] == ["sms"]
        [text] = await again.subscription_bodies([record.subscriptions[0].id])
        assert text == b'{"of":"sms"}'
        assert await dead_tokens(again) == {}
        assert await again.removed_devices(APP, 0, guarded_only=False, after=0, limit=9) == []
        assert again.remembered["removed"] == 0
        await assert_counts_are_right(again)
        await accept(again, pushes((back, None)))
        assert len(await claim(again)) == 1
        second.cancel_scope.cancel()


async def test_records_are_found_by_app_time_and_reason(store: Store) -> None:
    """In the order they were made, from a place on (PU-49)."""
    channels = [device_channel("u", f"t{number}") for number in range(4)]
    stranger = device_channel("u", "s", app="com.example.other")
    await add(store, *channels, stranger)
    for number, channel in enumerate(channels):
        await remove(store, channel, at=T0 + number, is_guarded=number % 2 == 1)
    await remove(store, stranger, at=T0 + 9)

    async def tokens(
        since: int, *, guarded: bool = False, after: int = 0, limit: int = 9
    ) -> object:
        found = await store.removed_devices(
            APP, since, guarded_only=guarded, after=after, limit=limit
        )
        return [one.channel.device.token for one in found if one.channel.device is not None]

    assert await tokens(T0) == ["t0", "t1", "t2", "t3"]
    assert await tokens(T0 + 1) == ["t1", "t2", "t3"]
    assert await tokens(T0, guarded=True) == ["t1", "t3"]
    [first] = await store.removed_devices(APP, T0, guarded_only=False, after=0, limit=1)
    assert await tokens(T0, after=first.key, limit=2) == ["t1", "t2"]


async def test_who_is_registered_again_counts_as_gone_no_longer(store: Store) -> None:
    """By a new channel or a new token of an old one; a push of the gateway is none (PU-48)."""
    tokens = ("a", "b", "c")
    await add(store, *(device_channel("u", token) for token in tokens))
    for token in tokens:
        [(user, _)] = await store.find_device(Device("apns", APP, token))
        [record] = await store.load_accounts([user])
        [channel] = [one for one in record.channels if one.device and one.device.token == token]
        await remove(store, channel)
    assert await dead_tokens(store) == dict.fromkeys(tokens, T0 + HOUR)
    assert await dead_tokens(store, T0 + HOUR) == {}
    old = device_channel("v", "z")
    await add(store, device_channel("v", "a"), old)
    assert old.device is not None
    old.device = attrs.evolve(old.device, token="b")
    await store.change_channel(old, Reports())
    opened = device_channel("gateway", "c")
    made = pushes((opened, None))
    made.opening.append(opened)
    await accept(store, made)
    assert await dead_tokens(store) == {"c": T0 + HOUR}


async def test_records_are_forgotten_by_age_and_number(store: Store) -> None:
    """The oldest first (PU-48)."""
    for number in range(6):
        channel = device_channel("u", f"t{number}")
        await add(store, channel)
        await remove(store, channel, at=T0 + number)
    assert await store.forget_removed(T0 + 2, keep=9, limit=9) == 2
    assert await store.forget_removed(T0, keep=1, limit=2) == 2
    assert await store.forget_removed(T0, keep=1, limit=9) == 1
    [left] = await store.removed_devices(APP, 0, guarded_only=False, after=0, limit=9)
    assert left.at == T0 + 5
    assert store.remembered["removed"] == 1
