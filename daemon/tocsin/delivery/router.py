"""Which channels a notification goes to: a pure function of subscriptions and time."""

from collections.abc import Iterable

from tocsin.model.channel import Channel
from tocsin.model.notification import Notification
from tocsin.model.services import CHANNEL_TYPES
from tocsin.model.subscription import Subscription

RECEIPTS = "deliveryInfoNotification"


def fan_out(
    notification: Notification, subscriptions: Iterable[Subscription], now: int
) -> list[Channel]:
    """The channels of every matching subscription, each once (CH-92 to CH-94)."""
    allowed = CHANNEL_TYPES[notification.service]
    chosen: dict[int, Channel] = {}
    for subscription in subscriptions:
        channel = subscription.channel
        if (
            subscription.service == notification.service
            and channel.key not in chosen
            and channel.type in allowed
            and not channel.is_over(now)
            and _passes(subscription, notification)
        ):
            chosen[channel.key] = channel
    return list(chosen.values())


def _passes(subscription: Subscription, notification: Notification) -> bool:
    if subscription.sender is not None and notification.root_key != RECEIPTS:
        return False
    return (
        subscription.destination is None
        or notification.destination is None
        or subscription.destination == address(notification.destination)
    )


def address(text: str) -> str:
    """A telephone address without its `tel:` (CH-94)."""
    return text.removeprefix("tel:")
