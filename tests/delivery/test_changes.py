"""tocsin.delivery.changes: what the store refuses is as if it had never been made."""

import itertools
from types import SimpleNamespace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tocsin.delivery.changes import Changes, side_by_side
from tocsin.model.errors import StoreError

REFUSED = StoreError("the disk is on fire")


class One(SimpleNamespace):
    """Something with attributes, known by its identity."""

    __hash__ = object.__hash__


@pytest.mark.parametrize("taken", list(itertools.product([True, False], repeat=3)))
def test_after_changes_that_overlap_memory_is_what_was_stored_last(taken: tuple[bool, ...]) -> None:
    """Whichever of them the store takes; each stores what is in memory when it is made."""
    changes, one = Changes(), One(a=0, b=0)
    stored = (0, 0)
    reports, rows = [], []
    for number, values in enumerate([{"a": 1}, {"b": 2}, {"a": 3}]):
        reports.append(changes.make(one, **values))
        rows.append((one.a, one.b))
        assert getattr(one, next(iter(values))) == number + 1
    for report, row, is_taken in zip(reports, rows, taken, strict=True):
        report(None if is_taken else REFUSED)
        stored = row if is_taken else stored
    assert (one.a, one.b) == stored
    assert len(changes) == 0


@given(st.permutations(range(3)))
def test_one_that_is_refused_at_once_comes_back_at_the_end(order: list[int]) -> None:
    """In whatever order they are reported: what no store took does not stay."""
    changes, one = Changes(), One(a=0)
    reports = [changes.make(one, a=value) for value in (1, 2, 3)]
    for place in order:
        reports[place](REFUSED)
    assert one.a == 0


def test_what_somebody_else_set_meanwhile_stays() -> None:
    """A socket may have restarted the clock: its time is not taken back."""
    changes, one = Changes(), One(a=0, b=0)
    report = changes.make(one, a=1, b=1)
    one.a = 7
    report(REFUSED)
    assert (one.a, one.b) == (7, 0)


def test_two_objects_have_nothing_to_do_with_each_other() -> None:
    """Equal as they may be."""
    changes, one, other = Changes(), One(a=0), One(a=0)
    report = changes.make(one, a=1)
    changes.make(other, a=1)(None)
    report(REFUSED)
    assert (one.a, other.a) == (0, 1)


async def test_one_that_fails_costs_no_other_its_own() -> None:
    """All are done, and the failed ones are counted."""
    done = []

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise REFUSED

    async def work() -> None:
        await trio.lowlevel.checkpoint()
        done.append(1)

    assert await side_by_side("x.failed", {"a": work, "b": fail, "c": work}) == 1
    assert done == [1, 1]
