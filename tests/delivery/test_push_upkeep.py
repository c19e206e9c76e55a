"""tocsin.delivery.ingest and housekeeping, of pushes: what ends before anybody has tried it, and
what is forgotten (push.md, A.5, PU-18, PU-23, PU-48)."""

from pathlib import Path

import pytest
import trio
from tests.fakes.deliveries import notification, webhook_channel
from tests.fakes.device_world import APP, GATEWAY, LANE, UNREGISTERED, DeviceWorld
from tests.fakes.fault import Fault
from trio.testing import MockClock

from tocsin.delivery.endings import Ending
from tocsin.delivery.housekeeping import Housekeeping
from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.channel import ChannelType
from tocsin.model.errors import RequestError, StoreError
from tocsin.model.outcome import Deferred
from tocsin.store.records import Acceptance, PushIdentity

DAY = 86_400


@pytest.fixture
def housekeeping(it: DeviceWorld) -> Housekeeping:
    """Sweeps when the test says so."""
    world = it.world
    return world.housekeeping(remembered=1000, devices=it.devices, endings=it.endings)


# -- ingest --------------------------------------------------------------------------------


async def test_a_caller_knows_of_the_commit_before_anybody_else(it: DeviceWorld) -> None:
    """So that he watches what is about to be handed over (PU-14)."""
    channel = await it.opened()
    order: list[str] = []
    it.world.handover._wake = lambda lane, _urgent, _keys: order.append(lane)
    acceptance = Acceptance()
    acceptance.add(it.world.note("n", service="push"), [channel])
    await it.ingest.store(acceptance, lambda error: order.append(f"stored {error}"))
    assert order == ["stored None", LANE]


async def test_a_caller_knows_that_nothing_was_stored(it: DeviceWorld, tmp_path: Path) -> None:
    """By the callback when the store has failed; by the refusal alone when it was never asked
    (PU-15)."""
    channel = await it.opened()
    told: list[StoreError | None] = []
    fault = Fault(tmp_path / "store.db")
    fault.begin("notification")
    acceptance = Acceptance()
    acceptance.add(it.world.note("n", service="push"), [channel])
    with pytest.raises(RequestError):
        await it.ingest.store(acceptance, told.append)
    fault.end()
    fault.close()
    assert len(told) == 1
    assert told[0] is not None
    it.ingest._limits = DeliveryLimits(backlog=1)
    await it.push(channel, "m")
    with pytest.raises(RequestError):
        await it.ingest.store(acceptance, told.append)
    assert len(told) == 1


async def test_who_made_way_is_told(it: DeviceWorld) -> None:
    """A withdrawn call by its caller, if he still waits, else as feedback (PU-13, PU-14)."""
    channel = await it.opened()
    acceptance = Acceptance()
    for id_ in ("a", "b"):
        acceptance.add(it.world.note(id_, service="push"), [channel])
    await it.ingest.store(acceptance)
    [one], [two] = acceptance.deliveries
    told: list[Ending] = []
    it.endings.watch(one.id, told.append)
    missed = Acceptance(withdrawing=[one.id, two.id])
    missed.add(it.world.note("c", service="push"), [channel])
    await it.ingest.store(missed)
    assert told == [Ending("collapsed")]
    assert it.told == [("b", Ending("collapsed"))]
    assert it.world.sample("deliveries_total", type="OMAPush", outcome="collapsed") == 2


# -- housekeeping --------------------------------------------------------------------------


async def test_who_waits_is_told_that_his_push_expired(
    it: DeviceWorld, housekeeping: Housekeeping, autojump_clock: MockClock
) -> None:
    """Attempted before or not, and then it is no dead letter; nobody waits for the rest
    (PU-14, PU-15)."""
    channel = await it.opened()
    told: list[Ending] = []
    for one in await it.push(channel, "a", "b", "c", "d", expires_in=60_000):
        if one.notification.id in "ab":
            it.endings.watch(one.id, told.append)
        if one.notification.id in "ac":
            it.judge(one, channel, Deferred("unavailable", 30))
        else:
            it.settler.release(one)
    await trio.sleep(62)
    await housekeeping.sweep()
    assert told == [Ending("expired", "expired")] * 2
    assert sorted(it.told) == [(id_, Ending("expired", "expired")) for id_ in "cd"]
    assert await it.world.dead() == 1
    assert it.world.store.backlog == 0


async def test_tokens_nobody_pushes_to_are_forgotten(
    it: DeviceWorld, housekeeping: Housekeeping, autojump_clock: MockClock
) -> None:
    """After 30 days; what somebody has registered stays (PU-23, CH-42)."""
    registered = await it.registered()
    await it.opened("a")
    await trio.sleep(20 * DAY)
    used = await it.opened("b", GATEWAY + "b")
    await trio.sleep(11 * DAY)
    await housekeeping.sweep()
    assert await it.channels(GATEWAY) == []
    assert await it.channels(GATEWAY + "b") == [used]
    assert await it.channels() == [registered]


async def test_webhooks_have_their_own_time(it: DeviceWorld, autojump_clock: MockClock) -> None:
    """Of another option (CH-42)."""
    account = await it.world.directory.account("u")
    hook = webhook_channel()
    hook.used_at = it.world.clock()
    await it.world.directory.open_channel(account, hook)
    before = it.world.clock() + 1
    assert await it.world.expiry.end_unused(ChannelType.OMAPUSH, before) == 0
    assert await it.world.expiry.end_unused(ChannelType.WEBHOOKS, before) == 1


async def test_what_is_remembered_is_forgotten_after_a_day(
    it: DeviceWorld, housekeeping: Housekeeping, autojump_clock: MockClock
) -> None:
    """Repeats of pushes, and what was removed with its token; the gauge says how much there is
    (PU-18, PU-48)."""

    def remembered() -> list[int]:
        tables = ("identity", "submission", "push", "removed")
        return [it.world.sample("remembered", table=table) for table in tables]

    channel = await it.registered()
    [one] = await it.push(channel, "n", identity=PushIdentity(1, 2))
    it.judge(one, channel, UNREGISTERED)
    await it.settler.flush()
    await housekeeping.sweep()
    assert remembered() == [0, 0, 1, 1]
    assert len(await it.store.removed_devices(APP, 0, guarded_only=False, after=0, limit=9)) == 1
    await trio.sleep(DAY + 2)
    await housekeeping.sweep()
    assert remembered() == [0, 0, 0, 0]


async def test_what_is_remembered_is_bounded(it: DeviceWorld, housekeeping: Housekeeping) -> None:
    """Of a table a number of rows, however young (CH-114)."""
    channel = await it.opened()
    for start in range(0, 1700, 100):
        acceptance = Acceptance()
        for number in range(start, start + 100):
            acceptance.pushes[len(acceptance.notifications)] = PushIdentity(number, number)
            one = notification(service="push", accepted_at=it.world.clock() + number)
            acceptance.add(one, [channel])
        await it.ingest.store(acceptance)
    await housekeeping.sweep()
    assert it.world.sample("remembered", table="push") == 1000
    first = Acceptance(pushes={0: PushIdentity(699, 699), 1: PushIdentity(700, 700)})
    for _ in range(2):
        first.add(it.world.note("again", service="push"), [channel])
    await it.ingest.store(first)
    assert list(first.firsts) == [1]
