"""tocsin.delivery.devices: what goes with a dead token, when it is believed, and how it comes back
(push.md, C.5)."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from tests.fakes.deliveries import T0, subscription
from tests.fakes.device_world import (
    APP,
    GATEWAY,
    OK,
    UNREGISTERED,
    DeviceWorld,
)
from tests.fakes.fault import Fault
from trio.testing import MockClock

from tocsin.delivery import devices as devices_module
from tocsin.model.channel import Channel
from tocsin.model.errors import StoreError
from tocsin.model.outcome import Gone
from tocsin.store.jobs import Done
from tocsin.store.records import Ended, Removal
from tocsin.store.sqlite import SqliteStore, StoreSettings

DAY = 86_400


def stale(since: int) -> Gone:
    """The provider says the token was gone by then."""
    return Gone("unregistered", 410, since=since)


# -- removal (PU-48) -----------------------------------------------------------------------


async def test_all_channels_of_a_token_go(it: DeviceWorld) -> None:
    """Whoever's, with subscriptions and deliveries; the same token in another app stays (PU-48,
    CH-76)."""
    one, two = await it.registered("u"), await it.registered("v")
    other = await it.registered("w", app="com.example.other")
    gateway = await it.opened()
    removed: list[Channel] = []
    it.world.directory.on_removed = removed.append
    await it.push(two, "waits", service="sms")
    [push] = await it.push(gateway, "p")
    [first] = await it.push(one, "n", service="sms")
    it.judge(first, one, UNREGISTERED)
    await it.settler.flush()
    assert set(removed) == {one, two, gateway}
    for user in ("u", "v", GATEWAY):
        assert await it.channels(user) == []
    assert await it.channels("w") == [other]
    assert it.world.store.backlog == 0
    assert [(id_, ending.result) for id_, ending in it.told] == [("p", "gone")]
    assert push.notification.id == "p"
    await it.world.assert_gauges_are_right()
    name = "push_tokens_removed_total"
    assert it.world.sample(name, provider="apns", reason="unregistered") == 3


async def test_a_removal_is_told_with_whose_token_it_was(
    it: DeviceWorld, autojump_clock: MockClock
) -> None:
    """The gateway's own channels belong to nobody (PU-56)."""
    one = await it.registered("u", correlator="phone")
    await it.registered("v", correlator="tablet")
    await it.opened()
    await it.attempt(one, stale(T0 + 7))
    assert it.events("push.token.removed") == [
        {
            "app_id": APP,
            "token": "token",
            "accounts": ["u", "v"],
            "selectors": ["phone", "tablet"],
            "reason": "unregistered",
            "provider_timestamp": T0 + 7,
        }
    ]


async def test_users_who_are_not_in_memory_lose_theirs_too(it: DeviceWorld) -> None:
    """So do subscriptions of others that point there (PU-48, CH-96)."""
    one = await it.registered("u")
    guest = await it.world.directory.account("guest")
    await it.world.directory.subscribe(guest, subscription(one, "chat", user="guest"), b"{}")
    again = await it.restarted()
    [channel] = await again.channels("u")
    two = await again.opened()
    [push] = await again.push(two, "p")
    fresh = await it.restarted()
    [found] = await fresh.channels(GATEWAY)
    fresh.judge(push, found, UNREGISTERED)
    await fresh.settler.flush()
    assert await fresh.channels("u") == await fresh.channels("guest") == []
    assert channel.id == one.id


async def test_a_dead_token_is_not_asked_about_for_an_hour(
    it: DeviceWorld, autojump_clock: MockClock
) -> None:
    """Then the provider is (PU-48)."""
    await it.attempt(await it.opened(), UNREGISTERED)
    assert it.devices.is_dead(APP, "token")
    assert not it.devices.is_dead(APP, "another")
    assert not it.devices.is_dead("com.example.other", "token")
    await trio.sleep(3599)
    assert it.devices.is_dead(APP, "token")
    await trio.sleep(1)
    assert not it.devices.is_dead(APP, "token")


