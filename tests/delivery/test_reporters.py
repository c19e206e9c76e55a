"""tocsin.delivery.reporters: device tokens that apps report, as channels (A.8)."""

import orjson
import pytest
import trio
from tests.fakes.deliveries import T0, device_channel
from tests.fakes.phones import Phones
from tests.fakes.stores import claim
from tests.fakes.world import World
from trio.testing import MockClock

from tocsin.delivery.pushapps import AppRegistry, PushAppSettings
from tocsin.delivery.reporters import Reporter
from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.channel import Channel
from tocsin.model.errors import RequestError
from tocsin.model.outcome import Deferred
from tocsin.wire.push.report import Pair, Report

APPS = AppRegistry(
    {
        "com.x": PushAppSettings("apns"),
        "com.y": PushAppSettings("apns"),
        "droid": PushAppSettings("fcm"),
        "tablet": PushAppSettings("fcm"),
    }
)
A, B, C = "aa" * 32, "bb" * 32, "cc" * 32


def calls(token: str = A, app: str = "com.x.voip") -> Pair:
    return Pair("calls", app, token, "app_calls", "token_calls")


def other(token: str = B, app: str = "com.x") -> Pair:
    return Pair("other", app, token, "app_other", "token_other")


@pytest.fixture
async def phones(nursery: trio.Nursery) -> Phones:
    """A world that pushes."""
    made = Phones(World(limits=DeliveryLimits(channels_per_user=4)))
    await made.start(nursery)
    return made


@pytest.fixture
def reporter(phones: Phones) -> Reporter:
    """A reporter that subscribes to messages and calls."""
    world = phones.world
    return Reporter(world.directory, APPS, subscribe=["sms", "call"], clock=world.clock)


async def report(reporter: Reporter, *pairs: Pair, selector: str = "s", user: str = "u") -> None:
    await reporter.report(Report(user, selector, pairs))


async def channels(phones: Phones, user: str = "u") -> dict[str, Channel]:
    """What the store has, by tag; the memory has the same."""
    [record] = await phones.world.store.load_accounts([user])
    account = await phones.world.directory.account(user)
    assert {one.id: one.device for one in record.channels} == {
        id_: one.device for id_, one in account.channels.items()
    }
    return {one.application_tag or "": one for one in record.channels}


def told(channel: Channel) -> tuple[str, str, str]:
    assert channel.device is not None
    return (channel.device.provider, channel.device.app, channel.device.token)


async def services(phones: Phones, channel: Channel) -> set[str]:
    account = await phones.world.directory.account("u")
    return {one.service for one in account.subscriptions.values() if one.channel.id == channel.id}


async def test_a_channel_for_each_role(phones: Phones, reporter: Reporter) -> None:
    """Two pairs are two OMAPush channels of the account, the selector their correlator, subscribed
    to what each may carry (PU-25, CH-73)."""
    await report(reporter, calls(A.upper()), other())
    found = await channels(phones)
    by_role = [found["reported-calls"], found["reported-other"]]
    assert [told(one) for one in by_role] == [("apns", "com.x.voip", A), ("apns", "com.x", B)]
    assert {one.client_correlator for one in by_role} == {"s"}
    assert [await services(phones, one) for one in by_role] == [{"call"}, {"sms", "call"}]
    account = await phones.world.directory.account("u")
    texts = await phones.world.directory.bodies(list(account.subscriptions))
    assert {orjson.loads(text)["clientCorrelator"] for text in texts} == {"s"}
    await phones.world.assert_gauges_are_right()


async def test_the_same_again(phones: Phones, reporter: Reporter) -> None:
    """The same report is the same channels and subscriptions, registered anew (PU-25)."""
    await report(reporter, calls(), other())
    before = await channels(phones)
    phones.world.clock = lambda: T0 + 5000
    reporter._clock = phones.world.clock
    await report(reporter, other(), calls())
    after = await channels(phones)
    assert [one.id for one in after.values()] == [one.id for one in before.values()]
    devices = [one.device for one in after.values()]
    assert [device and device.registered_at for device in devices] == [T0 + 5000] * 2
    account = await phones.world.directory.account("u")
    assert len(account.subscriptions) == 3


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ([other(B)], [other(C)]),
        ([other(B)], [other(B, "com.y")]),
        ([other(B, "com.y")], [other("t", "droid")]),
        ([calls(A)], [calls(C)]),
        ([calls(A)], [calls(A, "com.y.voip")]),
        ([calls("t", "droid")], [calls("t", "tablet")]),
    ],
)
async def test_a_new_token_takes_the_place(
    phones: Phones, reporter: Reporter, first: list[Pair], then: list[Pair]
) -> None:
    """Whether the token or the app has changed, the channel keeps its id (PU-25)."""
    await report(reporter, *first)
    [before] = (await channels(phones)).values()
    await report(reporter, *then)
    [after] = (await channels(phones)).values()
    assert (before.id, before.key) == (after.id, after.key)
    assert told(after)[1:] == (then[0].app_id, then[0].token)


async def test_a_role_that_carries_less(phones: Phones, reporter: Reporter) -> None:
    """A PushKit app in the place of another loses what it may not carry, and keeps the calls."""
    await report(reporter, calls("t", "droid"))
    [before] = (await channels(phones)).values()
    assert await services(phones, before) == {"sms", "call"}
    await report(reporter, calls(A))
    assert await services(phones, before) == {"call"}
    await phones.world.assert_gauges_are_right()


