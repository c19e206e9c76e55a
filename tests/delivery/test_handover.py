"""tocsin.delivery.handover: from the commit to sessions and lanes, in order, fenced, in slices."""

import pytest
import trio
from tests.fakes.deliveries import T0, notification, socket_channel, webhook_channel
from tests.fakes.memory_session import MemorySession
from tests.fakes.world import CountingProgress, World
from trio.testing import wait_all_tasks_blocked

from tocsin.delivery import handover as handover_module
from tocsin.delivery.handover import SLICE, Handover
from tocsin.model.channel import Channel
from tocsin.model.notification import Priority
from tocsin.store.records import Acceptance


class Bench:
    """A handover, sessions of as many channels as wanted, and what was woken."""

    def __init__(self, sessions: int) -> None:
        self.world = World(clock=lambda: T0)
        self.woken: list[tuple[str, bool]] = []
        self.handover = Handover(
            self.world.sessions, lambda lane, urgent, _keys: self.woken.append((lane, urgent))
        )
        self.log: list[str] = []
        self.sessions: list[MemorySession] = []
        for key in range(1, sessions + 1):
            channel = socket_channel(f"u{key}")
            channel.key = key
            self.add(channel)

    def add(self, channel: Channel) -> MemorySession:
        """A live session of a channel."""
        session = MemorySession(self.world.sessions, channel)
        self.world.sessions.attach(session)
        self.sessions.append(session)
        return session

    def commit(self, *entries: tuple[str, list[Channel]]) -> None:
        """These have become durable."""
        acceptance = Acceptance()
        for id_, channels in entries:
            acceptance.add(notification(id_), channels)
        self.handover.committed(acceptance)

    def everyone(self) -> list[Channel]:
        """All channels."""
        return [session.channel for session in self.sessions]


def test_sessions_get_it_from_memory_at_once() -> None:
    """In the order of acceptance, and one flush per burst."""
    bench = Bench(2)
    one, other = bench.everyone()
    bench.commit(("a", [one, other]), ("b", [one]))
    assert [session.told for session in bench.sessions] == [["a", "b", "flush"], ["a", "flush"]]


def test_lanes_are_told_once_and_how_urgent() -> None:
    """Never with data: the store is the queue."""
    bench = Bench(0)
    acceptance = Acceptance()
    quiet, urgent = webhook_channel(), webhook_channel(origin="https://other.example")
    acceptance.add(notification(), [quiet, urgent])
    acceptance.add(notification(priority=Priority.URGENT), [urgent])
    acceptance.add(notification(), [urgent])
    bench.handover.committed(acceptance)
    assert bench.woken == [(quiet.lane, False), (urgent.lane, True)]


def test_who_is_not_connected_is_left_to_the_store() -> None:
    """No session, nothing to do."""
    bench = Bench(1)
    channel = socket_channel()
    channel.key = 99
    bench.commit(("a", [channel]))
    assert bench.sessions[0].told == []


def test_a_crash_ends_only_its_session() -> None:
    """1011, and the others get theirs (CH-59)."""
    bench = Bench(3)
    bad = bench.sessions[1]

    def crash() -> None:
        raise ZeroDivisionError("bug")

    bad._crash = crash
    bench.commit(("a", bench.everyone()))
    assert [session.ids for session in bench.sessions] == [["a"], [], ["a"]]
    assert bad.ended[0] == 1011
    assert bench.world.sessions.of(bad.channel) is None


async def test_a_large_fan_out_gives_way(nursery: trio.Nursery) -> None:
    """Cut into slices with a checkpoint in between; everybody gets it in the end."""
    bench = Bench(3 * SLICE)
    bench.commit(("a", bench.everyone()))
    assert not any(session.ids for session in bench.sessions)
    progress = CountingProgress()
    nursery.start_soon(bench.handover.run, progress)
    await wait_all_tasks_blocked()
    assert all(session.told == ["a", "flush"] for session in bench.sessions)
    assert progress.beats == 3
    assert progress.state == "large fan-outs"


async def test_a_small_one_does_not_overtake_a_large_one(nursery: trio.Nursery) -> None:
    """Order per channel holds; who has nothing waiting is served at once."""
    bench = Bench(SLICE + 1)
    waiting = bench.everyone()
    channel = socket_channel()
    channel.key = 9999
    free = bench.add(channel)
    bench.commit(("a", waiting))
    bench.commit(("b", [waiting[0], free.channel]))
    assert free.told == ["b", "flush"]
    nursery.start_soon(bench.handover.run, CountingProgress())
    await wait_all_tasks_blocked()
    assert bench.sessions[0].ids == ["a", "b"]
    bench.commit(("c", [waiting[0]]))
    assert bench.sessions[0].ids == ["a", "b", "c"]


async def test_who_has_looked_into_the_store_meanwhile_is_not_given_it_twice(
    nursery: trio.Nursery,
) -> None:
    """A session whose ticket has changed, or a newer one, is only told to look again."""
    bench = Bench(SLICE + 1)
    bench.commit(("a", bench.everyone()))
    looked, left, replaced = bench.sessions[:3]
    looked.current = 1
    left.end(1000)
    newer = MemorySession(bench.world.sessions, replaced.channel)
    bench.world.sessions.attach(newer)
    nursery.start_soon(bench.handover.run, CountingProgress())
    await wait_all_tasks_blocked()
    assert (looked.told, left.told, newer.told) == (["behind", "flush"], [], ["behind", "flush"])
    assert bench.sessions[3].told == ["a", "flush"]


async def test_beyond_the_bound_the_store_has_it(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    """Memory holds so many; who comes after, or looks into the store anyway, is told so."""
    monkeypatch.setattr(handover_module, "MOST_WAITING", SLICE)
    bench = Bench(SLICE + 2)
    bench.sessions[0].current = None
    bench.commit(("a", bench.everyone()))
    assert [session.told for session in bench.sessions[:1]] == [["behind", "flush"]]
    assert bench.sessions[-1].told == ["behind", "flush"]
    nursery.start_soon(bench.handover.run, CountingProgress())
    await wait_all_tasks_blocked()
    assert [session.ids for session in bench.sessions[1:-1]] == [["a"]] * SLICE
