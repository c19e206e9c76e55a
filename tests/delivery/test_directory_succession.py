"""Reloads, tabs and restarts, through directory, ingest and sessions under virtual time (CH-45)."""

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio
from tests.fakes.deliveries import socket_channel, subscription
from tests.fakes.fault import Fault
from tests.fakes.reader import Reader
from tests.fakes.world import CountingProgress, World
from trio.testing import MockClock

from tocsin.delivery.settings import ChannelSettings, DeliveryLimits
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import RequestError, StoreError
from tocsin.ops.clock import Clock
from tocsin.store.sqlite import SqliteStore, StoreSettings

SOCKETS, POLLS = ChannelType.WEBSOCKETS, ChannelType.LONG_POLLING
KINDS = [SOCKETS, POLLS]


@attrs.define
class Browser:
    """Opens pages of one user and one client."""

    world: World
    correlator: str = "tab"

    async def page(self, *services: str, kind: ChannelType = SOCKETS) -> Channel:
        """A page is loaded: a channel, and a subscription of each service."""
        account = await self.world.directory.account("u")
        channel = socket_channel(now=self.world.clock(), correlator=self.correlator, kind=kind)
        opened = await self.world.directory.open_channel(account, channel)
        for service in services:
            await self.subscribe(opened, service)
        return opened

    async def subscribe(self, channel: Channel, service: str = "sms", user: str = "u") -> None:
        """The page subscribes."""
        account = await self.world.directory.account(user)
        await self.world.directory.subscribe(
            account, subscription(channel, service, user=user), b"{}"
        )

    async def channels(self) -> list[Channel]:
        """The living channels of the user, oldest first."""
        account = await self.world.directory.account("u")
        return account.living(self.world.clock())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is, for faults and restarts."""
    return tmp_path / "store.db"


@pytest.fixture
async def world(path: Path, nursery: trio.Nursery) -> World:
    """A delivery layer that is looked after."""
    made = World(store=SqliteStore(StoreSettings(path=str(path)), threaded=False))
    await look_after(made, nursery)
    return made


@pytest.fixture
def browser(world: World) -> Browser:
    """The client."""
    return Browser(world)


@pytest.fixture
def fault(path: Path, world: World) -> Iterator[Fault]:
    """Faults of the world's store."""
    made = Fault(path)
    yield made
    made.close()


async def look_after(world: World, nursery: trio.Nursery) -> None:
    """Run store and housekeeping."""
    await nursery.start(world.store.run)
    housekeeping = world.housekeeping()
    nursery.start_soon(housekeeping.run, CountingProgress())


# -- tabs ----------------------------------------------------------------------------------


async def test_two_tabs_both_get_everything(
    world: World, browser: Browser, autojump_clock: MockClock
) -> None:
    """T14: also when one reconnects, and however long both stay (CH-45)."""
    first = Reader(world, await browser.page("sms"))
    second = Reader(world, await browser.page("sms"))
    await world.publish("a")
    first.receipt()
    first.leave()
    await world.publish("b")
    await trio.sleep(20)
    back = Reader(world, first.channel)
    await trio.sleep(600)
    await world.publish("c")
    assert (first.read, back.read, second.read) == (["a"], ["b", "c"], ["a", "b", "c"])
    assert len(await browser.channels()) == 2
    await world.assert_gauges_are_right()


async def test_a_tab_that_is_closed_leaves_the_other_alone(
    world: World, browser: Browser, autojump_clock: MockClock
) -> None:
    """What it had not read is the other's already: nobody gets anything twice."""
    older = Reader(world, await browser.page("sms"))
    newer = Reader(world, await browser.page("sms"))
    older.leave()
    await trio.sleep(1)
    await world.publish("a")
    newer.receipt()
    await trio.sleep(40)
    assert newer.read == ["a"]
    assert await browser.channels() == [newer.channel]
    assert world.store.backlog == 0
    await world.assert_gauges_are_right()


async def test_a_newer_tab_that_is_closed_takes_nothing_along(
    world: World, browser: Browser, autojump_clock: MockClock
) -> None:
    """Only the older makes way: the newer keeps what it has until its clock runs out."""
    older = Reader(world, await browser.page("sms"))
    newer = Reader(world, await browser.page("sms"))
    newer.leave()
    await world.publish("a")
    await trio.sleep(60)
    assert [one.id for one in await browser.channels()] == [older.channel.id, newer.channel.id]
    assert older.read == ["a"]


