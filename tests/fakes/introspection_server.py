"""An issuer on loopback that answers what it is asked about tokens (RFC 7662)."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import attrs
import orjson
import trio


@attrs.define
class IntrospectionServer:
    """`tokens` are those that are active, with what is said of them.

    Everything is answered with `status` and, if it is set, `body`; while `gate` is set to an Event,
    answers wait for it. `headers` are further lines of each answer.
    """

    port: int
    tokens: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    status: str = "200 OK"
    body: bytes | None = None
    headers: list[str] = attrs.field(factory=list)
    gate: trio.Event | None = None
    requests: list[bytes] = attrs.field(factory=list)
    asked: list[str] = attrs.field(factory=list)
    under_way: int = 0
    most_under_way: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/introspect"

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, one request."""
        received = bytearray()
        with contextlib.suppress(trio.BrokenResourceError):
            while not _is_whole(received):
                if not (piece := await stream.receive_some()):
                    return
                received += piece
            self.requests.append(bytes(received))
            form = parse_qs(received.partition(b"\r\n\r\n")[2].decode())
            self.asked += form["token"]
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            try:
                if self.gate is not None:
                    await self.gate.wait()
            finally:
                self.under_way -= 1
            await stream.send_all(self._answer(form["token"][0]))
            await stream.aclose()

    def _answer(self, token: str) -> bytes:
        claims = self.tokens.get(token)
        said = {"active": False} if claims is None else {"active": True, **claims}
        body = orjson.dumps(said) if self.body is None else self.body
        lines = [f"HTTP/1.1 {self.status}", f"Content-Length: {len(body)}", *self.headers]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def _is_whole(received: bytearray) -> bool:
    head, gap, body = received.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(gap) and len(body) >= int(length or 0)


@asynccontextmanager
async def introspection_server() -> AsyncIterator[IntrospectionServer]:
    """A running server; it ends with the block."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = IntrospectionServer(listeners[0].socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, server.serve, listeners)
        yield server
        nursery.cancel_scope.cancel()
