"""An HTTP server on loopback that serves a JWK set, or whatever a test wants instead."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio


@attrs.define
class JwksServer:
    """Answers every request with `status`, `headers` and `body`, and counts them.

    While `gate` is set to an Event, answers wait for it.
    """

    port: int
    body: bytes = b""
    status: str = "200 OK"
    headers: list[str] = attrs.field(factory=list)
    gate: trio.Event | None = None
    requests: list[bytes] = attrs.field(factory=list)
    _arrivals: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"

    async def arrived(self, count: int) -> None:
        """Waits until there were so many requests; 10 s are too long."""
        with trio.fail_after(30):
            await trio.lowlevel.checkpoint()
            while len(self.requests) < count:
                await self._arrivals.park()

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, one request; the answer is what is set when it arrives."""
        head = received = await stream.receive_some()
        while received and b"\r\n\r\n" not in head:
            received = await stream.receive_some()
            head += received
        answer = self._answer()
        self.requests.append(bytes(head))
        self._arrivals.unpark_all()
        if self.gate is not None:
            await self.gate.wait()
        try:
            await stream.send_all(answer)
            await stream.send_eof()
        except trio.BrokenResourceError:
            pass  # the client had enough

    def _answer(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status}", f"Content-Length: {len(self.body)}", *self.headers]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + self.body


@asynccontextmanager
async def jwks_server(body: bytes = b"") -> AsyncIterator[JwksServer]:
    """A running server; it ends with the block."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = JwksServer(listeners[0].socket.getsockname()[1], body)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, server.serve, listeners)
        yield server
        nursery.cancel_scope.cancel()
