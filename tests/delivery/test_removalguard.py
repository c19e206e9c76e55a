"""tocsin.delivery.removalguard: when a provider is no longer believed (push.md, PU-49, PU-51)."""

from tests.fakes.deliveries import T0

from tocsin.delivery.removalguard import PROBATION, WINDOW, Answer, Change, RemovalGuard

MINUTE = 60_000
DELIVERED, GUARDED, OTHER = Answer.DELIVERED, Answer.GUARDED, Answer.OTHER


def note(guard: RemovalGuard, answer: Answer, count: int = 1, now: int = T0) -> list[Change]:
    """What so many answers changed."""
    found = [guard.note(answer, now) for _ in range(count)]
    return [change for change in found if change is not None]


def tripped() -> RemovalGuard:
    """A guard that has tripped at T0."""
    guard = RemovalGuard()
    assert note(guard, GUARDED, 10) == [Change.TRIPPED]
    return guard


def test_ten_of_few_trip_it() -> None:
    """The tenth, not the ninth, and only once (PU-49)."""
    guard = RemovalGuard()
    assert note(guard, GUARDED, 9) == []
    assert note(guard, GUARDED, 5) == [Change.TRIPPED]
    assert guard.tripped_at == T0


def test_more_than_a_twentieth_trips_it() -> None:
    """Exactly 5 % does not (PU-49)."""
    guard = RemovalGuard()
    note(guard, DELIVERED, 300)
    note(guard, OTHER, 90)
    assert note(guard, GUARDED, 20) == []
    assert note(guard, GUARDED, 2) == [Change.TRIPPED]


def test_what_is_out_of_the_window_does_not_count() -> None:
    """Ten in ten minutes are no reason (PU-49)."""
    guard = RemovalGuard()
    for number in range(20):
        assert note(guard, GUARDED, 1, T0 + number * WINDOW // 9) == []
    assert note(guard, GUARDED, 9, T0 + 20 * WINDOW // 9) == [Change.TRIPPED]


def test_success_on_probation_clears_it() -> None:
    """After a quarter of an hour, not before (PU-49)."""
    guard = tripped()
    assert note(guard, DELIVERED, 50, T0 + MINUTE) == []
    assert note(guard, GUARDED, 2, T0 + 2 * MINUTE) == []
    assert note(guard, OTHER, 1, T0 + PROBATION - 1) == []
    assert note(guard, OTHER, 1, T0 + PROBATION) == [Change.CLEARED]
    assert guard.tripped_at is None
    assert note(guard, GUARDED, 9, T0 + PROBATION) == []


def test_without_success_the_probation_begins_again() -> None:
    """So it does with too many bad answers (PU-49)."""
    guard = tripped()
    assert note(guard, OTHER, 1, T0 + PROBATION) == []
    note(guard, DELIVERED, 10, T0 + PROBATION + MINUTE)
    note(guard, GUARDED, 1, T0 + PROBATION + MINUTE)
    assert note(guard, DELIVERED, 1, T0 + 2 * PROBATION) == []
    assert note(guard, DELIVERED, 1, T0 + 3 * PROBATION - 1) == []
    assert note(guard, DELIVERED, 1, T0 + 3 * PROBATION) == [Change.CLEARED]


def test_one_that_was_tripped_earlier_is_on_probation() -> None:
    """The time before a restart counts (PU-49)."""
    guard = RemovalGuard(T0)
    assert note(guard, DELIVERED, 1, T0 + PROBATION - 1) == []
    assert note(guard, DELIVERED, 1, T0 + PROBATION) == [Change.CLEARED]


def test_an_operator_clears_it() -> None:
    """And it counts anew (PU-49)."""
    guard = tripped()
    guard.clear()
    assert note(guard, GUARDED, 9) == []
    assert guard.tripped_at is None


def test_many_unregistered_are_noticed() -> None:
    """More than 30 % of at least 100 answers (PU-51)."""
    guard = RemovalGuard()
    seen = []
    for answer, count in ((Answer.UNREGISTERED, 99), (Answer.UNREGISTERED, 1), (DELIVERED, 234)):
        note(guard, answer, count)
        seen.append(guard.is_losing_many)
    assert seen == [False, True, False]
    assert guard.tripped_at is None
