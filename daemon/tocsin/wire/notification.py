"""What a publisher hands in, and the JSON text that goes over every wire (channels.md, 11, 12)."""

import re
from typing import Any

from tocsin.model.errors import RequestError, invalid, not_one_of, service_error
from tocsin.model.ids import new_id
from tocsin.model.notification import Notification, Priority
from tocsin.model.services import STANDARD, Body, Services
from tocsin.wire.integers import dumps, integer

ROOT_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
RESERVED = frozenset({"connCheck", "connAck", "channelResumed"})
ID = re.compile(r'(?:(?!["\\])[!-~]){1,128}')
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MOST_SECONDS = 2_592_000
PRIORITIES = {"urgent": Priority.URGENT, "normal": Priority.NORMAL, "low": Priority.LOW}
MEMBERS = frozenset(
    {
        "user",
        "service",
        "notification",
        "id",
        "priority",
        "expires_in",
        "collapse_key",
        "order_key",
        "destination_address",
    }
)


def parse_item(
    item: object,
    *,
    now: int,
    producer: str,
    most_bytes: int,
    services: Services = STANDARD,
) -> Notification:
    """One item of a publish request (CH-110, CH-112) as a notification accepted at `now`.

    Raises `RequestError` naming the first bad member, in the order of CH-110's table.
    """
    if not isinstance(item, dict):
        raise invalid("body")
    user = _user(item.get("user"))
    service = _service(item.get("service"), services)
    root_key, body = root_of(item.get("notification"))
    named = _id(item.get("id"), body.get("id"))
    id_ = named or new_id()
    text = render(root_key, body, id_=id_, now=now, most_bytes=most_bytes)
    standard = services.defaults(service, root_key, body)
    priority = _priority(item.get("priority"), standard.priority)
    expires_in = _seconds(item.get("expires_in"), standard.expires_in)
    collapse_key = _key(item, "collapse_key")
    order_key = _key(item, "order_key")
    destination = _key(item, "destination_address") or _destination(body)
    for member in item:
        if member not in MEMBERS:
            raise invalid(member)
    natural = standard.order_key(body)
    return Notification(
        id_,
        user,
        service,
        root_key,
        text,
        priority,
        now,
        now + expires_in * 1000,
        order_key or (natural or f"{service} {user}")[:256],
        collapse_key or (natural if standard.collapses else None),
        destination,
        producer,
        is_named=named is not None,
    )


def root_of(notification: object) -> tuple[str, Body]:
    """The one root key of a notification and the object it holds (CH-100)."""
    if not isinstance(notification, dict) or len(notification) != 1:
        raise invalid("notification")
    [(root_key, body)] = notification.items()
    if not ROOT_KEY.fullmatch(root_key) or root_key in RESERVED or not isinstance(body, dict):
        raise invalid("notification")
    return root_key, body


def render(root_key: str, body: Body, *, id_: str, now: int, most_bytes: int) -> bytes:
    """The JSON text of every transport: `id` and `dateTime` added where absent, no more.

    The size that counts is that of what was handed in.
    """
    added = 0
    if body.get("id") is None:
        body["id"] = id_
        added += len(id_) + 8
    if body.get("dateTime") is None:
        body["dateTime"] = now
        added += len(str(now)) + 12
    text = dumps({root_key: body})
    if len(text) - added > most_bytes:
        raise service_error(413, "too_large")
    return text


def _user(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or CONTROLS.search(value):
        raise invalid("user")
    return value


def _service(value: object, services: Services) -> str:
    if value is None:
        raise invalid("service")
    if not isinstance(value, str) or value not in services.names:
        raise not_one_of("service", services.names)
    return value


def _id(outer: object, inner: object) -> str | None:
    """The outer id, else the inner one; they must not differ."""
    for value in (outer, inner):
        if value is not None and not (isinstance(value, str) and ID.fullmatch(value)):
            raise invalid("id")
    if outer is not None and inner is not None and outer != inner:
        raise invalid("id")
    chosen = outer if outer is not None else inner
    return chosen if isinstance(chosen, str) else None


def _priority(value: object, default: Priority) -> Priority:
    if value is None:
        return default
    if not isinstance(value, str) or value not in PRIORITIES:
        raise not_one_of("priority", list(PRIORITIES))
    return PRIORITIES[value]


def _seconds(value: object, default: int) -> int:
    if value is None:
        return default
    seconds = integer(value)
    if seconds is None or not 1 <= seconds <= MOST_SECONDS:
        raise invalid("expires_in")
    return seconds


def _key(item: dict[str, Any], name: str) -> str | None:
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= 256:
        raise invalid(name)
    return value


def _destination(body: Body) -> str | None:
    message = body.get("inboundSMSMessage")
    value = message.get("destinationAddress") if isinstance(message, dict) else None
    return value if isinstance(value, str) else None


def rejection(item: object, error: RequestError) -> dict[str, object]:
    """The answer for a list item that was refused (CH-110), with its own id if it has one."""
    given = item.get("id") if isinstance(item, dict) else None
    id_ = given if isinstance(given, str) and ID.fullmatch(given) else None
    return {"id": id_, "channels": 0, "status": "rejected", "error": error.as_dict()}
