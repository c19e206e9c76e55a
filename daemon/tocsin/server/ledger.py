"""How many bytes requests and answers hold in memory, all clients taken together (SE-5).

A body counts as it arrives, and until it has been answered; an answer until the kernel has taken
all of it. Nobody waits for room: what does not fit is refused, so that nothing can stand still.

The last quarter is for what is small: a few large bodies that trickle in, or large answers that
nobody reads, do not keep ordinary requests out.
"""

from collections.abc import Callable
from typing import Final

from tocsin.model.errors import RequestError, unavailable

BODY: Final = "body"
ANSWER: Final = "answer"
LABEL: Final = "memory"
RETRY: Final = 5
SMALL: Final = 65_536


class Ledger:
    """The bytes in use, and how often something was refused for them, by what it was."""

    def __init__(self, most: Callable[[], int]) -> None:
        """`most` is asked each time, as the bound may change while there are connections."""
        self._most = most
        self.in_use = 0
        self.refused = {BODY: 0, ANSWER: 0}

    def has_room(self, held: int, more: int) -> bool:
        """Whether who holds so much may hold so much more."""
        most = self._most()
        return self.in_use + more <= (most if held + more <= SMALL else most * 3 // 4)

    def refusal(self, kind: str) -> RequestError:
        """503 for a `BODY` or an `ANSWER` there was no room for; it is counted."""
        self.refused[kind] += 1
        return unavailable(LABEL, retry_after=RETRY)


class Share:
    """What one connection holds at a time; to be cleared when that has gone."""

    __slots__ = ("_held", "_ledger")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held = 0

    def grow(self, more: int) -> bool:
        """Count so many bytes more, if there is room for them; whether there was."""
        if not self._ledger.has_room(self._held, more):
            return False
        self.add(more)
        return True

    def add(self, more: int) -> None:
        """Count what is there whether there is room or not."""
        self._held += more
        self._ledger.in_use += more

    def clear(self) -> None:
        """Nothing of it is in memory any more."""
        self._ledger.in_use -= self._held
        self._held = 0
