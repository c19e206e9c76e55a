"""tocsin.delivery.breaker: when a far side is left alone, and for how long (delivery.md)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.deliveries import T0

from tocsin.delivery.breaker import Breaker, State
from tocsin.model.outcome import Sign

OK, BAD, NOTHING = Sign.CONTACT, Sign.FAILURE, Sign.NOTHING
WIDTH = 8


def note(breaker: Breaker, *signs: Sign, now: int = T0, every: int = 0) -> None:
    """Attempts that begin and end one after the other."""
    for number, sign in enumerate(signs):
        breaker.note(sign, era=breaker.era, now=now + number * every)


def opened(now: int = T0) -> Breaker:
    """One that has just opened."""
    breaker = Breaker()
    note(breaker, *[BAD] * 10, now=now)
    return breaker


@pytest.mark.parametrize(
    ("signs", "state"),
    [
        ([BAD] * 9, State.CLOSED),
        ([BAD] * 10, State.OPEN),
        ([OK] * 3 + [BAD] * 7, State.OPEN),
        ([OK] * 4 + [BAD] * 9, State.CLOSED),
        ([OK] * 4 + [BAD] * 10, State.OPEN),
        ([OK] * 100 + [BAD] * 9, State.CLOSED),
        ([NOTHING] * 5 + [BAD] * 9, State.CLOSED),
    ],
)
def test_when_it_opens(signs: list[Sign], state: State) -> None:
    """Of at least 10 attempts at least 70 % failed; what never reached anybody is none."""
    breaker = Breaker()
    note(breaker, *signs)
    assert breaker.state is state


@pytest.mark.parametrize(("every", "state"), [(6000, State.OPEN), (6700, State.CLOSED)])
def test_only_the_last_minute_counts(every: int, state: State) -> None:
    """Ten failures inside 60 s open it; the same ten spread further do not."""
    breaker = Breaker()
    note(breaker, *[BAD] * 10, now=T0 // 60_000 * 60_000, every=every)
    assert breaker.state is state


def test_while_it_is_open_nothing_may_be_attempted() -> None:
    """Then one at a time, after 30 s."""
    breaker = opened()
    assert breaker.until == T0 + 30_000
    assert [breaker.most(WIDTH, T0 + after) for after in (0, 29_999, 30_000)] == [0, 0, 1]
    assert breaker.state is State.HALF_OPEN


def test_a_probe_that_fails_doubles_the_rest() -> None:
    """30 s, 1, 2, 4, 8 min, then 10 min each time."""
    breaker, now, rests = opened(), T0, []
    for _ in range(7):
        rests.append((breaker.until - now) // 1000)
        now = breaker.until
        assert breaker.most(WIDTH, now) == 1
        note(breaker, BAD, now=now)
    assert rests == [30, 60, 120, 240, 480, 600, 600]


def test_a_probe_that_meets_somebody_closes_it() -> None:
    """With nothing counted: it takes ten more to open, and 30 s are the first rest again."""
    breaker = opened()
    now = breaker.until
    breaker.most(WIDTH, now)
    note(breaker, BAD, now=now)
    now = breaker.until
    breaker.most(WIDTH, now)
    note(breaker, NOTHING, now=now)
    assert breaker.state is State.HALF_OPEN
    note(breaker, OK, now=now)
    assert (breaker.state, breaker.most(WIDTH, now)) == (State.CLOSED, WIDTH)
    note(breaker, *[BAD] * 9, now=now)
    assert breaker.state is State.CLOSED
    note(breaker, BAD, now=now)
    assert breaker.until == now + 30_000


@pytest.mark.parametrize("sign", [OK, BAD])
def test_what_was_under_way_when_it_changed_does_not_count(sign: Sign) -> None:
    """Neither closes it nor makes the rest longer; and it does not count as the probe."""
    breaker = Breaker()
    before = breaker.era
    note(breaker, *[BAD] * 10)
    breaker.note(sign, era=before, now=T0 + 1)
    assert (breaker.state, breaker.until) == (State.OPEN, T0 + 30_000)
    breaker.most(WIDTH, T0 + 30_000)
    breaker.note(sign, era=before, now=T0 + 30_000)
    assert breaker.state is State.HALF_OPEN


def test_when_it_may_be_forgotten() -> None:
    """Once its window has passed; an open one that has nothing to probe with a minute later."""
    breaker = Breaker()
    note(breaker, OK)
    assert breaker.forgettable_at == 0
    note(breaker, BAD)
    assert breaker.forgettable_at == T0 + 60_000
    assert opened().forgettable_at == T0 + 90_000


@given(st.lists(st.tuples(st.integers(0, 20_000), st.sampled_from([OK, BAD])), max_size=200))
def test_it_opens_exactly_when_a_count_of_the_last_minute_says_so(
    attempts: list[tuple[int, Sign]],
) -> None:
    """Against a plain list of the same attempts, the window cut at slices of 5 s."""
    breaker, seen, now = Breaker(), [], T0
    for pause, sign in attempts:
        now += pause
        seen.append((now // 5000, sign))
        note(breaker, sign, now=now)
        recent = [one for at, one in seen if at > now // 5000 - 12]
        is_bad = sign is BAD and len(recent) >= 10 and 10 * recent.count(BAD) >= 7 * len(recent)
        assert (breaker.state is State.OPEN) is is_bad
        if is_bad:
            return
