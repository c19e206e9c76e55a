"""tocsin.delivery.queue and settler together, on a store, under a clock that jumps."""

import math
from collections.abc import Awaitable, Callable

import pytest
import trio
from structlog.testing import capture_logs
from tests.fakes.deliveries import HOOK, socket_channel, webhook_channel
from tests.fakes.world import MEMORY, CountingProgress, World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.settings import ChannelSettings, DeliverySettings
from tocsin.model.channel import ChannelState
from tocsin.model.errors import StoreError
from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Gone, Outcome, Refused, Sign
from tocsin.store.records import Claim
from tocsin.store.sqlite import SqliteStore

DEAF = Deferred("no answer", unanswered=True)
DOWN = Deferred("HTTP 500", status=500)
LATER = Deferred("HTTP 429", sign=Sign.CONTACT)
OTHER = "https://other.example"
SHORT = DeliverySettings(webhook_retries=[0, 1, 2, 3, 4, 5, 6], jitter=0)


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    """A running delivery layer."""
    made = World()
    await made.start(nursery)
    return made


# -- outcomes (CH-83) ----------------------------------------------------------------------


async def test_delivered_is_done(world: World, autojump_clock: MockClock) -> None:
    """Settled, counted, nothing left."""
    await world.hook()
    await world.publish("a")
    await trio.sleep(1)
    assert world.transport.delivered == ["a"]
    assert (world.store.backlog, world.outcomes()) == (0, {"delivered": 1})


async def test_deferred_is_tried_again_by_the_list(world: World, autojump_clock: MockClock) -> None:
    """0, 5 s, 5 min ... with the attempts counted (delivery.md, retry)."""
    await world.hook()
    world.transport.script["a"] = [DOWN, DOWN, DOWN]
    await world.publish("a")
    await trio.sleep(2200)
    assert world.transport.times("a") == pytest.approx([0, 5, 305, 2105], abs=0.1)
    assert [one.number for one in world.transport.attempts] == [1, 2, 3, 4]
    assert world.outcomes() == {"delivered": 1}


