"""Channels, subscriptions and notifications, as plain as a test allows."""

import itertools

from tocsin.model.channel import Channel, ChannelType, Device, Webhook
from tocsin.model.notification import Notification, Priority
from tocsin.model.subscription import Subscription

T0 = 1_700_000_000_000
WEEK = 7 * 86_400_000
HOOK = "https://hook.example"

_numbers = itertools.count(1)


def socket_channel(
    user: str = "u",
    *,
    lifetime: int = 3600,
    now: int = T0,
    correlator: str = "device",
    kind: ChannelType = ChannelType.WEBSOCKETS,
) -> Channel:
    """A websockets (or LongPolling) channel whose clock runs from `now`."""
    return Channel(
        Channel.new_id(kind),
        user,
        kind,
        now,
        correlator,
        lifetime=lifetime,
        expires_at=now + lifetime * 1000,
    )


def device_channel(
    user: str = "u",
    token: str = "token",
    *,
    app: str = "com.example.app",
    correlator: str = "phone",
    now: int = T0,
) -> Channel:
    """An OMAPush channel of an app on a phone."""
    return Channel(
        Channel.new_id(ChannelType.OMAPUSH),
        user,
        ChannelType.OMAPUSH,
        now,
        correlator,
        device=Device("apns", app, token, now),
    )


def webhook_channel(
    user: str = "u", origin: str = HOOK, *, path: str = "/in", correlator: str = "app"
) -> Channel:
    """A Webhooks channel; `origin` is its lane."""
    return Channel(
        Channel.new_id(ChannelType.WEBHOOKS),
        user,
        ChannelType.WEBHOOKS,
        T0,
        correlator,
        webhook=Webhook(origin + path, origin),
    )


def notification(
    id_: str | None = None,
    *,
    user: str = "u",
    service: str = "sms",
    priority: Priority = Priority.NORMAL,
    order_key: str | None = None,
    accepted_at: int = T0,
    expires_in: int = WEEK,
    root_key: str = "smsEventNotification",
    destination: str | None = None,
    producer: str = "",
    is_named: bool = False,
) -> Notification:
    """A notification; without an order key of its own it stands in nobody's way."""
    id_ = id_ or f"n{next(_numbers)}"
    return Notification(
        id_,
        user,
        service,
        root_key,
        b'{"%b":{"id":"%b"}}' % (root_key.encode(), id_.encode()),
        priority,
        accepted_at,
        accepted_at + expires_in,
        order_key or f"alone {id_}",
        destination=destination,
        producer=producer,
        is_named=is_named,
    )


def subscription(
    channel: Channel,
    service: str = "sms",
    *,
    destination: str | None = None,
    sender: str | None = None,
    user: str | None = None,
    expires_at: int | None = None,
) -> Subscription:
    """A subscription of the channel's user, unless it is said whose."""
    number = next(_numbers)
    id_ = f"00000000-0000-0000-0000-{number:012d}"
    return Subscription(
        id_, user or channel.user, service, channel, destination, sender, expires_at=expires_at
    )
