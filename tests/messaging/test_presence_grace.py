"""tocsin.messaging.presence: connections that end, and who is seen for a while yet."""

import pytest
import trio
from tests.fakes.messaging_links import depart, person, room_of
from tests.fakes.presence_bench import GRACE, Bench
from tests.fakes.world import CountingProgress
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.wire.messaging.views import SubscriberView
from tocsin.wire.messaging.words import Availability

AVAILABLE, BUSY = Availability.AVAILABLE, Availability.BUSY
DND, INVISIBLE = Availability.DND, Availability.INVISIBLE


@pytest.fixture
async def bench(nursery: trio.Nursery) -> Bench:
    """Three people in one Room, and what tells of them running."""
    bench = Bench()
    nursery.start_soon(bench.presence.run, CountingProgress())
    await wait_all_tasks_blocked()
    return bench


@pytest.mark.parametrize("ends", [True, False])
async def test_the_next_latest_takes_over(bench: Bench, ends: bool) -> None:
    """At once, whether the latest connection has ended or unannounced (MS-38)."""
    first, second, third = bench.links[0], *(bench.come(bench.people[0]) for _ in range(2))
    for link, status in [(first, "a"), (second, "b"), (first, "c"), (third, "d")]:
        bench.announce(link, AVAILABLE, status=status)
    for link in (third, first):
        if ends:
            bench.go(link)
        else:
            bench.presence.unannounce(link)
        await wait_all_tasks_blocked()
    assert [status for _, _, status in bench.heard(bench.links[1])] == [*"abcdcb"]


async def test_the_end_of_one_that_does_not_hold_changes_nothing(bench: Bench) -> None:
    """Neither of an older announce nor of a connection that made none (MS-38)."""
    first, second = bench.links[0], bench.come(bench.people[0])
    bench.announce(first, AVAILABLE)
    bench.announce(second, BUSY)
    bench.links[1].take()
    bench.go(bench.come(bench.people[0]))
    bench.go(first)
    bench.presence.unannounce(bench.come(bench.people[0]))
    await wait_all_tasks_blocked()
    assert bench.heard(bench.links[1]) == []
    assert bench.presence.view(bench.people[0]).availability is BUSY


async def test_who_has_left_is_seen_for_a_while(bench: Bench, autojump_clock: MockClock) -> None:
    """Others are told only after the grace, with nobody of his left to hold his Rooms, and then
    nothing is kept of him (MS-39, MS-43)."""
    one = bench.people[0]
    bench.announce(bench.links[0], DND, status="a")
    bench.links[1].take()
    bench.go(bench.links[0])
    await trio.sleep(GRACE - 0.01)
    assert bench.heard(bench.links[1]) == []
    assert bench.presence.view(one) == bench.presence.own_view(one)
    assert bench.presence.view(one).availability is DND
    assert bench.presence.is_silenced(one.key)
    await trio.sleep(0.02)
    assert bench.heard(bench.links[1]) == [("availability", "invisible", "")]
    assert bench.presence.view(one) == bench.presence.own_view(one) == SubscriberView("s1")
    assert not bench.presence.is_silenced(one.key)
    assert len(bench.presence) == 0


async def test_who_comes_back_in_time_was_never_away(
    bench: Bench, autojump_clock: MockClock
) -> None:
    """The same announce again is told to nobody, another as a plain change, and the old grace does
    not end what is announced now (MS-39)."""
    one = bench.people[0]
    bench.announce(bench.links[0], AVAILABLE, status="a")
    bench.links[1].take()
    bench.go(bench.links[0])
    await trio.sleep(GRACE / 2)
    one.rooms = {bench.room.key: bench.room}
    bench.announce(again := bench.come(one), AVAILABLE, status="a")
    await trio.sleep(GRACE * 2)
    assert bench.heard(bench.links[1]) == []
    bench.go(again)
    one.rooms = {bench.room.key: bench.room}
    bench.announce(bench.come(one), AVAILABLE, status="b")
    await trio.sleep(GRACE * 2)
    assert bench.heard(bench.links[1]) == [("updated", "available", "b")]


async def test_each_leaving_has_its_whole_grace(bench: Bench, autojump_clock: MockClock) -> None:
    """Who was back for a moment is invisible a grace after he left again (MS-39)."""
    one, start = bench.people[0], trio.current_time()
    bench.announce(bench.links[0], AVAILABLE)
    bench.go(bench.links[0])
    bench.announce(bench.links[2], AVAILABLE)
    bench.go(bench.links[2])
    await trio.sleep(GRACE / 2)
    bench.announce(again := bench.come(one), AVAILABLE)
    bench.go(again)
    bench.links[1].take()
    await trio.sleep_until(start + GRACE + 0.01)
    assert [change["subscriber"]["id"] for change in bench.links[1].take()] == ["s3"]
    await trio.sleep_until(start + GRACE * 1.5 + 0.01)
    assert [change["subscriber"]["id"] for change in bench.links[1].take()] == ["s1"]


async def test_unannounce_ends_the_grace(bench: Bench, autojump_clock: MockClock) -> None:
    """Somebody who has come back and says so is invisible at once (MS-39)."""
    bench.announce(bench.links[0], AVAILABLE)
    bench.go(bench.links[0])
    bench.links[1].take()
    await wait_all_tasks_blocked()
    bench.presence.unannounce(bench.come(bench.people[0]))
    assert bench.heard(bench.links[1]) == [("availability", "invisible", "")]
    assert len(bench.presence) == 0
    await trio.sleep(GRACE + 1)
    assert bench.heard(bench.links[1]) == []


async def test_who_was_not_seen_leaves_unseen(bench: Bench, autojump_clock: MockClock) -> None:
    """Nothing is told at the end of somebody invisible, and nothing kept (MS-39, MS-40)."""
    bench.announce(bench.links[0], status="x")
    bench.announce(bench.links[1])
    bench.presence.left(bench.links[1])
    bench.go(bench.links[0])
    await trio.sleep(GRACE + 1)
    assert bench.heard(bench.links[2]) == []
    assert len(bench.presence) == 0


async def test_who_came_back_to_join_a_room_is_told_of_there(
    bench: Bench, autojump_clock: MockClock
) -> None:
    """Those who are there have seen him as he was, though he did not announce again (MS-39)."""
    one, watcher = bench.people[0], bench.come(person(9))
    bench.announce(bench.links[0], AVAILABLE)
    bench.go(bench.links[0])
    one.rooms = {bench.room.key: bench.room}
    again = bench.come(one)
    room_of(2, [one, watcher.subscriber])
    bench.go(again)
    await trio.sleep(GRACE + 1)
    assert bench.heard(watcher) == [("availability", "invisible", "")]


async def test_who_left_a_room_is_not_told_of_there(
    bench: Bench, autojump_clock: MockClock
) -> None:
    """Also where he was removed while he was away; Rooms that are over are none (MS-35, MS-41)."""
    over = room_of(2, [bench.people[0], person(9)])
    watcher = bench.come(over.members[9].subscriber)
    bench.announce(bench.links[0], AVAILABLE)
    bench.go(bench.links[0])
    depart(bench.room, bench.people[0])
    over.is_over = True
    await trio.sleep(GRACE + 1)
    assert bench.heard(bench.links[1]) == [("availability", "available", "")]
    assert bench.heard(watcher) == [("availability", "available", "")]