@pytest.mark.parametrize("app", ["com.x", "com.y"])
async def test_pending_deliveries_go_to_the_new_token(
    autojump_clock: MockClock, phones: Phones, reporter: Reporter, app: str
) -> None:
    """What waits for the old token is delivered to the new one, in the lane of its app, in order
    and each once (PU-25)."""
    phones.push.script["a"] = [Deferred("http_503", retry_after=20)]
    await report(reporter, other(B))
    await phones.world.publish("a", "b", "c")
    await trio.sleep(1)
    assert phones.push.times("a")
    phones.push.script["d"] = [Deferred("http_503", retry_after=20)]
    await phones.world.publish("d", order_key="d")
    await trio.sleep(1)
    await report(reporter, other(C, app))
    await phones.world.publish("e")
    await trio.sleep(120)
    assert sorted(phones.push.delivered) == ["a", "b", "c", "d", "e"]
    retried = [one for one in phones.push.attempts if one.number == 2]
    assert {(one.id, one.lane) for one in retried} == {("a", f"apns/{app}"), ("d", f"apns/{app}")}


async def test_what_waits_changes_lanes(nursery: trio.Nursery) -> None:
    """What waits stands in the lane of the app it is for now, and in no other (PU-25)."""
    world = World()
    await nursery.start(world.store.run)
    reporter = Reporter(world.directory, APPS, subscribe=["sms"], clock=world.clock)
    woken: list[str] = []
    world.directory.on_resumed = woken.append
    await report(reporter, other(B))
    await world.publish("a", "b")
    await report(reporter, other(C))
    assert woken == []
    await report(reporter, other("t", "droid"))
    assert woken == ["fcm/droid"]
    assert await claimed(world, "apns/com.x") == []
    assert await claimed(world, "fcm/droid") == ["a", "b"]


async def claimed(world: World, lane: str) -> list[str]:
    return [one.notification.id for one in await claim(world.store, lane, now=world.clock())]


async def test_a_channel_the_app_has_opened_itself(phones: Phones, reporter: Reporter) -> None:
    """A device has one channel for each app, so the one that is there gets the token (CH-74); those
    of other apps on the device are left alone."""
    directory = phones.world.directory
    account = await directory.account("u")
    own = await directory.open_channel(account, device_channel(app="com.x", correlator="s"))
    foreign = await directory.open_channel(account, device_channel(app="com.y", correlator="s"))
    await report(reporter, other(B))
    assert set(account.channels) == {own.id, foreign.id}
    assert told(own) == ("apns", "com.x", B)
    assert told(foreign) == ("apns", "com.y", "token")


async def test_one_token_twice_in_an_account(phones: Phones, reporter: Reporter) -> None:
    """Under another selector the same token is the same phone: the older channel goes (CH-74)."""
    await report(reporter, other(B), selector="s")
    await report(reporter, other(B), selector="s2")
    [left] = (await channels(phones)).values()
    assert left.client_correlator == "s2"


async def test_one_token_for_several_accounts(phones: Phones, reporter: Reporter) -> None:
    """Several accounts in one app share its token, and each account has its devices (PU-26)."""
    await report(reporter, other(B), user="u")
    await report(reporter, other(B), user="v")
    await report(reporter, other(C), user="v", selector="s2")
    assert len(await channels(phones, "u")) == 1
    account = await phones.world.directory.account("v")
    assert len(account.channels) == 2


@pytest.mark.parametrize(
    ("pair", "named"),
    [
        (other(app="nobody"), "app_other"),
        (other(app="com.x.voip"), "app_other"),
        (other(token="zz"), "token_other"),
        (calls(app="droid.voip"), "app_calls"),
        (calls(token=""), "token_calls"),
    ],
)
async def test_what_is_refused(phones: Phones, reporter: Reporter, pair: Pair, named: str) -> None:
    """An unknown app, a PushKit app for everything, a malformed token: 400 naming the field, and
    the pair beside it is not stored either (PU-22, PU-24)."""
    beside = calls() if pair.role == "other" else other()
    with pytest.raises(RequestError) as caught:
        await report(reporter, beside, pair)
    assert (caught.value.status, caught.value.variables) == (400, (named,))
    assert await channels(phones) == {}


async def test_quota(phones: Phones, reporter: Reporter) -> None:
    """Devices count like all channels; replacing one needs no room (CH-140)."""
    for number in range(4):
        await report(reporter, other(f"{number:064x}"), selector=f"s{number}")
    with pytest.raises(RequestError, match="quota_channels"):
        await report(reporter, other("f" * 64), selector="one more")
    await report(reporter, other(C, "com.y"), selector="s0")
    assert len((await phones.world.directory.account("u")).channels) == 4


async def test_removal(phones: Phones, reporter: Reporter) -> None:
    """All of a selector, or all of the account; other kinds of channels stay; nothing to remove is
    fine (PU-26)."""
    tab = await phones.tab("s")
    await report(reporter, calls(), other(), selector="s")
    await report(reporter, other(C), selector="s2")
    await reporter.remove("u", "s")
    await reporter.remove("u", "s")
    account = await phones.world.directory.account("u")
    assert {one.client_correlator for one in account.channels.values() if one.device} == {"s2"}
    await reporter.remove("u", None)
    await reporter.remove("nobody", None)
    assert list(account.channels) == [tab.id]
    await phones.world.assert_gauges_are_right()


async def test_reports_side_by_side(phones: Phones, reporter: Reporter) -> None:
    """Reports of one role that race leave one channel of it (PU-25)."""
    async with trio.open_nursery() as nursery:
        for token, app in ((A, "com.x"), (B, "com.y"), (C, "com.x")):
            nursery.start_soon(report, reporter, other(token, app))
    assert len((await phones.world.directory.account("u")).channels) == 1
    assert len(await channels(phones)) == 1
