"""The steps of a script (`channel_script`). `pick` counts what there is from the newest on."""

import attrs

from tocsin.model.channel import ChannelType


@attrs.frozen
class Create:
    """POST a channel."""

    kind: ChannelType
    correlator: str
    lifetime: int | None
    role: str | None
    token: str


@attrs.frozen
class Prolong:
    """PUT a lifetime."""

    pick: int
    lifetime: int


@attrs.frozen
class Delete:
    """DELETE a channel."""

    pick: int


@attrs.frozen
class Subscribe:
    """POST a subscription."""

    pick: int
    service: str


@attrs.frozen
class Unsubscribe:
    """DELETE a subscription."""

    pick: int


@attrs.frozen
class Publish:
    """A notification of some service that is subscribed to."""

    pick: int
    expires_in: int


@attrs.frozen
class Connect:
    """Open a socket, maybe beside an older one; a mute client never answers."""

    pick: int
    mute: bool


@attrs.frozen
class Leave:
    """A client closes its socket, or without a code just cuts the connection."""

    pick: int
    code: int | None


@attrs.frozen
class Leap:
    """Time passes."""

    seconds: float


@attrs.frozen
class Restart:
    """The process ends, with a drain or by SIGKILL, and comes back later."""

    crashed: bool
    away: float


@attrs.frozen
class Poll:
    """POST a poll; `claim`: the place in the list of positions the client says it is at."""

    pick: int
    claim: int | None


@attrs.frozen
class HangUp:
    """A client whose poll is held goes away."""

    pick: int


Step = (
    Create
    | Prolong
    | Delete
    | Subscribe
    | Unsubscribe
    | Publish
    | Connect
    | Leave
    | Poll
    | HangUp
    | Leap
    | Restart
)
