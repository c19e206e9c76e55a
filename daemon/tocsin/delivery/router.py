"""Which channels a notification goes to: a pure function of subscriptions and time."""

from collections.abc import Iterable

from tocsin.model.channel import Channel
from tocsin.model.notification import Notification
from tocsin.model.services import STANDARD, Services
from tocsin.model.subscription import Subscription

RECEIPTS = "deliveryInfoNotification"


def fan_out(
    notification: Notification,
    subscriptions: Iterable[Subscription],
    now: int,
    *,
    services: Services = STANDARD,
) -> list[Channel]:
    """The channels of every matching subscription, each once (CH-92 to CH-95)."""
    service = notification.service
    types = services.types_of(service)
    chosen: dict[int, Channel] = {}
    for subscription in subscriptions:
        channel = subscription.channel
        if (
            subscription.service == service
            and channel.key not in chosen
            and channel.type in types
            and lets_through(subscription, notification, now)
        ):
            chosen[channel.key] = channel
    return list(chosen.values())


def lets_through(subscription: Subscription, notification: Notification, now: int) -> bool:
    """Whether a subscription to the service of a notification of its user is for this one."""
    return not subscription.is_over(now) and (
        (subscription.destination is None and subscription.sender is None)
        or _passes(subscription, notification)
    )


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
