"""tocsin.delivery.lanememory: what blocks a lane does so after a restart, too."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from tests.fakes.deliveries import HOOK, T0
from tests.fakes.world import CountingProgress, World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery import lanememory
from tocsin.delivery.lanememory import KIND, LaneMemory, Remembered
from tocsin.delivery.settings import DeliverySettings
from tocsin.model.channel import ChannelType
from tocsin.model.errors import StoreError
from tocsin.model.outcome import Deferred, Word
from tocsin.store.sqlite import SqliteStore, StoreSettings

DOWN = Deferred("http_5xx", status=500)
QUICK = DeliverySettings(webhook_retries=[0.5] * 100, jitter=0)
OTHER = "https://other.example"
PAUSED = Remembered(paused=True, until=0, rest=0)


@asynccontextmanager
async def daemon(path: Path) -> AsyncIterator[World]:
    """One process on a store that outlives it, under a clock that goes on."""
    store = SqliteStore(StoreSettings(path=str(path)), threaded=False)
    world = World(
        store=store,
        settings=QUICK,
        width=1,
        clock=lambda: T0 + int(trio.current_time() * 1000),
    )
    async with trio.open_nursery() as nursery:
        await world.start(nursery)
        yield world
        nursery.cancel_scope.cancel()


def gauge(world: World, reason: str) -> int:
    """Lanes blocked for this reason."""
    return world.sample("lanes_blocked", type="Webhooks", reason=reason)


async def test_an_operators_pause_outlives_the_daemon(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Until he resumes it; that outlives it too. It is no event that it still is."""
    path = tmp_path / "store.db"
    async with daemon(path) as world:
        await world.hook()
        world.queue.pause(HOOK)
        await wait_all_tasks_blocked()
    async with daemon(path) as world:
        await world.publish("a")
        await trio.sleep(1000)
        assert (world.transport.attempts, gauge(world, "paused")) == ([], 1)
        assert world.sample("operator_events_total", event="lane.blocked") == 0
        assert world.queue.blocked(HOOK) == "paused"
        assert world.queue.resume(HOOK)
        await wait_all_tasks_blocked()
        assert world.transport.delivered == ["a"]
    async with daemon(path) as world:
        await world.publish("b")
        await trio.sleep(1)
        assert world.transport.delivered == ["b"]
        assert await world.store.recall(KIND) == {}


async def test_an_open_breaker_outlives_the_daemon(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """It is probed when it would have been, and rests twice as long when that fails."""
    path = tmp_path / "store.db"
    ids = [f"n{number}" for number in range(20)]
    async with daemon(path) as world:
        await world.hook()
        world.transport.script.update({id_: [DOWN] * 100 for id_ in ids})
        await world.publish(*ids)
        await trio.sleep(20)
        assert len(world.transport.attempts) == 10
    async with daemon(path) as world:
        world.transport.script.update({id_: [DOWN] for id_ in ids})
        await trio.sleep(9)
        assert (world.transport.attempts, gauge(world, "breaker")) == ([], 1)
        await trio.sleep(2)
        assert len(world.transport.attempts) == 1
    async with daemon(path) as world:
        await trio.sleep(57)
        assert world.transport.attempts == []
        await trio.sleep(4)
        assert sorted(world.transport.delivered) == sorted(ids)
        assert gauge(world, "breaker") == 0
        assert await world.store.recall(KIND) == {}


async def test_who_asked_to_be_left_alone_is_over_a_restart(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """PU-81: what arrives only then waits for the Retry-After, too; not so his neighbour's."""
    path = tmp_path / "store.db"
    words = frozenset({Word.THROTTLE, Word.HOLD})
    async with daemon(path) as world:
        await world.hook("u")
        await world.hook("v")
        world.transport.script["a"] = [Deferred("http_429", 60.0, 429, words=words)]
        await world.publish("a")
        await trio.sleep(1)
    async with daemon(path) as world:
        await world.publish("b")
        await world.publish("c", user="v")
        await trio.sleep(50)
        assert world.transport.delivered == ["c"]
        await trio.sleep(15)
        assert sorted(world.transport.delivered) == ["a", "b", "c"]


async def test_what_is_over_is_forgotten(autojump_clock: MockClock, tmp_path: Path) -> None:
    """A lane that has nothing to do any more leaves nothing behind."""
    async with daemon(tmp_path / "store.db") as world:
        await world.hook()
        ids = [f"n{number}" for number in range(10)]
        world.transport.script.update({id_: [DOWN] * 100 for id_ in ids})
        await world.publish(*ids, expires_in=20_000)
        await trio.sleep(10)
        assert list(await world.store.recall(KIND)) == [HOOK]
        await trio.sleep(1000)
        assert await world.store.recall(KIND) == {}
        assert world.queue.statistics()["lanes"] == 0


async def test_it_is_bounded_and_keeps_to_its_own(
    autojump_clock: MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond so many lanes a restart forgets; what is damaged, or of another type, is passed by."""
    monkeypatch.setattr(lanememory, "MOST", 3)
    store = SqliteStore(StoreSettings(path=":memory:"), threaded=False)
    await nursery.start(store.run)
    await store.remember(KIND, {"apns/app": PAUSED.to_bytes(), OTHER: b"?"})
    memory = LaneMemory(ChannelType.WEBHOOKS, store)
    assert await memory.recall() == {}
    nursery.start_soon(memory.run)
    for number in range(5):
        memory.note(f"https://{number}.example", PAUSED)
    await trio.sleep(1)
    assert len(await memory.recall()) == 3


async def test_a_queue_waits_for_its_memory(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """No attempt before it is known what an operator has paused; what he says meanwhile counts."""

    class Late(SqliteStore):
        fails = 2

        async def recall(self, kind: str) -> dict[str, bytes]:
            if self.fails:
                self.fails -= 1
                await trio.lowlevel.checkpoint()
                raise StoreError("busy")
            return await super().recall(kind)

    world = World(store=Late(StoreSettings(path=":memory:"), threaded=False))
    await nursery.start(world.store.run)
    await world.store.remember(KIND, {HOOK: PAUSED.to_bytes(), OTHER: PAUSED.to_bytes()})
    await world.hook()
    await world.hook("v", OTHER)
    world.queue.pause(OTHER)
    assert world.queue.resume(OTHER)
    nursery.start_soon(world.settler.run, CountingProgress())
    nursery.start_soon(world.queue.run, world.progress)
    await world.publish("a")
    await world.publish("b", user="v")
    await trio.sleep(10)
    assert world.transport.delivered == ["b"]
