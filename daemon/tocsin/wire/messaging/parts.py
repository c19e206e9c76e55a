"""Long lists cut up (messaging.md, MS-28, MS-30)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

MOST_ENTRIES: Final = 100
MOST_BYTES: Final = 512 * 1024
AROUND: Final = 10_240
"""Enough for what stands around the entries: names, and two ids of 1,024 characters."""


def parts(entries: Iterable[bytes]) -> Iterator[tuple[list[bytes], bool]]:
    """The entries in parts that fit into a message, each with whether more follow.

    There is always a part, maybe an empty one. An entry that is too large for any is one alone;
    the limits of section 12 let none come about.
    """
    part: list[bytes] = []
    room = MOST_BYTES - AROUND
    for entry in entries:
        room -= len(entry) + 1
        if part and (len(part) == MOST_ENTRIES or room < 0):
            yield part, True
            part = []
            room = MOST_BYTES - AROUND - len(entry) - 1
        part.append(entry)
    yield part, False


def fitting(entries: Sequence[bytes], *, from_end: bool = False) -> Sequence[bytes]:
    """Those entries at the beginning, or at the end, that fit into one message; one always does.

    History is cut on the side away from where the client stands: at the beginning, unless it
    asked for what comes after something.
    """
    ordered = entries[::-1] if from_end else entries
    first, _ = next(parts(ordered))
    return first[::-1] if from_end else first
