"""tocsin.delivery.lane: how much a lane claims, and in what order it gives it out."""

import pytest
from tests.fakes.deliveries import T0, notification

from tocsin.delivery.lane import Lane
from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Delivered, Outcome, Refused, Word
from tocsin.store.records import Claimed

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


# -- throttling (PU-81) --------------------------------------------------------------------

BUSY = Deferred("http_5xx", status=503, words=frozenset({Word.THROTTLE}))
OK = Delivered(200)


def throttled(*outcomes: Outcome, full_width: int = 8) -> Lane:
    """A lane that has met these one after the other."""
    made = Lane("https://x", full_width, WINDOW)
    for outcome in outcomes:
        made.learn(outcome, era=made.breaker.era, now=T0)
    return made


@pytest.mark.parametrize(
    ("outcomes", "width"),
    [
        ([BUSY], 4),
        ([BUSY] * 2, 2),
        ([BUSY] * 9, 1),
        ([BUSY] + [OK] * 9, 4),
        ([BUSY] + [OK] * 10, 5),
        ([BUSY] + [OK] * 9 + [BUSY] + [OK] * 9, 2),
        ([BUSY] + [OK] * 1000, 8),
        ([BUSY] + [Refused("no")] * 100, 4),
    ],
)
def test_how_wide_a_throttled_lane_is(outcomes: list[Outcome], width: int) -> None:
    """Halved, at least 1; one more per ten successes since, up to its full width (PU-81)."""
    lane = throttled(*outcomes)
    assert (lane.width, lane.most(T0)) == (width, width)


def test_a_lane_counts_as_throttled_for_a_minute() -> None:
    """However soon it is wide again, and as long as it is not."""
    wide, narrow = throttled(BUSY, *[OK] * 40), throttled(BUSY)
    assert [wide.reason(T0 + after) for after in (0, 59_999, 60_000)] == ["throttled"] * 2 + [None]
    assert narrow.reason(T0 + 60_000) == "throttled"
    assert wide.next_look(T0) == T0 + 60_000


def test_the_weightier_reason_is_told() -> None:
    """An operator's word, then the breaker, then the width."""
    lane = throttled(*[BUSY] * 10)
    assert lane.reason(T0) == "breaker"
    lane.paused = True
    assert (lane.reason(T0), lane.most(T0 + 30_000)) == ("paused", 0)
    lane.paused = False
    assert (lane.most(T0 + 30_000), lane.reason(T0 + 30_000)) == (1, "breaker")


def test_a_half_open_lane_claims_one() -> None:
    """And only when nothing of it is under way; an open one claims nothing."""
    lane = throttled(*[Deferred("connect")] * 10)
    lane.due_at = T0
    assert lane.wants(T0) == 0
    later = T0 + 30_000
    assert lane.wants(later) == 1
    lane.workers = 1
    assert lane.wants(later) == 0
    lane.workers = 0
    lane.hold([claimed(1)])
    assert (lane.wants(later), lane.spare_workers(later)) == (0, 1)


def test_what_an_operator_unblocks_begins_anew() -> None:
    """Full width, a closed breaker; attempts under way do not tell about the new time."""
    lane = throttled(*[BUSY] * 10)
    lane.blocked, before = "breaker", lane.breaker.era
    assert lane.unblock()
    lane.learn(Deferred("connect"), era=before, now=T0)
    assert (lane.reason(T0), lane.width, lane.is_idle(T0)) == (None, 8, True)


def test_what_a_lane_remembers_keeps_it() -> None:
    """A failure for a minute, a pause for ever (delivery.md, circuit breaker)."""
    failed, paused = throttled(Deferred("connect")), throttled()
    paused.paused = True
    assert [one.is_idle(T0 + 59_999) for one in (failed, paused)] == [False, False]
    assert [one.is_idle(T0 + 60_000) for one in (failed, paused)] == [True, False]
    assert failed.next_look(T0) == T0 + 60_000
