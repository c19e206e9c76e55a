"""tocsin.delivery.settler: outcomes reach the store, whatever the store does."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from tests.fakes.deliveries import HOOK
from tests.fakes.fault import Fault
from tests.fakes.stores import Reports
from tests.fakes.world import CountingProgress, World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery import settler as settler_module
from tocsin.model.channel import Channel, ChannelState
from tocsin.model.errors import StoreError
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused
from tocsin.store.jobs import Done
from tocsin.store.records import Attempt, Claimed, Settled, Settlements
from tocsin.store.sqlite import SqliteStore, StoreSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OK = Delivered(200)
DOWN = Deferred("HTTP 500")


class Shaky(SqliteStore):
    """Settling and suspending fail, or wait, as the test says; `is_slow`: of what was to be
    settled the test itself says what became."""

    def __init__(self, path: str) -> None:
        super().__init__(StoreSettings(path=path), threaded=False)
        self.failures = 0
        self.gate: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        self.calls: list[int] = []
        self.written: list[list[Attempt]] = []
        self.is_slow = False
        self.under_way: list[Done[Settled]] = []

    async def settle(
        self, settlements: Settlements, on_done: Done[Settled] | None = None, *, now: int
    ) -> Settled:
        assert on_done is not None
        self.calls.append(len(settlements) - len(settlements.attempts))
        if self.is_slow:
            self.under_way.append(on_done)
            await trio.sleep_forever()
        if self.failures:
            on_done(None, StoreError("busy"))
            await self._shake()
        self.written.append(settlements.attempts)
        settled = await super().settle(settlements, on_done, now=now)
        await self._shake()
        return settled

    async def suspend_channel(self, channel: Channel) -> None:
        await self._shake()
        await super().suspend_channel(channel)

    async def _shake(self) -> None:
        await self.gate()
        if self.failures:
            self.failures -= 1
            raise StoreError("busy")


@pytest.fixture
def store(tmp_path: Path) -> Shaky:
    """The store of the world."""
    return Shaky(str(tmp_path / "store.db"))


@pytest.fixture
async def world(store: Shaky, nursery: trio.Nursery) -> World:
    """A delivery layer of which only the store runs."""
    await nursery.start(store.run)
    made = World(store=store)
    await made.hook()
    return made


async def claimed(world: World, *ids: str) -> list[Claimed]:
    """Publish, and claim as the queue would."""
    await world.publish(*ids)
    claim = await world.store.claim(HOOK, now=world.clock(), limit=9999, provisional=0)
    return claim.deliveries


def judge(world: World, one: Claimed, channel: Channel, outcome: Outcome) -> None:
    """As the queue would."""
    world.settler.judge(one, channel, outcome, result="whatever", seconds=0.0)


async def the_channel(world: World) -> Channel:
    """The world's webhook."""
    [channel] = (await world.directory.account("u")).channels.values()
    return channel


