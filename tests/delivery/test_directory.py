"""tocsin.delivery.directory: who can be reached where, under races and failures."""

import gc
from collections.abc import Awaitable, Callable, Iterator

import attrs
import pytest
import trio
from tests.fakes.deliveries import HOOK, T0, socket_channel, subscription, webhook_channel
from tests.fakes.fault import Fault
from tests.fakes.world import World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.directory import Account
from tocsin.delivery.settings import ChannelSettings, DeliveryLimits
from tocsin.model.channel import Channel, ChannelState, Webhook
from tocsin.model.errors import RequestError, StoreError
from tocsin.store.records import Settlements
from tocsin.store.sqlite import SqliteStore, StoreSettings


@pytest.fixture
def fault(path: str, world: World) -> Iterator[Fault]:
    """Faults of the world's store."""
    made = Fault(path)
    yield made
    made.close()


@pytest.fixture
async def world(path: str, nursery: trio.Nursery) -> World:
    """A directory over a store with a writer thread."""
    store = SqliteStore(StoreSettings(path=path))
    await nursery.start(store.run)
    limits = DeliveryLimits(channels_per_user=3, subscriptions_per_user=3)
    return World(store=store, limits=limits, channels=ChannelSettings(cached_users=100))


@pytest.fixture
async def account(world: World) -> Account:
    """The account of `u`."""
    return await world.directory.account("u")


async def stored_channels(world: World) -> list[str]:
    """What the store has of `u`."""
    [record] = await world.store.load_accounts(["u"])
    return [channel.id for channel in record.channels]


# -- channels ------------------------------------------------------------------------------


async def test_the_quota_holds_under_concurrency(world: World, account: Account) -> None:
    """Two requests racing for the last place see each other: 403 `quota_channels`."""
    refused: list[str] = []

    async def open_one() -> None:
        try:
            await world.directory.open_channel(account, socket_channel())
        except RequestError as error:
            refused.append(error.label)

    async with trio.open_nursery() as callers:
        for _ in range(10):
            callers.start_soon(open_one)
    assert refused == ["quota_channels"] * 7
    assert len(account.channels) == len(await stored_channels(world)) == 3


async def test_a_channel_that_is_over_takes_no_place(world: World, account: Account) -> None:
    """Though nobody has cleaned up yet (CH-43)."""
    for _ in range(3):
        await world.directory.open_channel(account, socket_channel(lifetime=60, now=T0 - 61_000))
    await world.directory.open_channel(account, socket_channel())


async def test_a_channel_the_store_refuses_was_never_there(
    world: World, account: Account, fault: Fault
) -> None:
    """Taken back in memory, and the place is free again."""
    fault.begin("channel")
    for _ in range(5):
        with pytest.raises(StoreError):
            await world.directory.open_channel(account, socket_channel())
    assert account.channels == {}
    fault.end()
    await world.directory.open_channel(account, socket_channel())
    assert len(account.channels) == 1


async def test_the_same_webhook_is_one_channel(world: World, account: Account) -> None:
    """T13: same URL, authorization and correlator answer the existing id (CH-80)."""
    first = await world.directory.open_channel(account, webhook_channel())
    assert await world.directory.open_channel(account, webhook_channel()) is first
    for other in (webhook_channel(path="/else"), webhook_channel(correlator="else")):
        assert await world.directory.open_channel(account, other) is other
    assert len(await stored_channels(world)) == 3


async def test_the_secret_of_the_latest_post_signs(
    world: World, account: Account, fault: Fault
) -> None:
    """Another secret replaces the old one, none keeps it, and a refused one changes nothing
    (CH-80, PU-77)."""

    def posted(secret: str | None) -> Channel:
        channel = webhook_channel()
        channel.webhook = attrs.evolve(channel.webhook, secret=secret)
        return channel

    async def secrets() -> list[str | None]:
        [record] = await world.store.load_accounts([account.user])
        hooks = [one.webhook for one in [first, *record.channels]]
        return [one.secret for one in hooks if one is not None]

    first = await world.directory.open_channel(account, posted("whsec_a"))
    await world.directory.open_channel(account, posted("whsec_b"))
    assert await secrets() == ["whsec_b"] * 2
    await world.directory.open_channel(account, posted(None))
    assert await secrets() == ["whsec_b"] * 2
    fault.begin("channel")
    with pytest.raises(StoreError):
        await world.directory.open_channel(account, posted("whsec_c"))
    fault.end()
    assert await secrets() == ["whsec_b"] * 2


