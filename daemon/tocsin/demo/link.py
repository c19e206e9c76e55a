"""A client's end of a WebSocket that is dropped, not closed, as the network does it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream

from tocsin.demo.errors import DemoError

CONNECT_SECONDS = 10.0


@asynccontextmanager
async def attached(
    address: str, path: str, token: str, heard: Callable[[str], None]
) -> AsyncIterator[WebSocketConnection]:
    """A socket at `address` (host:port) whose texts go to `heard`, and whose Pings are answered.

    At the end of the block the connection is just gone. Raises DemoError if it is not let in.
    """
    host, _, port = address.rpartition(":")
    headers = [(b"Authorization", b"Bearer " + token.encode())]
    try:
        stream = await trio.open_tcp_stream(host, int(port))
    except OSError:
        raise DemoError(f"WebSocket {path}: nobody listens at {address}") from None
    async with stream, trio.open_nursery() as tasks:
        try:
            with trio.fail_after(CONNECT_SECONDS):
                socket = await wrap_client_stream(
                    tasks, stream, address, path, extra_headers=headers
                )
        except (HandshakeError, trio.TooSlowError) as error:
            raise DemoError(f"WebSocket {path}: {error!r}") from None
        tasks.start_soon(_listen, socket, heard)
        yield socket
        # No closing handshake: a Ping that crosses the library's own Close makes it raise.
        tasks.cancel_scope.cancel()


async def _listen(socket: WebSocketConnection, heard: Callable[[str], None]) -> None:
    try:
        while True:
            heard(str(await socket.get_message()))
    except ConnectionClosed:
        return
