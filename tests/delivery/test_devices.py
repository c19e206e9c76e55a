"""tocsin.delivery.devices: what goes with a dead token, when it is believed, and how it comes back
(push.md, C.5)."""

from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
import trio
from tests.fakes.deliveries import T0, device_channel, subscription
from tests.fakes.device_world import (
    APP,
    BAD,
    GATEWAY,
    OK,
    UNREGISTERED,
    DeviceWorld,
    push_settings,
)
from tests.fakes.fault import Fault
from trio.testing import MockClock

from tocsin.delivery import devices as devices_module
from tocsin.delivery.pushapps import AppRegistry, PushKeySettings, PushSettings
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StoreError
from tocsin.model.outcome import Deferred, Delivered, Gone, Refused, Sign, Word
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


# -- what may be our mistake (PU-49) -------------------------------------------------------


async def test_an_app_without_success_removes_nothing_for_a_guarded_reason(
    it: DeviceWorld,
) -> None:
    """It is refused, an operator is told, and what was answered 2xx is a dead letter (PU-49 a)."""
    channel = await it.registered()
    await it.attempt(channel, BAD, service="sms")
    assert await it.channels() == [channel]
    assert await it.results() == [("refused", "unproven_app")]
    assert it.events("push.alarm") == [{"app_id": APP, "reason": "unproven_app", "status": 400}]
    assert await it.world.dead() == 1
    assert not it.devices.is_dead(APP, "token")


async def test_one_success_is_proof_and_survives_a_restart(it: DeviceWorld) -> None:
    """Of this app alone (PU-49 a)."""
    channel = await it.registered()
    other = await it.registered("v", "b", app="com.example.other")
    await it.attempt(channel, OK)
    again = await it.restarted()
    assert isinstance(again.devices.judge(other, BAD, seconds=0), Refused)
    assert again.devices.judge(channel, BAD, seconds=0) is BAD


@pytest.mark.parametrize(
    "changed",
    [
        push_settings(environment="sandbox"),
        push_settings(topic="com.example.renamed"),
        attrs.evolve(
            push_settings(), keys={"main": PushKeySettings("apns", team_id="T", key_id="L")}
        ),
    ],
    ids=["environment", "topic", "key"],
)
async def test_a_changed_app_has_to_prove_itself_again(
    it: DeviceWorld, changed: PushSettings
) -> None:
    """Whether it was changed while the daemon ran or not (PU-49 a)."""
    channel = await it.registered()
    await it.attempt(channel, OK)
    again = await it.restarted(changed)
    assert again.devices.judge(channel, BAD, seconds=0) == Refused("unproven_app", 400)
    assert it.devices.judge(channel, BAD, seconds=0) is BAD
    it.devices.reconfigure(AppRegistry(changed.apps), changed)
    assert it.devices.judge(channel, BAD, seconds=0) == Refused("unproven_app", 400)


async def trip(it: DeviceWorld) -> list[Channel]:
    """Have a proven app lose nine tokens, then the tenth; their channels."""
    await it.attempt(await it.registered("proof", "proof"), OK)
    channels = [await it.registered(f"u{number}", f"t{number}") for number in range(10)]
    for channel in channels:
        await it.attempt(channel, BAD, service="sms")
    return channels


async def test_the_guard_brings_back_what_was_removed(it: DeviceWorld) -> None:
    """Nine tokens that went and their subscriptions; the tenth did not go (PU-49 b)."""
    channels = await trip(it)
    assert len(it.events("push.token.removed")) == 9
    for channel in channels:
        [back] = await it.channels(channel.user)
        assert (back.id, back.device) == (channel.id, channel.device)
        account = await it.world.directory.account(channel.user)
        assert [one.channel for one in account.subscriptions.values()] == [back]
    assert not it.devices.is_dead(APP, "t0")
    assert it.events("push.guard.tripped") == [{"app_id": APP}]
    assert it.devices.guarded_apps() == [APP]
    assert it.world.sample("push_guards_tripped") == 1
    assert await it.world.dead() == 1
    assert (await it.results())[-1] == ("refused", "removal_guard")
    await it.world.assert_gauges_are_right()
    [back] = await it.channels("u0")
    await it.attempt(back, OK)