async def test_two_posts_that_both_fail_leave_what_was_stored(
    world: World, account: Account, fault: Fault
) -> None:
    """The undo of the second must not bring back what the first one made (CH-80, PU-77)."""

    def posted(secret: str) -> Channel:
        channel = webhook_channel()
        channel.webhook = attrs.evolve(channel.webhook, secret=secret)
        return channel

    async def refused(secret: str) -> None:
        with pytest.raises(StoreError):
            await world.directory.open_channel(account, posted(secret))

    first = await world.directory.open_channel(account, posted("whsec_a"))
    before = (first.webhook, first.used_at)
    fault.begin("channel")
    async with trio.open_nursery() as callers:
        with fault.held_up():
            for secret in ("whsec_b", "whsec_c"):
                callers.start_soon(refused, secret)
                await wait_all_tasks_blocked()
    assert (first.webhook, first.used_at) == before


async def test_the_secret_before_the_last_one_signs_for_a_day(
    world: World, account: Account, fault: Fault
) -> None:
    """PU-77: of several rotations the newest two; the same secret again is no rotation, nor is one
    that the store refuses."""

    async def posted(secret: str) -> Webhook:
        channel = webhook_channel()
        assert channel.webhook is not None
        channel.webhook = attrs.evolve(channel.webhook, secret=secret)
        opened = await world.directory.open_channel(account, channel)
        assert opened.webhook is not None
        return opened.webhook

    def signing(webhook: Webhook) -> tuple[str | None, str | None, int | None]:
        return webhook.secret, webhook.previous, webhook.rotated_until

    in_a_day = world.clock() + 86_400_000
    assert signing(await posted("whsec_a")) == ("whsec_a", None, None)
    rotated = await posted("whsec_b")
    assert signing(rotated)[:2] == ("whsec_b", "whsec_a")
    assert in_a_day <= (rotated.rotated_until or 0) <= in_a_day + 5000
    assert signing(await posted("whsec_b")) == signing(rotated)
    fault.begin("channel")
    with pytest.raises(StoreError):
        await posted("whsec_c")
    fault.end()
    assert signing(await posted("whsec_b")) == signing(rotated)
    assert signing(await posted("whsec_c"))[:2] == ("whsec_c", "whsec_b")


async def test_an_upsert_of_what_the_store_then_refuses_fails_too(
    world: World, account: Account, fault: Fault
) -> None:
    """Nobody is answered 2xx for a channel that is not there (CH-22)."""
    failures: list[StoreError] = []

    async def open_one() -> None:
        try:
            await world.directory.open_channel(account, webhook_channel())
        except StoreError as error:
            failures.append(error)

    async with trio.open_nursery() as callers:
        with fault.held_up():
            callers.start_soon(open_one)
            callers.start_soon(open_one)
            await wait_all_tasks_blocked()
            fault.begin("channel")
    assert len(failures) == 2
    assert await stored_channels(world) == []


@pytest.mark.parametrize(
    ("requested", "granted"),
    [(None, 3600), (1, 60), (60, 60), (600, 600), (86_400, 86_400), (10**12, 86_400)],
)
def test_lifetimes_are_clamped(requested: int | None, granted: int) -> None:
    """Never an error for being too large (CH-40)."""
    world = World(clock=lambda: T0)
    assert world.directory.grant_lifetime(requested) == granted


async def test_removing_takes_subscriptions_along(world: World, account: Account) -> None:
    """Whoever holds a socket of it is told (CH-21)."""
    removed: list[Channel] = []
    world.directory.on_removed = removed.append
    channel = await world.subscribed(socket_channel())
    await world.publish("a")
    assert await world.directory.remove_channel(account, channel, outcome="refused") == 1
    assert (account.channels, account.subscriptions, removed) == ({}, {}, [channel])
    assert world.store.backlog == 0


async def test_a_removal_the_store_refuses_is_taken_back(
    world: World, account: Account, fault: Fault
) -> None:
    """Channel and subscriptions are there as before, and nobody is told."""
    removed: list[Channel] = []
    world.directory.on_removed = removed.append
    channel = await world.subscribed(socket_channel())
    subscriptions = dict(account.subscriptions)
    fault.begin()
    with pytest.raises(StoreError):
        await world.directory.remove_channel(account, channel, outcome="refused")
    assert account.channels == {channel.id: channel}
    assert (account.subscriptions, removed) == (subscriptions, [])


async def test_a_cancelled_removal_happens(world: World, account: Account) -> None:
    """The socket is closed though nobody waits any more."""
    removed: list[Channel] = []
    world.directory.on_removed = removed.append
    channel = await world.subscribed(socket_channel())
    with trio.CancelScope() as scope:
        scope.cancel()
        await world.directory.remove_channel(account, channel, outcome="refused")
    await world.store.barrier()
    assert removed == [channel]
    assert await stored_channels(world) == []