# -- reloads -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", KINDS)
async def test_a_call_still_rings_after_a_reload(
    world: World, browser: Browser, before: ChannelType, kind: ChannelType
) -> None:
    """Same ids, same order, within the subscription's own step; the old channel is deleted."""
    removed: list[Channel] = []
    world.directory.on_removed = removed.append
    page = Reader(world, await browser.page("sms", kind=before))
    await world.publish("seen")
    page.leave(cleanly=True)
    await world.publish("call", "hold")
    reloaded = await browser.page("sms", kind=kind)
    assert Reader(world, reloaded).read == ["seen", "call", "hold"]
    assert removed == [page.channel]
    assert await browser.channels() == [reloaded]
    await world.assert_gauges_are_right()


async def test_services_move_one_by_one(world: World, browser: Browser) -> None:
    """Each with its own subscription; the old channel ends with the last of them."""
    old = await browser.page("sms", "chat")
    Reader(world, old).leave(cleanly=True)
    await world.publish("message")
    await world.publish("chat", service="chat")
    reloaded = await browser.page()
    page = Reader(world, reloaded)
    await browser.subscribe(reloaded, "chat")
    assert (page.read, len(await browser.channels())) == (["chat"], 2)
    await browser.subscribe(reloaded, "sms")
    assert page.read == ["chat", "message"]
    assert await browser.channels() == [reloaded]
    await world.assert_gauges_are_right()


async def test_after_a_crash_of_the_page_it_moves_at_thirty_seconds(
    world: World, browser: Browser, autojump_clock: MockClock
) -> None:
    """Nobody said good-bye: until then it may come back. The heir, connected, gets it at once."""
    Reader(world, await browser.page("sms")).leave()
    await world.publish("call")
    page = Reader(world, await browser.page("sms"))
    await trio.sleep(1)
    await world.publish("next")
    page.receipt()
    await trio.sleep(27)
    assert (page.read, len(await browser.channels())) == (["next"], 2)
    await trio.sleep(3)
    assert (page.read, len(await browser.channels())) == (["next", "call"], 1)
    page.receipt()
    assert world.store.backlog == 0
    assert world.sample("deliveries_total", type="websockets", outcome="refused") == 1
    await world.assert_gauges_are_right()


async def test_the_thirty_seconds_run_from_the_last_connection(
    world: World, browser: Browser, autojump_clock: MockClock
) -> None:
    """A client that comes back in between is not abandoned."""
    old = await browser.page("sms")
    Reader(world, old).leave()
    await browser.page("sms")
    await trio.sleep(25)
    Reader(world, old).leave()
    await trio.sleep(25)
    assert len(await browser.channels()) == 2
    await trio.sleep(7)
    assert old not in await browser.channels()


async def test_who_never_connected_is_abandoned_too(
    world: World, browser: Browser, autojump_clock: MockClock
) -> None:
    """A page that was closed before its socket opened."""
    await browser.page("sms")
    await world.publish("a")
    newer = await browser.page("sms")
    await trio.sleep(32)
    assert await browser.channels() == [newer]
    assert Reader(world, newer).read == ["a"]


async def test_a_heir_that_has_gone_itself_passes_it_on(
    world: World, browser: Browser, autojump_clock: MockClock
) -> None:
    """Reloaded again and again while a call waits: it arrives at the page that stays."""
    for number in range(5):
        Reader(world, await browser.page("sms")).leave()
        if not number:
            await world.publish("call")
        await trio.sleep(5)
    last = Reader(world, await browser.page("sms"))
    await trio.sleep(60)
    assert last.read == ["call"]
    assert await browser.channels() == [last.channel]
    await world.assert_gauges_are_right()


async def test_another_client_is_no_heir(
    world: World, browser: Browser, autojump_clock: MockClock
) -> None:
    """Its correlator is another's (CH-45)."""
    Reader(world, await browser.page("sms")).leave(cleanly=True)
    await world.publish("a")
    other = await Browser(world, "phone").page("sms")
    await trio.sleep(60)
    assert len(await browser.channels()) == 2
    assert Reader(world, other).read == []


