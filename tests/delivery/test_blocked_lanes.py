"""Lanes that are left alone: by the breaker, by a receiver's wish, by an operator (delivery.md)."""

import math
from typing import TYPE_CHECKING

import pytest
import trio
from tests.fakes.deliveries import HOOK, T0, webhook_channel
from tests.fakes.world import CountingProgress, Told, World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.lanecontrol import LaneControl
from tocsin.delivery.settings import DeliverySettings
from tocsin.model.channel import ChannelState
from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Delivered, Outcome, Refused, Sign, Word
from tocsin.ops.clock import Clock

if TYPE_CHECKING:
    from tests.fakes.transport import Act

DOWN = Deferred("http_5xx", status=500)
DEAF = Deferred("unanswered", unanswered=True)
OTHER, THIRD = "https://other.example", "https://third.example"
DAY = 86_400_000
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


class Leaping:
    """A clock that follows Trio's and leaps ahead when told to."""

    def __init__(self) -> None:
        self._clock = Clock.start(wall=lambda: T0 / 1000)
        self._ahead = 0

    def __call__(self) -> int:
        return self._clock() + self._ahead

    async def leap(self, days: float) -> None:
        """Days have passed; a moment for what is due then."""
        await trio.sleep(1)
        self._ahead += int(days * DAY)
        await trio.sleep(2)


def always(world: World, outcome: Outcome, *ids: str) -> None:
    """What these come to, whenever they are attempted."""
    world.transport.script.update({id_: [outcome] * 1000 for id_ in ids})


def seconds_of(world: World) -> list[int]:
    """When there were attempts."""
    return sorted({round(one.at) for one in world.transport.attempts})


# -- the breaker ---------------------------------------------------------------------------


async def test_a_failing_lane_is_left_alone_and_probed(
    world: World, autojump_clock: MockClock
) -> None:
    """Ten failures, then one probe after 30 s, 1 min, 2 min more; nothing in between."""
    await world.hook()
    ids = [f"n{n}" for n in range(40)]
    always(world, DOWN, *ids)
    await world.publish(*ids)
    await trio.sleep(230)
    assert len(world.transport.attempts) == 13
    assert seconds_of(world) == [0, 30, 90, 210]


async def test_what_was_not_attempted_is_not_counted(
    world: World, autojump_clock: MockClock
) -> None:
    """What a lane held when its breaker opened goes back; no delivery has more attempts than were
    made, and all arrive once the receiver works."""
    await world.hook()
    ids = [f"n{n}" for n in range(40)]
    for id_ in ids[:10]:
        world.transport.script[id_] = [DOWN]
    await world.publish(*ids)
    await wait_all_tasks_blocked()
    assert len(world.transport.attempts) == 10
    [lane] = await world.store.lanes()
    assert lane.name == HOOK
    before = trio.current_time()
    await trio.sleep(40)
    assert sorted(world.transport.delivered) == sorted(ids)
    assert min(one.at for one in world.transport.attempts[10:]) - before == pytest.approx(30, abs=1)
    last = {one.id: one.number for one in world.transport.attempts}
    assert [last[id_] for id_ in ids] == [2] * 10 + [1] * 30


async def test_one_event_when_it_opens_and_one_when_it_closes(
    world: World, autojump_clock: MockClock
) -> None:
    """However many probes fail in between; the gauge and the operator's list say the same."""
    await world.hook()
    ids = [f"n{n}" for n in range(12)]
    for id_ in ids:
        world.transport.script[id_] = [DOWN]
    told = Told(world)
    await world.publish(*ids)
    await trio.sleep(20)
    assert world.blocked("breaker") == 1
    [status] = world.queue.lane_statuses()
    assert (status.name, status.blocked, status.under_way) == (HOOK, "breaker", 0)
    await trio.sleep(1000)
    assert told.events == [("lane.blocked", "breaker"), ("lane.unblocked", "breaker")]
    assert world.blocked("breaker") == 0
    assert sorted(world.transport.delivered) == sorted(ids)


async def test_receivers_that_never_answer_open_it_too(
    world: World, autojump_clock: MockClock
) -> None:
    """CH-83: unanswered counts for the breaker."""
    await world.hook()
    ids = [f"n{n}" for n in range(20)]
    always(world, DEAF, *ids)
    await world.publish(*ids)
    await trio.sleep(20)
    assert len(world.transport.attempts) == 10


async def test_what_expires_behind_an_open_breaker_is_not_attempted(
    world: World, autojump_clock: MockClock
) -> None:
    """An incoming call does not ring late because somebody else's endpoint came back."""
    await world.hook()
    ids = [f"n{n}" for n in range(10)]
    for id_ in ids:
        world.transport.script[id_] = [DOWN]
    await world.publish(*ids)
    await wait_all_tasks_blocked()
    await world.publish("call", priority=Priority.URGENT, expires_in=20_000)
    await trio.sleep(60)
    assert "call" not in world.transport.order()
    assert world.outcomes() == {"delivered": 10, "expired": 1}


