"""tocsin.messaging.guesses"""

from hypothesis import given
from hypothesis import strategies as st

from tocsin.messaging.guesses import WINDOW, Guesses


def test_so_many_in_a_minute_and_no_more() -> None:
    """MS-32: after as many failures as are allowed one waits until the first is a minute old."""
    guesses = Guesses(3)
    for at in (0, 1000, 2000):
        assert guesses.retry_after(1, at) == 0
        guesses.add(1, at)
    assert guesses.retry_after(1, 2000) == 58
    assert guesses.retry_after(2, 2000) == 0
    assert guesses.retry_after(1, WINDOW - 1) == 1
    assert guesses.retry_after(1, WINDOW) == 0
    guesses.add(1, WINDOW)
    assert guesses.retry_after(1, WINDOW) == 1


def test_a_clock_that_is_put_back() -> None:
    """MS-32: nobody waits for the time that has been before; from then on it counts again."""
    guesses = Guesses(2)
    for at in (86_400_000, 86_400_001, 1000):
        guesses.add(1, at)
    assert guesses.retry_after(1, 1000) == 0
    guesses.add(1, 2000)
    assert guesses.retry_after(1, 2000) == 59


def test_what_is_remembered_is_bounded() -> None:
    """MS-68: who failed longest ago is forgotten when there are too many."""
    guesses = Guesses(1, size=2)
    for key in (1, 2, 1, 3):
        guesses.add(key, 0)
    assert len(guesses) == 2
    assert [guesses.retry_after(key, 0) for key in (1, 2, 3)] == [60, 0, 60]


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=60), st.integers(1, 10))
def test_no_minute_has_more_than_are_allowed(gaps: list[int], most: int) -> None:
    """MS-32: whoever tries only when he may never fails more than `most` times in any minute, and
    has to wait for a reason."""
    guesses = Guesses(most)
    now, failed = 0, []
    for gap in gaps:
        now += gap
        recent = [at for at in failed if at > now - WINDOW]
        assert (guesses.retry_after(1, now) > 0) == (len(recent) >= most)
        if not guesses.retry_after(1, now):
            guesses.add(1, now)
            failed.append(now)
