"""What one attempt came to; a transport returns exactly one of these and decides nothing."""

import attrs


@attrs.frozen
class Delivered:
    """The far side has it."""

    status: int | None = None


@attrs.frozen
class Deferred:
    """Not now. `retry_after` (seconds) is a floor the far side asked for.

    `unanswered`: it was written whole and no answer came (CH-83).
    """

    reason: str
    retry_after: float | None = None
    status: int | None = None
    unanswered: bool = False


@attrs.frozen
class Refused:
    """This notification will never go to this channel."""

    reason: str
    status: int | None = None


@attrs.frozen
class Gone:
    """This channel will never work again."""

    reason: str
    status: int | None = None


Outcome = Delivered | Deferred | Refused | Gone