async def test_what_was_removed_for_sure_stays_away(
    it: DeviceWorld, autojump_clock: MockClock
) -> None:
    """Unregistered is no reason of ours, and five minutes are five minutes (PU-49 b)."""
    sure = await it.registered("sure", "sure")
    await it.attempt(await it.registered("proof", "proof"), OK)
    early = await it.registered("early", "early")
    await it.attempt(early, BAD)
    await trio.sleep(301)
    await it.attempt(sure, UNREGISTERED)
    for number in range(10):
        await it.attempt(await it.registered("u", f"{number}", correlator=str(number)), BAD)
    assert it.devices.guarded_apps() == [APP]
    assert await it.channels("sure") == await it.channels("early") == []
    assert len(await it.channels("u")) == 10
    assert await it.devices.restore(APP, T0) == 2


async def test_a_tripped_guard_survives_a_restart(
    it: DeviceWorld, autojump_clock: MockClock
) -> None:
    """Until its probation is over (PU-49 b)."""
    [channel, *_] = await trip(it)
    again = await it.restarted()
    assert again.devices.guarded_apps() == [APP]
    assert again.world.sample("push_guards_tripped") == 1
    assert again.devices.judge(channel, BAD, seconds=0) == Refused("removal_guard", 400)
    await trio.sleep(15 * 60)
    again.devices.judge(channel, OK, seconds=0)
    again.devices.judge(channel, OK, seconds=0)
    assert again.devices.guarded_apps() == [APP]
    await trio.sleep(15 * 60)
    again.devices.judge(channel, OK, seconds=0)
    assert again.devices.guarded_apps() == []
    assert again.events("push.guard.cleared") == [{"app_id": APP}]
    assert again.world.sample("push_guards_tripped") == 0
    await again.settler.flush()
    assert await it.store.recall("push.guards") == {}


async def test_a_change_of_the_app_clears_its_guard(it: DeviceWorld) -> None:
    """While the daemon runs, or at its start (PU-49 b)."""
    await trip(it)
    changed = push_settings(environment="sandbox")
    again = await it.restarted(changed)
    assert again.devices.guarded_apps() == []
    assert again.events("push.guard.cleared") == [{"app_id": APP}]
    it.devices.reconfigure(AppRegistry(changed.apps), changed)
    assert it.devices.guarded_apps() == []
    assert it.world.sample("push_guards_tripped") == 0


async def test_an_operator_clears_a_guard(it: DeviceWorld) -> None:
    """And what the provider says is believed again (PU-49 b)."""
    [channel, *_] = await trip(it)
    assert it.devices.clear_guard(APP)
    assert not it.devices.clear_guard(APP)
    assert not it.devices.clear_guard("com.example.unknown")
    assert it.devices.judge(channel, BAD, seconds=0) is BAD
    assert it.events("push.guard.cleared") == [{"app_id": APP}]


