"""tocsin.delivery.lane: how much a lane claims, and in what order it gives it out."""

import pytest
from tests.fakes.deliveries import T0, notification

from tocsin.delivery.lane import Lane
from tocsin.delivery.lanememory import Remembered
from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Delivered, Outcome, Refused, Word
from tocsin.store.records import Claimed

WIDTH, WINDOW = 2, 5


def claimed(id_: int, priority: Priority = Priority.NORMAL) -> Claimed:
    """A claimed delivery."""
    return Claimed(id_, 1, "wh-1", "u", notification(priority=priority), 1, 0)


def lane(held: int = 0, urgent: int = 0, **state: object) -> Lane:
    """A lane that holds some, with something due in the store."""
    made = Lane("https://x", WIDTH, WINDOW, due_at=T0)
    made.hold.add([claimed(number) for number in range(held)])
    made.hold.add([claimed(1000 + number, Priority.URGENT) for number in range(urgent)])
    for name, value in state.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("held", "state", "wanted"),
    [
        (0, {}, (WINDOW, 0)),
        (1, {}, (WINDOW - 1, 0)),
        (2, {}, (0, 0)),
        (0, {"claiming": True}, (0, 0)),
        (0, {"due_at": None}, (0, 0)),
        (0, {"due_at": T0 + 1}, (0, 0)),
        (0, {"urgent_at": T0}, (WINDOW, WINDOW)),
        (5, {"urgent_at": T0}, (0, WINDOW)),
        (5, {"urgent_at": T0 + 1}, (0, 0)),
        (0, {"urgent_at": T0, "claiming": True}, (0, 0)),
        (0, {"urgent_at": T0, "paused": True}, (0, 0)),
    ],
)
def test_how_many_it_claims(held: int, state: dict[str, object], wanted: tuple[int, int]) -> None:
    """Up to its window, once it runs low; urgent ones up to a window of their own."""
    assert lane(held, **state).wants(T0) == wanted


def test_its_windows_bound_what_it_holds() -> None:
    """However many urgent ones there are; claimed anew when one window or the other runs low."""
    assert lane(5, urgent=1, urgent_at=T0).wants(T0) == (0, WINDOW - 1)
    assert lane(5, urgent=2, urgent_at=T0).wants(T0) == (0, 0)
    assert lane(urgent=2 * WINDOW, urgent_at=T0).wants(T0) == (0, 0)
    assert [lane(5, urgent=n, urgent_at=T0).is_low(T0) for n in (0, 1, 2)] == [True, True, False]
    assert [lane(n, urgent_at=T0 + 1).is_low(T0) for n in (1, 2)] == [True, False]


def test_what_is_heard_while_it_claims_is_kept() -> None:
    """The claim under way may not have seen it; the sooner time counts."""
    busy = lane(urgent_at=T0)
    busy.begin_claim(T0)
    assert (busy.due_at, busy.urgent_at, busy.wants(T0)) == (None, None, (0, 0))
    assert busy.note_due(T0 + 5, T0 + 9)
    assert not busy.note_due(T0 + 7)
    assert busy.note_due(None, T0 + 8)
    assert (busy.due_at, busy.urgent_at) == (T0 + 5, T0 + 8)
    assert busy.next_look(T0) == T0 + 5


def test_spare_workers_are_bounded_by_width_and_work() -> None:
    """No worker without something to do."""
    assert [lane(held).spare_workers(T0) for held in (0, 1, 2, 5)] == [0, 1, 2, 2]
    assert lane(5, workers=2).spare_workers(T0) == 0


def test_a_lane_is_idle_when_nothing_is_left() -> None:
    """Held, under way, being claimed, or waiting in the store: each keeps it."""
    assert lane(due_at=None).is_idle(T0)
    busy = [lane(1, due_at=None), lane(), lane(due_at=None, workers=1)]
    assert not any(one.is_idle(T0) for one in [*busy, lane(due_at=None, claiming=True)])


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


def test_a_lane_is_throttled_while_it_is_narrow() -> None:
    """Not a moment longer, and as long as it is (PU-81)."""
    assert throttled(BUSY).reason(T0 + 600_000) == "throttled"
    assert throttled(BUSY, *[OK] * 39).reason(T0) == "throttled"
    assert throttled(BUSY, *[OK] * 40).reason(T0) is None


def test_a_lane_is_throttled_while_it_was_told_to_wait() -> None:
    """Until then, unless something arrives before; however narrow it always is (PU-81)."""
    asked = Deferred("http_429", 20.0, 429, words=frozenset({Word.THROTTLE, Word.HOLD}))
    waiting = throttled(asked, full_width=1)
    assert [waiting.reason(T0 + after) for after in (0, 19_999, 20_000)] == ["throttled"] * 2 + [
        None
    ]
    assert waiting.next_look(T0) == T0 + 20_000
    assert throttled(asked, OK, full_width=1).reason(T0) is None


def test_a_lane_remembers_its_width_for_a_minute() -> None:
    """Though it has nothing to do in between."""
    idle = throttled(BUSY)
    assert [idle.is_idle(T0 + after) for after in (59_999, 60_000)] == [False, True]


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
    assert lane.wants(T0) == (0, 0)
    later = T0 + 30_000
    assert lane.wants(later) == (1, 0)
    lane.workers = 1
    assert lane.wants(later) == (0, 0)
    lane.workers = 0
    lane.hold.add([claimed(1)])
    assert (lane.wants(later), lane.spare_workers(later)) == ((0, 0), 1)


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


def test_what_is_remembered_of_a_lane() -> None:
    """An operator's pause and an open breaker, as they were; nothing of one that flows."""
    assert throttled(BUSY).to_remember is None
    failed = throttled(*[Deferred("connect")] * 10)
    failed.paused = True
    remembered = failed.to_remember
    assert remembered == Remembered(paused=True, until=T0 + 30_000, rest=30_000)
    again = Lane("https://x", WIDTH, WINDOW)
    again.recall(Remembered.from_bytes(remembered.to_bytes()), T0 + 10_000)
    assert (again.paused, again.most(T0 + 40_000)) == (True, 0)
    again.paused = False
    assert [again.most(T0 + after) for after in (29_999, 30_000)] == [0, 1]
    again.learn(Deferred("connect"), era=again.breaker.era, now=T0 + 30_000)
    assert again.breaker.until == T0 + 90_000


def test_a_remembered_breaker_is_not_open_for_ever() -> None:
    """Though the wall clock was set back between two runs."""
    again = Lane("https://x", WIDTH, WINDOW)
    again.recall(Remembered(paused=False, until=T0 + 10**9, rest=30_000), T0)
    assert again.breaker.until == T0 + 600_000


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[1,2,3]", b"[true,2]", b'[true,"2",3]', b"[true,2,"]
)
def test_what_is_damaged_is_not_remembered(text: bytes) -> None:
    """Another version's, or nobody's."""
    with pytest.raises(ValueError):  # noqa: PT011 - either of two kinds
        Remembered.from_bytes(text)


def test_another_width() -> None:
    """OP-7: a lane that is throttled is so no less, one that is not has all of the new width."""
    free, throttled = Lane("apns/a", 8, 64), Lane("apns/b", 8, 64)
    throttled.width = 2
    for lane in (free, throttled):
        lane.resize(4, 32, 1)
    assert [(one.full_width, one.width) for one in (free, throttled)] == [(4, 4), (4, 2)]
    for lane in (free, throttled):
        lane.resize(16, 64, 1)
    assert [(one.full_width, one.width) for one in (free, throttled)] == [(16, 16), (16, 2)]
