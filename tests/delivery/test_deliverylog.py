"""tocsin.delivery.deliverylog: the log as an operator reads it, and its upkeep."""

import math

import pytest
import trio
from tests.fakes.deliveries import HOOK, T0
from tests.fakes.stores import letter
from tests.fakes.world import CountingProgress, World
from trio.testing import MockClock

from tocsin.delivery import deliverylog
from tocsin.delivery.deliverylog import DAY, DeliveryLog
from tocsin.delivery.settings import DeliverySettings
from tocsin.model.channel import ChannelType
from tocsin.store.archive import LogQuery
from tocsin.store.records import Attempt, Settlements

SETTINGS = DeliverySettings(log_days=2, log_lines=1000)


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    """A store that runs; nothing else does."""
    made = World()
    await nursery.start(made.store.run)
    return made


@pytest.fixture
def log(world: World) -> DeliveryLog:
    """The log of this world."""
    return DeliveryLog(world.store, settings=SETTINGS, clock=world.clock)


def line(number: int, *, user: str = "u", at: int = T0) -> Attempt:
    """A line of the log."""
    return Attempt(number, f"n{number}", user, "wh-1", ChannelType.WEBHOOKS, at, 1, "delivered", 5)


async def write(world: World, *lines: Attempt) -> None:
    """Append to the log."""
    await world.store.settle(Settlements(attempts=list(lines)), now=T0)


async def test_reading_looks_as_far_as_it_must(
    world: World, log: DeliveryLog, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """A page is filled from many bounded looks, and `next` leads on to the end."""
    monkeypatch.setattr(deliverylog, "LOOK", 10)
    await write(world, *(line(n, user="v" if n % 30 == 0 else "u") for n in range(1, 201)))
    first = await log.read(LogQuery(user="v"), before=None, limit=4)
    assert [one.notification_id for one in first.items] == ["n180", "n150", "n120", "n90"]
    rest = await log.read(LogQuery(user="v"), before=first.next, limit=4)
    assert [one.notification_id for one in rest.items] == ["n60", "n30"]
    assert rest.next is None


async def test_reading_ends_with_its_patience(
    world: World, log: DeliveryLog, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """A search that finds nothing gives up in time and says where to go on (SE-5)."""
    monkeypatch.setattr(deliverylog, "LOOK", 10)
    monkeypatch.setattr(deliverylog, "PATIENCE", -math.inf)
    await write(world, *(line(n) for n in range(1, 201)))
    page = await log.read(LogQuery(user="v"), before=None, limit=4)
    assert page.items == []
    assert page.next is not None
    path = await log.path("nobody")
    assert (path.is_empty, path.complete) == (True, False)


async def test_the_path_of_a_notification(
    world: World, log: DeliveryLog, autojump_clock: MockClock
) -> None:
    """Attempts, what is still to come and what was given up, found by the id alone (OP-18)."""
    await world.hook("u")
    await world.publish("a", "b")
    [one, other] = (
        await world.store.claim(HOOK, now=world.clock(), limit=2, provisional=0)
    ).deliveries
    first = Attempt(one.id, "a", "u", "wh-1", ChannelType.WEBHOOKS, T0, 1, "deferred", 5)
    await world.store.settle(Settlements(dead=[letter(other)], attempts=[first]), now=world.clock())
    path = await log.path("a")
    assert [(found.delivery, found.result) for found in path.attempts] == [(one.id, "deferred")]
    assert [(found.id, found.held) for found in path.pending] == [(one.id, True)]
    assert (path.dead, path.complete) == ([], True)
    path = await log.path("b")
    assert [found.id for found in path.dead] == [other.id]
    assert (path.attempts, path.pending) == ([], [])
    assert (await log.path("c")).is_empty


async def test_old_lines_go(
    world: World, log: DeliveryLog, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Within two seconds of their time, however many, and no others (delivery.log_days)."""
    almost = T0 - 2 * DAY + 10_000
    await write(world, *(line(n, at=almost) for n in range(1, 901)))
    await write(world, line(901), line(902))
    nursery.start_soon(log.run, CountingProgress())
    await trio.sleep(8)
    page = await log.read(LogQuery(user="u"), before=None, limit=1000)
    assert len(page.items) == 902
    await trio.sleep(4)
    page = await log.read(LogQuery(user="u"), before=None, limit=1000)
    assert [one.notification_id for one in page.items] == ["n902", "n901"]


async def test_too_many_lines_go(world: World, log: DeliveryLog, autojump_clock: MockClock) -> None:
    """The log is bounded by number too: then the oldest go (delivery.log_lines)."""
    await write(world, *(line(n) for n in range(1, 4001)))
    await log.prune()
    page = await log.read(LogQuery(user="u"), before=None, limit=5000)
    assert (len(page.items), page.items[-1].notification_id) == (1000, "n3001")
