"""tocsin.delivery.directory: devices and webhooks that are POSTed again, used, and left unused."""

from collections.abc import Iterator

import attrs
import pytest
import trio
from tests.fakes.deliveries import (
    T0,
    device_channel,
    socket_channel,
    subscription,
    webhook_channel,
)
from tests.fakes.fault import Fault
from tests.fakes.world import World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.directory import Account
from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.channel import Channel, ChannelState, Device
from tocsin.model.errors import StoreError
from tocsin.model.subscription import Subscription
from tocsin.store.sqlite import SqliteStore, StoreSettings

DAY = 86_400


@pytest.fixture
async def world(path: str, nursery: trio.Nursery) -> World:
    """A directory over a store with a writer thread."""
    store = SqliteStore(StoreSettings(path=path))
    await nursery.start(store.run)
    return World(store=store, limits=DeliveryLimits(channels_per_user=3))


@pytest.fixture
async def account(world: World) -> Account:
    """The account of `u`."""
    return await world.directory.account("u")


@pytest.fixture
def fault(path: str, world: World) -> Iterator[Fault]:
    """Faults of the world's store."""
    made = Fault(path)
    yield made
    made.close()


def device_of(channel: Channel) -> Device:
    """The device of an OMAPush channel."""
    assert channel.device is not None
    return channel.device


async def stored(world: World, user: str = "u") -> list[Channel]:
    """What the store has."""
    [record] = await world.store.load_accounts([user])
    return record.channels


# -- devices -------------------------------------------------------------------------------


async def test_the_same_app_is_one_channel_with_the_latest_token(
    world: World, account: Account
) -> None:
    """Existing id, new token, in memory and in the store (CH-74); the rest a provider asked for
    was for the earlier one."""
    first = await world.directory.open_channel(account, device_channel(token="a"))
    first.held_until = T0 + 60_000
    again = device_channel(token="b", now=T0 + 5)
    again.echoed = {"x-Vendor": "1"}
    assert await world.directory.open_channel(account, again) is first
    for channel in (first, *await stored(world)):
        device = device_of(channel)
        assert (channel.id, device.token, device.registered_at) == (first.id, "b", T0 + 5)
        assert (channel.echoed, channel.held_until) == ({"x-Vendor": "1"}, 0)
    assert len(await stored(world)) == 1


async def test_another_app_or_client_is_another_channel(world: World, account: Account) -> None:
    """A phone's calls and messages are two; so are two phones (CH-73, CH-74)."""
    for number, channel in enumerate(
        [device_channel(), device_channel(app="a.voip"), device_channel(correlator="tablet")]
    ):
        channel.device = attrs.evolve(device_of(channel), token=str(number))
        assert await world.directory.open_channel(account, channel) is channel
    assert len(await stored(world)) == 3


async def test_a_token_the_store_refuses_was_never_given(
    world: World, account: Account, fault: Fault
) -> None:
    """The old one is used as before."""
    first = await world.directory.open_channel(account, device_channel(token="a"))
    fault.begin("channel")
    with pytest.raises(StoreError):
        await world.directory.open_channel(account, device_channel(token="b"))
    assert device_of(first).token == "a"


async def test_two_channels_of_a_user_never_hold_one_token(world: World, account: Account) -> None:
    """The older is removed, with its subscriptions and all that waits (CH-74)."""
    older = await world.subscribed(device_channel(correlator="before"))
    await world.publish("a")
    newer = await world.directory.open_channel(account, device_channel(correlator="after"))
    assert list(account.channels) == [newer.id]
    assert account.subscriptions == {}
    assert [one.id for one in await stored(world)] == [newer.id]
    assert older.id != newer.id
    await world.assert_gauges_are_right()


async def test_an_upsert_may_take_a_token_over_too(world: World, account: Account) -> None:
    """The channel that got it last is the one that has it (CH-74)."""
    first = await world.directory.open_channel(account, device_channel(token="a", correlator="1"))
    second = await world.directory.open_channel(account, device_channel(token="b", correlator="2"))
    again = device_channel(token="b", correlator="1")
    assert await world.directory.open_channel(account, again) is first
    assert list(account.channels) == [first.id]
    assert second.id not in [one.id for one in await stored(world)]
    await world.assert_gauges_are_right()


async def test_two_that_register_one_token_at_once(
    world: World, account: Account, fault: Fault
) -> None:
    """Exactly one is left; it must not be none (CH-74)."""
    opened: list[Channel] = []

    async def register(correlator: str) -> None:
        try:
            opened.append(
                await world.directory.open_channel(account, device_channel(correlator=correlator))
            )
        except StoreError:
            return  # removed before it was answered

    async with trio.open_nursery() as callers:
        with fault.held_up():
            for correlator in ("1", "2", "3"):
                callers.start_soon(register, correlator)
            await wait_all_tasks_blocked()
    [left] = account.channels.values()
    assert left in opened
    assert [one.id for one in await stored(world)] == [left.id]
    await world.assert_gauges_are_right()


@pytest.mark.parametrize("exclusive", [False, True])
async def test_a_token_of_several_users(path: str, nursery: trio.Nursery, exclusive: bool) -> None:
    """They may share it, unless `push.token_exclusive`: then the latest has it (CH-74)."""
    world = World(store=SqliteStore(StoreSettings(path=path)), token_exclusive=exclusive)
    await nursery.start(world.store.run)
    for number, user in enumerate("uvw"):
        await world.subscribed(device_channel(user, now=T0 + number))
    counts = [len(await stored(world, user)) for user in "uvw"]
    assert counts == ([0, 0, 1] if exclusive else [1, 1, 1])
    assert len((await world.directory.account("u")).channels) == counts[0]
    await world.assert_gauges_are_right()


