"""The admin listener: `/metrics`, `/livez`, `/readyz` (operations.md, OP-8, OP-11)."""

from collections.abc import Callable

import orjson
import trio

from tocsin.ops.metrics import Metrics
from tocsin.server.router import Router
from tocsin.wire.request import Request
from tocsin.wire.response import Response

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"

Parts = Callable[[], dict[str, str]]


class AdminFace:
    """Health and metrics; needs no token, so it belongs on loopback."""

    def __init__(self, metrics: Metrics, *, failing: Parts, status: Parts, version: str) -> None:
        """`failing` names what keeps the daemon from being ready, empty when it is."""
        self._metrics = metrics
        self._failing = failing
        self._status = status
        self._version = version

    def add_routes(self, router: Router) -> None:
        """Declare the routes."""
        for path, handler in (
            ("/metrics", self.metrics),
            ("/livez", self.livez),
            ("/readyz", self.readyz),
        ):
            router.add("GET", path, handler, scope=None, cors=False, json=False)

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002 - a handler's shape
        """The exposition, rendered off the loop."""
        self._metrics.refresh()
        body = await trio.to_thread.run_sync(self._metrics.exposition)
        return Response(200, body, content_type=EXPOSITION)

    async def livez(self, request: Request) -> Response:  # noqa: ARG002 - a handler's shape
        """Answers as long as the loop turns."""
        return Response(200, orjson.dumps({"status": "alive", "version": self._version}))

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002 - a handler's shape
        """Red, with the failing part named, while starting, draining or broken."""
        failing = self._failing()
        document = {
            "status": "not ready" if failing else "ready",
            "failing": failing,
            "services": self._status(),
        }
        return Response(503 if failing else 200, orjson.dumps(document))
