"""tocsin.delivery.devices: what may be our mistake removes nothing, or not for good (PU-49)."""

from pathlib import Path

import attrs
import pytest
import trio
from tests.fakes.deliveries import T0, device_channel
from tests.fakes.device_world import (
    APP,
    BAD,
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
from tocsin.model.outcome import Deferred, Delivered, Refused, Sign, Word

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
