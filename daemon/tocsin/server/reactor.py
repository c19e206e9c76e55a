"""All WebSockets in one task: an epoll of our own, awaited as one descriptor.

A task, a timer and a stream per connection cost 5 to 20 KB and tens of microseconds a message.
Here a connection is a record, and one task serves them all: a kernel epoll can itself be
polled, so Trio waits for that one descriptor; then up to `batch` ready sockets are read, one
`receive` each into one shared buffer, and their sessions are called synchronously. Between two
batches every other task gets its turn. Cancellation and supervision are ordinary Trio, at the
level of that task.

Fairness: a connection is read once a batch, at most `receive_bytes`; epoll is level-triggered,
so what is left comes round again behind the others. A link that has stopped reading is not asked
about; what epoll cannot be kept from saying, that its peer has hung up, it says once. Sockets are
closed only between batches: within one, no descriptor can be given to a new connection while an
event for the old one is still in the list.
"""

import select
import socket
from collections.abc import Callable
from typing import NoReturn

import trio

from tocsin.server.connection import Connection
from tocsin.server.engine import Engine, ignore_error
from tocsin.server.handler import ConnectionLimits, Handler, Link
from tocsin.server.link import SocketLink
from tocsin.server.loan import Loan
from tocsin.server.responselink import ResponseLink, ResponseWriter

__all__ = ["Connection", "ConnectionLimits", "Handler", "Reactor"]


class Reactor(Engine[Connection]):
    """The engine where there is epoll."""

    def __init__(
        self,
        *,
        close_timeout: float = 5.0,
        batch: int = 256,
        receive_bytes: int = 65536,
        on_error: Callable[[Link, Exception], None] = ignore_error,
    ) -> None:
        super().__init__(close_timeout=close_timeout, on_error=on_error)
        self.now = 0.0
        self._batch = batch
        self._buffer = memoryview(bytearray(receive_bytes))
        self._epoll: select.epoll | None = None

    async def run(
        self,
        *,
        progress: Callable[[], object] = lambda: None,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> NoReturn:
        """Serve until cancelled; `progress` is called each turn and at least once a second."""
        with select.epoll() as epoll:
            self._epoll = epoll
            self.now = trio.current_time()
            task_status.started()
            try:
                while True:
                    progress()
                    self.now = trio.current_time()
                    self._look_after(self.now)
                    with trio.CancelScope(deadline=self._next_look(self.now)) as self._rest:
                        await self._serve(epoll, progress)
            finally:
                self._epoll = None
                self._close_all()

    def adopt(
        self,
        sock: socket.socket,
        handler: Handler,
        limits: ConnectionLimits,
        *,
        received: bytes = b"",
    ) -> Connection:
        """See `Engine.adopt`; `received` is processed before this returns."""
        self._register(sock)
        connection = Connection(sock, handler, limits, self)
        self._connections[sock.fileno()] = connection
        self._fenced(connection, connection.start, received)
        return connection

    def adopt_response(
        self, sock: socket.socket, writer: ResponseWriter, loan: Loan, *, received: bytes = b""
    ) -> ResponseLink:
        """See `Engine.adopt_response`."""
        self._register(sock)
        link = ResponseLink(sock, writer, loan, self, received)
        self._connections[sock.fileno()] = link
        self._fenced(link, link.open)
        return link

    def _register(self, sock: socket.socket) -> None:
        if self._epoll is None:
            raise trio.ClosedResourceError("the reactor is not running")
        self._epoll.register(sock, select.EPOLLIN)
        self.now = trio.current_time()
        self._adopted += 1

    async def _serve(self, epoll: "select.epoll", progress: Callable[[], object]) -> NoReturn:
        while True:
            events = epoll.poll(0, self._batch)
            if events:
                self._turn(events)
                progress()
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(epoll)

    def _turn(self, events: list[tuple[int, int]]) -> None:
        self.now = trio.current_time()
        for descriptor, event in events:
            connection = self._connections[descriptor]
            # Of one that does not read, a hang-up while there is a backlog is a failing send.
            if event & select.EPOLLOUT or not connection.is_reading:
                self._fenced(connection, connection.flush)
            if event != select.EPOLLOUT and connection.is_reading:
                self._fenced(connection, connection.read_into, self._buffer)
        self._bury()

    def _forget(self, link: SocketLink) -> None:
        if self._epoll is not None:
            self._epoll.unregister(link)

    def watch(self, link: SocketLink, *, writable: bool) -> None:
        """Arm EPOLLOUT while there is a backlog."""
        super().watch(link, writable=writable)
        self._ask(link)

    def listen(self, link: SocketLink) -> None:
        """Arm EPOLLIN while the link reads."""
        self._ask(link)

    def _ask(self, link: SocketLink) -> None:
        if self._epoll is None:
            return
        events = select.EPOLLIN if link.is_reading else 0
        if link in self._blocked:
            events |= select.EPOLLOUT
        self._epoll.modify(link, events or select.EPOLLET)
