"""Tests of what is urgent and stands behind others of its order key."""

import pytest
import trio
from tests.fakes.deliveries import device_channel, notification, subscription
from tests.fakes.gatewayapps import APP
from tests.fakes.gatewayworld import GatewayWorld
from tests.fakes.world import MEMORY, CountingProgress, World, memory_store
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.followers import MOST_KEYS, Followers
from tocsin.model.errors import StoreError
from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred
from tocsin.store.jobs import Done
from tocsin.store.records import Claimed, Settled, Settlements
from tocsin.store.sqlite import SqliteStore

URGENT = Priority.URGENT
SLOW, QUICK = 2.0, 0.05


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    """A lane of one worker, which is busy with a normal one for two seconds; four more wait."""
    return await busy_world(nursery, memory_store())


async def busy_world(nursery: trio.Nursery, store: SqliteStore) -> World:
    made = World(width=1, store=store)
    await made.start(nursery)
    await made.hook()
    await publish_normal(made)
    return made


async def publish_normal(world: World, count: int = 5) -> None:
    ids = [f"m{number}" for number in range(count)]
    world.transport.script.update({id_: [SLOW] for id_ in ids})
    await world.publish(*ids)
    await wait_all_tasks_blocked()


async def call(world: World, *ids: str, session: str = "session") -> None:
    world.transport.script.update(
        {id_: [QUICK] for id_ in ids if id_ not in world.transport.script}
    )
    await world.publish(*ids, order_key=session, priority=URGENT)
    await wait_all_tasks_blocked()


@pytest.mark.parametrize("together", [True, False])
async def test_calls_of_one_session_go_in_a_row(
    world: World, autojump_clock: MockClock, together: bool
) -> None:
    """Urgent overtakes all normal ones not yet on the wire, accepted at once or one by one."""
    calls = ["call0", "call1", "call2"]
    for ids in [calls] if together else [[id_] for id_ in calls]:
        await call(world, *ids)
    await trio.sleep(9 * SLOW)
    assert world.transport.order() == ["m0", *calls, "m1", "m2", "m3", "m4"]


async def test_pushes_of_one_session_go_in_a_row(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """PU-36: the same in an app's lane, whose spare attempts are for urgent ones."""
    world = GatewayWorld(width=1)
    await world.start(nursery)
    account = await world.directory.account("u")
    phone = await world.directory.open_channel(account, device_channel(app=APP, token="ab" * 32))
    await world.directory.subscribe(account, subscription(phone), b"{}")
    world.provider.script["ab" * 32] = [1.0, *[0.5] * 9]

    async def accept(name: str, **members: object) -> None:
        one = notification(name, accepted_at=world.clock(), root_key=name, **members)
        await world.ingest.accept([one])
        await wait_all_tasks_blocked()

    await accept("call0", order_key="session", priority=URGENT)
    for number in range(3):
        await accept(f"m{number}")
    for number in (1, 2):
        await accept(f"call{number}", order_key="session", priority=URGENT)
    await trio.sleep(9)
    assert world.provider.verbs() == ["call0", "call1", "call2", "m0", "m1", "m2"]


async def test_one_behind_a_normal_one_of_its_key_is_next(
    world: World, autojump_clock: MockClock
) -> None:
    """It waits for its order, and for nothing else."""
    await world.publish("first", order_key="session")
    await world.publish("later")
    await call(world, "call")
    await trio.sleep(9 * SLOW)
    order = world.transport.order()
    assert order[order.index("first") + 1] == "call"


async def test_what_an_earlier_process_accepted_goes_in_a_row(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Nobody has announced it; the first of its key shows that there may be more."""
    earlier = World()
    await nursery.start(earlier.store.run)
    await earlier.hook()
    await publish_normal(earlier, 3)
    await call(earlier, "call0", "call1", "call2")
    world = World(width=1, store=earlier.store, transport=earlier.transport)
    nursery.start_soon(world.settler.run, CountingProgress())
    nursery.start_soon(world.queue.run, world.progress)
    await trio.sleep(9 * SLOW)
    assert world.transport.order() == ["call0", "call1", "call2", "m0", "m1", "m2"]


async def test_the_next_one_waits_for_the_retry_of_the_first(
    world: World, autojump_clock: MockClock
) -> None:
    """Order within the key: meanwhile the lane does not stand still, and after it, it is next."""
    world.transport.script["call0"] = [Deferred("http_5xx", status=500)]
    await call(world, "call0", "call1", "call2")
    await trio.sleep(9 * SLOW)
    assert world.transport.order()[:6] == ["m0", "call0", "m1", "call0", "call1", "call2"]
    first, second = world.transport.times("m0")[0], world.transport.times("m1")[0]
    assert second - first == pytest.approx(SLOW)


class SlowStore(SqliteStore):
    """Settling takes as long as the test says, or fails."""

    seconds = 0.0
    fails = False

    async def settle(
        self, settlements: Settlements, on_done: Done[Settled] | None = None, *, now: int
    ) -> Settled:
        await trio.sleep(self.seconds)
        if self.fails:
            assert on_done is not None
            on_done(None, StoreError("full"))
            raise StoreError("full")
        return await super().settle(settlements, on_done, now=now)


@pytest.mark.parametrize(("seconds", "fails"), [(5.0, False), (0.0, True)])
async def test_a_bad_store_holds_no_lane(
    autojump_clock: MockClock, nursery: trio.Nursery, seconds: float, fails: bool
) -> None:
    """A quarter of a second at most; then the lane goes on with what it holds."""
    store = SlowStore(MEMORY, threaded=False)
    world = await busy_world(nursery, store)
    await call(world, "call0", "call1")
    store.seconds, store.fails = seconds, fails
    await trio.sleep(2 * SLOW)
    assert world.transport.order()[:3] == ["m0", "call0", "m1"]
    gap = world.transport.times("m1")[0] - world.transport.times("call0")[0]
    assert gap == pytest.approx(QUICK + 0.25)


async def test_a_single_call_costs_no_wait(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Nothing can follow it, so nobody waits until it is settled."""
    store = SlowStore(MEMORY, threaded=False)
    world = await busy_world(nursery, store)
    await call(world, "call0")
    store.seconds = 5.0
    await trio.sleep(2 * SLOW)
    gap = world.transport.times("m1")[0] - world.transport.times("call0")[0]
    assert gap == pytest.approx(QUICK)


def test_keys_are_bounded() -> None:
    """What was announced first is forgotten: of that key a normal one may pass."""
    followers = Followers()
    followers.announce((1, f"key {number}") for number in range(MOST_KEYS + 1))
    assert len(followers) == MOST_KEYS
    assert not followers.may_follow(claimed("key 0"))
    assert followers.may_follow(claimed("key 1"))


def test_what_has_come_is_expected_no_more() -> None:
    """One for one; who comes unannounced may have others behind it; a normal one says nothing."""
    followers = Followers()
    followers.announce([(1, "a"), (1, "a")])
    followers.arrived([claimed("a"), claimed("b"), claimed("c", Priority.NORMAL)])
    assert [followers.may_follow(claimed(key)) for key in "abc"] == [True, True, False]
    followers.arrived([claimed("a")])
    assert not followers.may_follow(claimed("a"))


def claimed(key: str, priority: Priority = URGENT) -> Claimed:
    return Claimed(1, 1, "wh-1", "u", notification(order_key=key, priority=priority), 1, 0)
