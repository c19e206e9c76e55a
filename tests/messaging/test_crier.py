"""tocsin.messaging.crier: what happened to a member, told to the others of a Room."""

import pytest
import trio
from tests.fakes.messaging_links import MemoryLink, depart, enter, person, room_of
from tests.fakes.presence_bench import Bench
from tests.fakes.world import CountingProgress
from trio.testing import wait_all_tasks_blocked

from tocsin.messaging import crier as crier_module
from tocsin.messaging.crier import Crier
from tocsin.messaging.roomchanges import News
from tocsin.model.conversation import Room, Subscriber
from tocsin.wire.messaging.words import Availability, SubscriberChange

JOINED, LEFT = SubscriberChange.JOINED, SubscriberChange.LEFT


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Twenty members with a connection each, of which a slice is ten."""
    monkeypatch.setattr(crier_module, "SLICE", 10)
    return Bench(20)


def news(change: SubscriberChange, who: Subscriber) -> list[News]:
    return [News(change, who, administrator=False)]


def heard(link: MemoryLink) -> list[tuple[str, str]]:
    return [(one["change"], one["subscriber"]["id"]) for one in link.notices]


def small(bench: Bench) -> tuple[Room, MemoryLink]:
    """Another Room, of two."""
    pair = [person(201), person(202)]
    return room_of(2, pair), bench.come(pair[0])


def test_few_are_told_at_once() -> None:
    """MS-36: all connections of the others, and none of his own; whatever the limit of presence."""
    bench = Bench(5, room_limit=2)
    first = bench.people[0]
    second = bench.come(bench.people[1])
    crier = Crier(bench.live, bench.presence)
    crier.tell(bench.room, news(JOINED, first))
    assert [heard(link) for link in bench.links] == [[], *[[("joined", "s1")]] * 4]
    assert heard(second) == [("joined", "s1")]
    assert crier.waiting == 0


async def test_many_are_told_in_slices(bench: Bench, nursery: trio.Nursery) -> None:
    """MS-36, MS-68: others come in between, and in the end everybody was told in order."""
    crier, first = Crier(bench.live, bench.presence), bench.people[0]
    crier.tell(bench.room, news(JOINED, first))
    crier.tell(bench.room, news(LEFT, first))
    room, link = small(bench)
    crier.tell(room, news(JOINED, person(202)))
    assert heard(link) == [("joined", "s202")]
    assert not any(heard(link) for link in bench.links)
    progress = CountingProgress()
    nursery.start_soon(crier.run, progress)
    await wait_all_tasks_blocked()
    assert crier.waiting == 0
    told = [heard(link) for link in bench.links]
    assert told == [[], *[[("joined", "s1"), ("left", "s1")]] * 19]
    assert progress.beats == 4
    assert isinstance(progress.state, str)


async def test_who_has_left_is_told_nothing(bench: Bench, nursery: trio.Nursery) -> None:
    """MS-35, MS-36: told are those who were the others then and are members still."""
    crier, late = Crier(bench.live, bench.presence), person(99)
    crier.tell(bench.room, news(JOINED, bench.people[0]))
    depart(bench.room, bench.people[1])
    enter(bench.room, late)
    link = bench.come(late)
    nursery.start_soon(crier.run, CountingProgress())
    await wait_all_tasks_blocked()
    assert heard(bench.links[1]) == heard(link) == []
    assert all(heard(one) == [("joined", "s1")] for one in bench.links[2:])


async def test_told_is_what_is_to_be_seen_then(bench: Bench, nursery: trio.Nursery) -> None:
    """MS-41: news that waited takes back no change of presence that was told meanwhile."""
    crier = Crier(bench.live, bench.presence)
    crier.tell(bench.room, news(JOINED, bench.people[0]))
    bench.announce(bench.links[0], Availability.BUSY)
    nursery.start_soon(crier.run, CountingProgress())
    await wait_all_tasks_blocked()
    assert bench.links[1].notices[0]["subscriber"]["availability"] == "busy"


def test_what_waits_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """MS-68: where too much waits the oldest is told at once."""
    monkeypatch.setattr(crier_module, "MOST_WAITING", 2)
    crier = Crier(bench.live, bench.presence)
    for one in bench.people[:3]:
        crier.tell(bench.room, news(JOINED, one))
    assert crier.waiting == 2
    assert heard(bench.links[19]) == [("joined", "s1")]