async def test_subscriptions_of_a_project_make_way_too(world: World, browser: Browser) -> None:
    """Of the same project, in the new one's own step; the metrics follow (CH-45, CH-96)."""
    old = await browser.page("sms")
    await browser.subscribe(old, user="acct/proj")
    Reader(world, old).leave(cleanly=True)
    await world.publish("theirs", user="acct/proj")
    await world.publish("mine")
    reloaded = await browser.page("sms")
    page = Reader(world, reloaded)
    assert (page.read, len(await browser.channels())) == (["mine"], 2)
    await browser.subscribe(reloaded, user="acct/proj")
    assert page.read == ["mine", "theirs"]
    assert await browser.channels() == [reloaded]
    await world.publish("later", user="acct/proj")
    assert page.read[-1] == "later"
    await world.assert_gauges_are_right()


# -- the quota -----------------------------------------------------------------------------


@pytest.mark.parametrize("services", [(), ("sms", "chat")])
@pytest.mark.parametrize("mode", ["supersede", "keep"])
async def test_a_page_may_be_reloaded_all_afternoon(
    world: World, nursery: trio.Nursery, services: tuple[str, ...], mode: str
) -> None:
    """A hundred times, though the user may have twenty channels (CH-140)."""
    limits = DeliveryLimits(subscriptions_per_user=100)
    afternoon = World(channels=ChannelSettings(on_duplicate=mode), limits=limits)
    await nursery.start(afternoon.store.run)
    browser = Browser(afternoon)
    for _ in range(100):
        Reader(afternoon, await browser.page(*services)).leave(cleanly=True)
    assert len(await browser.channels()) <= limits.channels_per_user
    await afternoon.assert_gauges_are_right()


async def test_room_is_made_when_somebody_counts_as_abandoned(
    world: World, browser: Browser, autojump_clock: MockClock
) -> None:
    """Before that, and for another client, the quota holds: 403 (CH-140)."""
    for _ in range(20):
        Reader(world, await browser.page()).leave()
    for one in (browser, Browser(world, "phone")):
        with pytest.raises(RequestError) as refused:
            await one.page()
        assert refused.value.label == "quota_channels"
    first = (await browser.channels())[0]
    await trio.sleep(30)
    await browser.page()
    assert first not in await browser.channels()
    with pytest.raises(RequestError):
        await Browser(world, "phone").page()
    assert len(await browser.channels()) == 20
    await world.assert_gauges_are_right()


# -- the other modes -----------------------------------------------------------------------


