"""tocsin.server.ledger (SE-5): one bound for the bytes of all clients."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.server.ledger import ANSWER, BODY, SMALL, Ledger, Share

MOST = 8 * SMALL


def ledger(in_use: int) -> Ledger:
    """One of which somebody uses so much."""
    made = Ledger(lambda: MOST)
    Share(made).add(in_use)
    return made


@pytest.mark.parametrize(
    ("in_use", "held", "more", "fits"),
    [
        (0, 0, MOST * 3 // 4, True),
        (0, 0, MOST * 3 // 4 + 1, False),
        (MOST * 3 // 4, 0, SMALL, True),
        (MOST * 3 // 4, 0, SMALL + 1, False),
        (MOST - 1, 0, 1, True),
        (MOST, 0, 1, False),
        (MOST * 3 // 4, SMALL, 1, False),
    ],
)
def test_room(in_use: int, held: int, more: int, fits: bool) -> None:
    """What is small has all of it, what is large or grows to be large three quarters."""
    assert ledger(in_use).has_room(held, more) is fits


def test_a_bound_may_change() -> None:
    """It is asked each time; what is there stays, however much that is."""
    most = [MOST]
    made = Ledger(lambda: most[0])
    share = Share(made)
    assert share.grow(MOST // 2)
    most[0] = MOST // 4
    assert not share.grow(1)
    assert made.in_use == MOST // 2
    share.clear()
    assert Share(made).grow(1)


def test_what_was_done_is_told() -> None:
    """Without a question to the bound it is counted all the same, and others wait for less."""
    made = ledger(MOST)
    share = Share(made)
    share.add(100)
    assert made.in_use == MOST + 100
    share.clear()
    assert made.in_use == MOST


def test_refusals_are_counted() -> None:
    """By what was refused, each 503 with a time to come again."""
    made = ledger(0)
    error = made.refusal(BODY)
    assert (error.status, error.label) == (503, "memory")
    assert dict(error.headers)["Retry-After"] == "5"
    made.refusal(ANSWER)
    made.refusal(ANSWER)
    assert made.refused == {BODY: 1, ANSWER: 2}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-1, MOST))))
def test_any_order(steps: list[tuple[int, int]]) -> None:
    """Whatever ten connections do, the ledger has the sum of what they hold, within its bound."""
    made = Ledger(lambda: MOST)
    shares = [Share(made) for _ in range(10)]
    held = [0] * 10
    for which, more in steps:
        if more < 0:
            shares[which].clear()
            held[which] = 0
        elif shares[which].grow(more):
            held[which] += more
        assert made.in_use == sum(held) <= MOST
