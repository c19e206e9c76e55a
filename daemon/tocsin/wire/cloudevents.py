"""CloudEvents 1.0 in their JSON format, as publishers hand them in (channels.md, CH-113)."""

import re
from collections.abc import Mapping
from typing import Any, Final

from tocsin.model.errors import invalid, not_one_of
from tocsin.model.notification import Notification
from tocsin.model.services import STANDARD, Body, Services
from tocsin.wire.content import is_json
from tocsin.wire.notification import (
    RESERVED,
    ROOT_KEY,
    Draft,
    Names,
    complete,
    id_of,
    render,
    root_of,
    user_of,
)
from tocsin.wire.rfc3339 import epoch_ms

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
HEADERS: Final = "ce-"
VERSION: Final = "1.0"
# A URI-reference has no blanks, so that none can blur where the token's client ends.
SOURCE: Final = re.compile(r"[^\s\x00-\x20\x7f-\x9f]{1,1024}")
LONGEST_MEDIA_TYPE: Final = 256
NAMES: Final = Names(
    priority="priority",
    expires_in="expiresin",
    collapse_key="collapsekey",
    order_key="orderkey",
    destination="destinationaddress",
)


def is_binary_mode(headers: Mapping[str, str]) -> bool:
    """Whether the attributes of an event stand in the headers, which is not taken."""
    return any(name.startswith(HEADERS) for name in headers)


def parse_event(
    event: object,
    *,
    now: int,
    producer: str,
    most_bytes: int,
    services: Services = STANDARD,
) -> Notification:
    """One event as a notification accepted at `now` from `producer`, the token's client.

    Raises `RequestError` naming the first bad attribute, in the order of CH-113's table. A null
    attribute counts as absent, extensions that mean nothing to us are ignored.
    """
    if not isinstance(event, dict):
        raise invalid("body")
    if event.get("specversion") != VERSION:
        raise not_one_of("specversion", [VERSION])
    service, root_key = _type(event.get("type"), services)
    user = user_of(event.get("subject"), "subject")
    id_ = id_of(event.get("id"), {})
    if id_ is None:
        raise invalid("id")
    source = _source(event.get("source"))
    body = _data(event, root_key)
    id_of(id_, body)
    time = event.get("time")
    moment = epoch_ms(time)
    date_time = now if moment is None else moment
    text = render(root_key, body, id_=id_, date_time=date_time, most_bytes=most_bytes)
    if time is not None and moment is None:
        raise invalid("time")
    by = f"{producer} {source}"
    draft = Draft(id_, user, service, root_key, body, text, by, is_named=True)
    return complete(draft, event, NAMES, now=now, services=services)


def _type(value: object, services: Services) -> tuple[str, str]:
    """`service.rootKey`, split at the first dot."""
    if not isinstance(value, str) or "." not in value:
        raise invalid("type")
    service, _, root_key = value.partition(".")
    if service not in services.names:
        raise not_one_of("type", services.names)
    if not ROOT_KEY.fullmatch(root_key) or root_key in RESERVED:
        raise invalid("type")
    return service, root_key


def _source(value: object) -> str:
    if not isinstance(value, str) or not SOURCE.fullmatch(value):
        raise invalid("source")
    return value


def _data(event: dict[str, Any], root_key: str) -> Body:
    """The notification's object, under the root key that the type has announced."""
    if event.get("data_base64") is not None:
        raise invalid("data_base64")
    found, body = root_of(event.get("data"), "data")
    if found != root_key:
        raise invalid("data")
    kind = event.get("datacontenttype")
    if kind is not None and not (
        isinstance(kind, str) and len(kind) <= LONGEST_MEDIA_TYPE and is_json(kind)
    ):
        raise invalid("datacontenttype")
    return body
