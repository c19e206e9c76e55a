"""From rows to values and back: the one place that knows the order of columns."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from tocsin.model.channel import Channel, ChannelState, ChannelType, Device, Webhook
from tocsin.model.notification import Notification, Priority

Row = tuple[Any, ...]

CHANNEL = (
    "key, id, user, type, created_at, client_correlator, application_tag, creator, lifetime, "
    "expires_at, check_role, url, origin, authorization, secret, previous, rotated_until, "
    "provider, app, token, registered_at, max_notifications, echoed, used_at, failing_since, "
    "state, last_seq, reserved, left_cleanly"
)
NOTIFICATION = (
    "id, user, service, root_key, body, priority, accepted_at, expires_at, order_key, "
    "collapse_key, destination, producer"
)
NOTIFICATION_OF_N = ", ".join(f"n.{name}" for name in NOTIFICATION.split(", "))
PRIORITIES = (Priority.URGENT, Priority.NORMAL, Priority.LOW)
CHUNKS = (256, 64, 16, 4, 1)


def channel_row(channel: Channel) -> Row:
    """A channel as a row of `CHANNEL`."""
    webhook, device = channel.webhook, channel.device
    return (
        channel.key,
        channel.id,
        channel.user,
        channel.type.value,
        channel.created_at,
        channel.client_correlator,
        channel.application_tag,
        channel.creator,
        channel.lifetime,
        channel.expires_at,
        channel.check_role,
        webhook.url if webhook else None,
        webhook.origin if webhook else None,
        webhook.authorization if webhook else None,
        webhook.secret if webhook else None,
        webhook.previous if webhook else None,
        webhook.rotated_until if webhook else None,
        device.provider if device else None,
        device.app if device else None,
        device.token if device else None,
        device.registered_at if device else None,
        channel.max_notifications,
        orjson.dumps(channel.echoed).decode() if channel.echoed else None,
        channel.used_at,
        channel.failing_since,
        int(channel.state),
        channel.last_seq,
        channel.reserved,
        int(channel.left_cleanly),
    )


def channel_from(row: Row) -> Channel:
    """The channel of a row of `CHANNEL`. What a process that died may have numbered stands below
    `reserved`."""
    key, id_, user, type_, created_at, correlator, tag, creator, lifetime, expires_at = row[:10]
    role, url, *of_webhook = row[10:17]
    provider, app, token, registered_at, most, echoed = row[17:23]
    used_at, failing_since, state, last_seq, reserved, cleanly = row[23:]
    return Channel(
        key=key,
        id=id_,
        user=user,
        type=ChannelType(type_),
        created_at=created_at,
        client_correlator=correlator,
        application_tag=tag,
        creator=creator,
        lifetime=lifetime,
        expires_at=expires_at,
        check_role=role,
        webhook=Webhook(url, *of_webhook) if url else None,
        device=Device(provider, app, token, registered_at) if token else None,
        max_notifications=most,
        echoed=orjson.loads(echoed) if echoed else None,
        used_at=used_at,
        failing_since=failing_since,
        state=ChannelState(state),
        last_seq=max(last_seq, reserved or 0),
        reserved=reserved,
        left_cleanly=bool(cleanly),
    )


def notification_row(key: int, notification: Notification) -> Row:
    """A notification as its store key and a row of `NOTIFICATION`."""
    return (
        key,
        notification.id,
        notification.user,
        notification.service,
        notification.root_key,
        notification.body,
        int(notification.priority),
        notification.accepted_at,
        notification.expires_at,
        notification.order_key,
        notification.collapse_key,
        notification.destination,
        notification.producer,
    )


def notification_from(row: Row) -> Notification:
    """The notification of a row of `NOTIFICATION`."""
    id_, user, service, root_key, body, priority, accepted_at, expires_at = row[:8]
    order_key, collapse_key, destination, producer = row[8:]
    return Notification(
        id_,
        user,
        service,
        root_key,
        body,
        PRIORITIES[priority],
        accepted_at,
        expires_at,
        order_key,
        collapse_key,
        destination,
        producer,
    )


def in_chunks(head: str, width: int, rows: Sequence[Row]) -> Iterable[tuple[str, list[Any]]]:
    """INSERT statements of many rows each, in few sizes so that they stay prepared.

    One statement per row would give up the interpreter lock once a row.
    """
    position = 0
    while position < len(rows):
        size = next(size for size in CHUNKS if len(rows) - position >= size)
        values = [value for row in rows[position : position + size] for value in row]
        yield f"{head} {_places(width, size)}", values
        position += size


_PLACES: dict[tuple[int, int], str] = {}


def _places(width: int, size: int) -> str:
    places = _PLACES.get((width, size))
    if places is None:
        places = ",".join(["(" + ",".join("?" * width) + ")"] * size)
        _PLACES[width, size] = places
    return places
