"""tocsin.messaging.composing: hints that somebody is writing."""

import pytest
from tests.fakes.messaging_links import MemoryLink, person, room_of

from tocsin.messaging import composing as composing_module
from tocsin.messaging.composing import Composing
from tocsin.messaging.live import Live
from tocsin.model.conversation import Room
from tocsin.wire.messaging import clientmessages
from tocsin.wire.messaging.clientmessages import Correspondent, InRoom
from tocsin.wire.messaging.words import ComposingState

ACTIVE, IDLE = ComposingState.ACTIVE, ComposingState.IDLE
YOU = Correspondent("s2")


class Bench:
    """Four subscribers, the second with two connections and the last with none, and a clock."""

    def __init__(self, *, room_limit: int = 200) -> None:
        self.time = 0.0
        self.live = Live(most=10, uncorrelated_counts_for_all=False)
        self.composing = Composing(self.live, room_limit=room_limit, now=lambda: self.time)
        self.people = [person(key) for key in range(1, 5)]
        self.links = [MemoryLink(self.people[index]) for index in (0, 1, 1, 2)]
        for link in self.links:
            self.live.attach(link)

    def write(self, state: ComposingState, link: int = 0, *, to: int = 1) -> None:
        """Somebody writes to one other."""
        party = Correspondent(self.people[to].id)
        message = clientmessages.Composing(party=party, state=state)
        self.composing.relay(self.links[link], message, [self.people[to]], None)

    def write_in(self, room: Room, state: ComposingState = ACTIVE) -> None:
        """The first one writes in a Room."""
        members = [one.subscriber for one in room.members.values()]
        message = clientmessages.Composing(party=InRoom(room.id), state=state)
        self.composing.relay(self.links[0], message, members, room)

    def hints(self) -> list[list[str]]:
        """The states each connection was told of."""
        return [[hint["state"] for hint in link.hints] for link in self.links]


def test_the_other_party_is_told_on_each_connection() -> None:
    """From whom, which state, and no channel; nobody else hears of it (MS-44)."""
    bench = Bench()
    bench.write(ACTIVE)
    told = {"type": "composing", "from": "s1", "state": "active"}
    assert [link.hints for link in bench.links] == [[], [told], [told], []]


def test_co_members_are_told_with_the_room() -> None:
    """All connections but those of the sender (MS-44)."""
    bench = Bench()
    bench.live.attach(mine := MemoryLink(bench.people[0]))
    bench.write_in(room_of(7, bench.people))
    told = {"type": "composing", "from": "s1", "channel-id": "r-7", "state": "active"}
    assert [link.hints for link in bench.links] == [[], [told], [told], [told]]
    assert mine.hints == []


def test_large_rooms_are_not_told() -> None:
    """Up to the limit they are, above not (MS-44)."""
    bench = Bench(room_limit=3)
    bench.write_in(room_of(7, bench.people[:3]))
    bench.write_in(room_of(8, bench.people))
    assert [link.hints[-1]["channel-id"] for link in bench.links[1:]] == ["r-7"] * 3


def test_equal_states_are_relayed_every_ten_seconds() -> None:
    """From any connection of the sender; another state is news at once (MS-44)."""
    bench = Bench()
    for time, state in [(0, ACTIVE), (9.9, ACTIVE), (10, ACTIVE), (11, IDLE), (12, IDLE)]:
        bench.time = time
        bench.write(state)
    bench.time = 13
    bench.live.attach(second := MemoryLink(bench.people[0]))
    bench.links[0] = second
    bench.write(IDLE)
    assert bench.hints()[1] == ["active", "active", "idle"]


def test_repeats_do_not_prolong_the_silence() -> None:
    """A client that says it each second has it relayed each tenth (MS-44)."""
    bench = Bench()
    for second in range(31):
        bench.time = second
        bench.write(ACTIVE)
    assert len(bench.hints()[1]) == 4


def test_conversations_and_senders_are_apart() -> None:
    """What one says in one of them says nothing of another (MS-44)."""
    bench = Bench()
    bench.write(ACTIVE)
    bench.write(ACTIVE, to=2)
    bench.write(ACTIVE, 3)
    bench.write_in(room_of(7, bench.people[:2]))
    bench.write_in(room_of(8, bench.people[:2]))
    assert [len(hints) for hints in bench.hints()] == [0, 4, 4, 1]


def test_a_message_makes_the_next_state_news() -> None:
    """Receivers treat its sender as idle then; only in that conversation (MS-44)."""
    bench = Bench()
    bench.write(ACTIVE)
    bench.write(ACTIVE, to=2)
    bench.composing.sent(bench.people[0], YOU)
    bench.write(ACTIVE)
    bench.write(ACTIVE, to=2)
    assert [len(hints) for hints in bench.hints()] == [0, 2, 2, 1]
    bench.composing.sent(bench.people[2], YOU)


def test_a_state_that_changed_hides_nothing_older() -> None:
    """Each is known for ten seconds of its own (MS-44)."""
    bench = Bench()
    for time, state, to in [(0, ACTIVE, 1), (1, ACTIVE, 2), (5, IDLE, 1), (11, ACTIVE, 2)]:
        bench.time = time
        bench.write(state, to=to)
    assert bench.hints()[3] == ["active", "active"]


def test_nothing_is_kept_longer_than_it_is_good_for() -> None:
    """What was relayed is forgotten after its ten seconds (MS-44, MS-68)."""
    bench = Bench()
    for second in range(100):
        bench.time = second
        bench.write([ACTIVE, IDLE][second % 2], to=1 + second % 3)
    assert len(bench.composing) == 3
    bench.time = 200
    bench.write(ACTIVE, 3)
    assert len(bench.composing) == 1


def test_the_oldest_makes_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound it is relayed again early, never lost (MS-68)."""
    monkeypatch.setattr(composing_module, "MOST_KNOWN", 2)
    bench = Bench()
    for to in (1, 2, 3):
        bench.write(ACTIVE, to=to)
        assert len(bench.composing) <= 2
    bench.write(ACTIVE)
    assert bench.hints()[1] == ["active", "active"]