async def test_of_users_who_register_one_token_at_once_one_is_left(
    path: str, nursery: trio.Nursery
) -> None:
    """Both agree whose is the older (CH-74)."""
    world = World(store=SqliteStore(StoreSettings(path=path)), token_exclusive=True)
    await nursery.start(world.store.run)
    fault = Fault(path)

    async def register(user: str) -> None:
        account = await world.directory.account(user)
        try:
            await world.directory.open_channel(account, device_channel(user))
        except StoreError:
            return  # removed before it was answered

    await world.directory.accounts(list("uvw"))
    async with trio.open_nursery() as callers:
        with fault.held_up():
            for user in "uvw":
                callers.start_soon(register, user)
            await wait_all_tasks_blocked()
    fault.close()
    assert sum([len(await stored(world, user)) for user in "uvw"]) == 1
    await world.assert_gauges_are_right()


async def test_what_has_expired_does_not_come_back(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A device with a lifetime (CH-33) that is POSTed again too late is another channel, though
    nobody has cleaned up yet (CH-130)."""
    world = World()
    await nursery.start(world.store.run)
    account = await world.directory.account("u")
    first, again = device_channel(), device_channel()
    first.lifetime = again.lifetime = 60
    first.restart_clock(world.clock())
    await world.directory.open_channel(account, first)
    await trio.sleep(60)
    again.restart_clock(world.clock())
    assert await world.directory.open_channel(account, again) is again
    assert list(account.channels) == [again.id]


# -- webhooks ------------------------------------------------------------------------------


async def test_a_suspended_webhook_is_resumed_with_its_new_secret(
    world: World, account: Account
) -> None:
    """One POST does both, in the store too (CH-80)."""
    first = await world.directory.open_channel(account, webhook_channel())
    await world.directory.suspend(first)
    again = webhook_channel()
    assert again.webhook is not None
    again.webhook = attrs.evolve(again.webhook, secret="whsec_new")
    assert await world.directory.open_channel(account, again) is first
    for channel in (first, *await stored(world)):
        assert channel.state is ChannelState.ACTIVE
        assert channel.webhook is not None
        assert channel.webhook.secret == "whsec_new"


async def test_a_suspended_webhook_that_is_deleted_meanwhile_is_a_new_one(
    world: World, account: Account, fault: Fault
) -> None:
    """A POST and a DELETE that cross are no failure of the store."""
    first = await world.directory.open_channel(account, webhook_channel())
    await world.directory.suspend(first)
    again = webhook_channel()

    async def delete() -> None:
        await world.directory.remove_channel(account, first, outcome="refused")

    async with trio.open_nursery() as nursery:
        with fault.held_up():
            nursery.start_soon(world.directory.open_channel, account, again)
            await wait_all_tasks_blocked()
            nursery.start_soon(delete)
            await wait_all_tasks_blocked()
    assert world.store.failing is None
    assert list(account.channels) == [again.id] == [one.id for one in await stored(world)]
    await world.assert_gauges_are_right()


async def test_the_same_webhook_at_once_is_one_channel(
    world: World, account: Account, fault: Fault
) -> None:
    """Also where each has to wait until room is made (CH-80, CH-140)."""
    for _ in range(3):
        gone = socket_channel(correlator="app")
        gone.left_cleanly = True
        await world.directory.open_channel(account, gone)
    opened: list[Channel] = []

    async def open_one() -> None:
        opened.append(await world.directory.open_channel(account, webhook_channel()))

    async with trio.open_nursery() as callers:
        with fault.held_up():
            for _ in range(3):
                callers.start_soon(open_one)
            await wait_all_tasks_blocked()
    assert len({one.id for one in opened}) == 1
    assert len([one for one in await stored(world) if one.webhook is not None]) == 1
    await world.assert_gauges_are_right()


async def test_a_webhook_nobody_uses_ends(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Thirty days after its last POST or subscription, and not while it has one (CH-42)."""
    world = World()
    await nursery.start(world.store.run)
    account = await world.directory.account("u")
    unused, again, served, left = [
        await world.directory.open_channel(account, _used(world, f"/{number}"))
        for number in range(4)
    ]
    await _subscribe(world, served)
    ending = await _subscribe(world, left)
    await trio.sleep(20 * DAY)
    await world.directory.open_channel(account, _used(world, "/1"))
    await world.directory.unsubscribe(account, ending)
    expected = {25: [unused, again, served, left], 31: [again, served, left], 51: [served]}
    day = 20
    for later, living in expected.items():
        await trio.sleep((later - day) * DAY)
        day = later
        await _sweep(world)
        assert list(account.channels.values()) == living
    await world.assert_gauges_are_right()


def _used(world: World, path: str) -> Channel:
    channel = webhook_channel(path=path)
    channel.used_at = world.clock()
    return channel


async def _subscribe(world: World, channel: Channel) -> Subscription:
    account = await world.directory.account(channel.user)
    return (await world.directory.subscribe(account, subscription(channel), b"{}"))[0]


async def _sweep(world: World) -> None:
    """An hour after its start, housekeeping looks after what is rarely due."""
    housekeeping = world.housekeeping()
    await trio.sleep(3600)
    await housekeeping.sweep()
