"""What a URL of a SockJS service asks for (sockjs.md, section 1)."""

import enum
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs


class Kind(enum.Enum):
    """What stands at a URL; the value of a session's kinds is the URL's last part."""

    GREETING = ""
    INFO = "info"
    IFRAME = "iframe"
    RAW_WEBSOCKET = "raw"
    WEBSOCKET = "websocket"
    XHR = "xhr"
    XHR_STREAMING = "xhr_streaming"
    XHR_SEND = "xhr_send"
    EVENTSOURCE = "eventsource"
    HTMLFILE = "htmlfile"
    JSONP = "jsonp"
    JSONP_SEND = "jsonp_send"


@attrs.frozen
class Place:
    """A URL that exists. `session` names the session where the kind has one."""

    kind: Kind
    session: str = ""


METHODS: Final[Mapping[Kind, tuple[str, ...]]] = MappingProxyType(
    {
        Kind.GREETING: ("GET", "HEAD"),
        Kind.INFO: ("GET", "OPTIONS"),
        Kind.IFRAME: ("GET", "HEAD"),
        Kind.RAW_WEBSOCKET: ("GET",),
        Kind.WEBSOCKET: ("GET",),
        Kind.XHR: ("POST", "OPTIONS"),
        Kind.XHR_STREAMING: ("POST", "OPTIONS"),
        Kind.XHR_SEND: ("POST", "OPTIONS"),
        Kind.EVENTSOURCE: ("GET",),
        Kind.HTMLFILE: ("GET",),
        Kind.JSONP: ("GET",),
        Kind.JSONP_SEND: ("POST",),
    }
)

TRANSPORTS: Final = (
    "websocket",
    "xhr-streaming",
    "xhr-polling",
    "eventsource",
    "htmlfile",
    "jsonp-polling",
    "iframe",
)

_SWITCHES: Final[Mapping[Kind, frozenset[str]]] = MappingProxyType(
    {
        Kind.IFRAME: frozenset({"iframe"}),
        Kind.RAW_WEBSOCKET: frozenset({"websocket"}),
        Kind.WEBSOCKET: frozenset({"websocket"}),
        Kind.XHR: frozenset({"xhr-polling"}),
        Kind.XHR_STREAMING: frozenset({"xhr-streaming"}),
        Kind.XHR_SEND: frozenset({"xhr-streaming", "xhr-polling", "eventsource", "htmlfile"}),
        Kind.EVENTSOURCE: frozenset({"eventsource"}),
        Kind.HTMLFILE: frozenset({"htmlfile"}),
        Kind.JSONP: frozenset({"jsonp-polling"}),
        Kind.JSONP_SEND: frozenset({"jsonp-polling"}),
    }
)

_FIXED: Final = {
    "": Kind.GREETING,
    "/info": Kind.INFO,
    "/websocket": Kind.RAW_WEBSOCKET,
}
_IFRAME: Final = re.compile(r"/iframe[0-9-.a-z_]*\.html")
_SESSION: Final = re.compile(
    r"/[^/.]{1,128}/([^/.]{1,128})"
    r"/(websocket|xhr|xhr_streaming|xhr_send|eventsource|htmlfile|jsonp|jsonp_send)"
)


def locate(path: str) -> Place | None:
    """What stands at a path, or None for 404 (SJ-1, SJ-2).

    `path` is what follows the service's prefix, without the query and not percent-decoded. One
    slash behind a complete URL is overlooked.
    """
    path = path.removesuffix("/")
    kind = _FIXED.get(path)
    if kind is not None:
        return Place(kind)
    if _IFRAME.fullmatch(path):
        return Place(Kind.IFRAME)
    match = _SESSION.fullmatch(path)
    return Place(Kind(match[2]), match[1]) if match else None


def is_on(kind: Kind, transports: frozenset[str]) -> bool:
    """Whether a service with these of `TRANSPORTS` switched on has this URL (section 7)."""
    switches = _SWITCHES.get(kind)
    return switches is None or not switches.isdisjoint(transports)