async def test_a_lane_remembers_between_single_failures(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Failures of deliveries that come one by one add up, though the lane is idle in between; after
    a quiet while nothing of it is kept."""
    world = World(settings=DeliverySettings(webhook_retries=[0], jitter=0))
    await world.start(nursery)
    await world.hook()
    for number in range(12):
        always(world, DOWN, f"n{number}")
        await world.publish(f"n{number}")
        await trio.sleep(1)
    assert len(world.transport.attempts) == 10
    await trio.sleep(300)
    assert world.queue.statistics()["lanes"] == 0
    assert (world.blocked("breaker"), len(world.transport.attempts)) == (0, 12)


async def test_an_attempt_that_reached_nobody_says_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    """A crash of ours does not open it."""
    await world.hook()
    ids = [f"n{n}" for n in range(12)]
    for id_ in ids:
        world.transport.script[id_] = [ZeroDivisionError("bug")]
    await world.publish(*ids)
    await trio.sleep(5)
    assert sorted(world.transport.delivered) == sorted(ids)


async def test_a_restarted_queue_knows_what_is_blocked(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """OP-10: an open breaker and an operator's pause outlive the service that tripped."""
    world = World(settings=QUICK, width=1)
    await nursery.start(world.store.run)
    nursery.start_soon(world.settler.run, CountingProgress())
    await world.hook()
    await world.hook("v", OTHER)
    ids = [f"n{n}" for n in range(20)]
    always(world, DOWN, *ids)
    async with trio.open_nursery() as first:
        first.start_soon(world.queue.run, world.progress)
        world.queue.pause(OTHER)
        await world.publish("waits", user="v")
        await world.publish(*ids)
        await trio.sleep(1)
        first.cancel_scope.cancel()
    nursery.start_soon(world.queue.run, world.progress)
    await trio.sleep(20)
    assert len(world.transport.attempts) == 10
    await trio.sleep(15)
    assert len(world.transport.attempts) == 11
    assert world.queue.resume(OTHER)
    await wait_all_tasks_blocked()
    assert world.transport.delivered == ["waits"]


# -- an operator ---------------------------------------------------------------------------


async def test_a_paused_lane_waits_for_its_operator(
    world: World, autojump_clock: MockClock
) -> None:
    """Attempts under way go on, what was held goes back uncounted, nothing more is attempted."""
    await world.hook()
    assert isinstance(world.queue, LaneControl)
    ids = [f"n{n}" for n in range(50)]
    world.transport.script.update({id_: [1.0] for id_ in ids})
    told = Told(world)
    await world.publish(*ids)
    await wait_all_tasks_blocked()
    world.queue.pause(HOOK)
    await trio.sleep(1000)
    assert len(world.transport.delivered) == 1
    [status] = world.queue.lane_statuses()
    assert (status.blocked, status.held, world.blocked("paused")) == ("paused", 0, 1)
    assert world.queue.resume(HOOK)
    assert not world.queue.resume(HOOK)
    await trio.sleep(100)
    assert told.events == [("lane.blocked", "paused"), ("lane.unblocked", "paused")]
    assert {one.number for one in world.transport.attempts} == {1}
    assert (len(world.transport.delivered), world.blocked("paused")) == (50, 0)


async def test_a_lane_nobody_has_heard_of_may_be_paused(
    world: World, autojump_clock: MockClock
) -> None:
    """And is remembered, though it has nothing to do."""
    world.queue.pause(HOOK)
    await world.hook()
    await trio.sleep(1000)
    await world.publish("a")
    await trio.sleep(10)
    assert world.transport.attempts == []
    assert world.queue.resume(HOOK)
    assert not world.queue.resume(OTHER)
    await wait_all_tasks_blocked()
    assert world.transport.delivered == ["a"]


async def test_an_operator_may_close_a_breaker(world: World, autojump_clock: MockClock) -> None:
    """He knows that the receiver works again."""
    await world.hook()
    ids = [f"n{n}" for n in range(20)]
    for id_ in ids[:10]:
        world.transport.script[id_] = [DOWN]
    await world.publish(*ids)
    await trio.sleep(5)
    assert world.transport.delivered == []
    assert world.queue.resume(HOOK)
    await wait_all_tasks_blocked()
    assert sorted(world.transport.delivered) == sorted(ids)


# -- channels that only fail ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (DOWN, ChannelState.SUSPENDED),
        (Deferred("http_4xx", status=404), ChannelState.SUSPENDED),
        (Deferred("dns"), ChannelState.SUSPENDED),
        (DEAF, ChannelState.ACTIVE),
        (Deferred("bad_channel", sign=Sign.NOTHING), ChannelState.ACTIVE),
    ],
)
async def test_five_days_without_a_success_suspend_a_channel(
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    outcome: Outcome,
    state: ChannelState,
) -> None:
    """CH-83: failures of any kind count, unanswered ones do not, nor what reached nobody."""
    clock = Leaping()
    world = World(settings=DeliverySettings(webhook_retries=[0], jitter=0), clock=clock)
    await world.start(nursery)
    channel = await world.hook()
    told = Told(world)
    for day in range(7):
        always(world, outcome, f"n{day}")
        await world.publish(f"n{day}", expires_in=30 * DAY)
        await clock.leap(1)
        if day == 4:
            assert channel.state is ChannelState.ACTIVE
    assert channel.state is state
    attempts = 6 if state is ChannelState.SUSPENDED else 7
    assert len(world.transport.attempts) == attempts
    assert ("channel.suspended", None) in told.events or state is ChannelState.ACTIVE
    assert told.events.count(("channel.suspended", None)) <= 1