# -- suspension ----------------------------------------------------------------------------


async def test_a_resume_the_store_refuses_is_taken_back(
    world: World, account: Account, fault: Fault
) -> None:
    """Still suspended, so that the next POST tries again (CH-80)."""
    channel = await world.directory.open_channel(account, webhook_channel())
    await world.directory.suspend(channel)
    fault.begin("channel")
    with pytest.raises(StoreError):
        await world.directory.open_channel(account, webhook_channel())
    assert channel.state is ChannelState.SUSPENDED
    fault.end()
    await world.directory.open_channel(account, webhook_channel())
    [record] = await world.store.load_accounts(["u"])
    assert record.channels[0].state is channel.state is ChannelState.ACTIVE


async def test_a_cancelled_resume_wakes_its_lane(world: World, account: Account) -> None:
    """What is due again must not wait for somebody else's notification."""
    woken: list[str] = []
    world.directory.on_resumed = woken.append
    channel = await world.directory.open_channel(account, webhook_channel())
    await world.directory.suspend(channel)
    with trio.CancelScope() as scope:
        scope.cancel()
        await world.directory.open_channel(account, webhook_channel())
    [record] = await world.store.load_accounts(["u"])
    assert record.channels[0].state is ChannelState.ACTIVE
    assert woken == [HOOK]


async def test_a_cancelled_resume_the_store_refuses_is_taken_back(
    world: World, account: Account, fault: Fault
) -> None:
    """Nobody waits for it any more, but memory does as the store did (CH-83)."""
    channel = await world.directory.open_channel(account, webhook_channel())
    await world.directory.suspend(channel)
    channel.failing_since = T0
    switched: list[Channel] = []
    world.directory.on_switched = switched.append
    fault.begin("channel")
    with trio.CancelScope() as scope:
        scope.cancel()
        await world.directory.resume(channel)
    await world.store.barrier()
    assert (channel.state, channel.failing_since) == (ChannelState.SUSPENDED, T0)
    assert not switched


async def test_who_wants_to_be_left_alone_is_called_at_an_operators_word(
    world: World, account: Account, fault: Fault
) -> None:
    """PU-81: not because the webhook is POSTed again; it is no event, having never been
    suspended. What the store refuses can be asked for again."""
    woken: list[str] = []
    switched: list[Channel] = []
    world.directory.on_resumed, world.directory.on_switched = woken.append, switched.append
    channel = await world.directory.open_channel(account, webhook_channel())
    channel.held_until = until = world.clock() + 60_000
    await world.store.settle(Settlements(held={channel.key: until}), now=T0)
    await world.directory.open_channel(account, webhook_channel())
    assert channel.held_until == until
    assert woken == []
    await world.directory.resume(channel, at_once=True)
    [record] = await world.store.load_accounts(["u"])
    assert record.channels[0].held_until == channel.held_until == 0
    assert (woken, switched) == ([HOOK], [])
    channel.held_until = until = world.clock() + 60_000
    await world.store.settle(Settlements(held={channel.key: until}), now=T0)
    fault.begin("channel")
    with pytest.raises(StoreError):
        await world.directory.resume(channel, at_once=True)
    assert (channel.state, channel.held_until) == (ChannelState.ACTIVE, until)
    fault.end()
    await world.directory.resume(channel, at_once=True)
    [record] = await world.store.load_accounts(["u"])
    assert record.channels[0].held_until == channel.held_until == 0


async def test_a_resume_that_is_refused_late_changes_nothing_new(
    world: World, account: Account, fault: Fault
) -> None:
    """Suspended again while it was under way: that counts, and its failure is its own."""
    channel = await world.directory.open_channel(account, webhook_channel())
    await world.directory.suspend(channel)
    channel.failing_since = T0
    fault.begin("channel")
    async with trio.open_nursery() as callers:
        with fault.held_up():
            callers.start_soon(_refused, world.directory.resume, channel)
            await wait_all_tasks_blocked()
            channel.state, channel.failing_since = ChannelState.SUSPENDED, T0 + 5
    assert (channel.state, channel.failing_since) == (ChannelState.SUSPENDED, T0 + 5)


async def _refused(do: Callable[[Channel], Awaitable[None]], channel: Channel) -> None:
    with pytest.raises(StoreError):
        await do(channel)


# -- subscriptions -------------------------------------------------------------------------


async def test_the_same_subscription_is_answered_again(world: World, account: Account) -> None:
    """Same user, service, channel and filter: the existing one and its text (CH-92)."""
    channel = await world.directory.open_channel(account, socket_channel())
    first = subscription(channel)
    await world.directory.subscribe(account, first, b'{"n":1}')
    again = await world.directory.subscribe(account, subscription(channel), b'{"n":2}')
    assert again == (first, b'{"n":1}')
    other = subscription(channel, destination="+1")
    assert (await world.directory.subscribe(account, other, b"{}"))[0] is other


