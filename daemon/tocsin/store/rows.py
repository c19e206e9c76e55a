"""From rows to values and back: the one place that knows the order of columns.

Secrets are sealed and opened on the way, see `vault`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from tocsin.model.channel import Channel, ChannelState, ChannelType, Device, Webhook
from tocsin.model.notification import Notification, Priority
from tocsin.store.vault import PLAIN, Vault

Row = tuple[Any, ...]

CHANNEL = (
    "key, id, user, type, created_at, client_correlator, application_tag, creator, lifetime, "
    "expires_at, check_role, url, origin, authorization, secret, previous, rotated_until, "
    "provider, app, token, registered_at, max_notifications, echoed, used_at, failing_since, "
    "state, last_seq, reserved, left_cleanly, sealed_token, held_until"
)
WEBHOOK_SECRETS = ("authorization", "secret", "previous")
# A device token is echoed as its client spelt it.
SEALED = (*WEBHOOK_SECRETS, "echoed")
NOTIFICATION = (
    "id, user, service, root_key, body, priority, accepted_at, expires_at, order_key, "
    "collapse_key, destination, producer"
)
NOTIFICATION_OF_N = ", ".join(f"n.{name}" for name in NOTIFICATION.split(", "))
PRIORITIES = (Priority.URGENT, Priority.NORMAL, Priority.LOW)
CHUNKS = (256, 64, 16, 4, 1)


def place_of(column: str, channel_id: str) -> str:
    """Where a channel's secret is sealed: with the channel, so that its row can be moved."""
    return f"channel/{column}/{channel_id}"


def channel_row(channel: Channel, vault: Vault = PLAIN) -> Row:
    """A channel as a row of `CHANNEL`, its secrets sealed."""
    webhook, device = channel.webhook, channel.device

    def sealed(column: str, text: str | None) -> str | None:
        return vault.seal(place_of(column, channel.id), text)

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
        sealed("authorization", webhook.authorization) if webhook else None,
        sealed("secret", webhook.secret) if webhook else None,
        sealed("previous", webhook.previous) if webhook else None,
        webhook.rotated_until if webhook else None,
        device.provider if device else None,
        device.app if device else None,
        vault.digest(device.token) if device else None,
        device.registered_at if device else None,
        channel.max_notifications,
        sealed("echoed", orjson.dumps(channel.echoed).decode()) if channel.echoed else None,
        channel.used_at,
        channel.failing_since,
        int(channel.state),
        channel.last_seq,
        channel.reserved,
        int(channel.left_cleanly),
        sealed("token", device.token) if device and vault.is_sealing else None,
        channel.held_until,
    )


def channel_from(row: Row, vault: Vault = PLAIN) -> Channel:
    """The channel of a row of `CHANNEL`. What a process that died may have numbered stands below
    `reserved`."""
    key, id_, user, type_, created_at, correlator, tag, creator, lifetime, expires_at = row[:10]
    role, url = row[10:12]
    provider, app, token, registered_at, most, echoed = row[17:23]
    used_at, failing_since, state, last_seq, reserved, cleanly, sealed_token, held_until = row[23:]
    echoed = vault.open(place_of("echoed", id_), echoed)
    if vault.is_sealing:
        token = vault.open(place_of("token", id_), sealed_token)
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
        webhook=_webhook_from(url, row, vault) if url else None,
        device=Device(provider, app, token, registered_at) if token else None,
        max_notifications=most,
        echoed=orjson.loads(echoed) if echoed else None,
        used_at=used_at,
        failing_since=failing_since,
        state=ChannelState(state),
        last_seq=max(last_seq, reserved or 0),
        reserved=reserved,
        left_cleanly=bool(cleanly),
        held_until=held_until,
    )


def _webhook_from(url: str, row: Row, vault: Vault) -> Webhook:
    origin, *stored, rotated_until = row[12:17]
    authorization, secret, previous = (
        vault.open(place_of(column, row[1]), text)
        for column, text in zip(WEBHOOK_SECRETS, stored, strict=True)
    )
    return Webhook(url, origin, authorization, secret, previous, rotated_until)


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
