"""tocsin.delivery.hold: what is given out first, and what is taken out from the middle."""

from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.deliveries import notification

from tocsin.delivery.hold import MOST_STALE, Hold
from tocsin.model.notification import Priority
from tocsin.store.records import Claimed


def claimed(id_: int, priority: Priority = Priority.NORMAL) -> Claimed:
    """A claimed delivery."""
    return Claimed(id_, 1, "wh-1", "u", notification(priority=priority), 1, 0)


def taken(hold: Hold) -> list[int]:
    """Everything, one by one."""
    found = []
    while (one := hold.take()) is not None:
        found.append(one.id)
    return found


def test_given_out_urgent_first_then_by_age() -> None:
    """Whatever the order in which it was claimed (delivery.md, priority)."""
    full = Hold()
    full.add([claimed(3), claimed(5, Priority.URGENT), claimed(1, Priority.LOW)])
    full.add([claimed(2), claimed(4, Priority.URGENT)])
    assert (len(full), full.urgent) == (5, 2)
    assert taken(full) == [4, 5, 2, 3, 1]


def test_cleared_it_gives_back_everything() -> None:
    """And leaves nothing to be taken."""
    full = Hold()
    full.add([claimed(1), claimed(2, Priority.URGENT)])
    assert sorted(one.id for one in full.clear()) == [1, 2]
    assert (taken(full), full.urgent, len(full)) == ([], 0, 0)


@given(st.lists(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_what_was_picked_is_not_given_out(ids: list[int], picked: set[int]) -> None:
    """The rest is, in order, each once; the count of urgent ones stays true."""
    hold = Hold()
    held = [claimed(id_, Priority(id_ % 3)) for id_ in dict.fromkeys(ids)]
    hold.add(held)
    assert {one.id for one in hold.pick(picked)} == picked & set(ids)
    rest = sorted((id_ % 3, id_) for id_ in set(ids) - picked)
    assert (len(hold), hold.urgent) == (len(rest), sum(rank == 0 for rank, _ in rest))
    assert taken(hold) == [id_ for _, id_ in rest]
    assert hold.urgent == 0


def test_one_that_comes_back_is_given_out_once() -> None:
    """Set aside and held again, many times over, without a trace in memory."""
    hold = Hold()
    hold.add([claimed(number) for number in range(4)])
    for _ in range(500):
        hold.add(hold.pick([2]))
    assert len(hold._heap) <= 2 * 4 + MOST_STALE + 1
    assert taken(hold) == [0, 1, 2, 3]
