"""Identifiers of the messaging face (messaging.md, MS-27, MS-52; RFC 9562)."""

import os
from collections.abc import Callable
from typing import Final
from uuid import UUID, uuid5

from tocsin.model.ids import new_id
from tocsin.wire.messaging.limits import SHORT_CHARACTERS

VERSION: Final = 7 << 76
VARIANT: Final = 2 << 62
RANDOM_BITS: Final = 74
LOW_BITS: Final = 62
NEWEST: Final = (1 << 48 + RANDOM_BITS) - 1
RANDOM_BYTES: Final = 10


def is_subscriber_id(text: str) -> bool:
    """Whether somebody can be called that (section 1): 1 to 128 printable characters."""
    return 1 <= len(text) <= SHORT_CHARACTERS and text.isprintable()


def new_room_id() -> str:
    """An unguessable `channel-id` (MS-27)."""
    return f"r-{new_id()}"


def notification_id(namespace: str, core_user: str) -> str:
    """The id of one recipient's notification where several are told of the same (MS-52).

    `namespace` is the `message-id`, or a fresh UUID for an invitation.
    """
    return str(uuid5(UUID(namespace), core_user))


class MessageIds:
    """Makes `message-id`s: UUIDv7 in lower case, each greater than the one before (MS-27).

    `now` gives epoch milliseconds and `randomness` as many random bytes as it is asked for.
    Within one millisecond, and while the clock stands behind what it has said before, the
    random part counts upwards (RFC 9562, 6.2, method 2); when that is used up the time part runs
    ahead. `after` is the greatest id that was made in an earlier life, so that a clock put back
    over a restart changes nothing.
    """

    def __init__(
        self,
        now: Callable[[], int],
        *,
        randomness: Callable[[int], bytes] = os.urandom,
        after: str | None = None,
    ) -> None:
        self._now = now
        self._randomness = randomness
        self._last = -1 if after is None else _ordinal(UUID(after).int)

    @property
    def last(self) -> str:
        """The greatest so far, "" where there is none: every later one is greater, also in later
        lives if it was stored."""
        return "" if self._last < 0 else str(UUID(int=_spread(self._last)))

    def __call__(self) -> str:
        """The next one. ValueError: there is none, in the year 10889."""
        now = self._now()
        if now > self._last >> RANDOM_BITS:
            drawn = int.from_bytes(self._randomness(RANDOM_BYTES), "big")
            ordinal = now << RANDOM_BITS | drawn & (1 << RANDOM_BITS) - 1
        else:
            ordinal = self._last + 1
        if ordinal > NEWEST:
            raise ValueError("no message-id is left")
        self._last = ordinal
        return str(UUID(int=_spread(ordinal)))


def _spread(ordinal: int) -> int:
    """48 bits of time and 74 that are random, with version and variant put between."""
    low = ordinal & (1 << LOW_BITS) - 1
    high = ordinal >> LOW_BITS
    time, middle = high >> 12, high & 0xFFF
    return time << 80 | VERSION | middle << 64 | VARIANT | low


def _ordinal(uuid: int) -> int:
    """The reverse of `_spread`."""
    time, middle = uuid >> 80, uuid >> 64 & 0xFFF
    return time << RANDOM_BITS | middle << LOW_BITS | uuid & (1 << LOW_BITS) - 1
