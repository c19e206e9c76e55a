"""The forms a publish request comes in (channels.md, CH-110, CH-113)."""

from functools import lru_cache
from typing import Final, Protocol

import attrs

from tocsin.model.errors import invalid, service_error
from tocsin.model.notification import Notification
from tocsin.model.services import Services
from tocsin.wire import strictjson
from tocsin.wire.cloudevents import BATCHED, STRUCTURED, is_binary_mode, parse_event
from tocsin.wire.content import is_json
from tocsin.wire.notification import parse_item
from tocsin.wire.request import Request


class Parse(Protocol):
    """Reads one item or event; raises `RequestError` naming the first thing wrong with it."""

    def __call__(
        self, thing: object, /, *, now: int, producer: str, most_bytes: int, services: Services
    ) -> Notification: ...


@attrs.frozen
class Format:
    """A media type: how one thing is read, and whether it may come alone or in a list."""

    media_type: str
    parse: Parse
    alone: bool = True
    listed: bool = True


ITEMS: Final = Format("application/json", parse_item)
FORMATS: Final = (
    ITEMS,
    Format(STRUCTURED, parse_event, listed=False),
    Format(BATCHED, parse_event, alone=False),
)


def read(request: Request) -> tuple[object, Parse]:
    """The document in a request, in a shape its media type allows, and how to read what is in it.

    Raises 415 `media_type` or `cloudevents_binary`, 400 SVC0002 `body`.
    """
    content_type = request.headers.get("content-type")
    found = ITEMS if content_type is None else _format(content_type)
    if found in {None, ITEMS} and is_binary_mode(request.headers):
        raise service_error(415, "cloudevents_binary")
    if found is None:
        raise service_error(415, "media_type")
    try:
        document = strictjson.loads(request.body)
    except ValueError:
        raise invalid("body") from None
    if not (found.listed if isinstance(document, list) else found.alone):
        raise invalid("body")
    return document, found.parse


@lru_cache(maxsize=64)
def _format(content_type: str) -> Format | None:
    for one in FORMATS:
        if is_json(content_type, one.media_type):
            return one
    return None