async def test_keep_never_touches_the_older(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Neither with the subscription nor after thirty seconds (CH-45)."""
    world = World(channels=ChannelSettings(on_duplicate="keep"))
    await look_after(world, nursery)
    browser = Browser(world)
    older = Reader(world, await browser.page("sms"))
    await world.publish("a")
    older.leave(cleanly=True)
    newer = Reader(world, await browser.page("sms"))
    await trio.sleep(60)
    assert await browser.channels() == [older.channel, newer.channel]
    assert newer.read == []
    assert Reader(world, older.channel).read == ["a"]


@pytest.mark.parametrize("kind", KINDS)
async def test_reject_refuses_while_an_older_one_lives(
    nursery: trio.Nursery, kind: ChannelType, autojump_clock: MockClock
) -> None:
    """409 for either polled type, abandoned or not; another client is welcome (CH-45)."""
    world = World(channels=ChannelSettings(on_duplicate="reject"))
    await look_after(world, nursery)
    browser = Browser(world)
    Reader(world, await browser.page("sms")).leave(cleanly=True)
    await Browser(world, "phone").page("sms")
    with pytest.raises(RequestError) as refused:
        await browser.page(kind=kind)
    assert (refused.value.status, refused.value.label) == (409, "duplicate")
    await trio.sleep(3602)
    await browser.page(kind=kind)
    await world.assert_gauges_are_right()


# -- restarts, failures, cancellation ------------------------------------------------------


async def test_who_is_not_back_after_a_restart_is_abandoned(
    path: Path, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Thirty seconds after the start, and not before: a client may be on its way back."""
    settings = StoreSettings(path=str(path))
    async with trio.open_nursery() as running:
        before = World(store=SqliteStore(settings, threaded=False))
        await running.start(before.store.run)
        old = Reader(before, await Browser(before).page("sms"))
        await before.publish("call")
        new = await Browser(before).page("sms")
        now = before.clock()
        old.leave()
        running.cancel_scope.cancel()
    world = World(
        store=SqliteStore(settings, threaded=False), clock=Clock.start(wall=lambda: now / 1000)
    )
    await look_after(world, nursery)
    await trio.sleep(20)
    account = await world.directory.account("u")
    page = Reader(world, account.channels[new.id])
    assert page.read == []
    await trio.sleep(12)
    assert page.read == ["call"]
    assert list(account.channels) == [new.id]
    await world.assert_gauges_are_right()


@pytest.mark.parametrize("came_back", [False, True])
async def test_a_good_bye_survives_a_restart(
    path: Path, nursery: trio.Nursery, autojump_clock: MockClock, came_back: bool
) -> None:
    """The page that was closed is abandoned at once, unless it came back since (CH-45, CH-130)."""
    settings = StoreSettings(path=str(path))
    async with trio.open_nursery() as running:
        before = World(store=SqliteStore(settings, threaded=False))
        await running.start(before.store.run)
        old = await Browser(before).page("sms")
        Reader(before, old).leave(cleanly=True)
        if came_back:
            Reader(before, old)  # and was connected when the process died
        await before.publish("call")
        now = before.clock()
        running.cancel_scope.cancel()
    world = World(
        store=SqliteStore(settings, threaded=False), clock=Clock.start(wall=lambda: now / 1000)
    )
    await look_after(world, nursery)
    page = Reader(world, await Browser(world).page("sms"))
    assert page.read == ([] if came_back else ["call"])


async def test_a_subscription_the_store_refuses_takes_nothing_over(
    world: World, browser: Browser, fault: Fault
) -> None:
    """All is as before, in memory too; the next try does it."""
    old = await browser.page("sms")
    Reader(world, old).leave(cleanly=True)
    await world.publish("call")
    new = await browser.page()
    account = await world.directory.account("u")
    before = dict(account.subscriptions)
    fault.begin("delivery")
    with pytest.raises(StoreError):
        await browser.subscribe(new)
    assert account.subscriptions == before
    assert await browser.channels() == [old, new]
    await world.assert_gauges_are_right()
    fault.end()
    await browser.subscribe(new)
    assert Reader(world, new).read == ["call"]
    assert await browser.channels() == [new]
    await world.assert_gauges_are_right()


async def test_a_move_that_fails_is_tried_again(
    world: World, fault: Fault, autojump_clock: MockClock
) -> None:
    """Every one of them: a failing store must not make anyone wait for ever."""
    pages = []
    for correlator in "abc":
        browser = Browser(world, correlator)
        Reader(world, await browser.page("sms")).leave()
        await world.publish(correlator)
        pages.append(Reader(world, await browser.page("sms")))
        await trio.sleep(0.1)
    fault.begin("delivery")
    await trio.sleep(60)
    assert len(await browser.channels()) == 6
    await world.assert_gauges_are_right()
    fault.end()
    await trio.sleep(5)
    assert await browser.channels() == [page.channel for page in pages]
    assert all(page.read.count(own) == 1 for page, own in zip(pages, "abc", strict=True))
    await world.assert_gauges_are_right()


async def test_a_cancelled_subscriber_has_taken_over_all_the_same(
    world: World, browser: Browser
) -> None:
    """Nobody waits for the answer, but the page is there and the call rings."""
    Reader(world, await browser.page("sms")).leave(cleanly=True)
    await world.publish("call")
    new = await browser.page()
    page = Reader(world, new)
    with trio.CancelScope() as scope:
        scope.cancel()
        await browser.subscribe(new)
    await world.store.barrier()
    assert page.read == ["call"]
    assert await browser.channels() == [new]
    await world.assert_gauges_are_right()


async def test_what_is_published_meanwhile_goes_to_one_of_them(
    path: Path, nursery: trio.Nursery
) -> None:
    """Every notification reaches the new page exactly once, however reload and publishing
    interleave in a store with a writer thread."""
    world = World(store=SqliteStore(StoreSettings(path=str(path))))
    await nursery.start(world.store.run)
    browser = Browser(world)
    Reader(world, await browser.page("sms")).leave(cleanly=True)
    wanted = [str(number) for number in range(60)]

    async def publish(id_: str) -> None:
        for _ in range(int(id_) % 7):
            await trio.lowlevel.checkpoint()
        await world.publish(id_)

    async with trio.open_nursery() as together:
        for id_ in wanted:
            together.start_soon(publish, id_)
        new = await browser.page("sms")
    page = Reader(world, new)
    await world.store.barrier()
    assert sorted(page.read) == sorted(wanted)
    assert await browser.channels() == [new]
    await world.assert_gauges_are_right()
