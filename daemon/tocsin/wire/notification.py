"""What a publisher hands in, and the JSON text that goes over every wire (channels.md, 11, 12)."""

import re
from collections.abc import Mapping

import attrs

from tocsin.model.errors import invalid, not_one_of, service_error
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


@attrs.frozen
class Names:
    """What a format calls the members that mean the same in every format."""

    priority: str = "priority"
    expires_in: str = "expires_in"
    collapse_key: str = "collapse_key"
    order_key: str = "order_key"
    destination: str = "destination_address"


NAMES = Names()


@attrs.frozen
class Draft:
    """What is settled of a notification before its delivery: whose and what it is.

    `body` is the object in `text`. `is_named`: its producer chose the id.
    """

    id: str
    user: str
    service: str
    root_key: str
    body: Body
    text: bytes
    producer: str
    is_named: bool


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
    user = user_of(item.get("user"))
    service = service_of(item.get("service"), services)
    root_key, body = root_of(item.get("notification"))
    named = id_of(item.get("id"), body)
    id_ = named or new_id()
    text = render(root_key, body, id_=id_, date_time=now, most_bytes=most_bytes)
    draft = Draft(id_, user, service, root_key, body, text, producer, named is not None)
    notification = complete(draft, item, now=now, services=services)
    for member in item:
        if member not in MEMBERS:
            raise invalid(member)
    return notification


def complete(
    draft: Draft,
    members: Mapping[str, object],
    names: Names = NAMES,
    *,
    now: int,
    services: Services,
) -> Notification:
    """A draft with what `members` say about its delivery, and where they are silent with the
    defaults of its root key (CH-101).

    Raises `RequestError` naming the first bad one, in the order of `Names`.
    """
    standard = services.defaults(draft.service, draft.root_key, draft.body)
    priority = _priority(members, names.priority, standard.priority)
    expires_in = _seconds(members, names.expires_in, standard.expires_in)
    collapse_key = _key(members, names.collapse_key)
    order_key = _key(members, names.order_key)
    destination = _key(members, names.destination) or _destination(draft.body)
    natural = standard.order_key(draft.body)
    return Notification(
        draft.id,
        draft.user,
        draft.service,
        draft.root_key,
        draft.text,
        priority,
        now,
        now + expires_in * 1000,
        order_key or (natural or f"{draft.service} {draft.user}")[:256],
        collapse_key or (natural if standard.collapses else None),
        destination,
        draft.producer,
        draft.is_named,
    )


def root_of(notification: object, name: str = "notification") -> tuple[str, Body]:
    """The one root key of a notification and the object it holds (CH-100)."""
    if not isinstance(notification, dict) or len(notification) != 1:
        raise invalid(name)
    [(root_key, body)] = notification.items()
    if not ROOT_KEY.fullmatch(root_key) or root_key in RESERVED or not isinstance(body, dict):
        raise invalid(name)
    return root_key, body


def render(root_key: str, body: Body, *, id_: str, date_time: int, most_bytes: int) -> bytes:
    """The JSON text of every transport: `id` and `dateTime` added where absent, no more (CH-100).

    The size that counts is that of what was handed in.
    """
    added = 0
    if body.get("id") is None:
        body["id"] = id_
        added += len(id_) + 8
    if body.get("dateTime") is None:
        body["dateTime"] = date_time
        added += len(str(date_time)) + 12
    text = dumps({root_key: body})
    if len(text) - added > most_bytes:
        raise service_error(413, "too_large")
    return text


def user_of(value: object, name: str = "user") -> str:
    """A user id (CH-110)."""
    if not isinstance(value, str) or not 1 <= len(value) <= 256 or CONTROLS.search(value):
        raise invalid(name)
    return value


def service_of(value: object, services: Services) -> str:
    """A service there is."""
    if value is None:
        raise invalid("service")
    if not isinstance(value, str) or value not in services.names:
        raise not_one_of("service", services.names)
    return value


def id_of(outer: object, body: Body) -> str | None:
    """The outer id, else the one in the object, else None; they must not differ (CH-110)."""
    inner = body.get("id")
    for value in (outer, inner):
        if value is not None and not (isinstance(value, str) and ID.fullmatch(value)):
            raise invalid("id")
    if outer is not None and inner is not None and outer != inner:
        raise invalid("id")
    chosen = outer if outer is not None else inner
    return chosen if isinstance(chosen, str) else None


def _priority(members: Mapping[str, object], name: str, default: Priority) -> Priority:
    value = members.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or value not in PRIORITIES:
        raise not_one_of(name, list(PRIORITIES))
    return PRIORITIES[value]


def _seconds(members: Mapping[str, object], name: str, default: int) -> int:
    value = members.get(name)
    if value is None:
        return default
    seconds = integer(value)
    if seconds is None or not 1 <= seconds <= MOST_SECONDS:
        raise invalid(name)
    return seconds


def _key(members: Mapping[str, object], name: str) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= 256:
        raise invalid(name)
    return value


def _destination(body: Body) -> str | None:
    message = body.get("inboundSMSMessage")
    value = message.get("destinationAddress") if isinstance(message, dict) else None
    return value if isinstance(value, str) else None