async def test_one_success_begins_the_five_days_anew(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Whenever it comes; and a new POST of the channel, too (CH-80)."""
    clock = Leaping()
    world = World(settings=DeliverySettings(webhook_retries=[0], jitter=0), clock=clock)
    await world.start(nursery)
    channel = await world.hook()
    account = await world.directory.account("u")
    for day in range(16):
        if day != 4:
            always(world, DOWN, f"n{day}")
        await world.publish(f"n{day}", expires_in=30 * DAY)
        await clock.leap(1)
        assert (channel.state is ChannelState.SUSPENDED) == (day in {10, 11})
        if day == 11:
            await world.directory.open_channel(account, webhook_channel())
            await wait_all_tasks_blocked()


async def test_since_when_it_fails_outlives_a_restart(
    world: World, autojump_clock: MockClock
) -> None:
    """The stored mark is what a new process begins with; a success takes it away."""

    async def stored() -> int | None:
        [record] = await world.store.load_accounts(["u"])
        return record.channels[0].failing_since

    await world.hook()
    world.transport.script["a"] = [DOWN, DOWN]
    began = world.clock()
    await world.publish("a")
    await wait_all_tasks_blocked()
    assert await stored() == began
    await trio.sleep(0.7)
    assert await stored() == began
    await trio.sleep(5)
    assert await stored() is None


@pytest.mark.parametrize(
    ("outcome", "settled"),
    [
        (Delivered(200, frozenset({Word.SUSPEND})), {"delivered": 1}),
        (Deferred("http_5xx", status=500, words=frozenset({Word.SUSPEND})), {}),
        (Refused("receiver_abort", 500, words=frozenset({Word.SUSPEND})), {"refused": 1}),
    ],
)
async def test_a_receiver_may_have_its_channel_suspended(
    world: World, autojump_clock: MockClock, outcome: Outcome, settled: dict[str, int]
) -> None:
    """PU-80: `disable` on any status; what is in hand ends as its status says."""
    channel = await world.hook()
    world.transport.script["a"] = [outcome]
    await world.publish("a")
    await trio.sleep(1)
    await world.publish("b")
    await trio.sleep(100)
    assert channel.state is ChannelState.SUSPENDED
    assert (world.transport.order(), world.outcomes()) == (["a"], settled)


# -- deadlines -----------------------------------------------------------------------------


async def test_an_urgent_one_that_is_told_to_wait_past_its_deadline_expires_now(
    world: World, autojump_clock: MockClock
) -> None:
    """PU-79: nobody waits for a call that will not ring."""
    await world.hook()
    world.transport.script["a"] = [Deferred("http_5xx", 60, 500)]
    await world.publish("a", priority=Priority.URGENT, expires_in=45_000)
    await wait_all_tasks_blocked()
    assert world.outcomes() == {"expired": 1}


async def test_what_expired_on_the_way_to_the_wire_is_no_attempt(
    world: World, autojump_clock: MockClock
) -> None:
    """The transport did not write it: it counts as expired, and is no dead letter."""

    async def too_late() -> Outcome:
        await trio.sleep(5)
        return Deferred("expired", sign=Sign.NOTHING)

    await world.hook()
    world.transport.script["a"] = [too_late]
    await world.publish("a", expires_in=4000)
    await trio.sleep(10)
    assert (world.outcomes(), await world.dead()) == ({"expired": 1}, 0)


# -- isolation -----------------------------------------------------------------------------


async def test_a_healthy_lane_sees_nothing_of_the_others(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """PU-87, delivery.md (isolation): one lane hangs, one is asked to wait again and again, one is
    paused, one fails, thousands behind each; the healthy one has no wait at all."""
    world = World(settings=QUICK, width=8, slots=64)
    await world.start(nursery)
    troubles = {"h": HOOK, "w": OTHER, "p": THIRD, "f": "https://fourth.example"}
    for user, origin in troubles.items():
        await world.hook(user, origin)
    await world.hook("ok", "https://healthy.example")
    acts: dict[str, list[Act]] = {
        "h": [math.inf],
        "w": [held_off(2)] * 50,
        "p": [],
        "f": [DOWN] * 50,
    }
    world.queue.pause(THIRD)
    for user in troubles:
        ids = [f"{user}{n}" for n in range(2000)]
        world.transport.script.update({id_: list(acts[user]) for id_ in ids})
        await world.publish(*ids, user=user)
    await trio.sleep(1)
    for round_ in range(20):
        before = trio.current_time()
        await world.publish(*(f"ok{round_}.{n}" for n in range(20)), user="ok")
        await wait_all_tasks_blocked()
        assert len(world.transport.delivered) == 20 * (round_ + 1)
        assert trio.current_time() == before
        await trio.sleep(0.7)
    assert all(id_.startswith("ok") for id_ in world.transport.delivered)