async def test_what_was_not_written_of_an_app_is_written_later(
    it: DeviceWorld, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """A store that fails costs no proof (PU-49 a)."""
    channel = await it.registered()
    fault = Fault(tmp_path / "store.db")
    fault.begin("memo")
    [one] = await it.push(channel, "n")
    it.judge(one, channel, OK)
    await trio.sleep(3)
    assert await it.store.recall("push.proven") == {}
    fault.end()
    fault.close()
    await trio.sleep(2)
    assert (await it.store.recall("push.proven")).keys() == {APP}
    assert not it.devices.has_work


# -- restoring -----------------------------------------------------------------------------


async def test_what_was_registered_anew_stays_as_it_is(it: DeviceWorld) -> None:
    """Neither doubled nor replaced (PU-48, CH-74)."""
    channel = await it.registered("u")
    await it.attempt(channel, UNREGISTERED)
    anew = await it.registered("u", "other")
    gone = await it.registered("v")
    await it.attempt(gone, UNREGISTERED)
    assert await it.devices.restore(APP, T0) == 1
    assert await it.channels("u") == [anew]
    [back] = await it.channels("v")
    assert back.id == gone.id


async def test_of_two_lives_of_a_channel_the_later_comes_back(it: DeviceWorld) -> None:
    """A device that was removed twice is there once (PU-48, CH-74)."""
    await it.attempt(await it.registered(), UNREGISTERED)
    later = await it.registered()
    await it.attempt(later, UNREGISTERED)
    assert await it.devices.restore(APP, T0) == 1
    assert [one.id for one in await it.channels()] == [later.id]


async def test_many_come_back_in_slices(it: DeviceWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, also of users who are not in memory (PU-48)."""
    monkeypatch.setattr(devices_module, "SLICE", 3)
    for number in range(10):
        user = f"u{number}"
        await it.attempt(await it.registered(user, user), UNREGISTERED)
    again = await it.restarted()
    assert await again.devices.restore(APP, T0) == 10
    for number in range(10):
        assert len(await again.channels(f"u{number}")) == 1
    assert not again.devices.is_dead(APP, "u0")


async def test_a_store_that_fails_restores_nothing(it: DeviceWorld, tmp_path: Path) -> None:
    """Memory and store agree, and it can be asked again (PU-48)."""
    await it.attempt(await it.registered(), UNREGISTERED)
    fault = Fault(tmp_path / "store.db")
    fault.begin("channel")
    with pytest.raises(StoreError, match="on fire"):
        await it.devices.restore(APP, T0)
    fault.end()
    fault.close()
    assert await it.channels() == []
    assert await it.devices.restore(APP, T0) == 1
    assert len(await it.channels()) == 1


# -- alarms --------------------------------------------------------------------------------


async def test_what_an_answer_says_is_our_mistake_is_told(it: DeviceWorld) -> None:
    """Once an hour for each reason; the channel is never touched (push.md, C.3)."""
    channel = await it.registered()
    wrong = Refused("bad_request", 400, words=frozenset({Word.ALARM}))
    await it.attempt(channel, wrong, wrong)
    clock = Deferred("credential", 60, 403, sign=Sign.CONTACT, words=frozenset({Word.ALARM}))
    await it.attempt(channel, clock)
    assert it.events("push.alarm") == [
        {"app_id": APP, "reason": "bad_request", "status": 400},
        {"app_id": APP, "reason": "credential", "status": 403},
    ]
    assert await it.channels() == [channel]


async def test_many_unregistered_are_told_and_removed_all_the_same(it: DeviceWorld) -> None:
    """An alarm, no more (PU-51)."""
    channel = await it.registered()
    for _ in range(69):
        assert it.devices.judge(channel, Delivered(200), seconds=0) == OK
    for _ in range(31):
        assert it.devices.judge(channel, UNREGISTERED, seconds=0) is UNREGISTERED
    assert it.events("push.alarm") == [{"app_id": APP, "reason": "unregistered"}]
    assert it.devices.guarded_apps() == []


async def test_an_app_that_is_not_registered_is_left_alone(it: DeviceWorld) -> None:
    """Nothing is known that could be judged, and a channel that is no device is nobody's matter."""
    channel = device_channel(app="com.example.unknown")
    assert it.devices.judge(channel, BAD, seconds=0) is BAD
    hook = Channel("wh-1", "u", ChannelType.WEBHOOKS, T0, "c")
    assert it.devices.judge(hook, BAD, seconds=0) is BAD
    assert await it.devices.remove(hook, BAD, judged_at=T0)
    it.devices.registered(hook)
