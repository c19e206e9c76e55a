"""`/openapi.json` and `/asyncapi.json`: what is served, for machines (operations.md, OP-19)."""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import orjson
import trio

from tocsin.server.router import Router
from tocsin.wire.request import Request
from tocsin.wire.response import Response

KEPT: Final = "public, max-age=300"


class DescriptionFace:
    """Documents, written once and answered to everybody; they hold no secret."""

    def __init__(self, documents: Mapping[str, dict[str, Any]], *, cors: bool) -> None:
        """`documents` by path; with `cors`, pages of other origins may read them."""
        self._bodies = {path: orjson.dumps(one) for path, one in documents.items()}
        self._cors = cors

    def add_routes(self, router: Router) -> None:
        """Declare a route for each."""
        for path, body in self._bodies.items():
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            handler = partial(_answer, body, tag)
            router.add("GET", path, handler, scope=None, cors=self._cors, json=False)


async def _answer(body: bytes, tag: str, request: Request) -> Response:
    """The document, or 304 for whoever has it."""
    await trio.lowlevel.checkpoint()
    headers = (("ETag", tag),)
    known = {one.strip() for one in request.headers.get("if-none-match", "").split(",")}
    if tag in known:
        return Response(304, headers=headers, cache_control=KEPT)
    return Response(200, body, headers, cache_control=KEPT, is_shared=True)
