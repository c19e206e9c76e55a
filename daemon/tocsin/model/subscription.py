"""A subscription: one service of one user, pointed at one channel (channels.md, section 10)."""

import attrs

from tocsin.model.channel import Channel


@attrs.frozen(eq=False)
class Subscription:
    """What routing needs of a subscription; its JSON text stays in the store.

    `sender` is set for a receipt subscription (CH-94), `destination` is the sms filter.
    """

    id: str
    user: str
    service: str
    channel: Channel
    destination: str | None = None
    sender: str | None = None

    @property
    def identity(self) -> tuple[str, str, str | None, str | None]:
        """Two with the same identity are one subscription (CH-92)."""
        return (self.service, self.channel.id, self.destination, self.sender)
