"""`GET /chat`: a page to try messaging with, for two people at one machine (messaging.md, 13).

One document: markup, style and script stand in `chat/` and are put together here. Nothing else can
run in it and it can talk to nobody but the public listener, by its Content-Security-Policy. It
needs no token itself, so it belongs on the admin listener; whoever uses it brings one, in the
fragment (`#token=...`), which no server sees, or typed.
"""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from html import escape
from importlib.resources import files
from typing import Final

from tocsin.server.router import Router
from tocsin.wire.request import Request
from tocsin.wire.response import Response

HTML: Final = "text/html; charset=utf-8"
SCRIPTS: Final = ("connection.js", "model.js", "view.js", "chat.js")
"""In this order they are one module."""
WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}


class ChatPageFace:
    """The page, read once from the package."""

    def __init__(self, address: Callable[[], str], *, prefix: str) -> None:
        """`address` is the public listener's URL, without a path, once it is bound; `prefix` is
        `messaging.prefix`."""
        self._address = address
        self._prefix = prefix
        self._style = _read("chat.css")
        self._script = "\n".join(map(_read, SCRIPTS))
        self._markup = _read("chat.html")

    def add_routes(self, router: Router) -> None:
        """Declare the route."""
        router.add("GET", "/chat", self.page, scope=None, cors=False, json=False)

    async def page(self, request: Request) -> Response:  # noqa: ARG002 - a handler's shape
        """The document."""
        origin = self._address()
        document = (
            self._markup.replace("{base}", escape(origin + self._prefix))
            .replace("{style}", self._style)
            .replace("{script}", self._script)
        )
        headers = [
            ("Content-Security-Policy", self._policy(origin)),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        return Response(200, document.encode(), headers, content_type=HTML)

    def _policy(self, origin: str) -> str:
        scheme, _, rest = origin.partition("://")
        directives = {
            "default-src": "'none'",
            "script-src": _hash(self._script),
            "style-src": _hash(self._style),
            "connect-src": f"{origin} {WEBSOCKET_SCHEMES[scheme]}://{rest}",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        return "; ".join(f"{name} {value}" for name, value in directives.items())


def _read(name: str) -> str:
    return (files("tocsin.server") / "chat" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
