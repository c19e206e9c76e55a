"""tocsin.delivery.lane: how much a lane claims, and in what order it gives it out."""

import pytest
from tests.fakes.deliveries import T0, notification

from tocsin.delivery.lane import Lane
from tocsin.model.notification import Priority
from tocsin.store.interface import Claimed

WIDTH, WINDOW = 2, 5


def claimed(id_: int, priority: Priority = Priority.NORMAL) -> Claimed:
    """A claimed delivery."""
    return Claimed(id_, 1, "wh-1", "u", notification(priority=priority), 1, 0)


def lane(held: int = 0, **state: object) -> Lane:
    """A lane that holds some, with something due in the store."""
    made = Lane("https://x", WIDTH, WINDOW, due_at=T0)
    made.hold([claimed(number) for number in range(held)])
    for name, value in state.items():
        setattr(made, name, value)
    return made


def test_given_out_urgent_first_then_by_age() -> None:
    """Whatever the order in which it was claimed."""
    full = lane()
    full.hold([claimed(3), claimed(5, Priority.URGENT), claimed(1, Priority.LOW)])
    full.hold([claimed(2), claimed(4, Priority.URGENT)])
    order = []
    while (one := full.take()) is not None:
        order.append(one.id)
    assert order == [4, 5, 2, 3, 1]


@pytest.mark.parametrize(
    ("held", "state", "wanted"),
    [
        (0, {}, WINDOW),
        (1, {}, WINDOW - 1),
        (2, {}, 0),
        (0, {"claiming": True}, 0),
        (0, {"due_at": None}, 0),
        (0, {"due_at": T0 + 1}, 0),
        (5, {"urgent": True}, WIDTH),
        (9, {"urgent": True}, 1),
        (10, {"urgent": True}, 0),
        (0, {"urgent": True, "claiming": True}, 0),
    ],
)
def test_how_many_it_claims(held: int, state: dict[str, object], wanted: int) -> None:
    """Up to its window, once it runs low; for urgent ones up to another window on top."""
    assert lane(held, **state).wants(T0) == wanted


def test_spare_workers_are_bounded_by_width_and_work() -> None:
    """No worker without something to do."""
    assert [lane(held).spare_workers(T0) for held in (0, 1, 2, 5)] == [0, 1, 2, 2]
    assert lane(5, workers=2).spare_workers(T0) == 0


def test_a_lane_is_idle_when_nothing_is_left() -> None:
    """Held, under way, being claimed, or waiting in the store: each keeps it."""
    assert lane(due_at=None).is_idle(T0)
    busy = [lane(1, due_at=None), lane(), lane(due_at=None, workers=1)]
    assert not any(one.is_idle(T0) for one in [*busy, lane(due_at=None, claiming=True)])


def test_release_gives_back_everything_held() -> None:
    """And leaves nothing to be taken."""
    full = lane(3)
    assert sorted(one.id for one in full.release()) == [0, 1, 2]
    assert full.take() is None
