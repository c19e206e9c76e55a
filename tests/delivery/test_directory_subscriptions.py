"""tocsin.delivery.directory: subscriptions that end, are renewed, or point to another's channel."""

import gc
from collections.abc import Iterator

import pytest
import trio
from tests.fakes.deliveries import T0, socket_channel, subscription, webhook_channel
from tests.fakes.fault import Fault
from tests.fakes.world import World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.directory import Account
from tocsin.delivery.settings import ChannelSettings, DeliveryLimits
from tocsin.delivery.submissions import Accepted
from tocsin.model.channel import Channel
from tocsin.model.errors import RequestError, StoreError
from tocsin.model.subscription import Subscription
from tocsin.store.sqlite import SqliteStore, StoreSettings

PROJECT = "acct/proj"
LIMITS = DeliveryLimits(subscriptions_per_user=3)


@pytest.fixture
async def world(path: str, nursery: trio.Nursery) -> World:
    """A directory that remembers a hundred users."""
    return await opened(path, nursery)


@pytest.fixture
def fault(path: str, world: World) -> Iterator[Fault]:
    """Faults of the world's store."""
    made = Fault(path)
    yield made
    made.close()


async def opened(path: str, nursery: trio.Nursery) -> World:
    """A world on this store."""
    made = World(
        store=SqliteStore(StoreSettings(path=path)),
        limits=LIMITS,
        channels=ChannelSettings(cached_users=100),
    )
    await nursery.start(made.store.run)
    return made


async def visit(world: World, channel: Channel, user: str = PROJECT) -> Subscription:
    """A subscription of this user to a channel of another."""
    account = await world.directory.account(user)
    wanted = subscription(channel, user=user)
    return (await world.directory.subscribe(account, wanted, b"{}"))[0]


async def own(world: World, user: str = "u") -> Channel:
    """A stored channel of the token's user."""
    account = await world.directory.account(user)
    return await world.directory.open_channel(account, socket_channel(user))


# -- time ----------------------------------------------------------------------------------


