"""The wheel: everything is called, never early, soon after it is due."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.server.heartbeat import MOST_PER_TURN, SLOT, Wheel

TIMES = st.floats(0, 100, allow_nan=False)


@attrs.define(eq=False)
class Ticker:
    """Remembers its calls; wants to be called again after each of `gaps`."""

    gaps: list[float] = attrs.field(factory=list)
    calls: list[float] = attrs.field(factory=list)
    due: list[float] = attrs.field(factory=list)
    ended: int | None = None
    crashes: bool = False

    def tick(self, now: float) -> float | None:
        self.calls.append(now)
        if self.crashes:
            raise ValueError("a bug of this one")
        if not self.gaps:
            return None
        self.due.append(now + self.gaps.pop(0))
        return self.due[-1]

    def end(self, code: int) -> None:
        self.ended = code


def turn_until(wheel: Wheel, start: float, end: float, step: float = SLOT) -> None:
    now = start
    while now <= end:
        wheel.turn(now)
        now += step


@given(TIMES, st.lists(st.tuples(st.floats(0, 20), st.lists(st.floats(0, 20), max_size=4))))
def test_each_is_called_when_due(start: float, plan: list[tuple[float, list[float]]]) -> None:
    """Turned every slot, it calls each one as often as asked, never early and at most two slots
    late; afterwards nothing is left in it."""
    wheel = Wheel()
    wheel.turn(start)
    tickers = []
    for delay, gaps in plan:
        ticker = Ticker(gaps=list(gaps), due=[start + delay])
        wheel.add(ticker, start + delay)
        tickers.append(ticker)
    turn_until(wheel, start + SLOT, start + 120)
    assert len(wheel) == 0
    for ticker in tickers:
        assert len(ticker.calls) == len(ticker.due)
        for due, call in zip(ticker.due, ticker.calls, strict=True):
            assert due <= call <= due + 2 * SLOT + 1e-6


@given(st.floats(0, 5), st.lists(st.floats(0, 5), min_size=1), st.floats(0, 10))
def test_before_the_first_turn(start: float, delays: list[float], stall: float) -> None:
    """What was added before the first turn, however late that is, is called (OP-10)."""
    wheel = Wheel()
    tickers = [Ticker() for _ in delays]
    for ticker, delay in zip(tickers, delays, strict=True):
        wheel.add(ticker, start + delay)
    turn_until(wheel, start + stall, start + stall + 6)
    assert [len(ticker.calls) for ticker in tickers] == [1] * len(tickers)


def test_a_stalled_loop_skips_nothing() -> None:
    """After a pause of the loop everything that became due is called once, at once."""
    wheel = Wheel()
    wheel.turn(1.0)
    tickers = [Ticker(gaps=[0.5]) for _ in range(100)]
    for number, ticker in enumerate(tickers):
        wheel.add(ticker, 1 + number / 10)
    wheel.turn(60.0)
    assert all(ticker.calls == [60.0] for ticker in tickers)
    turn_until(wheel, 60.25, 62)
    assert all(len(ticker.calls) == 2 for ticker in tickers)


def test_a_turn_is_bounded() -> None:
    """A turn calls so many and no more; the next ones do the rest, nothing is called twice."""
    wheel = Wheel()
    wheel.turn(1.0)
    tickers = [Ticker() for _ in range(2 * MOST_PER_TURN + 1)]
    for ticker in tickers:
        wheel.add(ticker, 1.1)
    for left in (MOST_PER_TURN + 1, 1, 0):
        wheel.turn(2.0)
        assert len(wheel) == left
    assert all(len(ticker.calls) == 1 for ticker in tickers)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_crash_ends_only_itself(position: int) -> None:
    """One that crashes is closed 1011 and never called again; all others are called (CH-59)."""
    wheel = Wheel()
    wheel.turn(1.0)
    tickers = [Ticker(gaps=[0.1]) for _ in range(3)]
    tickers[position].crashes = True
    for ticker in tickers:
        wheel.add(ticker, 1.1)
    turn_until(wheel, 1.5, 3)
    assert [ticker.ended for ticker in tickers].count(1011) == 1
    assert tickers[position].ended == 1011
    assert [len(ticker.calls) for ticker in tickers].count(2) == 2
    assert len(wheel) == 0
