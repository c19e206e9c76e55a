"""tocsin.delivery.position: how a client goes on, and what it is told that it missed (CH-58)."""

from typing import NamedTuple

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.fakes.deliveries import socket_channel

from tocsin.delivery.position import RESERVE, Decision, decide, reserve
from tocsin.store.records import Position, Resumption


def test_nothing_happened() -> None:
    """The client that has everything goes on where it is."""
    decision = decide(Position([], last_seq=7), last_seq=7, claim=7)
    assert decision == Decision(decision.resumption, base=7, last_seq=7, missed=0)
    assert decision.resumption.settle_upto == 7


def test_what_waits_behind_the_claim_is_replayed_in_its_place() -> None:
    """What the client has is settled, the rest follows by number, nothing is renumbered."""
    position = Position([(1, 5), (2, 6), (3, 7)], last_seq=7)
    decision = decide(position, last_seq=7, claim=5)
    assert (decision.base, decision.last_seq, decision.missed) == (5, 7, 0)
    assert (decision.resumption.settle_upto, decision.resumption.renumbered) == (5, [])


def test_a_question_claims_nothing() -> None:
    """It is told where what waits begins; nothing is settled and nothing is missed."""
    decision = decide(Position([(1, 5), (2, 6)], last_seq=6, dropped=0), last_seq=6, claim=None)
    assert (decision.base, decision.missed, decision.resumption.settle_upto) == (4, 0, 0)


def test_what_was_receipted_behind_the_claim_is_missed() -> None:
    """A receipt is not the application's word: it is over, and the client says it lacks it."""
    decision = decide(Position([(1, 7)], last_seq=7), last_seq=7, claim=4)
    assert (decision.base, decision.missed) == (6, 2)


def test_what_was_never_written_and_dropped_is_missed() -> None:
    """It takes a number too, and what waits is renumbered behind it."""
    position = Position([(1, 7)], last_seq=7, dropped=2)
    decision = decide(position, last_seq=7, claim=6)
    assert (decision.base, decision.last_seq, decision.missed) == (9, 10, 2)
    assert decision.resumption.renumbered == [(1, 10)]
    assert decision.resumption.dropped == 2


def test_a_hole_in_what_waits_is_missed() -> None:
    """What was written, not received, and expired."""
    decision = decide(Position([(1, 6), (2, 8)], last_seq=8), last_seq=8, claim=5)
    assert (decision.base, decision.missed) == (8, 1)
    assert decision.resumption.renumbered == [(1, 9), (2, 10)]


def test_what_expired_before_the_claim_is_not_missed() -> None:
    """The client has it, though its receipt never came."""
    assert decide(Position([], last_seq=8), last_seq=8, claim=8).missed == 0


def test_after_a_crash_nothing_is_missed_and_no_number_given_twice() -> None:
    """What was numbered last is not known: the numbering goes on behind the reservation."""
    position = Position([(1, 6)], last_seq=6)
    decision = decide(position, last_seq=1000, claim=5)
    assert (decision.base, decision.last_seq, decision.missed) == (1000, 1001, 0)
    assert decision.resumption.renumbered == [(1, 1001)]


def test_a_reservation_is_renewed_in_time() -> None:
    """Only where the client counts, and long before it is used up."""
    channel = socket_channel()
    assert not reserve(channel)
    channel.reserved = RESERVE
    assert not reserve(channel)
    channel.last_seq = RESERVE // 2 + 1
    assert reserve(channel)
    assert channel.reserved == channel.last_seq + RESERVE


@attrs.define
class Book:
    """What the store keeps of one channel."""

    rows: dict[int, int | None] = attrs.field(factory=dict)
    last_seq: int = 0
    reserved: int = 0
    gap: Resumption = attrs.field(factory=Resumption)
    dropped: int = 0

    def position(self) -> Position:
        written = sorted((seq, id_) for id_, seq in self.rows.items() if seq is not None)
        gap = self.gap
        return Position(
            [(id_, seq) for seq, id_ in written],
            self.last_seq,
            gap.settled_seq,
            self.dropped,
            gap.missed,
            gap.missed_at,
        )

    def resume(self, resumption: Resumption, last_seq: int) -> set[int]:
        """As the statement does; what was settled."""
        over = {i for i, s in self.rows.items() if s is not None and s <= resumption.settle_upto}
        for id_ in over:
            del self.rows[id_]
        self.last_seq, self.reserved = max(self.last_seq, last_seq), last_seq + RESERVE
        self.gap = resumption
        self.dropped -= resumption.dropped
        self.rows.update(resumption.renumbered)
        return over


class Held(NamedTuple):
    """A position a client once had, and all it had, or knew to be lost, when it had it."""

    seq: int
    has: frozenset[int]


@attrs.define
class Socket:
    """A connection: what it has yet to replay, what it wrote, and what its client has counted."""

    replay: list[tuple[int, int]]
    counts: Held | None
    window: list[tuple[int, int]] = attrs.field(factory=list)


