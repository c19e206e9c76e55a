"""What a request asks of a service, and the headers its answers carry (sockjs.md, 1 and 2)."""

import re
from typing import Final

import attrs

from tocsin.server.sockjs.settings import SockJsSettings
from tocsin.wire.request import MASK, Request
from tocsin.wire.sockjs import cors
from tocsin.wire.sockjs.cors import Header
from tocsin.wire.sockjs.urls import METHODS, Kind, locate

OPTIONS: Final = "OPTIONS"
FOR_ANY_ORIGIN: Final = frozenset(
    {Kind.INFO, Kind.XHR, Kind.XHR_STREAMING, Kind.XHR_SEND, Kind.EVENTSOURCE}
)
OPEN_TO_ALL: Final = frozenset({Kind.GREETING, Kind.IFRAME})
SOCKETS: Final = frozenset({Kind.WEBSOCKET, Kind.RAW_WEBSOCKET})
# Of a session's id in logs (SJ-30).
SHOWN: Final = 4
COOKIE: Final = re.compile(r"(?:^|;)\s*JSESSIONID=([A-Za-z0-9._!~-]{1,128})\s*(?:;|$)")


@attrs.frozen
class Asked:
    """A request's place in a service. `kind` None: there is nothing (404).

    `session` is the id of the session it names, which is "" for what is no part of one.
    """

    request: Request
    kind: Kind | None
    session: str
    is_foreign: bool

    @classmethod
    def of(cls, request: Request, prefix: str, allowed_origins: tuple[str, ...]) -> "Asked":
        """Read a request of the service at a prefix, and keep its session's id out of logs."""
        path = request.target.partition("?")[0]
        place = locate(path.removeprefix(prefix))
        headers = request.headers
        is_allowed = cors.is_allowed(headers.get("origin"), headers.get("host"), allowed_origins)
        if place is None:
            request.public_path = f"{prefix}/{MASK}"
            return cls(request, None, "", not is_allowed)
        if place.session:
            request.public_path = _shown(path, prefix, place.session)
        return cls(request, place.kind, place.session, not is_allowed)

    @property
    def is_preflight(self) -> bool:
        """An OPTIONS of a URL that has one."""
        return (
            self.kind is not None
            and self.request.method == OPTIONS
            and OPTIONS in METHODS[self.kind]
        )

    @property
    def is_guarded(self) -> bool:
        """Whether who asks must be known (SJ-4)."""
        return self.kind not in OPEN_TO_ALL and not self.is_preflight

    @property
    def is_uncacheable(self) -> bool:
        """SJ-9; what a preflight says may be kept."""
        return (self.kind is Kind.INFO or bool(self.session)) and not self.is_preflight

    @property
    def query(self) -> str:
        """What follows the question mark."""
        return self.request.target.partition("?")[2]

    def headers(self, settings: SockJsSettings) -> list[Header]:
        """What every answer of this URL carries, refusals too (SJ-7, SJ-9, SJ-11)."""
        lines: list[Header] = []
        sent = self.request.headers
        if self.kind in FOR_ANY_ORIGIN and not self.is_foreign:
            asked = _printable(sent.get("access-control-request-headers"))
            lines += cors.cors(_printable(sent.get("origin")), asked)
        if self.is_uncacheable:
            lines += cors.UNCACHEABLE
        if settings.jsessionid and self.session and not self.is_preflight:
            cookie = COOKIE.search(sent.get("cookie", ""))
            lines.append(("Set-Cookie", f"JSESSIONID={cookie[1] if cookie else 'dummy'}; path=/"))
        return lines


def _shown(path: str, prefix: str, session: str) -> str:
    """The path of a session's URL with the id cut short."""
    _, server, _, rest = path.removeprefix(prefix).split("/", 3)
    return f"{prefix}/{server}/{session[: min(SHOWN, len(session) // 4)]}***/{rest}"


def _printable(value: str | None) -> str | None:
    """A header's value if it can be echoed."""
    return value if value is not None and value.isprintable() else None


def page_headers(allowed_origins: tuple[str, ...]) -> tuple[Header, ...]:
    """What keeps a page's URL, and the page, from other pages (SJ-38).

    Pages of our own stand between htmlfile and the page that uses it, so `'self'` is allowed.
    """
    headers: tuple[Header, ...] = (("Referrer-Policy", "no-referrer"),)
    if "*" not in allowed_origins:
        ancestors = " ".join([*allowed_origins, "'self'"])
        headers += (("Content-Security-Policy", f"frame-ancestors {ancestors}"),)
    return headers
