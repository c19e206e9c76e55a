"""Whether to believe a provider that says tokens of an app are gone (push.md, PU-49, PU-51).

Some answers often mean that the mistake is ours: a wrong key, topic or environment makes every
token look bad. Too many of those within a window trip the app's guard; from then on a probation
of a quarter of an hour with some success and few such answers clears it again.
"""

import enum
from collections import deque

import attrs

WINDOW = 300_000
SLICE = 10_000
FEWEST_GUARDED = 10
GUARDED_PERCENT = 5
FEWEST_ANSWERS = 100
UNREGISTERED_PERCENT = 30
PROBATION = 900_000


class Answer(enum.Enum):
    """What a provider said of one push, as far as it matters here."""

    DELIVERED = enum.auto()
    GUARDED = enum.auto()
    UNREGISTERED = enum.auto()
    OTHER = enum.auto()


class Change(enum.Enum):
    """What an answer did to the guard."""

    TRIPPED = enum.auto()
    CLEARED = enum.auto()


@attrs.define
class _Slice:
    """Answers in a slice of the window, or in all of it."""

    number: int = 0
    answers: int = 0
    delivered: int = 0
    guarded: int = 0
    unregistered: int = 0

    def add(self, answer: Answer) -> None:
        self.answers += 1
        self.delivered += answer is Answer.DELIVERED
        self.guarded += answer is Answer.GUARDED
        self.unregistered += answer is Answer.UNREGISTERED

    def subtract(self, other: "_Slice") -> None:
        self.answers -= other.answers
        self.delivered -= other.delivered
        self.guarded -= other.guarded
        self.unregistered -= other.unregistered

    @property
    def is_suspicious(self) -> bool:
        """Too many of the answers may be our mistake."""
        return 100 * self.guarded > GUARDED_PERCENT * self.answers


@attrs.define(eq=False)
class RemovalGuard:
    """The guard of one app. Times are epoch milliseconds; `tripped_at` is None while it is
    clear."""

    tripped_at: int | None = None
    _slices: deque[_Slice] = attrs.field(factory=deque)
    _window: _Slice = attrs.field(factory=_Slice)
    _probation: _Slice = attrs.field(factory=_Slice)
    _probation_ends: int = attrs.field(
        default=attrs.Factory(lambda self: (self.tripped_at or 0) + PROBATION, takes_self=True)
    )

    def note(self, answer: Answer, now: int) -> Change | None:
        """Count an answer; what it changed."""
        self._count(answer, now)
        if self.tripped_at is not None:
            return self._prove(answer, now)
        if self._window.guarded >= FEWEST_GUARDED and self._window.is_suspicious:
            self.tripped_at = now
            self._begin_probation(now)
            return Change.TRIPPED
        return None

    def clear(self) -> None:
        """Believe the provider again, and begin to count anew."""
        self.tripped_at = None
        self._slices.clear()
        self._window = _Slice()

    @property
    def is_losing_many(self) -> bool:
        """So many tokens of the window's pushes were gone that somebody should look (PU-51)."""
        window = self._window
        return (
            window.answers >= FEWEST_ANSWERS
            and 100 * window.unregistered > UNREGISTERED_PERCENT * window.answers
        )

    def _count(self, answer: Answer, now: int) -> None:
        number = now // SLICE
        slices = self._slices
        if not slices or slices[-1].number != number:
            slices.append(_Slice(number))
        while slices[0].number <= number - WINDOW // SLICE:
            self._window.subtract(slices.popleft())
        slices[-1].add(answer)
        self._window.add(answer)

    def _prove(self, answer: Answer, now: int) -> Change | None:
        self._probation.add(answer)
        if now < self._probation_ends:
            return None
        if self._probation.delivered and not self._probation.is_suspicious:
            self.clear()
            return Change.CLEARED
        self._begin_probation(now)
        return None

    def _begin_probation(self, now: int) -> None:
        self._probation = _Slice()
        self._probation_ends = now + PROBATION
