"""A subscription: one service of one user, pointed at one channel (channels.md, section 10)."""

import attrs

from tocsin.model.channel import Channel


@attrs.define(eq=False)
class Subscription:
    """What routing needs of a subscription; its JSON text stays in the store.

    `sender` is set for a receipt subscription (CH-94), `destination` is the sms filter, `listing`
    the presence list or, under a project, its path. `user` is whose notifications it is for,
    `channel.user` may be another one (CH-96). `policy` is `all`, `escalate` or not said (CH-98);
    Times are epoch milliseconds; `expires_at` is for webhooks alone (CH-95) and moves with a
    renewal.
    """

    id: str
    user: str
    service: str
    channel: Channel
    destination: str | None = None
    sender: str | None = None
    listing: str | None = None
    policy: str | None = None
    expires_at: int | None = None
    created_at: int = 0

    @property
    def filter(self) -> tuple[str, str | None, str | None, str | None]:
        """What it lets through: service, destination, sender, list."""
        return (self.service, self.destination, self.sender, self.listing)

    @property
    def identity(self) -> tuple[str, tuple[str, str | None, str | None, str | None]]:
        """Two with the same identity are one subscription (CH-92)."""
        return (self.channel.id, self.filter)

    def is_over(self, now: int) -> bool:
        """Its own time or its channel's is up."""
        return (self.expires_at is not None and self.expires_at <= now) or self.channel.is_over(now)