async def test_a_service_the_channel_may_not_carry_is_refused(
    world: World, account: Account
) -> None:
    """403 `service_not_on_channel`, and nothing stored (CH-93)."""
    channel = await world.directory.open_channel(account, socket_channel())
    with pytest.raises(RequestError) as refused:
        await world.directory.subscribe(account, subscription(channel, "account"), b"{}")
    assert refused.value.label == "service_not_on_channel"
    assert account.subscriptions == {}


async def test_the_quota_of_subscriptions(world: World, account: Account, fault: Fault) -> None:
    """403 beyond it; a refused one takes no place; removing one makes room."""
    channel = await world.directory.open_channel(account, socket_channel())
    fault.begin("subscription")
    with pytest.raises(StoreError):
        await world.directory.subscribe(account, subscription(channel), b"{}")
    fault.end()
    stored = [subscription(channel, destination=str(n)) for n in range(4)]
    for one in stored[:3]:
        await world.directory.subscribe(account, one, b"{}")
    with pytest.raises(RequestError) as refused:
        await world.directory.subscribe(account, stored[3], b"{}")
    assert refused.value.label == "quota_subscriptions"
    await world.directory.unsubscribe(account, stored[0])
    await world.directory.subscribe(account, stored[3], b"{}")
    assert await world.directory.bodies([stored[0].id, stored[3].id]) == [b"{}"]


async def test_an_unsubscription_the_store_refuses_is_taken_back(
    world: World, account: Account, fault: Fault
) -> None:
    """It is there as before."""
    await world.subscribed(socket_channel())
    [one] = account.subscriptions.values()
    fault.begin("subscription")
    with pytest.raises(StoreError):
        await world.directory.unsubscribe(account, one)
    assert account.subscriptions == {one.id: one}


# -- identity ------------------------------------------------------------------------------


async def test_there_is_one_object_per_channel(world: World, account: Account) -> None:
    """As long as anyone holds it, however many users were asked for meanwhile."""
    channel = await world.directory.open_channel(account, socket_channel())
    await world.directory.accounts([f"other{n}" for n in range(300)])
    assert world.directory.cached("u") is account
    await world.directory.accounts([f"other{n}" for n in range(300)])
    assert (await world.directory.account("u")).channels[channel.id] is channel


async def test_who_is_not_held_is_forgotten_and_loaded_again(world: World) -> None:
    """The table of recent users is bounded."""
    channel = await world.directory.open_channel(
        await world.directory.account("u"), socket_channel()
    )
    await world.directory.accounts([f"other{n}" for n in range(300)])
    gc.collect()
    assert world.directory.cached("u") is None
    loaded = (await world.directory.account("u")).channels[channel.id]
    assert loaded is not channel
    assert loaded.key == channel.key


async def test_loading_at_the_same_time_gives_the_same_object(world: World) -> None:
    """Whoever comes second takes the first one's."""
    found: list[Account] = []

    async def load() -> None:
        found.extend(await world.directory.accounts(["u", "v", "u"]))

    async with trio.open_nursery() as callers:
        for _ in range(5):
            callers.start_soon(load)
    assert len({id(account) for account in found}) == 2


# -- clocks --------------------------------------------------------------------------------


async def test_the_stored_clock_is_a_lower_bound(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """T6: a clock that was restarted in memory is written, not ended (CH-41); one that ran out
    ends with its deliveries (CH-43)."""
    world = World()
    await nursery.start(world.store.run)
    living = await world.subscribed(socket_channel(lifetime=60))
    over = await world.subscribed(socket_channel(lifetime=60))
    await world.publish("a")
    await trio.sleep(59)
    living.restart_clock(world.clock())
    await trio.sleep(2)
    assert await world.expiry.end_channels() == 2
    account = await world.directory.account("u")
    assert list(account.channels) == [living.id]
    assert account.channel(over.id, world.clock()) is None
    assert world.store.backlog == 1
    assert await world.store.expired_channels(world.clock(), limit=9) == []


async def test_expiry_that_fails_makes_no_progress(
    world: World, fault: Fault, nursery: trio.Nursery
) -> None:
    """So that a sweep does not go round and round on a full disk."""
    for user in ("u", "v"):
        await world.subscribed(socket_channel(user, lifetime=60, now=T0 - 61_000))
    fault.begin()
    assert await world.expiry.end_channels(2) == 0
    fault.end()
    assert await world.expiry.end_channels(2) == 2
