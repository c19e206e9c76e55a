"""Lanes that were asked for less: how wide, for how long, and who hears of it (PU-81)."""

import pytest
import trio
from tests.fakes.deliveries import HOOK
from tests.fakes.world import Told, World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.settings import DeliverySettings
from tocsin.model.outcome import Deferred, Sign, Word

BUSY = Deferred("http_5xx", status=503, words=frozenset({Word.THROTTLE}))
QUICK = DeliverySettings(webhook_retries=[0.5] * 100, jitter=0)


def held_off(seconds: float) -> Deferred:
    """429 with a Retry-After."""
    words = frozenset({Word.THROTTLE, Word.HOLD})
    return Deferred("http_429", seconds, 429, sign=Sign.CONTACT, words=words)


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    """A running delivery layer that attempts one delivery of a lane at a time."""
    made = World(settings=QUICK, width=1)
    await made.start(nursery)
    return made


async def test_a_throttled_lane_is_narrow_and_widens_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Each 503 halves its width, ten successes give one back; two events, and the gauge."""
    world = World(width=8, settings=QUICK)
    await world.start(nursery)
    await world.hook()
    world.transport.script["a"] = [BUSY]
    world.transport.script["b"] = [BUSY]
    ids = [f"n{n}" for n in range(200)]
    world.transport.script.update({id_: [1.0] for id_ in ids})
    told = Told(world)
    await world.publish("a", "b")
    await wait_all_tasks_blocked()
    [status] = world.queue.lane_statuses()
    assert (status.width, status.blocked, world.blocked("throttled")) == (2, "throttled", 1)
    await world.publish(*ids)
    await trio.sleep(4.5)
    assert world.transport.most_at_once[HOOK] == 2
    await trio.sleep(40)
    assert world.transport.most_at_once[HOOK] == 8
    assert [one.width for one in world.queue.lane_statuses()] == [8]
    await trio.sleep(60)
    assert told.events == [("lane.blocked", "throttled"), ("lane.unblocked", "throttled")]
    assert (len(world.transport.delivered), world.blocked("throttled")) == (202, 0)


async def test_a_lane_that_is_wide_again_is_not_blocked(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Gauge, list and events say so in that moment, and not a minute later."""
    world = World(width=2, settings=QUICK)
    await world.start(nursery)
    await world.hook()
    world.transport.script["a"] = [BUSY]
    told = Told(world)
    await world.publish("a", *(f"n{n}" for n in range(5)))
    await wait_all_tasks_blocked()
    assert world.blocked("throttled") == 1
    await world.publish(*(f"n{n}" for n in range(5, 20)))
    await wait_all_tasks_blocked()
    assert world.blocked("throttled") == 0
    assert [one.blocked for one in world.queue.lane_statuses()] == [None]
    assert told.events == [("lane.blocked", "throttled"), ("lane.unblocked", "throttled")]


async def test_a_lane_that_waits_for_retry_after_is_blocked_as_long(
    world: World, autojump_clock: MockClock
) -> None:
    """Though it is one wide and cannot be narrower (PU-81)."""
    await world.hook()
    world.transport.script["a"] = [held_off(20)]
    await world.publish("a")
    await trio.sleep(19)
    assert world.blocked("throttled") == 1
    await trio.sleep(2)
    assert (world.blocked("throttled"), world.transport.delivered) == (0, ["a"])


async def test_a_lane_that_is_throttled_now_and_then_is_no_storm_of_events(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """An operator hears of it once a minute at most, and of every end."""
    world = World(width=2, settings=QUICK)
    await world.start(nursery)
    await world.hook()
    told = Told(world)
    for round_ in range(180):
        world.transport.script[f"busy{round_}"] = [BUSY]
        await world.publish(f"busy{round_}", *(f"{round_}.{n}" for n in range(30)))
        await trio.sleep(1)
    assert told.events == [("lane.blocked", "throttled"), ("lane.unblocked", "throttled")] * 3
    assert world.blocked("throttled") == 0


async def test_a_channel_that_was_asked_to_wait_waits_whole(
    world: World, autojump_clock: MockClock
) -> None:
    """After 429 with Retry-After its other deliveries wait as long, uncounted; its neighbour on the
    same lane does not."""
    await world.hook("u")
    await world.hook("v")
    world.transport.script["u0"] = [held_off(60)]
    await world.publish("u0")
    await wait_all_tasks_blocked()
    await world.publish(*(f"u{n}" for n in range(1, 300)))
    await world.publish(*(f"v{n}" for n in range(20)), user="v")
    await trio.sleep(1)
    assert sorted(world.transport.delivered) == sorted(f"v{n}" for n in range(20))
    await trio.sleep(70)
    mine = [one for one in world.transport.attempts if one.id.startswith("u")]
    assert (len(mine), len({one.id for one in mine})) == (301, 300)
    assert {one.number for one in mine if one.id != "u0"} == {1}
    assert min(one.at for one in mine[1:]) >= 60
