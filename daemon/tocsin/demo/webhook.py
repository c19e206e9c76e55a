"""A receiver of webhooks that can be killed and started again on its port."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Self

import trio

from tocsin.demo.credentials import HOST
from tocsin.wire.http1 import END, NEED_DATA, Refused, RequestReader

HEADER_BYTES = 16_384
BODY_BYTES = 1_048_576
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BACKLOG = 64


class Webhook:
    """Up only within `up`; in between, connections to its port are refused.

    `arrived` gets each body before the request is answered 200.
    """

    def __init__(self, port: int, arrived: Callable[[bytes], None]) -> None:
        self.port = port
        self._arrived = arrived

    @classmethod
    @contextmanager
    def reserve(cls, arrived: Callable[[bytes], None]) -> Iterator[Self]:
        """One on a free port, which nobody else can take while it is down."""
        with closing(_bound(0)) as held:
            yield cls(held.getsockname()[1], arrived)

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Serve. At the end the port is closed, and every connection cut."""
        ours = _bound(self.port)
        ours.listen(BACKLOG)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(ours))
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._serve, [listener])
            yield
            nursery.cancel_scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        requests = _Requests()
        try:
            async for data in stream:
                for body in requests.take(bytes(data)):
                    self._arrived(body)
                    await stream.send_all(OK)
        except (trio.BrokenResourceError, ValueError):
            pass  # the daemon tries again
        finally:
            await trio.aclose_forcefully(stream)


class _Requests:
    """What comes on one connection."""

    def __init__(self) -> None:
        self._reader = RequestReader(header_bytes=HEADER_BYTES)
        self._body = b""

    def take(self, data: bytes) -> Iterator[bytes]:
        """The bodies of the requests that `data` completes; ValueError for what is none, or is
        larger than any notification."""
        self._reader.feed(data)
        while (event := self._reader.next_event()) is not NEED_DATA:
            if event is END:
                yield self._body
                self._body = b""
            elif isinstance(event, bytes):
                self._body += event
            if isinstance(event, Refused) or len(self._body) > BODY_BYTES:
                raise ValueError("no request of the daemon's")


def _bound(port: int) -> socket.socket:
    """Bound, not listening; any number of ours may share a port."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((HOST, port))
    return made
