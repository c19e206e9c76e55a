"""tocsin.delivery.housekeeping and drain: what happens though nobody asks."""

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from tests.fakes.deliveries import HOOK, socket_channel
from tests.fakes.fault import Fault
from tests.fakes.memory_session import MemorySession
from tests.fakes.stores import letter
from tests.fakes.world import CountingProgress, World
from trio.testing import MockClock

from tocsin.delivery.drain import RESTART, close_sockets
from tocsin.delivery.housekeeping import SLICE
from tocsin.delivery.settings import DeliveryLimits
from tocsin.store.records import Rescheduled, Settlements
from tocsin.store.sqlite import SqliteStore, StoreSettings

if TYPE_CHECKING:
    from tocsin.model.channel import Channel


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """A store in a file, so that it can fail."""
    return SqliteStore(StoreSettings(path=str(tmp_path / "store.db")), threaded=False)


@pytest.fixture
async def world(store: SqliteStore, nursery: trio.Nursery) -> World:
    """A store that runs."""
    await nursery.start(store.run)
    return World(store=store, limits=DeliveryLimits(buffer_count=10_000))


@pytest.fixture
def lanes() -> list[str]:
    """The lanes that were told of an expiry."""
    return []


@pytest.fixture
async def running(world: World, lanes: list[str], nursery: trio.Nursery) -> CountingProgress:
    """Housekeeping under way."""
    housekeeping = world.housekeeping(on_lane=lanes.append)
    progress = CountingProgress()
    nursery.start_soon(housekeeping.run, progress)
    return progress


async def test_channels_and_deliveries_end_in_time(
    world: World, running: CountingProgress, lanes: list[str], autojump_clock: MockClock
) -> None:
    """Within 2 s of their time, however many (CH-43)."""
    removed: list[Channel] = []
    world.directory.on_removed = removed.append
    channel = await world.subscribed(socket_channel(lifetime=60))
    await world.hook("v")
    await world.publish("a")
    for number in range(12):
        await world.publish(*(f"{number} {n}" for n in range(100)), user="v", expires_in=60_000)
    await trio.sleep(59)
    assert (removed, world.store.backlog, lanes) == ([], 1201, [])
    await trio.sleep(3)
    assert (removed, world.store.backlog) == ([channel], 0)
    assert set(lanes) == {HOOK}
    assert world.outcomes() == {"expired": 1200}
    account = await world.directory.account("u")
    assert (account.channels, account.subscriptions) == ({}, {})


