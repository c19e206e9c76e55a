"""Urgent overtakes everything not yet on the wire, in every queue (delivery.md, priority)."""

import math

import pytest
import trio
from tests.fakes.deliveries import HOOK
from tests.fakes.world import CountingProgress, World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Outcome

URGENT = Priority.URGENT
DOWN = Deferred("http_5xx", status=500)
BUSY_FOR = 0.2


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    """A lane of one worker."""
    made = World(width=1, limits=DeliveryLimits(buffer_count=100_000, buffer_bytes=1 << 30))
    await made.start(nursery)
    return made


async def fill(world: World, count: int, *, user: str = "u", first: str = "n") -> None:
    """Normal ones that take their time, more than a lane holds in memory."""
    ids = [f"{first}{number}" for number in range(count)]
    world.transport.script.update({id_: [BUSY_FOR] for id_ in ids})
    for start in range(0, count, 500):
        await world.publish(*ids[start : start + 500], user=user)
    await wait_all_tasks_blocked()


def before(world: World, id_: str, since: float) -> int:
    """How many attempts of others began between then and its own last one."""
    last = world.transport.times(id_)[-1]
    return sum(since < one.at < last for one in world.transport.attempts if one.id != id_)


async def test_several_calls_of_one_key_go_one_after_the_other(
    world: World, autojump_clock: MockClock
) -> None:
    """The next one of its order key is due when the first is settled, and goes next then."""
    await world.hook()
    await fill(world, 300)
    for number in range(3):
        await world.publish(f"call{number}", order_key="session", priority=URGENT)
    await trio.sleep(3)
    order = world.transport.order()
    places = [order.index(f"call{number}") for number in range(3)]
    assert places[0] == 1
    assert places == sorted(places)
    assert places[2] <= 5


async def test_the_retry_of_an_urgent_one_goes_next(
    world: World, autojump_clock: MockClock
) -> None:
    """When its gap is over, whatever the lane holds by then."""
    await world.hook()
    await fill(world, 500)
    world.transport.script["call"] = [DOWN, DOWN]
    await world.publish("call", priority=URGENT)
    await trio.sleep(20)
    first, second, third = world.transport.times("call")
    assert second - first <= 0.5 + 2 * BUSY_FOR
    assert third - second <= 1 + 2 * BUSY_FOR


async def test_one_behind_a_normal_one_of_its_key_goes_when_that_is_over(
    world: World, autojump_clock: MockClock
) -> None:
    """Order within the key first, then its priority."""
    await world.hook()
    world.transport.script["first"] = [BUSY_FOR]
    await world.publish("first", order_key="k")
    await fill(world, 300)
    await world.publish("call", order_key="k", priority=URGENT)
    await trio.sleep(2)
    assert world.transport.order().index("call") <= 3


async def test_one_behind_an_expired_one_goes_when_that_is_swept(
    world: World, autojump_clock: MockClock
) -> None:
    """Whoever wakes a lane without knowing for what, wakes it for something urgent, too."""
    await world.hook()
    await fill(world, 300)
    world.queue.pause(HOOK)
    await world.publish("old", order_key="k", expires_in=1000)
    await world.publish("call", order_key="k", priority=URGENT)
    await trio.sleep(2)
    world.queue.resume(HOOK)
    await wait_all_tasks_blocked()
    since = trio.current_time()
    ended = await world.store.expire_deliveries(world.clock(), limit=10, keep=())
    for lane in ended.lanes:
        world.wake(lane)
    await trio.sleep(2)
    assert before(world, "call", since) <= 2


