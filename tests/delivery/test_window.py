"""tocsin.delivery.window: sequences and receipts of one connection (CH-56, CH-58)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.fakes.deliveries import notification, socket_channel

from tocsin.delivery.window import Window
from tocsin.model.delivery import Delivery

LIMIT = 5
CHANNEL = socket_channel()


def delivery(number: int = 1, seq: int | None = None) -> Delivery:
    """A delivery, written before if it has a seq."""
    return Delivery(number, notification(), CHANNEL, seq=seq)


def test_sequences_continue_where_the_channel_stood() -> None:
    """Given at the first write, strictly increasing."""
    window = Window(last_seq=41, limit=10)
    assert [window.write(delivery(n)) for n in range(3)] == [42, 43, 44]


def test_a_replay_keeps_its_place() -> None:
    """What was written before keeps its seq; what follows comes behind it."""
    window = Window(last_seq=40, limit=10)
    assert [window.write(delivery(n, seq)) for n, seq in ((1, 38), (2, 40))] == [38, 40]
    fresh = delivery(3)
    assert window.write(fresh) == fresh.seq == 41


def test_a_pong_settles_up_to_its_payload() -> None:
    """And nothing that was written after the Ping."""
    window = Window(last_seq=0, limit=10)
    window.write(delivery(1))
    window.write(delivery(2))
    upto = window.last_seq
    window.ping(upto)
    window.write(delivery(3))
    assert [one.delivery for one in window.pong(b"%d" % upto)] == [1, 2]
    assert [one.delivery for one in window.unsettled] == [3]
    assert window.pong(b"%d" % upto) == []


@pytest.mark.parametrize("payload", [b"", b"1", b"3", b"-2", b"2 ", b"x", b"9" * 200, b"\xb2"])
def test_an_unasked_pong_settles_nothing(payload: bytes) -> None:
    """Only a payload of ours counts, also when it is a number (CH-56)."""
    window = Window(last_seq=0, limit=10)
    for number in range(3):
        window.write(delivery(number))
        if number == 1:
            window.ping(window.last_seq)
    assert window.pong(payload) == []
    assert len(window.unsettled) == 3


def test_a_later_pong_answers_earlier_pings_too() -> None:
    """A client may answer only the newest Ping (RFC 6455, 5.5.3)."""
    window = Window(last_seq=0, limit=10)
    pings = []
    for number in range(3):
        window.write(delivery(number))
        window.ping(window.last_seq)
        pings.append(window.last_seq)
    assert len(window.pong(b"%d" % pings[1])) == 2
    assert window.pong(b"%d" % pings[0]) == []
    assert len(window.pong(b"%d" % pings[2])) == 1


def test_room_is_what_may_still_be_written() -> None:
    """At most `limit` frames are written and not settled (CH-58)."""
    window = Window(last_seq=0, limit=2)
    window.write(delivery(1))
    assert window.room == 1
    window.write(delivery(2))
    assert window.room == 0
    window.settle(1)
    assert window.room == 1


@given(st.lists(st.sampled_from(["write", "ping", "settle"]), max_size=300))
def test_pings_that_need_no_answer_any_more_are_forgotten(steps: list[str]) -> None:
    """A client that answers connChecks and never a Ping costs no memory: no more Pings are
    remembered than there are frames to be settled, and one."""
    window = Window(last_seq=0, limit=10)
    for number, step in enumerate(steps):
        match step:
            case "write":
                window.write(delivery(number))
            case "ping":
                window.ping(window.last_seq)
            case _:
                window.settle(window.last_seq)
        assert window.open_pings <= len(window.unsettled) + 1


class WindowMachine(RuleBasedStateMachine):
    """The window against a list of (seq, delivery) and a set of Pings."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(last_seq=0, limit=LIMIT)
        self.written: list[tuple[int, int]] = []
        self.pings: set[int] = set()
        self.last = 0
        self.count = 0

    @rule()
    def write(self) -> None:
        self.count += 1
        seq = self.window.write(delivery(self.count))
        assert seq == self.last + 1
        self.last = seq
        self.written.append((seq, self.count))

    @rule()
    def ping(self) -> None:
        self.window.ping(self.last)
        self.pings.add(self.last)

    @rule(upto=st.integers(0, 30))
    def pong(self, upto: int) -> None:
        settled = self.window.pong(b"%d" % upto)
        expected = [one for one in self.written if one[0] <= upto and upto in self.pings]
        assert [(one.seq, one.delivery) for one in settled] == expected
        if upto in self.pings:
            self._settled(upto)
            self.pings = {ping for ping in self.pings if ping > upto}

    @rule(upto=st.integers(0, 30))
    def settle(self, upto: int) -> None:
        """A connAck that answers a connCheck of ours."""
        settled = self.window.settle(upto)
        assert [one.seq for one in settled] == [seq for seq, _ in self.written if seq <= upto]
        self._settled(upto)

    @invariant()
    def unsettled_is_what_was_written_and_not_receipted(self) -> None:
        found = [(one.seq, one.delivery) for one in self.window.unsettled]
        assert found == self.written
        assert self.window.room == LIMIT - len(found)

    def _settled(self, upto: int) -> None:
        self.written = [one for one in self.written if one[0] > upto]


TestWindowAgainstModel = WindowMachine.TestCase
