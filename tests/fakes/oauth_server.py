"""A token endpoint over TLS on loopback, for what httpx makes of it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import trio
import trustme


@attrs.define
class OauthServer:
    """Answers every request with `status`, `headers` and `body`; `drips` never ends the body."""

    port: int
    trusting: ssl.SSLContext
    status: str = "200 OK"
    headers: tuple[str, ...] = ()
    body: bytes = b'{"access_token":"T","expires_in":3600}'
    is_silent: bool = False
    drips: bool = False
    requests: list[bytes] = attrs.field(factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/token"

    async def serve(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        """One connection, one request."""
        received = bytearray()
        try:
            while not self._is_whole(received):
                if not (piece := await stream.receive_some()):
                    return
                received += piece
            self.requests.append(bytes(received))
            if self.is_silent:
                await trio.sleep_forever()
            await stream.send_all(self._answer())
            while self.drips:
                await trio.sleep(1)
                await stream.send_all(b" ")
            await stream.aclose()
        except trio.BrokenResourceError:
            pass  # the client had enough

    @staticmethod
    def _is_whole(received: bytearray) -> bool:
        head, gap, body = received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return bool(gap) and len(body) >= int(length or 0)

    def _answer(self) -> bytes:
        length = [] if self.drips else [f"Content-Length: {len(self.body)}"]
        lines = [f"HTTP/1.1 {self.status}", *length, *self.headers, "Connection: close", "", ""]
        return "\r\n".join(lines).encode() + self.body


@asynccontextmanager
async def oauth_server() -> AsyncIterator[OauthServer]:
    """A running server; it ends with the block."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    listeners = await trio.open_ssl_over_tcp_listeners(
        0, context, host="127.0.0.1", https_compatible=True
    )
    port = listeners[0].transport_listener.socket.getsockname()[1]
    server = OauthServer(port, trusting)
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, server.serve, listeners)
        yield server
        nursery.cancel_scope.cancel()
