"""tocsin.delivery.deadletters: what was given up, tried again or forgotten."""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from tests.fakes.deliveries import HOOK
from tests.fakes.stores import letter
from tests.fakes.world import World
from trio.testing import MockClock

from tocsin.delivery import deadletters
from tocsin.delivery.deadletters import BEGINNING, LOOK_AGAIN, PATIENCE, SLICE, DeadLetters
from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.errors import RequestError, unavailable
from tocsin.store.archive import LetterQuery
from tocsin.store.records import Acceptance, Settlements

EVERY = LetterQuery()


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    """A store that runs; nothing else does."""
    made = World()
    await nursery.start(made.store.run)
    return made


def letters_of(
    world: World, store: Callable[[Acceptance], Awaitable[None]] | None = None
) -> DeadLetters:
    """Dead letters in this world."""
    return DeadLetters(
        world.store,
        world.directory,
        store or world.ingest.store,
        limits=world.limits,
        clock=world.clock,
    )


async def bury(world: World, *ids: str, lane: str = HOOK, **members: Any) -> None:
    """Publish these, give them up in this order, a millisecond apart."""
    await world.publish(*ids, **members)
    claim = await world.store.claim(lane, now=world.clock(), limit=1000, provisional=0)
    found = {one.notification.id: one for one in claim.deliveries}
    died = world.clock()
    letters = [letter(found[id_], died_at=died + n) for n, id_ in enumerate(ids)]
    await world.store.settle(Settlements(dead=letters), now=died)
    await trio.sleep(len(ids) / 1000)


async def left(world: World) -> list[str]:
    """The notifications of the letters there are, the latest first."""
    letters = await letters_of(world).list(EVERY, after=None, limit=1000)
    return [one.notification.id for one in letters]


async def claimed(world: World, lane: str = HOOK) -> list[str]:
    """What is due on a lane, by when it was accepted."""
    claim = await world.store.claim(lane, now=world.clock(), limit=1000, provisional=0)
    return [one.notification.id for one in claim.deliveries]


async def test_replay_of_everything(world: World, autojump_clock: MockClock) -> None:
    """Each is a new delivery of the same notification, in the order of their deaths; the letters
    are gone and the lane knows (delivery.md, dead letters)."""
    await world.hook()
    await bury(world, "a", "b", "c")
    progressed = await letters_of(world).replay(EVERY)
    assert (progressed.done, progressed.skipped, progressed.next) == (3, 0, None)
    assert await world.dead() == 0
    assert world.queue.statistics()["lanes"] == 1
    assert await claimed(world) == ["a", "b", "c"]


async def test_a_replay_has_its_first_lifetime_again(
    world: World, autojump_clock: MockClock
) -> None:
    """The deadline of a replayed notification is counted from now, though the first has passed."""
    await world.hook()
    await bury(world, "a", expires_in=60_000)
    await trio.sleep(3600)
    await letters_of(world).replay(EVERY)
    now = world.clock()
    [one] = (await world.store.claim(HOOK, now=now, limit=1, provisional=0)).deliveries
    assert (one.notification.accepted_at, one.notification.expires_at) == (now, now + 60_000)
    assert (one.attempts, one.notification.body) == (1, world.note("a").body)


async def test_replay_of_a_channel_or_of_a_time(world: World, autojump_clock: MockClock) -> None:
    """Only what was asked for is replayed."""
    await world.hook("u")
    other = await world.hook("v", "https://other.example")
    await bury(world, "a")
    await trio.sleep(60)
    since = world.clock()
    await bury(world, "b")
    await bury(world, "c", user="v", lane="https://other.example")
    letters = letters_of(world)
    assert (await letters.replay(LetterQuery(channel_id=other.id))).done == 1
    assert (await letters.replay(LetterQuery(since=since))).done == 1
    assert await left(world) == ["a"]
    assert await claimed(world) == ["b"]


