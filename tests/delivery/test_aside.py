"""tocsin.delivery.aside: what a queue merely holds makes way like what nobody has claimed."""

from collections.abc import Callable

import attrs
import pytest
import trio
from tests.fakes.deliveries import HOOK
from tests.fakes.phones import LANE, Phones
from tests.fakes.world import MEMORY, CountingProgress, World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.errors import RequestError, StoreError
from tocsin.model.notification import Notification, Priority
from tocsin.store.records import Acceptance, Claim
from tocsin.store.sqlite import SqliteStore

LOW = Priority.LOW
TEN = DeliveryLimits(buffer_count=10, buffer_bytes=131_072)


class SlowAccepts(SqliteStore):
    """What is accepted is stored when the test says so, or is not."""

    def __init__(self) -> None:
        super().__init__(MEMORY, threaded=False)
        self.gate = trio.Event()
        self.gate.set()
        self.fails = False

    async def accept(
        self, acceptance: Acceptance, on_done: Callable[[StoreError | None], None]
    ) -> None:
        if not self.gate.is_set():
            await self.gate.wait()
        if self.fails:
            error = StoreError("disk full")
            on_done(error)
            raise error
        await super().accept(acceptance, on_done)


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    """One attempt at a time, under way for 5 s; ten deliveries a channel."""
    made = World(store=SlowAccepts(), width=1, limits=TEN)
    await made.start(nursery)
    await made.hook()
    made.transport.script["first"] = [5.0]
    return made


def store_of(world: World) -> SlowAccepts:
    """Its store, as what it is."""
    assert isinstance(world.store, SlowAccepts)
    return world.store


def about(world: World, id_: str, key: str = "bob") -> Notification:
    """A notification that replaces an older one."""
    return attrs.evolve(world.note(id_), collapse_key=key)


async def settled(world: World) -> None:
    """Everything is delivered."""
    await trio.sleep(60)
    await world.assert_gauges_are_right()
    assert world.store.backlog == 0


# -- collapse ------------------------------------------------------------------------------


async def test_a_held_one_is_replaced(world: World, autojump_clock: MockClock) -> None:
    """Claimed, but not begun: only the newest is attempted, the others count as collapsed."""
    await world.publish("first")
    await wait_all_tasks_blocked()
    for id_ in "abc":
        await world.ingest.accept([about(world, id_), about(world, f"other {id_}", "eve")])
        await wait_all_tasks_blocked()
    await settled(world)
    assert sorted(world.transport.order()) == ["c", "first", "other c"]
    assert world.outcomes() == {"delivered": 3, "collapsed": 4}


async def test_one_that_is_being_claimed_is_replaced(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """What a claim brings that was replaced on its way is not attempted; nor what may be."""

    class SlowClaims(SlowAccepts):
        arrived = trio.Event()

        async def claim(
            self, lane: str, *, now: int, limit: int, provisional: int, urgent: int = 0
        ) -> Claim:
            found = await super().claim(
                lane, now=now, limit=limit, provisional=provisional, urgent=urgent
            )
            await self.arrived.wait()
            return found

    store = SlowClaims()
    world = World(store=store, limits=TEN)
    await world.start(nursery)
    await world.hook()
    await world.ingest.accept([about(world, "a"), about(world, "e", "eve")])
    await wait_all_tasks_blocked()
    await world.ingest.accept([about(world, "b")])
    store.gate = trio.Event()
    nursery.start_soon(world.ingest.accept, [about(world, "f", "eve")])
    await wait_all_tasks_blocked()
    store.arrived.set()
    await trio.sleep(1)
    assert world.transport.order() == ["b"]
    store.gate.set()
    await settled(world)
    assert world.transport.order() == ["b", "f"]
    assert world.outcomes() == {"delivered": 2, "collapsed": 2}


async def test_one_under_way_is_not_replaced(world: World, autojump_clock: MockClock) -> None:
    """It may be there already; nor another channel's of the same key."""
    await world.hook("v")
    world.transport.script["a"] = [5.0]
    await world.ingest.accept([about(world, "a")])
    await wait_all_tasks_blocked()
    await world.ingest.accept([attrs.evolve(about(world, "v"), user="v")])
    await world.ingest.accept([about(world, "b")])
    await settled(world)
    assert sorted(world.transport.delivered) == ["a", "b", "v"]


async def test_nothing_begins_before_it_is_decided(world: World, autojump_clock: MockClock) -> None:
    """A worker is free while the newer one is being stored: it takes something else."""
    await world.publish("first")
    await wait_all_tasks_blocked()
    await world.ingest.accept([about(world, "a")])
    await world.publish("free")
    store_of(world).gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.ingest.accept, [about(world, "b")])
        await trio.sleep(10)
        assert world.transport.order() == ["first", "free"]
        store_of(world).gate.set()
    await settled(world)
    assert world.transport.order() == ["first", "free", "b"]


async def test_what_was_not_stored_replaces_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    """The older one is delivered; its attempt counts once."""
    await world.publish("first")
    await wait_all_tasks_blocked()
    await world.ingest.accept([about(world, "a")])
    store_of(world).fails = True
    with pytest.raises(RequestError):
        await world.ingest.accept([about(world, "b")])
    await settled(world)
    assert [(one.id, one.number) for one in world.transport.attempts] == [("first", 1), ("a", 1)]