class Machine(RuleBasedStateMachine):
    """A channel, its store and its client, through everything that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.last_seq = 0
        self.socket: Socket | None = None
        self.published = 0
        self.latest: Held | None = None
        self.held: list[Held] = []
        self.is_exact = True

    @initialize(is_exact=st.booleans())
    def begin(self, is_exact: bool) -> None:
        """Half of the lives are without what makes the answer only an upper bound."""
        self.is_exact = is_exact

    def lost(self) -> frozenset[int]:
        return frozenset(range(self.published)) - frozenset(self.book.rows)

    @rule(count=st.integers(1, 3))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.book.rows[self.published] = None
            self.published += 1

    @rule(reads=st.booleans())
    @precondition(lambda self: self.latest is not None)
    def come_back(self, reads: bool) -> None:
        """With the position the client has, which it is told of or not."""
        assert self.latest is not None
        self.connect(self.latest, reads=reads)

    @rule(data=st.data(), reads=st.booleans())
    @precondition(lambda self: self.held and not self.is_exact)
    def come_back_from_earlier(self, data: st.DataObject, reads: bool) -> None:
        """With any position it ever had, as a client that was restored would."""
        self.connect(data.draw(st.sampled_from(self.held)), reads=reads)

    @rule(reads=st.booleans())
    def ask(self, reads: bool) -> None:
        self.connect(None, reads=reads)

    @rule()
    def connect_without_asking(self) -> None:
        """Where nothing is in doubt, the next one that asks is told."""
        self.leave()
        if self.last_seq != self.book.last_seq:
            self.connect(None, reads=False)
            return
        self.book.reserved = self.last_seq + RESERVE
        self.socket = Socket(self.book.position().written, None)

    def connect(self, claim: Held | None, *, reads: bool) -> None:
        self.leave()
        seq = None if claim is None else claim.seq
        decision = decide(self.book.position(), last_seq=self.last_seq, claim=seq)
        assert decision.last_seq >= self.last_seq
        self.last_seq = decision.last_seq
        has_new_gap = self.book.gap.missed_at < decision.resumption.missed_at
        if claim is None and has_new_gap and not reads:
            self.is_exact = False
        settled = self.book.resume(decision.resumption, decision.last_seq)
        lost = self.lost()
        if claim is None:
            assert not settled
            assert not decision.missed
        else:
            assert settled <= claim.has
            lacking = lost - claim.has
            assert decision.missed >= len(lacking)
            if self.is_exact:
                assert decision.missed == len(lacking)
        replay = [(id_, place) for id_, place in self.book.position().written]
        assert [place for _, place in replay] == [*range(decision.base + 1, decision.last_seq + 1)]
        had = claim.has if claim is not None else frozenset()
        told = Held(decision.base, had | lost) if reads else None
        self.socket = Socket(replay, told)
        if told is not None:
            self.note(told)

    def note(self, held: Held) -> None:
        self.latest = held
        self.held.append(held)

    @rule(count=st.integers(1, 4))
    @precondition(lambda self: self.socket)
    def write(self, count: int) -> None:
        """First what was written before, then the rest; a hole ends the connection."""
        for _ in range(count):
            assert self.socket is not None
            if self.socket.replay:
                id_, seq = self.socket.replay.pop(0)
                if id_ not in self.book.rows and self.socket.counts is not None:
                    self.leave()
                    return
            else:
                written = {id_ for id_, _ in self.socket.window}
                fresh = [i for i, s in self.book.rows.items() if s is None and i not in written]
                if not fresh:
                    return
                id_, self.last_seq = fresh[0], self.last_seq + 1
                seq = self.last_seq
                assert seq <= self.book.reserved
            self.socket.window.append((id_, seq))
            if self.socket.counts is not None:
                before = self.socket.counts
                self.socket.counts = Held(before.seq + 1, before.has | {id_})
                assert self.socket.counts.seq == seq
                self.note(self.socket.counts)

    @rule(count=st.integers(1, 4))
    @precondition(lambda self: self.socket and self.socket.window)
    def receipt(self, count: int) -> None:
        assert self.socket is not None
        settled, self.socket.window = self.socket.window[:count], self.socket.window[count:]
        for id_, _ in settled:
            self.book.rows.pop(id_, None)
        self.book.last_seq = max(self.book.last_seq, settled[-1][1])

    @rule()
    def mark(self) -> None:
        if self.socket is None:
            return
        for id_, seq in self.socket.window:
            if id_ in self.book.rows:
                self.book.rows[id_] = seq
        self.book.last_seq = max(self.book.last_seq, self.last_seq)

    @rule(data=st.data())
    @precondition(lambda self: self.book.rows)
    def drop(self, data: st.DataObject) -> None:
        """One expires, wherever it is; what was not marked yet counts as never written."""
        self.mark()
        id_ = data.draw(st.sampled_from(sorted(self.book.rows)))
        self.book.dropped += self.book.rows.pop(id_) is None

    @rule(data=st.data())
    @precondition(lambda self: self.book.rows and not self.is_exact)
    def drop_before_it_is_marked(self, data: st.DataObject) -> None:
        """The same in the moment between the write and the mark."""
        id_ = data.draw(st.sampled_from(sorted(self.book.rows)))
        self.book.dropped += self.book.rows.pop(id_) is None

    @rule()
    def leave(self) -> None:
        self.mark()
        if self.socket is not None:
            self.book.reserved = self.last_seq
        self.socket = None

    @rule(is_marked=st.booleans())
    def crash(self, is_marked: bool) -> None:
        """kill -9: what was not marked is forgotten, what was reserved is not given again."""
        if is_marked or self.is_exact:
            self.mark()
        self.socket = None
        self.last_seq = max(self.book.last_seq, self.book.reserved)


Machine.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestPositions = Machine.TestCase
"""Whenever nothing is said to be missed, nothing is; nothing is settled that the client did not
have; what it counts is always what we count; and what it missed is exact for one that comes back
with the position it has."""