async def test_a_failing_store_is_tried_again_and_nothing_is_lost(
    world: World, store: Shaky, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Once a second; what is judged meanwhile joins in."""
    store.failures = 5
    progress = CountingProgress()
    nursery.start_soon(world.settler.run, progress)
    first, second = await claimed(world, "a", "b")
    channel = await the_channel(world)
    judge(world, first, channel, OK)
    await trio.sleep(2.5)
    assert progress.state == "the store"
    judge(world, second, channel, OK)
    await trio.sleep(10)
    assert world.store.backlog == 0
    assert len(store.calls) == 6
    assert world.outcomes() == {"delivered": 2}
    assert progress.state == "outcomes"


async def test_what_is_judged_during_a_commit_shares_the_next(
    world: World, store: Shaky, nursery: trio.Nursery
) -> None:
    """Batches, not one transaction each."""
    nursery.start_soon(world.settler.run, CountingProgress())
    deliveries = await claimed(world, *map(str, range(50)))
    channel = await the_channel(world)
    opened = trio.Event()
    store.gate = opened.wait
    for one in deliveries[:1]:
        judge(world, one, channel, OK)
    await wait_all_tasks_blocked()
    for one in deliveries[1:]:
        judge(world, one, channel, OK)
    opened.set()
    await wait_all_tasks_blocked()
    assert store.calls == [1, 49]
    assert world.store.backlog == 0


async def test_who_is_started_again_writes_what_is_left(
    world: World, store: Shaky, nursery: trio.Nursery
) -> None:
    """And does not wait for something new to be judged (OP-10)."""
    [one] = await claimed(world, "a")
    judge(world, one, await the_channel(world), OK)
    store.failures = 1
    async with trio.open_nursery() as first:
        first.start_soon(world.settler.run, CountingProgress())
        await wait_all_tasks_blocked()
        first.cancel_scope.cancel()
    assert world.store.backlog == 1
    nursery.start_soon(world.settler.run, CountingProgress())
    await wait_all_tasks_blocked()
    assert world.store.backlog == 0


@pytest.mark.parametrize("outcome", [OK, Gone("HTTP 410")])
async def test_cancelled_at_any_await_it_loses_nothing(
    world: World, store: Shaky, nursery: trio.Nursery, outcome: Delivered | Gone
) -> None:
    """While it suspends a channel, too."""
    [one] = await claimed(world, "a")
    channel = await the_channel(world)
    if isinstance(outcome, Gone):
        store.gate = trio.Event().wait
    judge(world, one, channel, outcome)
    with trio.CancelScope() as scope:
        scope.cancel()
        await world.settler.flush()
    store.gate = trio.lowlevel.checkpoint
    await world.settler.flush()
    if isinstance(outcome, Gone):
        [record] = await store.load_accounts(["u"])
        assert record.channels[0].state is ChannelState.SUSPENDED
        await store.resume_channel(channel, Reports(), now=world.clock())
        [again] = (await store.claim(HOOK, now=world.clock(), limit=9, provisional=0)).deliveries
        assert again.attempts == 2
    else:
        assert (store.backlog, store.calls) == (0, [1])


async def test_cancelled_during_its_commit_it_takes_note_of_that(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """Who waits for room has it, lanes are told when they are next due: the commit goes on without
    whoever waited for it (OP-10)."""
    path = tmp_path / "store.db"
    world = World(store=SqliteStore(StoreSettings(path=str(path))))
    await nursery.start(world.store.run)
    await world.hook()
    done, again = await claimed(world, "a", "b")
    channel = await the_channel(world)
    told: list[str] = []
    world.settler.on_due = lambda lane, _due_at, _urgent_at: told.append(lane)
    judge(world, done, channel, OK)
    judge(world, again, channel, DOWN)
    fault = Fault(path)
    with fault.held_up():
        async with trio.open_nursery() as first:
            first.start_soon(world.settler.flush)
            await wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        assert told == []
    fault.close()
    await world.store.barrier()
    assert told == [HOOK]
    assert world.store.backlog == 1


async def test_cancelled_during_a_commit_that_fails_it_writes_that_again(
    world: World, store: Shaky, nursery: trio.Nursery
) -> None:
    """Whoever has taken its place does, along with what was judged since, and needs nothing new to
    be judged for it (OP-10)."""
    first_one, second_one = await claimed(world, "a", "b")
    channel = await the_channel(world)
    judge(world, first_one, channel, OK)
    store.is_slow = True
    async with trio.open_nursery() as first:
        first.start_soon(world.settler.run, CountingProgress())
        await wait_all_tasks_blocked()
        first.cancel_scope.cancel()
    store.is_slow = False
    nursery.start_soon(world.settler.run, CountingProgress())
    await wait_all_tasks_blocked()
    judge(world, second_one, channel, OK)
    await wait_all_tasks_blocked()
    assert store.backlog == 1
    [on_done] = store.under_way
    on_done(None, StoreError("the disk is on fire"))
    await wait_all_tasks_blocked()
    assert store.backlog == 0
    assert store.calls == [1, 1, 1]


async def test_a_suspension_that_fails_is_made_up_for(
    world: World, store: Shaky, autojump_clock: MockClock
) -> None:
    """Before the delivery is put back, so that it is not claimed in between (CH-83)."""
    [one] = await claimed(world, "a")
    judge(world, one, await the_channel(world), Gone("HTTP 410"))
    store.failures = 2
    await world.settler.flush()
    assert (await the_channel(world)).state is ChannelState.SUSPENDED
    assert await store.lanes() == []
    assert store.backlog == 1


async def test_too_much_gathered_makes_workers_wait(
    world: World, store: Shaky, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until some of it is written; the bound is what keeps a failing store from filling memory."""
    monkeypatch.setattr(settler_module, "MOST_GATHERED", 2)
    deliveries = await claimed(world, "a", "b")
    channel = await the_channel(world)
    await world.settler.wait_room()
    for one in deliveries:
        judge(world, one, channel, OK)
    passed: list[bool] = []

    async def worker() -> None:
        await world.settler.wait_room()
        passed.append(True)

    nursery.start_soon(worker)
    await wait_all_tasks_blocked()
    assert passed == []
    nursery.start_soon(world.settler.run, CountingProgress())
    await wait_all_tasks_blocked()
    assert passed == [True]


async def test_lanes_are_told_when_they_are_next_due(world: World) -> None:
    """After the commit, from what the store says."""
    told: list[tuple[str, int | None]] = []
    world.settler.on_due = lambda lane, due_at, _urgent_at: told.append((lane, due_at))
    [one] = await claimed(world, "a")
    now = world.clock()
    judge(world, one, await the_channel(world), DOWN)
    assert told == []
    await world.settler.flush()
    [(lane, due_at)] = told
    assert lane == HOOK
    assert due_at is not None
    assert due_at >= now + 5000


async def test_put_back_is_not_an_attempt(world: World, store: Shaky) -> None:
    """Due at once, the count as before; gone if its channel is."""
    one, other = await claimed(world, "a", "b")
    world.settler.release(one)
    await world.settler.flush()
    [again] = (await store.claim(HOOK, now=world.clock(), limit=9, provisional=0)).deliveries
    assert (again.id, again.attempts) == (one.id, 1)
    account = await world.directory.account("u")
    await world.directory.remove_channel(account, await the_channel(world), outcome="refused")
    world.settler.release(other)
    await world.settler.flush()
    assert (store.backlog, await store.lanes()) == (0, [])


async def test_every_attempt_leaves_a_line(
    world: World, store: Shaky, autojump_clock: MockClock
) -> None:
    """delivery.md (delivery log): also what comes to nothing, and what expired without one; with
    the beginning of the answer; a store that fails gets all of them later."""
    answered, cut_off, late = await claimed(world, "a", "b", "c")
    channel = await the_channel(world)
    refusal = Refused("no", 500, excerpt=b"sorry")
    world.settler.judge(answered, channel, refusal, result="refused", seconds=0.0125)
    world.settler.release(cut_off)
    store.failures = 1
    with trio.move_on_after(0.1):
        await world.settler.flush()
    world.settler.expire(late)
    await world.settler.flush()
    [[first, second]] = store.written
    assert (first.notification_id, first.number, first.result) == ("a", 1, "refused")
    assert first.latency_ms == 12
    assert (first.status, first.reason, first.excerpt) == (500, "no", b"sorry")
    assert (second.notification_id, second.number, second.result) == ("c", 0, "expired")
    assert (second.latency_ms, second.status, second.excerpt) == (None, None, None)


async def test_what_is_marked_as_failing_is_written_as_it_is_by_then(
    world: World, store: Shaky, autojump_clock: MockClock
) -> None:
    """A channel that was resumed while its mark waited for a failing store is not marked again."""
    [one] = await claimed(world, "a")
    channel = await the_channel(world)
    judge(world, one, channel, Deferred("http_5xx", status=500))
    store.failures = 1
    with trio.move_on_after(0.1):
        await world.settler.flush()
    assert channel.failing_since is not None
    channel.failing_since = None
    await world.settler.flush()
    [record] = await store.load_accounts(["u"])
    assert record.channels[0].failing_since is None


async def test_on_a_real_fault_too(
    world: World, store: Shaky, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """A store whose writes are refused by the database itself."""
    [one] = await claimed(world, "a")
    fault = Fault(tmp_path / "store.db")
    fault.begin("delivery")
    judge(world, one, await the_channel(world), OK)
    with trio.move_on_after(3):
        await world.settler.flush()
    assert store.backlog == 1
    fault.end()
    fault.close()
    await world.settler.flush()
    assert store.backlog == 0