async def test_a_letter_whose_channel_is_gone_stays(
    world: World, autojump_clock: MockClock
) -> None:
    """It is skipped and counted, and the others are replayed."""
    channel = await world.hook()
    await world.hook("v", "https://other.example")
    await bury(world, "a")
    await bury(world, "b", user="v", lane="https://other.example")
    account = await world.directory.account("u")
    await world.directory.remove_channel(account, channel, outcome="refused")
    progressed = await letters_of(world).replay(EVERY)
    assert (progressed.done, progressed.skipped) == (1, 1)
    assert await left(world) == ["a"]


async def test_a_letter_to_the_channel_of_another_user(
    world: World, autojump_clock: MockClock
) -> None:
    """A subscription may point abroad (CH-96): its letters go to that channel again."""
    hook = await world.hook("host")
    await bury(world, "a", user="host")
    [found] = await world.store.dead_letters(EVERY, after=None, oldest_first=True, limit=1)
    guest = attrs.evolve(
        found, notification=attrs.evolve(found.notification, user="guest"), id=found.id + 1
    )
    await world.store.settle(Settlements(dead=[guest]), now=world.clock())
    progressed = await letters_of(world).replay(LetterQuery(user="guest"))
    assert (progressed.done, progressed.skipped, hook.user) == (1, 0, "host")
    assert await claimed(world) == ["a"]


