"""A provider in memory: as many HTTP/2 connections as a pool dials, each judged by `h2`.

    async with pooled(connections=2) as (pool, provider):
        result = await post(pool, "/1")

Requests pile up in `provider.requests` for the test to answer, or `provider.on_request` answers
each when it is complete. Whatever `h2` finds wrong with a frame of ours fails the test.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
import trio.testing
from tests.fakes import h2_server
from tests.fakes.h2_server import H2Server

from tocsin.model.notification import Priority
from tocsin.transports.push.call import Result
from tocsin.transports.push.pool import Http2Pool
from tocsin.transports.push.tls import ConnectError, Origin
from tocsin.wire.http2.frames import END_HEADERS, PUSH_PROMISE, frame
from tocsin.wire.http2.headers import encode

ORIGIN = Origin("push.example")
FIXED = encode(
    [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"push.example"),
        (b"apns-topic", b"com.example"),
    ]
)
NOTICE = 2**31 - 1


@attrs.define(eq=False)
class Request:
    """One request, as far as it has come."""

    connection: "ProviderConnection"
    stream_id: int
    seen: h2_server.Request

    @property
    def path(self) -> str:
        return self.seen.headers[b":path"].decode()

    async def answer(self, status: int = 200, body: bytes = b"") -> None:
        """A whole answer."""
        self.connection.server.respond(self.stream_id, status=status, body=body)
        await self.connection.flush()

    async def reset(self, code: int) -> None:
        """RST_STREAM."""
        self.connection.server.h2.reset_stream(self.stream_id, code)
        await self.connection.flush()

    async def widen(self, size: int) -> None:
        """WINDOW_UPDATE."""
        self.connection.server.h2.increment_flow_control_window(size, self.stream_id)
        await self.connection.flush()


OnRequest = Callable[[Request], Awaitable[None]]


class ProviderConnection:
    """One connection, at the server's end."""

    def __init__(self, provider: "Provider", stream: trio.abc.Stream) -> None:
        self.server = H2Server(credits_data=provider.credits_data, **provider.settings)
        self.requests: dict[int, Request] = {}
        self.is_closed = False
        self._provider = provider
        self._stream = stream
        self._told: set[int] = set()

    async def run(self) -> None:
        """Read until the client closes; silent, it never begins."""
        if self._provider.is_silent:
            return
        await self.flush()
        try:
            while data := await self._stream.receive_some():
                self._provider.reads += 1
                if not self._provider.is_deaf:
                    await self._take(bytes(data))
        except trio.ClosedResourceError:
            return
        self.is_closed = True

    async def change(self, **settings: int) -> None:
        """New SETTINGS, and time for the client to see them."""
        self.server.change(**settings)
        await self.flush()
        await trio.testing.wait_all_tasks_blocked()

    async def goaway(self, last_id: int = NOTICE, *, code: int = 0, debug: bytes = b"") -> None:
        """GOAWAY, after which open streams go on."""
        self.server.goaway(last_id, code=code, debug=debug)
        await self.flush()

    async def cut(self) -> None:
        """The connection is gone."""
        self.is_closed = True
        await trio.aclose_forcefully(self._stream)

    async def violate(self) -> None:
        """A frame that no server may send: PUSH_PROMISE."""
        await self._stream.send_all(frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4)))

    async def flush(self) -> None:
        data = self.server.outgoing()
        if data and not self.is_closed:
            await self._stream.send_all(data)

    async def _take(self, data: bytes) -> None:
        self.server.receive(data)
        for stream_id, seen in self.server.requests.items():
            if stream_id not in self.requests:
                self.requests[stream_id] = Request(self, stream_id, seen)
                self._provider.requests.append(self.requests[stream_id])
        for stream_id in self.server.complete:
            if stream_id not in self._told:
                self._told.add(stream_id)
                if self._provider.on_request is not None:
                    await self._provider.on_request(self.requests[stream_id])
        await self.flush()


class Provider:
    """Where a pool dials to."""

    def __init__(self, nursery: trio.Nursery, *, on_request: OnRequest | None = None) -> None:
        self._nursery = nursery
        self.on_request = on_request
        """Answers each complete request; without it they wait for the test."""
        self.settings = {"MAX_CONCURRENT_STREAMS": 100}
        self.connections: list[ProviderConnection] = []
        self.requests: list[Request] = []
        self.dials: list[float] = []
        self.refuses: str | None = None
        self.is_silent = False
        self.is_deaf = False
        self.credits_data = True
        self.reads = 0

    async def dial(self, _origin: Origin, _context: ssl.SSLContext) -> trio.abc.Stream:
        """For the pool."""
        self.dials.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if self.refuses is not None:
            raise ConnectError(self.refuses)
        ours, theirs = trio.testing.memory_stream_pair()
        connection = ProviderConnection(self, theirs)
        self.connections.append(connection)
        self._nursery.start_soon(connection.run)
        return ours


@asynccontextmanager
async def pooled(
    *, connections: int = 1, on_request: OnRequest | None = None, **settings: int
) -> AsyncIterator[tuple[Http2Pool, Provider]]:
    """A pool that runs, and the provider it leads to; `settings` by their h2 names."""
    async with trio.open_nursery() as nursery:
        provider = Provider(nursery, on_request=on_request)
        provider.settings |= settings
        pool = pool_to(provider, connections=connections)
        nursery.start_soon(pool.run)  # noqa: ASYNC113 - posts wait for it
        yield pool, provider
        nursery.cancel_scope.cancel()


def pool_to(provider: Provider, **options: Any) -> Http2Pool:
    """A pool for this provider; its backoff is without chance."""
    context = ssl.create_default_context()
    options = {"dial": provider.dial, "jitter": lambda: 1.0, **options}
    return Http2Pool(ORIGIN, ssl_context=context, **options)


async def post(
    pool: Http2Pool,
    path: str = "/",
    *,
    body: bytes = b"{}",
    priority: Priority = Priority.NORMAL,
    seconds: float = 10.0,
) -> Result:
    """One request, with a header of its own."""
    headers = [(b":path", path.encode()), (b"apns-id", path.encode())]
    deadline = trio.current_time() + seconds
    return await pool.post(FIXED, headers, body, deadline=deadline, priority=priority)


async def echo(request: Request) -> None:
    """Answer with what came."""
    await request.answer(200, request.seen.body)
