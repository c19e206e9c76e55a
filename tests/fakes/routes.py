"""Everything that a running daemon answers, as somebody at its door finds it.

What a router owns is in its table; what is mounted below a prefix has a table of its own, and an
owner nobody here knows is an error: its paths would be walked by no test.
"""

import re
from collections.abc import Iterator

import attrs
from tests.fakes.daemon import USER, Daemon

from tocsin.app.faces import HttpServer
from tocsin.server.messaging.rest import MessagingRestFace
from tocsin.server.router import Router
from tocsin.server.sockjs.service import Service
from tocsin.wire.sockjs.urls import METHODS, Kind

ADMITTED = "messaging"
"""The scope of a SockJS service here, whose hook asks for it behind the router's back."""
VALUES = {"user": USER, "channelId": "ws-00000000-0000-4000-8000-000000000000"}
PARTS = {
    Kind.GREETING: "",
    Kind.INFO: "/info",
    Kind.IFRAME: "/iframe.html",
    Kind.RAW_WEBSOCKET: "/websocket",
}


@attrs.frozen
class Door:
    """One method of one path. `pattern` begins with the listener: `public` or `admin`. `scope` is
    what its table says, "" for none; `takes_query`: a token counts in the query, too."""

    listener: str
    method: str
    pattern: str
    scope: str
    own_user: bool = False
    takes_query: bool = False

    @property
    def name(self) -> str:
        """How a test lists it."""
        return f"{self.listener} {self.method} {self.pattern}"

    @property
    def names_user(self) -> bool:
        """Whether the path says whose it is, so that it could be another's."""
        return "{user}" in self.pattern

    @property
    def path(self) -> str:
        """A path that matches, of Alice where it is somebody's."""
        return re.sub(r"\{(\w+)\}", lambda match: VALUES.get(match[1], match[1]), self.pattern)

    def address(self, running: Daemon) -> str:
        """Where it is to be found."""
        app = running.app
        return (app.admin_addresses if self.listener == "admin" else app.public_addresses)[0]


def doors(running: Daemon) -> list[Door]:
    """All there are, on both listeners."""
    servers = {"public": running.app._server, "admin": running.app._admin_server}
    return [door for name, server in servers.items() for door in _of(name, server)]


def _of(listener: str, server: HttpServer) -> Iterator[Door]:
    yield from _routed(listener, server._router)
    for prefix, mount in server._router._mounts:
        match getattr(mount, "__self__", None):
            case MessagingRestFace() as face:
                yield from _routed(listener, face._router, takes_query=True)
            case Service() as service:
                yield from _sockjs(listener, service)
            case owner:
                raise AssertionError(f"nobody here knows the paths below {prefix}: {owner}")


def _routed(listener: str, router: Router, *, takes_query: bool = False) -> Iterator[Door]:
    for one in router.routes():
        yield Door(
            listener,
            "PATCH" if one.method == "*" else one.method,
            one.pattern,
            one.scope or "",
            own_user=one.own_user,
            takes_query=takes_query or one.pattern.endswith("/websocket"),
        )


def _sockjs(listener: str, service: Service) -> Iterator[Door]:
    for kind in Kind:
        part = PARTS.get(kind, f"/000/session-{kind.value}/{kind.value}")
        for method in METHODS[kind]:
            is_open = kind in {Kind.GREETING, Kind.IFRAME} or method == "OPTIONS"
            scope = "" if is_open else ADMITTED
            yield Door(listener, method, service.prefix + part, scope, takes_query=not is_open)