async def test_the_end_of_the_list_is_a_dead_letter(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """As many attempts as it has gaps; then it is kept for an operator."""
    world = World(settings=SHORT)
    await world.start(nursery)
    await world.hook()
    world.transport.script["a"] = [DOWN] * 100
    await world.publish("a")
    await trio.sleep(100)
    assert len(world.transport.attempts) == 7
    assert (world.store.backlog, await world.dead()) == (0, 1)
    assert world.outcomes() == {"dead": 1}


async def test_retry_after_is_respected(world: World, autojump_clock: MockClock) -> None:
    """A floor for the next attempt."""
    await world.hook()
    world.transport.script["a"] = [Deferred("HTTP 429", retry_after=60)]
    await world.publish("a")
    await trio.sleep(100)
    assert world.transport.times("a") == pytest.approx([0, 60], abs=0.1)


async def test_refused_is_over(world: World, autojump_clock: MockClock) -> None:
    """This one will never go; the next does."""
    await world.hook()
    world.transport.script["a"] = [Refused("no")]
    await world.publish("a", "b")
    await trio.sleep(1)
    assert sorted(world.transport.order()) == ["a", "b"]
    assert world.outcomes() == {"refused": 1, "delivered": 1}


async def test_the_third_unanswered_in_a_row_is_a_dead_letter(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Deployed receivers process and never answer; an answer in between starts anew (CH-83)."""
    world = World(settings=SHORT)
    await world.start(nursery)
    await world.hook()
    world.transport.script["a"] = [DEAF, DEAF, DEAF]
    world.transport.script["b"] = [DEAF, DEAF, DOWN, DEAF, DEAF]
    await world.publish("a", "b")
    await trio.sleep(100)
    assert len(world.transport.times("a")) == 3
    assert len(world.transport.times("b")) == 6
    assert world.outcomes() == {"dead": 1, "delivered": 1}


async def test_gone_suspends_the_channel_until_it_is_posted_again(
    world: World, autojump_clock: MockClock
) -> None:
    """410: nothing more is called, its deliveries wait; the same POST resumes (CH-80, CH-83)."""
    channel = await world.hook()
    world.transport.script["a"] = [Gone("HTTP 410", status=410)]
    await world.publish("a")
    await trio.sleep(1)
    await world.publish("b")
    await trio.sleep(1000)
    assert channel.state is ChannelState.SUSPENDED
    assert world.transport.order() == ["a"]
    assert world.store.backlog == 2
    account = await world.directory.account("u")
    again = webhook_channel()
    assert await world.directory.open_channel(account, again) is channel
    await trio.sleep(1)
    assert sorted(world.transport.order()) == ["a", "a", "b"]
    assert world.outcomes() == {"delivered": 2}


async def test_a_suspended_channel_does_not_stop_its_neighbours(
    world: World, autojump_clock: MockClock
) -> None:
    """Two users' channels share the endpoint's lane, not the suspension."""
    await world.hook("u")
    await world.hook("v")
    world.transport.script["a"] = [Gone("HTTP 410")]
    await world.publish("a", user="u")
    await trio.sleep(1)
    await world.publish("b", user="v")
    await trio.sleep(1)
    assert world.transport.delivered == ["b"]


async def test_a_crash_of_the_transport_costs_one_attempt(
    world: World, autojump_clock: MockClock
) -> None:
    """Fenced, logged, counted, tried again; others are not touched."""
    await world.hook()
    world.transport.script["a"] = [ZeroDivisionError("bug")]
    with capture_logs() as logs:
        await world.publish("a", "b")
        await trio.sleep(6)
    assert sorted(world.transport.order()) == ["a", "a", "b"]
    assert world.count("delivery_attempts", result="crashed") == 1
    assert "delivery.crashed" in [line["event"] for line in logs]
    assert world.outcomes() == {"delivered": 2}


# -- deadlines -----------------------------------------------------------------------------


async def test_what_expires_while_it_waits_its_turn_is_not_attempted(
    world: World, autojump_clock: MockClock
) -> None:
    """An incoming call never rings after its deadline."""
    await world.hook()
    world.transport.script["a"] = [3.0]
    world.transport.script["b"] = [3.0]
    await world.publish("a", "b")
    await world.publish("late", expires_in=2000)
    await trio.sleep(10)
    assert sorted(world.transport.order()) == ["a", "b"]
    assert world.outcomes() == {"delivered": 2, "expired": 1}
    assert await world.dead() == 0


async def test_no_attempt_is_planned_beyond_the_deadline(
    world: World, autojump_clock: MockClock
) -> None:
    """The next one would come too late: a dead letter that says `expired`."""
    await world.hook()
    world.transport.script["a"] = [DOWN, DOWN]
    await world.publish("a", expires_in=60_000)
    await trio.sleep(10)
    assert len(world.transport.attempts) == 2
    assert (world.outcomes(), await world.dead()) == ({"expired": 1}, 1)


async def test_urgent_ones_are_tried_often_until_their_deadline(
    world: World, autojump_clock: MockClock
) -> None:
    """0, 0.5, 1, 2, 4 s and doubling; nothing after 45 s."""
    await world.hook()
    world.transport.script["a"] = [DOWN] * 100
    await world.publish("a", expires_in=45_000, priority=Priority.URGENT)
    await trio.sleep(200)
    assert world.transport.times("a") == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5], abs=0.2)
    assert world.outcomes() == {"expired": 1}


# -- order, priority, width ----------------------------------------------------------------


async def test_order_holds_within_a_key(world: World, autojump_clock: MockClock) -> None:
    """Also through retries and for urgent ones; other keys pass by (delivery.md, order)."""
    await world.hook()
    world.transport.script["a"] = [DOWN, 2.0]
    await world.publish("a", order_key="k")
    await world.publish("b", order_key="k", priority=Priority.URGENT)
    await world.publish("c", order_key="k")
    await world.publish("d", order_key="l")
    await trio.sleep(20)
    assert [id_ for id_ in world.transport.order() if id_ != "d"] == ["a", "a", "b", "c"]
    assert world.transport.times("d") == [0]
    assert world.transport.times("b")[0] >= 7


async def test_urgent_overtakes_what_is_not_under_way(
    world: World, autojump_clock: MockClock
) -> None:
    """Also what is held in memory already."""
    await world.hook()
    for id_ in ("a", "b"):
        world.transport.script[id_] = [1.0]
    await world.publish("a", "b", *(f"n{n}" for n in range(100)))
    await wait_all_tasks_blocked()
    await world.publish("u", priority=Priority.URGENT)
    await trio.sleep(5)
    assert world.transport.order()[2] == "u"


async def test_low_comes_last(world: World, autojump_clock: MockClock) -> None:
    """urgent, normal, low."""
    await world.hook()
    for id_ in ("a", "b"):
        world.transport.script[id_] = [1.0]
    await world.publish("a", "b")
    await wait_all_tasks_blocked()
    await world.ingest.accept(
        [world.note("l", priority=Priority.LOW), world.note("n"), world.note("m")]
    )
    await trio.sleep(5)
    assert world.transport.order()[-1] == "l"


async def test_width_and_slots_are_respected(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """No lane has more attempts under way than its width, all together no more than slots."""
    world = World(width=3, slots=4)
    await world.start(nursery)
    for user, origin in (("u", HOOK), ("v", OTHER)):
        await world.hook(user, origin)
        ids = [f"{user}{n}" for n in range(20)]
        world.transport.script.update({id_: [1.0] for id_ in ids})
        await world.publish(*ids, user=user)
    most = 0
    for _ in range(300):
        await trio.sleep(0.05)
        most = max(most, sum(world.transport.running.values()))
    assert max(world.transport.most_at_once.values()) <= 3
    assert most == 4
    assert len(world.transport.delivered) == 40


async def test_a_hanging_lane_adds_no_wait_to_another(
    world: World, autojump_clock: MockClock
) -> None:
    """500 stuck behind an endpoint that never answers (delivery.md, isolation)."""
    await world.hook("u", OTHER)
    await world.hook("v")
    stuck = [f"s{n}" for n in range(500)]
    world.transport.script.update({id_: [math.inf] for id_ in stuck})
    await world.publish(*stuck, user="u")
    await trio.sleep(1)
    before = trio.current_time()
    await world.publish(*map(str, range(50)), user="v")
    await wait_all_tasks_blocked()
    assert len(world.transport.delivered) == 50
    assert trio.current_time() == before
    assert world.transport.most_at_once[OTHER] == 2


async def test_everything_of_a_long_backlog_is_delivered(
    world: World, autojump_clock: MockClock
) -> None:
    """Many windows full, without a pause in between."""
    await world.hook()
    ids = [f"n{n}" for n in range(1000)]
    before = trio.current_time()
    await world.publish(*ids)
    await wait_all_tasks_blocked()
    assert sorted(world.transport.delivered) == sorted(ids)
    assert trio.current_time() == before


# -- the loop ------------------------------------------------------------------------------


async def test_an_idle_queue_rests(world: World, autojump_clock: MockClock) -> None:
    """A turn a second, whatever lies ahead; no lane is remembered that has nothing."""
    await world.hook()
    await world.publish("a")
    world.transport.script["b"] = [DOWN, DOWN]
    await world.publish("b")
    await trio.sleep(100)
    assert world.queue.statistics()["lanes"] == 1
    before = world.progress.beats
    await trio.sleep(100)
    assert world.progress.beats - before <= 102
    await trio.sleep(300)
    assert world.queue.statistics() == {"lanes": 0, "crowded": 0, "deadlines": 0, "attempts": 0}


async def test_deadlines_do_not_pile_up(world: World, autojump_clock: MockClock) -> None:
    """A lane with a retry far ahead and much to do notes it once, not once per claim."""
    await world.hook()
    world.transport.script["a"] = [Deferred("HTTP 429", retry_after=8000)]
    await world.publish("a")
    for number in range(500):
        await world.publish(str(number))
        await wait_all_tasks_blocked()
    assert len(world.transport.delivered) == 500
    assert world.queue.statistics()["deadlines"] <= 70
    await trio.sleep(8001)
    assert world.transport.delivered[-1] == "a"


class SlowClaims(SqliteStore):
    """The answer to a claim arrives when the test says so."""

    def __init__(self) -> None:
        super().__init__(MEMORY, threaded=False)
        self.gate = trio.Event()
        self.gate.set()

    async def claim(
        self, lane: str, *, now: int, limit: int, provisional: int, urgent: int = 0
    ) -> Claim:
        found = await super().claim(
            lane, now=now, limit=limit, provisional=provisional, urgent=urgent
        )
        await self.gate.wait()
        return found


async def test_what_is_put_back_during_a_claim_is_not_forgotten(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A claim's answer that is older than a settlement must not hide when that is due."""
    store = SlowClaims()
    world = World(store=store)
    await world.start(nursery)
    await world.hook()
    world.transport.script["a"] = [_after(1.0, DOWN)]
    await world.publish("a")
    await wait_all_tasks_blocked()
    store.gate = trio.Event()
    world.queue.wake(HOOK)
    await trio.sleep(2)
    store.gate.set()
    await trio.sleep(10)
    assert world.transport.delivered == ["a"]
    assert world.transport.times("a") == pytest.approx([0, 6], abs=0.1)


def _after(seconds: float, outcome: Deferred) -> Callable[[], Awaitable[Outcome]]:
    async def act() -> Outcome:
        await trio.sleep(seconds)
        return outcome

    return act


class FailingClaims(SqliteStore):
    """Claims fail a few times."""

    def __init__(self, failures: int) -> None:
        super().__init__(MEMORY, threaded=False)
        self.failures = failures

    async def claim(
        self, lane: str, *, now: int, limit: int, provisional: int, urgent: int = 0
    ) -> Claim:
        if self.failures:
            self.failures -= 1
            await trio.lowlevel.checkpoint()
            raise StoreError("busy")
        return await super().claim(
            lane, now=now, limit=limit, provisional=provisional, urgent=urgent
        )


async def test_a_claim_that_fails_is_made_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A second later, and not sooner."""
    world = World(store=FailingClaims(3))
    await world.start(nursery)
    await world.hook()
    await world.publish("a")
    await trio.sleep(10)
    assert world.transport.times("a") == pytest.approx([3], abs=0.1)


async def test_a_removed_channel_is_called_no_more(world: World, autojump_clock: MockClock) -> None:
    """What was held for it in memory is dropped; the lane goes on."""
    gone = await world.hook("u")
    await world.hook("v")
    for id_ in ("a", "b"):
        world.transport.script[id_] = [5.0]
    await world.publish("a", "b", "c", "d", user="u")
    await world.publish("e", user="v")
    await trio.sleep(1)
    account = await world.directory.account("u")
    await world.directory.remove_channel(account, gone, outcome="refused")
    await trio.sleep(20)
    assert sorted(world.transport.order()) == ["a", "b", "e"]
    assert world.store.backlog == 0


async def test_users_need_not_be_in_memory(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Their accounts are loaded for the attempt."""
    world = World(channels=ChannelSettings(cached_users=100))
    await world.start(nursery)
    for number in range(150):
        await world.hook(f"u{number}")
        world.transport.script[f"n{number}"] = [LATER]
        await world.publish(f"n{number}", user=f"u{number}")
    await trio.sleep(10)
    assert len(world.transport.delivered) == 150


# -- stopping and starting -----------------------------------------------------------------


async def test_stop_puts_back_what_was_not_attempted(
    world: World, autojump_clock: MockClock
) -> None:
    """Attempts under way go on and are settled; the rest is due, its attempt not counted."""
    await world.hook()
    for id_ in ("a", "b"):
        world.transport.script[id_] = [5.5]
    await world.publish("a", "b", "c", "d")
    await trio.sleep(2)
    world.queue.stop()
    await world.publish("e")
    with trio.fail_after(4):
        await world.queue.wait_idle()
    await world.settler.flush()
    assert sorted(world.transport.order()) == sorted(world.transport.delivered) == ["a", "b"]
    [lane] = await world.store.lanes()
    claim = await world.store.claim(lane.name, now=world.clock(), limit=9, provisional=0)
    assert [(one.notification.id, one.attempts) for one in claim.deliveries] == [
        ("c", 1),
        ("d", 1),
        ("e", 1),
    ]


async def test_attempts_cut_off_are_put_back(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A queue that is started again delivers what the one before it had in hand (OP-10)."""
    world = World()
    await nursery.start(world.store.run)
    nursery.start_soon(world.settler.run, CountingProgress())
    await world.hook()
    world.transport.script["a"] = [math.inf]
    async with trio.open_nursery() as first:
        first.start_soon(world.queue.run, world.progress)
        await world.publish("a", "b")
        await trio.sleep(1)
        await world.publish("c", order_key="alone a")
        await trio.sleep(1)
        first.cancel_scope.cancel()
    nursery.start_soon(world.queue.run, world.progress)
    await trio.sleep(1)
    assert sorted(world.transport.order()[:2]) == ["a", "b"]
    assert world.transport.order()[2:] == ["a", "c"]
    assert [one.number for one in world.transport.attempts if one.id == "a"] == [1, 1]
    assert world.store.backlog == 0


async def test_what_a_dead_process_left_is_delivered(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Claimed or not: kill -9 at any instant loses nothing that was answered 2xx."""
    world = World()
    await nursery.start(world.store.run)
    await world.hook()
    await world.publish("a", "b")
    await world.store.claim(HOOK, now=world.clock(), limit=1, provisional=0)
    nursery.start_soon(world.settler.run, CountingProgress())
    nursery.start_soon(world.queue.run, world.progress)
    await trio.sleep(1)
    assert sorted(world.transport.delivered) == ["a", "b"]


async def test_sockets_are_not_the_queues_business(world: World, autojump_clock: MockClock) -> None:
    """What waits for a client stays where it is."""
    await world.subscribed(socket_channel())
    await world.publish("a")
    await trio.sleep(100)
    assert world.transport.attempts == []
    assert world.store.backlog == 1


async def test_jitter_spreads_retries(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Within its share of the gap."""
    world = World(settings=DeliverySettings(jitter=0.2), width=50)
    await world.start(nursery)
    await world.hook()
    ids = [f"n{n}" for n in range(50)]
    world.transport.script.update({id_: [LATER] for id_ in ids})
    await world.publish(*ids)
    await trio.sleep(10)
    seconds = [world.transport.times(id_)[1] for id_ in ids]
    assert min(seconds) >= 4
    assert max(seconds) <= 6.1
    assert max(seconds) - min(seconds) > 1
