"""The test services in virtual time, on real sockets."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import pytest
from tests.fakes.raw_http import Answer, RawConnection, RawWebSocket
from tests.fakes.raw_http import fetch as fetch_from
from tests.fakes.sockjs_services import Options, Services, running
from trio.testing import MockClock, wait_all_tasks_blocked

STEP = 0.25


@attrs.define(eq=False)
class Bench:
    """Running services, their clients, and the time."""

    services: Services
    clock: MockClock
    _open: list[RawConnection | RawWebSocket] = attrs.field(factory=list)

    @property
    def address(self) -> str:
        """Where they listen."""
        return self.services.address

    async def fetch(self, method: str, target: str, *args: object, **more: object) -> Answer:
        """One request over a connection of its own."""
        return await fetch_from(self.address, method, target, *args, **more)

    async def connect(self) -> RawConnection:
        """A connection that is closed at the end."""
        connection = await RawConnection.open(self.address)
        self._open.append(connection)
        return connection

    async def websocket(self, target: str, *, behind: bytes = b"") -> RawWebSocket:
        """A WebSocket that is closed at the end."""
        socket = await RawWebSocket.open(self.address, target, behind=behind)
        self._open.append(socket)
        return socket

    async def stream(self, method: str, target: str) -> RawConnection:
        """A connection whose answer has begun."""
        connection = await self.connect()
        head = await connection.begin(method, target)
        assert head.status == 200, head
        return connection

    async def leap(self, seconds: float) -> None:
        """Let time pass, and everything happen that it causes; for tests with `mock_clock`."""
        for _ in range(round(seconds / STEP)):
            await wait_all_tasks_blocked()
            self.clock.jump(STEP)
        await wait_all_tasks_blocked()

    async def settle(self) -> None:
        """Let happen what has been caused."""
        await wait_all_tasks_blocked()
        await wait_all_tasks_blocked()

    def metric(self, name: str, **labels: str) -> float:
        """A sample."""
        value = self.services.metrics.registry.get_sample_value(f"tocsin_sockjs_{name}", labels)
        assert value is not None
        return value

    async def aclose(self) -> None:
        """Hang up everywhere."""
        for connection in self._open:
            await connection.aclose()


# A test that lets time pass must name `mock_clock` itself.
Start = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture(params=["reactor", "trio-websocket"])
def start(request: pytest.FixtureRequest, mock_clock: MockClock) -> Start:
    """Starts the services with options; `more` are further ones."""

    @asynccontextmanager
    async def start(*, more: Any = (), **options: Any) -> AsyncIterator[Bench]:
        chosen = Options(port=0, engine=request.param, **options)
        async with running(chosen, more=more) as services:
            bench = Bench(services, mock_clock)
            try:
                yield bench
            finally:
                await bench.aclose()

    return start


@pytest.fixture
async def bench(start: Start) -> AsyncIterator[Bench]:
    """The services with their defaults."""
    async with start() as bench:
        yield bench
