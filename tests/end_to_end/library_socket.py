"""A notification socket of somebody else's making, that behaves as deployed clients do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import trio
from tests.end_to_end.clients import User
from trio_websocket import WebSocketConnection, wrap_client_stream


@asynccontextmanager
async def library_socket(user: User, channel: str) -> AsyncIterator[WebSocketConnection]:
    """trio-websocket on the user's channel: answers Pings at once, whoever reads or not."""
    target = urlsplit(user.socket_url(channel))
    host, _, port = target.netloc.rpartition(":")
    headers = [(b"Authorization", f"Bearer {user.bearer}".encode())]
    # The stream is ours to close: the library leaves it open when the other side ends.
    async with await trio.open_tcp_stream(host, int(port)) as stream, trio.open_nursery() as tasks:
        socket = await wrap_client_stream(
            tasks, stream, target.netloc, target.path, extra_headers=headers
        )
        yield socket
        # No closing handshake: a Ping that crosses the library's own Close makes it raise.
        tasks.cancel_scope.cancel()
