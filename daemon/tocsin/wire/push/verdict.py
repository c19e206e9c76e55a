"""What a provider's answer to one push means, before anybody acts on it (push.md, PU-52)."""

import enum

import attrs

from tocsin.model.outcome import Outcome


class Cause(enum.Enum):
    """Why a push is worth sending again within its attempt, and what has to be mended first."""

    ENVIRONMENT = enum.auto()
    """The token may be one of the other environment."""

    CONNECTION = enum.auto()
    """The connection is of no more use: over another one."""

    SHUTDOWN = enum.auto()
    """The server goes away: over another connection, a moment later."""

    TOKEN = enum.auto()
    """What we prove ourselves by has run out: with a new one."""

    TRIM = enum.auto()
    """It is too large: with less in it."""


@attrs.frozen
class Repeat:
    """Send again, once the cause is mended; what cannot be mended, or was once before in this
    attempt, comes to `otherwise`."""

    cause: Cause
    otherwise: Outcome


Verdict = Outcome | Repeat
