"""What one attempt came to; a transport returns exactly one of these and decides nothing.

Beside the outcome ride words of a closed set: what the far side asks for beyond this delivery. The
queue acts on them, not the transport (push.md, PU-52).
"""

import enum
from typing import ClassVar

import attrs


class Sign(enum.Enum):
    """What an attempt shows about the far side: what a circuit breaker counts (PU-52, CH-83)."""

    CONTACT = enum.auto()
    """It answered, be it with a refusal that concerns this delivery, or with "not so fast"."""

    FAILURE = enum.auto()
    """It could not be reached, said nothing, or said that it does not work."""

    NOTHING = enum.auto()
    """It was not asked: what went wrong is on our side."""


class Word(enum.Enum):
    """What an answer asks for beyond its own delivery."""

    SUSPEND = enum.auto()
    """Call this channel no more (PU-80)."""

    THROTTLE = enum.auto()
    """Fewer at a time to this lane (PU-81)."""

    HOLD = enum.auto()
    """The other deliveries of this channel wait for `retry_after`, too (PU-81)."""

    DELAY = enum.auto()
    """Less often to this device: its channel waits, longer each time (PU-55)."""

    PAUSE_KEY = enum.auto()
    """The credential is refused: nothing more for any app that uses it, but a probe (PU-53)."""

    PAUSE_APP = enum.auto()
    """The same for this app alone (push.md, C.4)."""

    PAUSE_QUOTA = enum.auto()
    """Everything of this credential waits for `retry_after` (PU-46)."""

    ALARM = enum.auto()
    """Our mistake or our configuration's: an operator should look (push.md, C.3)."""


NO_WORDS: frozenset[Word] = frozenset()


@attrs.frozen
class Delivered:
    """The far side has it. `excerpt` is how its answer begins, for the delivery log."""

    sign: ClassVar[Sign] = Sign.CONTACT
    status: int | None = None
    words: frozenset[Word] = NO_WORDS
    excerpt: bytes = attrs.field(default=b"", eq=False, repr=False)


@attrs.frozen
class Deferred:
    """Not now. `retry_after` (seconds) is a floor the far side asked for.

    `unanswered`: it was written whole and no answer came (CH-83).
    """

    reason: str
    retry_after: float | None = None
    status: int | None = None
    unanswered: bool = False
    sign: Sign = Sign.FAILURE
    words: frozenset[Word] = NO_WORDS
    excerpt: bytes = attrs.field(default=b"", eq=False, repr=False)


@attrs.frozen
class Refused:
    """This notification will never go to this channel."""

    reason: str
    status: int | None = None
    sign: Sign = Sign.CONTACT
    words: frozenset[Word] = NO_WORDS
    excerpt: bytes = attrs.field(default=b"", eq=False, repr=False)


@attrs.frozen
class Gone:
    """This channel will never work again.

    `is_guarded`: the provider says so too when the mistake is ours (PU-49). `since`: when it
    found the device token gone, epoch milliseconds (PU-50).
    """

    sign: ClassVar[Sign] = Sign.CONTACT
    reason: str
    status: int | None = None
    words: frozenset[Word] = NO_WORDS
    excerpt: bytes = attrs.field(default=b"", eq=False, repr=False)
    is_guarded: bool = False
    since: int | None = None


Outcome = Delivered | Deferred | Refused | Gone
