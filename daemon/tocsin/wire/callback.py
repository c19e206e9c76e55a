"""One notification for one channel, and the query that says the rest (channels.md, CH-116)."""

from collections.abc import Mapping
from typing import Final

from tocsin.model.errors import invalid
from tocsin.model.ids import new_id
from tocsin.model.notification import Notification
from tocsin.model.services import STANDARD, Services
from tocsin.wire.notification import Draft, complete, id_of, render, root_of, service_of

SERVICE: Final = "service"
PARAMETERS: Final = frozenset({SERVICE, "priority", "expires_in", "collapse_key", "order_key"})


def parse_callback(
    document: object,
    params: Mapping[str, str],
    *,
    user: str,
    now: int,
    producer: str,
    most_bytes: int,
    services: Services = STANDARD,
) -> Notification:
    """The notification in a body, for the channel's user, as accepted at `now`.

    Its service is the parameter's, else its root key's. Raises `RequestError` naming the first
    bad member, in the order of CH-110's table, then a parameter nobody knows (CH-112); one without
    a name is the trace of a stray `&`.
    """
    if not isinstance(document, dict):
        raise invalid("body")
    asked = service_of(params[SERVICE], services) if SERVICE in params else None
    root_key, body = root_of(document)
    service = asked or services.of_root_key(root_key)
    if service is None:
        raise invalid(SERVICE)
    named = id_of(None, body)
    id_ = named or new_id()
    text = render(root_key, body, id_=id_, date_time=now, most_bytes=most_bytes)
    draft = Draft(id_, user, service, root_key, body, text, producer, named is not None)
    members = {name: value for name, value in params.items() if name in PARAMETERS}
    notification = complete(draft, members, now=now, services=services)
    for name in params:
        if name and name not in PARAMETERS:
            raise invalid(name)
    return notification