async def test_nothing_is_replaced_by_a_repeat(world: World, autojump_clock: MockClock) -> None:
    """CH-115: it is not stored, so what was set aside for it goes on."""
    older, newer = (
        attrs.evolve(about(world, id_), producer="p", is_named=True) for id_ in ("a", "b")
    )
    await world.publish("first")
    await wait_all_tasks_blocked()
    await world.ingest.accept([older])
    await world.ingest.accept([newer])
    await world.ingest.accept([older])
    await settled(world)
    assert world.transport.order() == ["first", "b"]


# -- overflow ------------------------------------------------------------------------------


async def test_the_oldest_goes_though_it_is_held(world: World, autojump_clock: MockClock) -> None:
    """The newest stay; what is under way does too."""
    await world.publish("first")
    await wait_all_tasks_blocked()
    for number in range(25):
        await world.publish(f"n{number}")
        await wait_all_tasks_blocked()
    await settled(world)
    assert world.transport.order() == ["first", *(f"n{number}" for number in range(16, 25))]
    assert world.outcomes() == {"delivered": 10, "overflow": 16}


async def test_the_oldest_low_goes_first(world: World, autojump_clock: MockClock) -> None:
    """Also among what is held."""
    await world.publish("first")
    await wait_all_tasks_blocked()
    await world.publish("a", "b")
    await world.publish("c", "d", priority=LOW)
    await world.publish(*"efghi")
    await wait_all_tasks_blocked()
    await world.publish("j", "k", "l")
    await settled(world)
    assert world.transport.order() == ["first", *"befghijkl"]


async def test_bytes_count_too(world: World, autojump_clock: MockClock) -> None:
    """As many as a large one displaces."""
    await world.publish("first")
    await wait_all_tasks_blocked()
    for id_ in "abcd":
        await world.ingest.accept([attrs.evolve(world.note(id_), body=b"x" * 30_000)])
    await wait_all_tasks_blocked()
    await world.ingest.accept([attrs.evolve(world.note("large"), body=b"x" * 65_000)])
    await settled(world)
    assert world.transport.order() == ["first", "c", "d", "large"]


async def test_what_stays_goes_back_to_its_place(world: World, autojump_clock: MockClock) -> None:
    """Set aside again and again, in the order it had, its attempt counted once."""
    await world.publish("first")
    await world.publish("low", priority=LOW)
    await wait_all_tasks_blocked()
    await world.publish(*(f"n{number}" for number in range(8)))
    await wait_all_tasks_blocked()
    await world.publish("n8", priority=LOW)
    await world.publish("n9", priority=LOW)
    await settled(world)
    assert world.transport.order() == ["first", *(f"n{number}" for number in range(8)), "n9"]
    assert {one.number for one in world.transport.attempts} == {1}


# -- while it is undecided -----------------------------------------------------------------


@pytest.mark.parametrize("event", ["pause", "stop", "restart"])
async def test_what_happens_meanwhile(
    autojump_clock: MockClock, nursery: trio.Nursery, event: str
) -> None:
    """The lane is paused, the queue ends or begins anew: it is attempted once, by whoever has it
    then."""
    world = World(store=SlowAccepts(), width=1)
    await nursery.start(world.store.run)
    nursery.start_soon(world.settler.run, CountingProgress())
    await world.hook()
    world.transport.script["first"] = [5.0]
    async with trio.open_nursery() as running:
        running.start_soon(world.queue.run, world.progress)
        await world.publish("first")
        await wait_all_tasks_blocked()
        await world.ingest.accept([about(world, "a"), about(world, "b", "eve")])
        await wait_all_tasks_blocked()
        store_of(world).gate = trio.Event()
        nursery.start_soon(world.ingest.accept, [about(world, "c")])
        await wait_all_tasks_blocked()
        if event == "pause":
            world.queue.pause(HOOK)
        elif event == "stop":
            world.queue.stop()
        else:
            running.cancel_scope.cancel()
        if event != "restart":
            store_of(world).gate.set()
            await trio.sleep(10)
            assert world.transport.order() == ["first"]
            claim = await world.store.claim(HOOK, now=world.clock(), limit=9, provisional=0)
            assert {(one.notification.id, one.attempts) for one in claim.deliveries} == {
                ("b", 1),
                ("c", 1),
            }
            running.cancel_scope.cancel()
    if event == "restart":
        nursery.start_soon(world.queue.run, world.progress)
        await trio.sleep(1)
        store_of(world).gate.set()
        await settled(world)
        begun = world.transport.order()
        assert sorted(begun) == ["a", "b", "c", "first", "first"]


# -- withdrawn pushes ----------------------------------------------------------------------


async def test_a_held_push_is_withdrawn(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """PU-13: one that was held by the lane of its app is not attempted any more."""
    phones = Phones(width=1)
    await phones.start(nursery)
    channel = await phones.device()
    phones.push.script["first"] = [5.0]
    await phones.world.publish("first")
    await wait_all_tasks_blocked()
    acceptance = Acceptance()
    for id_ in ("call", "stays"):
        acceptance.add(phones.world.note(id_, order_key=id_), [channel])
    await phones.world.ingest.store(acceptance)
    await wait_all_tasks_blocked()
    [status] = phones.queue.lane_statuses()
    assert (status.name, status.held) == (LANE, 2)
    missed = Acceptance(withdrawing=[acceptance.deliveries[0][0].id])
    missed.add(phones.world.note("missed", order_key="call"), [channel])
    await phones.world.ingest.store(missed)
    await trio.sleep(20)
    assert phones.push.order() == ["first", "stays", "missed"]
