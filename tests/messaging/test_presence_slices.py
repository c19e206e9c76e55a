"""tocsin.messaging.presence: changes that concern many are told a slice at a time."""

from itertools import pairwise

import pytest
import trio
from tests.fakes.messaging_links import depart, enter, person
from tests.fakes.presence_bench import GRACE, Bench, Crowd
from tests.fakes.world import CountingProgress
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.messaging import presence as presence_module
from tocsin.wire.messaging.views import SubscriberView
from tocsin.wire.messaging.words import Availability

AVAILABLE, BUSY = Availability.AVAILABLE, Availability.BUSY


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> Crowd:
    """Thirty Rooms of five others: a slice is three Rooms, and a test may miss one of them."""
    monkeypatch.setattr(presence_module, "SLICE", 10)
    return Crowd(30, 5)


async def test_many_are_told_in_slices(crowd: Crowd, nursery: trio.Nursery) -> None:
    """Others come in between; then all of them were told once (MS-41, MS-68)."""
    crowd.announce(crowd.link, AVAILABLE, status="a")
    assert set(crowd.state()) == {""}
    progress = CountingProgress()
    nursery.start_soon(crowd.presence.run, progress)
    steps = {0}
    while len(steps) < 4:
        before = max(steps)
        await crowd.until(lambda: crowd.reached() > before)  # noqa: B023 - called at once
        steps.add(crowd.reached())
    assert max(after - before for before, after in pairwise(sorted(steps))) <= 30
    await wait_all_tasks_blocked()
    assert {len(link.changes) for link in crowd.watchers} == {1}
    assert progress.beats
    assert isinstance(progress.state, str)


async def test_a_newer_change_replaces_one_that_waits(crowd: Crowd, nursery: trio.Nursery) -> None:
    """Told is what holds when it is told, and nothing if that is what was told before (MS-43)."""
    crowd.announce(crowd.link, AVAILABLE, status="a")
    crowd.announce(crowd.link, status="b")
    nursery.start_soon(crowd.presence.run, CountingProgress())
    await wait_all_tasks_blocked()
    crowd.announce(crowd.link, status="c")
    crowd.announce(crowd.link, status="b")
    await wait_all_tasks_blocked()
    told = {tuple(crowd.heard(link)) for link in crowd.watchers}
    assert told == {(("availability", "available", "b"),)}


async def test_a_change_breaks_off_the_one_being_told(crowd: Crowd, nursery: trio.Nursery) -> None:
    """Who was not told yet gets the newer one alone, and as a change of availability; who was gets
    both; and it goes on with those who know least (MS-41, MS-43)."""
    nursery.start_soon(crowd.presence.run, CountingProgress())
    await wait_all_tasks_blocked()
    crowd.announce(crowd.link, AVAILABLE, status="a")
    await crowd.until(crowd.reached)
    first = crowd.reached()
    crowd.announce(crowd.link, status="b")
    await crowd.until(lambda: "b" in crowd.state())
    assert crowd.state()[:first] == ["a"] * first
    await wait_all_tasks_blocked()
    assert 0 < first < 150
    heard = [
        [(change, status) for change, _, status in crowd.heard(link)] for link in crowd.watchers
    ]
    old, new = ("availability", "a"), ("availability", "b")
    assert heard == [[old, new]] * first + [[new]] * (150 - first)


async def test_what_was_partly_told_is_taken_back(crowd: Crowd, nursery: trio.Nursery) -> None:
    """Who goes back to what he was while he is being told of: all are told, as some know other
    (MS-43)."""
    nursery.start_soon(crowd.presence.run, CountingProgress())
    await wait_all_tasks_blocked()
    crowd.announce(crowd.link, AVAILABLE)
    await crowd.until(crowd.reached)
    crowd.presence.unannounce(crowd.link)
    assert crowd.presence.view(crowd.one) == SubscriberView("s1")
    await wait_all_tasks_blocked()
    last = {tuple(crowd.heard(link)[-1]) for link in crowd.watchers}
    assert last == {("availability", "invisible", "")}
    assert len(crowd.presence) == 0


