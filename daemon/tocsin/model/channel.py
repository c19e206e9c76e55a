"""A channel: where one client wants to be reached (channels.md, sections 3 to 5)."""

import enum
from typing import Self

import attrs

from tocsin.model.ids import new_channel_id


class ChannelType(enum.StrEnum):
    """The four types, in the spelling every `netapi` answer uses (CH-30)."""

    WEBSOCKETS = "websockets"
    OMAPUSH = "OMAPush"
    WEBHOOKS = "Webhooks"
    LONG_POLLING = "LongPolling"

    @property
    def prefix(self) -> str:
        """What the ids of this type start with (CH-7)."""
        return _PREFIXES[self]

    @property
    def is_polled(self) -> bool:
        """The client comes to us: no lane, no retry timer, deliveries wait for it."""
        return self in {ChannelType.WEBSOCKETS, ChannelType.LONG_POLLING}


_PREFIXES = {
    ChannelType.WEBSOCKETS: "ws",
    ChannelType.OMAPUSH: "ps",
    ChannelType.WEBHOOKS: "wh",
    ChannelType.LONG_POLLING: "lp",
}
LONGEST_HOLD = 86_400_000
BY_LOWER_NAME = {kind.lower(): kind for kind in ChannelType}


def type_of_lane(lane: str) -> ChannelType:
    """Whose channels a lane is of: webhooks' are origins, devices' a provider and an app."""
    return ChannelType.WEBHOOKS if "://" in lane else ChannelType.OMAPUSH


class ChannelState(enum.IntEnum):
    """What a channel's own record says; whether it is connected, only its session knows."""

    ACTIVE = 0
    SUSPENDED = 1


@attrs.frozen
class Webhook:
    """Where and how a `Webhooks` channel is called (section 9); three of these are secrets.

    Until `rotated_until` (epoch milliseconds) the `previous` secret signs beside the one in force;
    none stands for the configured one (PU-77).
    """

    url: str
    origin: str
    authorization: str | None = attrs.field(default=None, repr=False)
    secret: str | None = attrs.field(default=None, repr=False)
    previous: str | None = attrs.field(default=None, repr=False)
    rotated_until: int | None = None

    def rotated(self, secret: str, *, until: int) -> Self:
        """The same with another secret; of several rotations the newest two sign."""
        if secret == self.secret:
            return self
        return attrs.evolve(self, secret=secret, previous=self.secret, rotated_until=until)


@attrs.frozen
class Device:
    """The app on the phone an `OMAPush` channel is for (section 8). The token is a secret.

    `registered_at`: when the token was last given, epoch milliseconds (CH-76).
    """

    provider: str
    app: str
    token: str = attrs.field(repr=False)
    registered_at: int = 0

    @property
    def is_voip(self) -> bool:
        """A PushKit channel: calls only (CH-73)."""
        return self.provider == "apns" and self.app.endswith(".voip")

    @property
    def lane(self) -> str:
        """The provider app, which shares a fate."""
        return f"{self.provider}/{self.app}"


@attrs.define(eq=False)
class Channel:
    """One channel; there is one object of it per process.

    `key` is the store's own short name for it, 0 until it is stored. Times are epoch
    milliseconds, `lifetime` is seconds. `expires_at` and `state` change as the channel lives;
    `last_seq` numbers what was written to its client (CH-56). `echoed` are members that mean
    nothing to us and are answered as they came. `used_at`: when a webhook was last asked for or
    lost a subscription (CH-42). `failing_since`: of the attempts at a webhook since then none has
    succeeded (delivery.md, auto-disable). `held_until`: its receiver has asked to be left alone
    (PU-81), or its device is given a rest (PU-55).

    `reserved` is set once the client has been told a position: no sequence beyond it is given
    before the store knows a higher one, so that none is given twice. None: it never asked.

    Of this process alone: since when it has neither socket nor poll (`left_at`, None while it
    has), whether its client said good-bye (`left_cleanly`), up to which sequence an answer to a
    poll has gone out whole (`answered_seq`, CH-67), for how long a device was last given a rest,
    in milliseconds (`rest`, PU-55), how often in a row its token was said to be gone by what was
    known before it was registered (`stale_answers`, PU-50), until when deliveries wait for
    another leg's receipt at most (`escalates_at`), and how many deliveries and bytes may be
    accepted for it before the store has to count what it holds (see `delivery/bounds`).
    """

    id: str
    user: str
    type: ChannelType
    created_at: int
    client_correlator: str
    application_tag: str | None = None
    creator: str | None = None
    lifetime: int | None = None
    expires_at: int | None = None
    check_role: str | None = None
    webhook: Webhook | None = None
    device: Device | None = None
    max_notifications: int | None = None
    echoed: dict[str, str] | None = attrs.field(default=None, repr=False)
    used_at: int | None = None
    failing_since: int | None = None
    held_until: int = 0
    state: ChannelState = ChannelState.ACTIVE
    last_seq: int = 0
    reserved: int | None = None
    left_at: int | None = attrs.field(
        default=attrs.Factory(lambda self: self.created_at, takes_self=True)
    )
    left_cleanly: bool = False
    answered_seq: int = 0
    rest: int = 0
    stale_answers: int = 0
    escalates_at: int = 0
    room: int = 0
    room_bytes: int = 0
    key: int = 0

    @classmethod
    def new_id(cls, kind: ChannelType) -> str:
        """A fresh id for a channel of this type."""
        return new_channel_id(kind.prefix)

    @property
    def lane(self) -> str | None:
        """The far side it shares a fate with; None where the client comes to us."""
        if self.webhook is not None:
            return self.webhook.origin
        return self.device.lane if self.device is not None else None

    @property
    def epoch(self) -> str:
        """Names the numbering of what was written to its client; one for its whole life."""
        return f"{self.created_at:x}"

    def is_over(self, now: int) -> bool:
        """Its clock has run out, whether or not anyone has cleaned up yet (CH-43)."""
        return self.expires_at is not None and self.expires_at <= now

    def held_for(self, now: int) -> int:
        """How many milliseconds its receiver is still to be left alone. Nobody is heard who asks
        for more than a day (PU-79): what is later is from before the clock was set back."""
        left = self.held_until - now
        return left if 0 < left <= LONGEST_HOLD else 0

    def seconds_run(self, now: int) -> float:
        """How long its clock has run down since it was last started; 0 if it has none."""
        if self.expires_at is None or self.lifetime is None:
            return 0
        return self.lifetime - (self.expires_at - now) / 1000

    def restart_clock(self, now: int) -> None:
        """The full granted lifetime starts again (CH-41); without one there is no end."""
        self.expires_at = end_of(self.lifetime, now)


def end_of(lifetime: int | None, now: int) -> int | None:
    """When a clock that starts now with this lifetime runs out; without one there is no end."""
    return None if lifetime is None else now + lifetime * 1000