async def test_a_failing_store_is_tried_again(
    world: World, running: CountingProgress, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Once a second, no faster, until it works."""
    await world.subscribed(socket_channel(lifetime=60))
    fault = Fault(tmp_path / "store.db")
    fault.begin()
    before = running.beats
    await trio.sleep(100)
    assert running.beats - before <= 110
    assert world.store.failing is not None
    fault.end()
    fault.close()
    await trio.sleep(2)
    assert (await world.directory.account("u")).channels == {}
    assert world.store.failing is None


async def test_clocks_that_cannot_be_written_are_not_written_again_at_once(
    autojump_clock: MockClock, store: SqliteStore, nursery: trio.Nursery, tmp_path: Path
) -> None:
    """A full slice of live sockets on a store that fails is looked at once a second, no more."""
    await nursery.start(store.run)
    world = World(store=store, limits=DeliveryLimits(channels_per_user=SLICE))
    account = await world.directory.account("u")
    for _ in range(SLICE):
        await world.directory.open_channel(account, socket_channel(now=world.clock(), lifetime=60))
    await trio.sleep(70)
    for channel in account.channels.values():
        channel.restart_clock(world.clock())
    fault = Fault(tmp_path / "store.db")
    fault.begin("channel")
    assert await world.expiry.end_channels(SLICE) == SLICE
    assert await world.expiry.end_channels(SLICE) == 0
    fault.end()
    fault.close()
    assert await world.expiry.end_channels(SLICE) == 0
    assert await world.store.expired_channels(world.clock(), limit=SLICE) == []
    assert len(account.living(world.clock())) == SLICE


async def test_a_gauge_tells_of_age(
    world: World, running: CountingProgress, autojump_clock: MockClock
) -> None:
    """How long the oldest waits (OP-15)."""
    await world.hook()
    await world.publish("a")
    await trio.sleep(50)
    sample = world.metrics.registry.get_sample_value
    age = sample("tocsin_queue_oldest_age_seconds", {"type": "Webhooks"})
    assert age == pytest.approx(45, abs=6)


async def test_old_dead_letters_are_forgotten(
    world: World, lanes: list[str], autojump_clock: MockClock
) -> None:
    """After the days that are set."""
    await world.hook()
    await world.publish("a")
    [one] = (await world.store.claim(HOOK, now=world.clock(), limit=1, provisional=0)).deliveries
    await world.store.settle(
        Settlements(dead=[letter(one, died_at=world.clock())]), now=world.clock()
    )
    housekeeping = world.housekeeping(on_lane=lanes.append)
    await trio.sleep(29 * 86_400)
    await housekeeping.sweep()
    assert await world.dead() == 1
    await trio.sleep(2 * 86_400)
    await housekeeping.sweep()
    assert await world.dead() == 0


async def test_sockets_are_let_go_over_a_window(autojump_clock: MockClock) -> None:
    """T7: 1012 to all, spread, so that not all come back in one moment (CH-60)."""
    world = World()
    closed: list[float] = []
    for key in range(1, 101):
        channel = socket_channel()
        channel.key = key
        world.sessions.attach(MemorySession(world.sessions, channel))
    sessions = world.sessions.all()
    start = trio.current_time()

    async def watch() -> None:
        for _ in range(60):
            await trio.sleep(0.1)
            closed.append(len(world.sessions))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        # Sessions detach to a store that does not run; nothing of theirs is to be written.
        await close_sockets(world.sessions, window=5, rng=random.Random(0))
        assert 4.9 <= trio.current_time() - start <= 5.1
    assert all(session.ended == [RESTART] for session in sessions)  # type: ignore[attr-defined]
    assert 45 <= closed[24] <= 55
    assert closed[-1] == 0


async def test_letting_go_of_nobody_takes_no_time(autojump_clock: MockClock) -> None:
    """A daemon without sockets stops at once."""
    world = World()
    start = trio.current_time()
    await close_sockets(world.sessions, window=5, rng=random.Random(0))
    assert trio.current_time() == start


@pytest.mark.parametrize(("signs_all", "counted"), [(False, 1), (True, 0)])
async def test_webhooks_that_nobody_signs_for_are_counted(
    world: World, *, signs_all: bool, counted: int
) -> None:
    """PU-76: those without a secret, unless a configured one signs for them."""
    await world.hook()
    await world.subscribed(socket_channel())
    housekeeping = world.housekeeping(signs_all=signs_all)
    await housekeeping.sweep()
    value = world.metrics.registry.get_sample_value("tocsin_webhook_unsigned_channels")
    assert value == counted


async def test_a_letter_of_the_sweep_is_an_event(world: World, autojump_clock: MockClock) -> None:
    """As any other (delivery.md, dead letters); what was never attempted has none."""
    told: list[tuple[str, dict[str, object]]] = []
    housekeeping = world.housekeeping()
    housekeeping.tell = lambda name, **fields: told.append((name, fields))
    channel = await world.hook()
    await world.publish("a", "b", expires_in=5_000)
    [one] = (await world.store.claim(HOOK, now=world.clock(), limit=1, provisional=0)).deliveries
    again = Rescheduled(one.id, world.clock() + 60_000, attempts=1, unanswered=0)
    await world.store.settle(Settlements(rescheduled=[again]), now=world.clock())
    await trio.sleep(6)
    await housekeeping.sweep()
    letter_of = {"notification_id": "a", "channel_id": channel.id, "attempts": 1}
    assert told == [("delivery.dead", {**letter_of, "reason": "expired"})]