async def test_all_hear_of_one_who_never_rests(crowd: Crowd, nursery: trio.Nursery) -> None:
    """Who changes faster than all can be told is told of to each in turn (MS-68)."""
    nursery.start_soon(crowd.presence.run, CountingProgress())
    for number in range(1, 100):
        crowd.announce(crowd.link, AVAILABLE, status=str(number))
        await trio.lowlevel.checkpoint()
    assert min(int(status or 0) for status in crowd.state()) > 50
    await wait_all_tasks_blocked()
    assert set(crowd.state()) == {"99"}


async def test_who_joins_and_leaves_meanwhile(crowd: Crowd, nursery: trio.Nursery) -> None:
    """Rooms are looked at when their turn comes: one that was left is told nothing more, and a new
    member is told what holds (MS-41)."""
    crowd.announce(crowd.link, AVAILABLE, status="a")
    newcomer = person(900)
    left, joined = crowd.one.rooms[31], crowd.one.rooms[30]  # type: ignore[index]
    nursery.start_soon(crowd.presence.run, CountingProgress())
    await crowd.until(crowd.reached)
    depart(left, crowd.one)
    enter(joined, newcomer)
    crowd.watchers.append(crowd.come(newcomer))
    await wait_all_tasks_blocked()
    assert crowd.state() == ["a"] * 145 + [""] * 5 + ["a"]


async def test_a_crowd_that_becomes_few(crowd: Crowd, nursery: trio.Nursery) -> None:
    """Who has left most of his Rooms while he is being told of is told of in the others, in
    order (MS-41)."""
    nursery.start_soon(crowd.presence.run, CountingProgress())
    await wait_all_tasks_blocked()
    crowd.announce(crowd.link, AVAILABLE, status="a")
    await crowd.until(crowd.reached)
    assert crowd.one.rooms is not None
    for room in list(crowd.one.rooms.values())[2:]:
        depart(room, crowd.one)
    crowd.announce(crowd.link, status="b")
    await wait_all_tasks_blocked()
    assert crowd.state()[:5] == ["b"] * 5
    assert set(crowd.state()[5:]) == {"a", ""}


def test_a_small_change_does_not_wait_for_a_large_one(crowd: Crowd) -> None:
    """It is told while the other waits for its slices (MS-68)."""
    crowd.announce(crowd.link, AVAILABLE, status="a")
    crowd.announce(crowd.watchers[0], BUSY)
    assert crowd.heard(crowd.link) == [("availability", "busy", "")]
    assert set(crowd.state()) == {""}


async def test_many_leave_at_once(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """More than are taken from the row in one go; all are told of, none is kept (MS-39, MS-68)."""
    bench = Bench(150)
    nursery.start_soon(bench.presence.run, CountingProgress())
    second = [bench.come(one) for one in bench.people[1:]]
    for link in (*bench.links[1:], *second):
        bench.announce(link, AVAILABLE)
    for link in (*bench.links[1:], *second):
        bench.go(link)
    assert len(bench.presence) == 149
    await trio.sleep(GRACE + 1)
    assert len(bench.links[0].told_of) == 149
    assert {told["availability"] for told in bench.links[0].told_of.values()} == {"invisible"}
    assert len(bench.presence) == 0


async def test_it_can_be_ended_and_begun_again(crowd: Crowd) -> None:
    """In the middle of telling, or with nothing to tell; those who were not told are then
    (MS-43)."""
    crowd.announce(crowd.link, AVAILABLE, status="a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crowd.presence.run, CountingProgress())
        await crowd.until(crowd.reached)
        nursery.cancel_scope.cancel()
    assert 0 < crowd.reached() < 150
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crowd.presence.run, CountingProgress())
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert set(crowd.state()) == {"a"}
