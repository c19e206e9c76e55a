"""Answers that need no session: preflights, `/info`, the iframe page (sockjs.md, 2 and 7)."""

import secrets
from typing import TYPE_CHECKING, Final

from tocsin.server.sockjs.asked import Asked, page_headers
from tocsin.wire.response import Response
from tocsin.wire.sockjs import cors, info, pages
from tocsin.wire.sockjs.urls import METHODS

if TYPE_CHECKING:
    from tocsin.server.sockjs.service import Service

HTML: Final = "text/html; charset=UTF-8"


def preflight(asked: Asked, service: "Service") -> Response:
    """Kept for a year (SJ-8)."""
    methods = METHODS[asked.kind] if asked.kind is not None else ()
    headers = cors.preflight(methods, now=service.clock())
    return Response(204, headers=headers, cache_control=None)


def info_text(asked: Asked, service: "Service") -> bytes:
    """What a client asks first (SJ-5, SJ-6)."""
    settings = service.settings
    base_url = settings.base_url
    return info.info(
        websocket="websocket" in service.transports,
        cookie_needed=settings.jsessionid,
        entropy=secrets.randbits(32),
        base_url=info.for_client(base_url, asked.query) if base_url else "",
    )


def iframe_page(asked: Asked, service: "Service") -> Response:
    """The page, or 304 for whoever has it (SJ-38)."""
    page = pages.iframe(service.settings.sockjs_url)
    tag = pages.etag(page)
    headers = (
        *cors.cacheable(service.clock()),
        ("ETag", tag),
        *page_headers(service.allowed_origins),
    )
    known = asked.request.headers.get("if-none-match", "")
    tags = {one.strip().removeprefix("W/") for one in known.split(",")}
    if not tags.isdisjoint({tag, "*"}):
        return Response(304, headers=headers, cache_control=None)
    return Response(200, page, headers, content_type=HTML, cache_control=None)
