"""A channel: where one client wants to be reached (channels.md, sections 3 to 5)."""

import enum

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
BY_LOWER_NAME = {kind.lower(): kind for kind in ChannelType}


class ChannelState(enum.IntEnum):
    """What a channel's own record says; whether it is connected, only its session knows."""

    ACTIVE = 0
    SUSPENDED = 1


@attrs.frozen
class Webhook:
    """Where and how a `Webhooks` channel is called (section 9). The last two are secrets."""

    url: str
    origin: str
    authorization: str | None = attrs.field(default=None, repr=False)
    secret: str | None = attrs.field(default=None, repr=False)


@attrs.define(eq=False)
class Channel:
    """One channel; there is one object of it per process.

    `key` is the store's own short name for it, 0 until it is stored. Times are epoch
    milliseconds, `lifetime` is seconds. `expires_at` and `state` change as the channel lives;
    `last_seq` numbers what was written to its client (CH-56).
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
    state: ChannelState = ChannelState.ACTIVE
    last_seq: int = 0
    key: int = 0

    @classmethod
    def new_id(cls, kind: ChannelType) -> str:
        """A fresh id for a channel of this type."""
        return new_channel_id(kind.prefix)

    @property
    def lane(self) -> str | None:
        """The far side it shares a fate with; None where the client comes to us."""
        return self.webhook.origin if self.webhook else None

    def is_over(self, now: int) -> bool:
        """Its clock has run out, whether or not anyone has cleaned up yet (CH-43)."""
        return self.expires_at is not None and self.expires_at <= now

    def restart_clock(self, now: int) -> None:
        """The full granted lifetime starts again (CH-41)."""
        if self.lifetime is not None:
            self.expires_at = now + self.lifetime * 1000