async def test_a_subscription_ends_after_its_duration(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """From then on it lets nothing through, is gone with the next sweep, and the webhook stays
    (CH-95)."""
    world = World()
    await nursery.start(world.store.run)
    account = await world.directory.account("u")
    hook = await world.directory.open_channel(account, webhook_channel())
    ending = subscription(hook, expires_at=world.clock() + 60_000)
    await world.directory.subscribe(account, ending, b"{}")
    await trio.sleep(59)
    assert await world.ingest.accept([world.note("a")]) == [Accepted(1)]
    await trio.sleep(1)
    assert await world.ingest.accept([world.note("b")]) == [Accepted(0)]
    assert await world.expiry.end_subscriptions() == 1
    assert (account.subscriptions, list(account.channels)) == ({}, [hook.id])
    assert await world.expiry.end_subscriptions() == 0
    await world.assert_gauges_are_right()


async def test_subscriptions_that_end_share_their_commits(world: World, fault: Fault) -> None:
    """Each by itself: one the store does not take is there for the next time (CH-95)."""
    account = await world.directory.account("u")
    hook = await world.directory.open_channel(account, webhook_channel())
    for name in "abc":
        one = subscription(hook, destination=name, expires_at=T0 - 1)
        await world.directory.subscribe(account, one, b"{}")
    fault.begin("subscription")
    assert await world.expiry.end_subscriptions() == 0
    assert len(account.subscriptions) == 3
    fault.end()
    assert await world.expiry.end_subscriptions() == 3
    assert not account.subscriptions


async def test_a_subscription_that_is_asked_for_again_lives_on(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Same id and text, its time starts again, in the store too (CH-92, CH-95)."""
    world = World()
    await nursery.start(world.store.run)
    account = await world.directory.account("u")
    hook = await world.directory.open_channel(account, webhook_channel())
    first = subscription(hook, expires_at=world.clock() + 60_000)
    await world.directory.subscribe(account, first, b"1")
    await trio.sleep(50)
    again = subscription(hook, expires_at=world.clock() + 60_000)
    assert await world.directory.subscribe(account, again, b"2") == (first, b"1")
    await trio.sleep(30)
    assert await world.expiry.end_subscriptions() == 0
    assert await world.ingest.accept([world.note("a")]) == [Accepted(1)]
    await trio.sleep(30)
    assert await world.expiry.end_subscriptions() == 1


async def test_a_subscription_that_is_over_is_no_longer_the_same(world: World) -> None:
    """Asked for again after its time it is a new one, and takes no place of the quota."""
    account = await world.directory.account("u")
    hook = await world.directory.open_channel(account, webhook_channel())
    over = [subscription(hook, destination=str(n), expires_at=T0) for n in range(3)]
    for one in over:
        await world.directory.subscribe(account, one, b"{}")
    again = subscription(hook, destination="0", expires_at=T0 + 10**9)
    assert (await world.directory.subscribe(account, again, b"{}"))[0] is again


async def test_a_renewal_is_taken_back_only_where_the_store_refuses(path: str) -> None:
    """One whose caller gave up is made all the same."""
    async with trio.open_nursery() as running:
        world = await opened(path, running)
        account = await world.directory.account("u")
        hook = await world.directory.open_channel(account, webhook_channel())
        first = subscription(hook, expires_at=T0 + 10**6)
        await world.directory.subscribe(account, first, b"{}")
        with trio.CancelScope() as scope:
            scope.cancel()
            later = subscription(hook, expires_at=T0 + 10**9)
            await world.directory.subscribe(account, later, b"{}")
        [record] = await world.store.load_accounts(["u"])
        assert record.subscriptions[0].expires_at == first.expires_at == T0 + 10**9
        running.cancel_scope.cancel()
    with pytest.raises(StoreError):
        await world.directory.subscribe(account, subscription(hook), b"{}")
    assert first.expires_at == T0 + 10**9


async def test_another_lifetime_counts_from_now(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Clamped, answered, and durable on return (CH-40, CH-41)."""
    world = World()
    await nursery.start(world.store.run)
    channel = await own(world)
    await trio.sleep(100)
    assert await world.directory.renew(channel, 1) == 60
    assert channel.expires_at == world.clock() + 60_000
    [record] = await world.store.load_accounts(["u"])
    found = record.channels[0]
    assert (found.lifetime, found.expires_at) == (60, channel.expires_at)


async def test_a_lifetime_the_store_refuses_is_taken_back(world: World, fault: Fault) -> None:
    """The clock runs as before."""
    channel = await own(world)
    before = (channel.lifetime, channel.expires_at)
    fault.begin("channel")
    with pytest.raises(StoreError):
        await world.directory.renew(channel, 86_400)
    assert (channel.lifetime, channel.expires_at) == before


# -- channels of others (CH-96) ------------------------------------------------------------


async def test_notifications_of_a_project_reach_the_channel(world: World) -> None:
    """Under the project's user, on the channel of the token's."""
    channel = await own(world)
    await visit(world, channel)
    assert await world.ingest.accept([world.note("a", user=PROJECT)]) == [Accepted(1)]
    assert await world.ingest.accept([world.note("b", user="u")]) == [Accepted(0)]
    await world.assert_gauges_are_right()


async def test_a_removed_channel_takes_subscriptions_of_projects_along(
    world: World, fault: Fault
) -> None:
    """In memory and in the store; taken back where the store refuses (CH-21)."""
    channel = await own(world)
    mine, theirs = await visit(world, channel, "u"), await visit(world, channel)
    account, guest = await world.directory.accounts(["u", PROJECT])
    fault.begin("channel")
    with pytest.raises(StoreError):
        await world.directory.remove_channel(account, channel, outcome="refused")
    assert (account.subscriptions, guest.subscriptions) == ({mine.id: mine}, {theirs.id: theirs})
    await world.assert_gauges_are_right()
    fault.end()
    await world.directory.remove_channel(account, channel, outcome="refused")
    assert (account.subscriptions, guest.subscriptions) == ({}, {})
    assert (await world.store.counts()).subscriptions == {}
    assert await world.ingest.accept([world.note("a", user=PROJECT)]) == [Accepted(0)]
    await world.assert_gauges_are_right()


async def test_after_a_restart_both_hold_the_same_channel(path: str, nursery: trio.Nursery) -> None:
    """Whoever is loaded first; its removal is the end for both."""
    async with trio.open_nursery() as running:
        before = await opened(path, running)
        channel = await own(before)
        await visit(before, channel)
        running.cancel_scope.cancel()
    world = await opened(path, nursery)
    guest = await world.directory.account(PROJECT)
    account = await world.directory.account("u")
    [theirs] = guest.subscriptions.values()
    assert theirs.channel is account.channels[channel.id]
    await world.directory.remove_channel(account, theirs.channel, outcome="refused")
    assert guest.subscriptions == {}
    await world.assert_gauges_are_right()


async def test_who_is_not_in_memory_is_counted_all_the_same(
    path: str, nursery: trio.Nursery
) -> None:
    """The project's account was never loaded since the start."""
    async with trio.open_nursery() as running:
        before = await opened(path, running)
        channel = await own(before)
        await visit(before, channel)
        running.cancel_scope.cancel()
    world = await opened(path, nursery)
    account = await world.directory.account("u")
    loaded = account.channels[channel.id]
    await world.directory.remove_channel(account, loaded, outcome="refused")
    assert (await world.directory.account(PROJECT)).subscriptions == {}
    await world.assert_gauges_are_right()


async def test_a_host_stays_as_long_as_its_guest(world: World) -> None:
    """However many users were asked for meanwhile: there is one object per channel."""
    channel = await own(world)
    await visit(world, channel)
    guest = await world.directory.account(PROJECT)
    await world.directory.accounts([f"other{number}" for number in range(300)])
    gc.collect()
    [one] = guest.subscriptions.values()
    assert (await world.directory.account("u")).channels[channel.id] is one.channel is channel


async def test_a_host_is_let_go_with_the_last_guest(world: World, fault: Fault) -> None:
    """A project that has come and gone keeps nobody in memory; a refusal keeps him (CH-96)."""
    channel, other = await own(world), await own(world)
    first, second = await visit(world, channel), await visit(world, other)
    guest, host = await world.directory.account(PROJECT), await world.directory.account("u")
    await world.directory.unsubscribe(guest, first)
    assert guest.hosts == (host,)
    fault.begin("subscription")
    await _refused(world, guest, second)
    assert guest.hosts == (host,)
    assert host.pointing_to(other) == [(guest, second)]
    with pytest.raises(StoreError):
        await visit(world, await own(world, "v"))
    assert guest.hosts == (host,)
    fault.end()
    await world.directory.remove_channel(host, other, outcome="refused")
    assert guest.hosts == ()
    await visit(world, channel)
    assert guest.hosts == (host,)


async def test_two_who_point_to_each_other_can_be_loaded(path: str, nursery: trio.Nursery) -> None:
    """In whatever order; it must not go round and round."""
    async with trio.open_nursery() as running:
        before = await opened(path, running)
        await visit(before, await own(before, "a/b"), "c/d")
        await visit(before, await own(before, "c/d"), "a/b")
        running.cancel_scope.cancel()
    world = await opened(path, nursery)
    one, other = await world.directory.accounts(["c/d", "a/b"])
    for account, host in ((one, other), (other, one)):
        [pointer] = account.subscriptions.values()
        assert pointer.channel is next(iter(host.channels.values()))


async def test_the_same_of_a_project_at_once_is_one(world: World, fault: Fault) -> None:
    """The second is answered with the first one's (CH-92)."""
    channel = await own(world)
    found: list[Subscription] = []

    async def subscribe() -> None:
        found.append(await visit(world, channel))

    async with trio.open_nursery() as callers:
        with fault.held_up():
            for _ in range(3):
                callers.start_soon(subscribe)
            await wait_all_tasks_blocked()
    assert len({one.id for one in found}) == 1
    await world.assert_gauges_are_right()


async def test_the_quota_of_a_project_is_its_own(world: World) -> None:
    """It does not count for the user whose channel it is."""
    account: Account = await world.directory.account("u")
    channel = await own(world)
    for number in range(3):
        await world.directory.subscribe(
            account, subscription(channel, destination=str(number)), b"{}"
        )
    await visit(world, channel)
    with pytest.raises(RequestError):
        await visit(world, channel, "u")


# -- races ---------------------------------------------------------------------------------


async def test_a_channel_that_two_remove_is_counted_once(world: World, fault: Fault) -> None:
    """A client's DELETE and the end of its clock at the same time."""
    channel = await own(world)
    await visit(world, channel, "u")
    account = await world.directory.account("u")
    removed: list[Channel] = []
    world.directory.on_removed = removed.append

    async def remove() -> None:
        await world.directory.remove_channel(account, channel, outcome="expired")

    async with trio.open_nursery() as callers:
        with fault.held_up():
            callers.start_soon(remove)
            callers.start_soon(remove)
            await wait_all_tasks_blocked()
    assert removed == [channel]
    await world.assert_gauges_are_right()


async def test_nothing_is_put_back_that_lost_its_channel(world: World, fault: Fault) -> None:
    """A DELETE of a subscription that fails while its channel goes."""
    channel = await own(world)
    one = await visit(world, channel, "u")
    account = await world.directory.account("u")
    fault.begin("subscription")
    with pytest.raises(StoreError):
        await world.directory.unsubscribe(account, one)
    assert account.subscriptions == {one.id: one}
    async with trio.open_nursery() as caller:
        caller.start_soon(_refused, world, account, one)
        del account.channels[channel.id]
    assert account.subscriptions == {}


async def _refused(world: World, account: Account, one: Subscription) -> None:
    with pytest.raises(StoreError):
        await world.directory.unsubscribe(account, one)