async def test_many_are_replayed_in_slices(
    world: World, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """A call works no longer than its patience and says where to go on; what dies meanwhile is
    left alone, so that it ends."""
    monkeypatch.setattr(deadletters, "PATIENCE", 0.0)
    await world.hook()
    ids = [f"{n:04}" for n in range(2 * SLICE + 5)]
    await bury(world, *ids)
    await trio.sleep(1)
    letters = letters_of(world)
    first = await letters.replay(EVERY)
    assert (first.done, first.next is not None) == (SLICE, True)
    await trio.sleep(1)
    await bury(world, "late")
    assert await world.dead() == SLICE + 5 + 1
    going_on = LetterQuery(until=first.until)
    second = await letters.replay(going_on, after=first.next)
    third = await letters.replay(going_on, after=second.next)
    assert (second.done, third.done, third.next) == (SLICE, 5, None)
    assert await left(world) == ["late"]


async def test_a_full_backlog_stops_a_replay(world: World, autojump_clock: MockClock) -> None:
    """503 with nothing changed; in the middle, what was done and where to go on (bounded)."""
    await world.hook()
    await bury(world, *(f"{n:04}" for n in range(SLICE + 1)))
    stored = 0

    async def store(acceptance: Acceptance) -> None:
        nonlocal stored
        if stored:
            raise unavailable("backlog", retry_after=5)
        stored += 1
        await world.ingest.store(acceptance)

    progressed = await letters_of(world, store).replay(EVERY)
    assert (progressed.done, progressed.next is not None) == (SLICE, True)
    assert await world.dead() == 1
    with pytest.raises(RequestError, match="503"):
        await letters_of(world, store).replay(EVERY, after=progressed.next)
    assert await world.dead() == 1


async def test_a_replay_fills_half_a_channel(autojump_clock: MockClock) -> None:
    """What is replayed neither drops out nor makes anything drop out: of more letters than half a
    channel holds the rest stays, and follows in order as those before are delivered."""
    world = World(limits=DeliveryLimits(buffer_count=10))
    async with trio.open_nursery() as nursery:
        await nursery.start(world.store.run)
        await world.hook()
        ids = [f"{n:04}" for n in range(17)]
        for start in (0, 10):
            await bury(world, *ids[start : start + 10])
        letters, found = letters_of(world), list[str]()
        until = None
        for count, place in ((5, BEGINNING), (5, BEGINNING), (5, BEGINNING), (2, None)):
            progressed = await letters.replay(LetterQuery(until=until))
            until = progressed.until
            assert (progressed.done, progressed.skipped, progressed.next) == (count, 0, place)
            claim = await world.store.claim(HOOK, now=world.clock(), limit=99, provisional=0)
            found += [one.notification.id for one in claim.deliveries]
            ended = Settlements(finished=[one.id for one in claim.deliveries])
            await world.store.settle(ended, now=world.clock())
        assert found == ids
        assert await world.dead() == 0
        nursery.cancel_scope.cancel()


async def test_a_channel_that_stays_full_keeps_nobody_waiting(autojump_clock: MockClock) -> None:
    """Letters for which there is no room stay, and are told as skipped; those of others go."""
    world = World(limits=DeliveryLimits(buffer_count=10))
    async with trio.open_nursery() as nursery:
        await nursery.start(world.store.run)
        await world.hook("u")
        await world.hook("v", "https://other.example")
        await bury(world, *(f"a{n}" for n in range(9)))
        first = await letters_of(world).replay(EVERY)
        assert (first.done, first.skipped, first.next) == (5, 0, BEGINNING)
        await bury(world, "b", user="v", lane="https://other.example")
        second = await letters_of(world).replay(EVERY)
        assert (second.done, second.skipped, second.next) == (1, 4, None)
        assert await world.dead() == 4
        assert world.store.backlog == 6
        nursery.cancel_scope.cancel()


async def test_a_full_channel_is_waited_for_once(autojump_clock: MockClock) -> None:
    """A call that finds nothing leaves a channel goes on with all the others, whose letters are
    strewn over many slices."""
    world = World(limits=DeliveryLimits(buffer_count=10))
    async with trio.open_nursery() as nursery:
        await nursery.start(world.store.run)
        await world.hook("u")
        others = 2 * SLICE // 5
        for number in range(others):
            await world.hook(f"v{number}", f"https://{number}.example")
        await bury(world, "first", *(f"0-{n}" for n in range(4)))
        assert (await letters_of(world).replay(EVERY)).done == 5
        for number in range(others):
            await bury(world, *(f"a{number}-{n}" for n in range(5)))
            await bury(world, f"b{number}", user=f"v{number}", lane=f"https://{number}.example")
        begun = trio.current_time()
        progressed = await letters_of(world).replay(EVERY)
        assert trio.current_time() - begun < PATIENCE + 2 * LOOK_AGAIN
        assert (progressed.done, progressed.skipped, progressed.next) == (others, 5 * others, None)
        nursery.cancel_scope.cancel()


async def test_two_replays_of_the_same(world: World, autojump_clock: MockClock) -> None:
    """However they race, each letter is delivered once more, and counted by one of them."""
    await world.hook()
    await bury(world, *map(str, range(10)))
    results: list[int] = []

    async def replay() -> None:
        results.append((await letters_of(world).replay(EVERY)).done)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(replay)
        nursery.start_soon(replay)
    assert sum(results) == 10
    assert len(await claimed(world)) == 10
    assert world.store.backlog == 10


async def test_purging(world: World, autojump_clock: MockClock) -> None:
    """What was asked for is forgotten, in slices."""
    await world.hook()
    await world.hook("v", "https://other.example")
    await bury(world, *(f"{n:04}" for n in range(SLICE + 5)))
    await bury(world, "b", user="v", lane="https://other.example")
    progressed = await letters_of(world).purge(LetterQuery(user="u"))
    assert (progressed.done, progressed.next) == (SLICE + 5, None)
    assert await world.dead() == 1
    assert world.store.backlog == 0


async def test_a_suspended_channels_letters_wait(world: World, autojump_clock: MockClock) -> None:
    """Replayed, they are deliveries of a suspended channel: due when it is resumed."""
    channel = await world.hook()
    await bury(world, "a")
    await world.directory.suspend(channel)
    assert (await letters_of(world).replay(EVERY)).done == 1
    assert await claimed(world) == []
    await world.directory.resume(channel)
    assert await claimed(world) == ["a"]