async def test_who_registers_is_alive_at_once(it: DeviceWorld) -> None:
    """By a new channel, or with a new token of an old one (PU-48)."""
    for token in ("a", "b"):
        await it.attempt(await it.opened(token), UNREGISTERED)
    await it.registered("u", "z")
    assert it.devices.is_dead(APP, "a")
    await it.registered("u", "a")
    await it.registered("v", "b")
    assert not it.devices.is_dead(APP, "a")
    assert not it.devices.is_dead(APP, "b")
    again = await it.restarted()
    assert not again.devices.is_dead(APP, "a")


async def test_tombstones_survive_a_restart(it: DeviceWorld) -> None:
    """As long as they were to (PU-48)."""
    await it.attempt(await it.opened(), UNREGISTERED)
    again = await it.restarted()
    assert again.devices.is_dead(APP, "token")


async def test_tombstones_are_bounded(
    it: DeviceWorld, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is forgotten, and those that are over with the records of the day (PU-48)."""
    monkeypatch.setattr(devices_module, "MOST_TOMBSTONES", 2)
    for token in ("a", "b", "c"):
        await it.attempt(await it.opened(token, GATEWAY + token), UNREGISTERED)
    assert [it.devices.is_dead(APP, token) for token in ("a", "b", "c")] == [False, True, True]
    assert await it.devices.forget(keep=99, limit=9) == 0
    await trio.sleep(DAY + 1)
    assert await it.devices.forget(keep=99, limit=9) == 3
    assert await it.devices.restore(APP, 0) == 0


async def test_a_store_that_fails_is_tried_again(
    it: DeviceWorld, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Nothing is removed meanwhile, and nothing forgotten (PU-48)."""
    channel = await it.registered()
    [one] = await it.push(channel, "n", service="sms")
    fault = Fault(tmp_path / "store.db")
    fault.begin("removed")
    it.judge(one, channel, UNREGISTERED)
    await trio.sleep(5)
    assert not it.devices.is_dead(APP, "token")
    assert await it.channels() == [channel]
    fault.end()
    fault.close()
    await trio.sleep(2)
    assert await it.channels() == []
    assert it.world.store.backlog == 0


async def test_removals_that_fail_keep_nothing_else_from_being_written(
    it: DeviceWorld, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """What was delivered meanwhile is settled (PU-48)."""
    channel, other = await it.registered(), await it.registered("v", "b")
    [one] = await it.push(channel, "n", service="sms")
    [two] = await it.push(other, "m", service="sms")
    fault = Fault(tmp_path / "store.db")
    fault.begin("removed")
    it.judge(one, channel, UNREGISTERED)
    it.judge(two, other, OK)
    await trio.sleep(5)
    assert it.world.store.backlog == 1
    fault.end()
    fault.close()
    await trio.sleep(2)
    assert it.world.store.backlog == 0


async def test_many_removals_of_one_token_are_one(it: DeviceWorld) -> None:
    """What was under way together ends together (PU-48)."""
    channel = await it.registered()
    for one in await it.push(channel, *map(str, range(150))):
        it.judge(one, channel, UNREGISTERED)
    await it.settler.flush()
    assert await it.channels() == []
    assert len(it.events("push.token.removed")) == 1
    assert len(it.told) == it.world.sample("deliveries_total", type="OMAPush", outcome="refused")
    assert it.world.store.backlog == 0


class SlowToFail(SqliteStore):
    """Removals fail, and not at once, as when many wait for the writer."""

    is_failing = True

    async def remove_devices(
        self, channels: Sequence[Channel], removal: Removal, on_done: Done[Ended]
    ) -> None:
        """See `Store.remove_devices`."""
        if not self.is_failing:
            await super().remove_devices(channels, removal, on_done)
            return
        await trio.sleep(0.5)
        error = StoreError("the disk is on fire")
        on_done(None, error)
        raise error


async def test_a_removal_that_found_nothing_to_remove_gives_its_delivery_back(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Of two pushes that find a token gone at once one has it removed; when that fails and the
    token is registered again, both are tried again and neither stays claimed (PU-48, PU-50)."""
    store = SlowToFail(StoreSettings(path=":memory:"), threaded=False)
    it = DeviceWorld(store=store)
    await it.start(nursery)
    channel = await it.registered()
    for one in await it.push(channel, "n", "m", service="sms"):
        it.judge(one, channel, UNREGISTERED)
    await trio.sleep(1)
    await it.registered()
    store.is_failing = False
    await trio.sleep(60)
    assert sorted(one.notification.id for one in await it.claim()) == ["m", "n"]


async def test_cancelled_in_a_removal_it_is_finished_later(it: DeviceWorld) -> None:
    """Whatever the store had of it by then (PU-48)."""
    channel = await it.registered()
    [one] = await it.push(channel, "n", service="sms")
    it.judge(one, channel, UNREGISTERED)
    with trio.CancelScope() as scope:
        scope.cancel()
        await it.settler.flush()
    await it.settler.flush()
    assert await it.channels() == []
    assert it.world.store.backlog == 0


# -- stale answers (PU-50) -----------------------------------------------------------------


async def test_what_was_known_before_the_registration_is_stale(
    it: DeviceWorld, autojump_clock: MockClock
) -> None:
    """The channel stays and the push is tried again; the third in a row removes (PU-50)."""
    channel = await it.registered()
    old = stale(T0 - 1)
    [one] = await it.push(channel, "n", service="sms")
    for _ in range(2):
        it.judge(one, channel, old)
        await trio.sleep(100)
        assert await it.channels() == [channel]
        [one] = await it.claim()
    it.judge(one, channel, old)
    await it.settler.flush()
    assert await it.channels() == []
    assert await it.results() == [
        ("deferred", "stale"),
        ("deferred", "stale"),
        ("gone", "token_removed"),
        ("gone", old.reason),
    ]


async def test_a_success_in_between_begins_a_new_row(
    it: DeviceWorld, autojump_clock: MockClock
) -> None:
    """Three in a row, not three in all (PU-50)."""
    channel = await it.registered()
    for outcome in (stale(T0 - 1), stale(T0 - 1), OK, stale(T0 - 1), stale(T0 - 1)):
        [one, *_] = await it.push(channel, "n", service="sms", order_key="k") or await it.claim()
        it.judge(one, channel, outcome)
        await trio.sleep(100)
    assert await it.channels() == [channel]


async def test_a_timestamp_after_the_registration_is_believed(it: DeviceWorld) -> None:
    """So is one of the same moment (PU-50)."""
    channel = await it.registered()
    assert channel.device is not None
    await it.attempt(channel, stale(channel.device.registered_at), service="sms")
    assert await it.channels() == []


async def test_the_gateway_knows_no_registration(it: DeviceWorld) -> None:
    """Its channels always go (PU-50)."""
    channel = await it.opened()
    await it.attempt(channel, stale(1))
    assert await it.channels(GATEWAY) == []


async def test_a_later_registration_of_somebody_else_counts_too(
    it: DeviceWorld, autojump_clock: MockClock
) -> None:
    """One token, one truth: he keeps his channel, and so does the other (PU-50)."""
    first = await it.registered("u")
    await trio.sleep(10)
    await it.registered("v")
    [one] = await it.push(first, "n", service="sms")
    it.judge(one, first, stale(T0 + 5000))
    await it.settler.flush()
    assert await it.channels("u") == [first]
    assert len(await it.channels("v")) == 1
    await trio.sleep(5)
    assert [two.id for two in await it.claim()] == [one.id]


async def test_a_token_registered_during_the_attempt_stays(
    it: DeviceWorld, autojump_clock: MockClock
) -> None:
    """The answer is about the one before it, whatever it says (PU-25, PU-50)."""
    channel = await it.registered()
    [one] = await it.push(channel, "n", service="sms")
    await trio.sleep(2)
    await it.registered("u", "new")
    assert channel.device is not None
    assert channel.device.token == "new"
    await trio.sleep(1)
    it.judge(one, channel, UNREGISTERED, seconds=3)
    await it.settler.flush()
    assert await it.channels() == [channel]
    assert it.events("push.token.removed") == []