async def test_one_that_a_dead_process_left_goes_first(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Found at the start; also one whose retry is due a moment later."""
    world = World(width=1)
    await nursery.start(world.store.run)
    await world.hook()
    await world.publish(*(f"n{number}" for number in range(500)))
    world.transport.script.update({f"n{number}": [BUSY_FOR] for number in range(500)})
    await world.publish("call", priority=URGENT)
    nursery.start_soon(world.settler.run, CountingProgress())
    world.transport.script["call"] = [DOWN]
    nursery.start_soon(world.queue.run, world.progress)
    await trio.sleep(0.1)
    assert world.transport.order()[0] == "call"
    await trio.sleep(2)
    first, second = world.transport.times("call")
    assert second - first <= 0.5 + 2 * BUSY_FOR


async def test_many_urgent_ones_do_not_pile_up_in_memory(
    world: World, autojump_clock: MockClock
) -> None:
    """Two windows at most, however many there are of either kind; all arrive, urgent first."""
    await world.hook()
    await fill(world, 300)
    calls = [f"call{number}" for number in range(500)]
    world.transport.script.update({id_: [BUSY_FOR] for id_ in calls})
    await world.publish(*calls, priority=URGENT)
    most = 0
    for _ in range(200):
        await trio.sleep(BUSY_FOR / 2)
        most = max(most, *(one.held for one in world.queue.lane_statuses()))
    assert 64 < most <= 128
    await trio.sleep(170)
    order = world.transport.order()
    assert len(order) == 800
    assert max(order.index(id_) for id_ in calls) <= 501


async def test_ten_thousand_normal_ones_do_not_hold_up_a_call(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """PU-86: on its way within the next slot that is free, in a lane as wide as an app's."""
    limits = DeliveryLimits(buffer_count=100_000, buffer_bytes=1 << 30)
    world = World(width=200, slots=2000, limits=limits)
    await world.start(nursery)
    await world.hook()
    ids = [f"n{number}" for number in range(10_000)]
    world.transport.script.update({id_: [0.05] for id_ in ids})
    for start in range(0, 10_000, 1000):
        await world.publish(*ids[start : start + 1000])
    waits = []
    for number in range(10):
        await trio.sleep(0.037)
        began = trio.current_time()
        await world.publish(f"call{number}", priority=URGENT)
        await trio.sleep(0.06)
        waits.append(world.transport.times(f"call{number}")[0] - began)
    assert max(waits) <= 0.05
    assert world.transport.most_at_once[HOOK] == 200
    await trio.sleep(10)
    assert len(world.transport.delivered) == 10_010


async def test_a_wide_lane_is_kept_busy(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """10,000 pushes with answers after 50 ms: as many at a time as it is wide, all the time."""
    limits = DeliveryLimits(buffer_count=100_000, buffer_bytes=1 << 30)
    world = World(width=200, slots=2000, limits=limits)
    await world.start(nursery)
    await world.hook()
    ids = [f"n{number}" for number in range(10_000)]
    world.transport.script.update({id_: [0.05] for id_ in ids})
    for start in range(0, 10_000, 1000):
        await world.publish(*ids[start : start + 1000])
    began = trio.current_time()
    await trio.sleep(2.55)
    assert len(world.transport.delivered) == 10_000
    last = max(one.at for one in world.transport.attempts)
    assert last - began <= 2.5
    assert world.transport.most_at_once[HOOK] == 200


# -- where slots are scarce ----------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 2, 6])
async def test_an_urgent_one_gets_the_next_slot(
    autojump_clock: MockClock, nursery: trio.Nursery, slots: int
) -> None:
    """Many lanes wait for slots, each with much to do: it waits for one attempt, not for a turn."""
    world = World(width=4, slots=slots)
    await world.start(nursery)
    for number in range(20):
        await world.hook(f"u{number}", f"https://slow-{number}.example:443")
        await fill(world, 40, user=f"u{number}", first=f"{number}-")
    await world.hook("callee", "https://callee.example:443")
    for number in range(5):
        await trio.sleep(1.3)
        began = trio.current_time()
        await world.publish(f"call{number}", user="callee", priority=URGENT)
        await trio.sleep(3 * BUSY_FOR)
        assert world.transport.times(f"call{number}")[0] - began <= BUSY_FOR + 0.01


async def test_an_urgent_one_gets_the_next_slot_in_a_busy_lane(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Its lane is one of those that share too few slots."""
    world = World(width=4, slots=3)
    await world.start(nursery)
    for number in range(8):
        await world.hook(f"u{number}", f"https://slow-{number}.example:443")
        await fill(world, 60, user=f"u{number}", first=f"{number}-")
    for number in range(8):
        await trio.sleep(0.9)
        began = trio.current_time()
        await world.publish(f"call{number}", user=f"u{number}", priority=URGENT)
        await trio.sleep(3 * BUSY_FOR)
        assert world.transport.times(f"call{number}")[0] - began <= BUSY_FOR + 0.01


async def test_urgent_lanes_do_not_starve_each_other_or_the_rest(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """More lanes with calls than slots: calls go before everything else, but what a slot does that
    their own lanes may not have; nothing is lost."""
    world = World(width=2, slots=3)
    await world.start(nursery)
    for number in range(12):
        await world.hook(f"u{number}", f"https://lane-{number}.example:443")
        await fill(world, 20, user=f"u{number}", first=f"{number}-")
    before_calls = len(world.transport.attempts)
    calls = [f"call{number}.{n}" for number in range(12) for n in range(5)]
    world.transport.script.update({id_: [BUSY_FOR] for id_ in calls})
    for number in range(12):
        mine = [id_ for id_ in calls if id_.startswith(f"call{number}.")]
        await world.publish(*mine, user=f"u{number}", priority=URGENT)
    await trio.sleep(60)
    order = world.transport.order()[before_calls:]
    assert max(order.index(id_) for id_ in calls) < 60 + 3
    assert len(world.transport.delivered) == 12 * 20 + 60


async def test_a_lane_that_left_the_line_keeps_no_slot(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """What waited for a slot is paused meanwhile: the others go on as if it had never waited."""
    world = World(width=1, slots=1)
    await world.start(nursery)
    origins = [f"https://lane-{number}.example:443" for number in range(4)]
    for number, origin in enumerate(origins):
        await world.hook(f"u{number}", origin)

    async def once() -> Outcome:
        await trio.sleep(1)
        return Deferred("http_5xx", 3600)

    world.transport.script["first"] = [once]
    await world.publish("first", user="u0")
    await wait_all_tasks_blocked()
    for number in (1, 2, 3):
        await world.publish(f"n{number}", user=f"u{number}", priority=URGENT)
    await trio.sleep(0.5)
    world.queue.pause(origins[1])
    world.queue.pause(origins[2])
    await trio.sleep(0.6)
    assert world.transport.delivered == ["n3"]


async def test_a_hanging_lane_does_not_hold_up_a_call_to_another(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """delivery.md, isolation: with all it has under way for ever."""
    world = World(width=8, slots=16)
    await world.start(nursery)
    await world.hook("h", "https://hangs.example:443")
    await world.hook("u")
    stuck = [f"s{number}" for number in range(200)]
    world.transport.script.update({id_: [math.inf] for id_ in stuck})
    await world.publish(*stuck, user="h")
    await trio.sleep(1)
    began = trio.current_time()
    await world.publish("call", priority=URGENT)
    await wait_all_tasks_blocked()
    assert world.transport.delivered == ["call"]
    assert trio.current_time() == began
