"""What has no cursor and waits for its connection (messaging.md, 6 and 8)."""

from collections.abc import Iterator
from typing import Final

MOST_STATES: Final = 4096
MOST_HINTS: Final = 16


class News:
    """Notes, each with the number of the Log it came behind; and the latest state of each
    subscriber. Bounded: who lags too far behind is to be sent away."""

    __slots__ = ("_most", "_notes", "_states")

    def __init__(self, most: int) -> None:
        """`most` is how many notes may wait."""
        self._most = most
        self._notes: list[tuple[int, bytes]] = []
        self._states: dict[int, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._notes or self._states)

    @property
    def has_notes(self) -> bool:
        """Some wait."""
        return bool(self._notes)

    def note(self, text: bytes, *, behind: int) -> bool:
        """Keep a text; False if too many wait already."""
        self._notes.append((behind, text))
        return len(self._notes) <= self._most

    def hint(self, text: bytes, *, behind: int) -> None:
        """Keep a text that may as well be dropped."""
        if len(self._notes) < MOST_HINTS:
            self._notes.append((behind, text))

    def next_note(self, position: int) -> bytes | None:
        """The text that is next where everything up to `position` was sent."""
        if self._notes and self._notes[0][0] <= position:
            return self._notes[0][1]
        return None

    def drop_note(self) -> None:
        """It was sent."""
        del self._notes[0]

    def is_known(self, about: int) -> bool:
        """Whether an older state of this subscriber waits."""
        return about in self._states

    def state(self, about: int, text: bytes) -> bool:
        """Keep the state of a subscriber in place of an older one; False if there are too many."""
        self._states[about] = text
        return len(self._states) <= MOST_STATES

    def states(self) -> Iterator[bytes]:
        """The states, each gone from here when the next is asked for."""
        while self._states:
            about = next(iter(self._states))
            yield self._states[about]
            del self._states[about]
