"""All WebSockets in one task: an epoll of our own, awaited as one descriptor.

A task, a timer and a stream per connection cost 5 to 20 KB and tens of microseconds a message.
Here a connection is a record, and one task serves them all: a kernel epoll can itself be
polled, so Trio waits for that one descriptor; then up to `batch` ready sockets are read, one
`receive` each into one shared buffer, and their sessions are called synchronously. Between two
batches every other task gets its turn. Cancellation and supervision are ordinary Trio, at the
level of that task.

Fairness: a connection is read once a batch, at most `receive_bytes`; epoll is level-triggered,
so what is left comes round again behind the others. Sockets are closed only between batches:
within one, no descriptor can be given to a new connection while an event for the old one is
still in the list.

There is no timer either. All closing handshakes have the same timeout, so their deadlines are a
queue; the task looks at its head, and otherwise wakes once a second.
"""

import select
import socket
from collections import deque
from collections.abc import Callable
from typing import NoReturn, TypeVarTuple

import attrs
import trio

from tocsin.server.connection import Connection
from tocsin.server.handler import ConnectionLimits, Handler
from tocsin.wire.websocket import CloseCode

__all__ = ["Connection", "ConnectionLimits", "Handler", "Reactor", "ReactorStatistics"]

READABLE = select.EPOLLIN
READABLE_AND_WRITABLE = select.EPOLLIN | select.EPOLLOUT
LOOK_INTERVAL = 1.0

Arguments = TypeVarTuple("Arguments")


@attrs.frozen
class ReactorStatistics:
    """Open connections, those with a backlog and its bytes; then totals since the start."""

    connections: int
    blocked: int
    backlog_bytes: int
    adopted: int
    handler_errors: int
    close_timeouts: int


def _ignore_error(_connection: Connection, _error: Exception) -> None:
    """Nobody asked to hear of it; `statistics` has counted it."""


class Reactor:
    """Serves adopted sockets while `run` runs. Everything but `run` is synchronous.

    `on_error(connection, error)` hears of every session that raised; such a connection closes
    with 1011 and nothing else is touched.
    """

    def __init__(
        self,
        *,
        close_timeout: float = 5.0,
        batch: int = 256,
        receive_bytes: int = 65536,
        on_error: Callable[[Connection, Exception], None] = _ignore_error,
    ) -> None:
        self.now = 0.0
        self._close_timeout = close_timeout
        self._batch = batch
        self._on_error = on_error
        self._buffer = memoryview(bytearray(receive_bytes))
        self._epoll: select.epoll | None = None
        self._rest = trio.CancelScope()
        self._connections: dict[int, Connection] = {}
        self._blocked: set[Connection] = set()
        self._retired: deque[Connection] = deque()
        self._ending: deque[tuple[float, Connection]] = deque()
        self._adopted = 0
        self._handler_errors = 0
        self._close_timeouts = 0

    @property
    def connections(self) -> int:
        """Open sockets, those that are closing included."""
        return len(self._connections)

    def statistics(self) -> ReactorStatistics:
        """A snapshot; costs a step per connection with a backlog."""
        return ReactorStatistics(
            connections=len(self._connections),
            blocked=len(self._blocked),
            backlog_bytes=sum(connection.backlog for connection in self._blocked),
            adopted=self._adopted,
            handler_errors=self._handler_errors,
            close_timeouts=self._close_timeouts,
        )

    async def run(
        self,
        *,
        progress: Callable[[], object] = lambda: None,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> NoReturn:
        """Serve until cancelled; `progress` is called each turn and at least once a second.

        When it ends, for whatever reason, all sockets are closed at once and their sessions
        told; a drain closes them with 1012 first. May be run again afterwards.
        """
        with select.epoll() as epoll:
            self._epoll = epoll
            self.now = trio.current_time()
            task_status.started()
            try:
                while True:
                    progress()
                    self._look_after()
                    with trio.CancelScope(deadline=self._next_look()) as self._rest:
                        await self._serve(epoll, progress)
            finally:
                self._close_all()

    def adopt(
        self,
        sock: socket.socket,
        handler: Handler,
        limits: ConnectionLimits,
        *,
        received: bytes = b"",
    ) -> Connection:
        """Take over a non-blocking socket on which 101 has been sent.

        `received` is what was read beyond the handshake: it is processed before anything else,
        after `opened`. Raises trio.ClosedResourceError while the reactor is not running, and
        OSError if the kernel will not watch the socket; then it stays the caller's.
        """
        if self._epoll is None:
            raise trio.ClosedResourceError("the reactor is not running")
        self._epoll.register(sock, READABLE)
        self.now = trio.current_time()
        connection = Connection(sock, handler, limits, self)
        self._connections[sock.fileno()] = connection
        self._adopted += 1
        self._fenced(connection, connection.start, received)
        return connection

    async def _serve(self, epoll: select.epoll, progress: Callable[[], object]) -> NoReturn:
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
            if event & select.EPOLLOUT:
                self._fenced(connection, connection.flush)
            if event != select.EPOLLOUT:
                self._fenced(connection, connection.read_into, self._buffer)
        self._bury()

    def _look_after(self) -> None:
        self.now = trio.current_time()
        while self._ending and self._ending[0][0] <= self.now:
            connection = self._ending.popleft()[1]
            if not connection.is_gone:
                self._close_timeouts += 1
                connection.expire()
        self._bury()

    def _next_look(self) -> float:
        look = self.now + LOOK_INTERVAL
        return min(look, self._ending[0][0]) if self._ending else look

    def _bury(self) -> None:
        """Tell the sessions that have ended, close the sockets that are done with."""
        while self._retired:
            connection = self._retired.popleft()
            self._fenced(connection, connection.take_handler().closed, connection.code)
            # A connection that lingered comes here twice.
            if connection.is_gone and connection.fileno() in self._connections:
                del self._connections[connection.fileno()]
                if self._epoll is not None:
                    self._epoll.unregister(connection)
                connection.shut()

    def _close_all(self) -> None:
        self._epoll = None
        for connection in self._connections.values():
            connection.abort()
        self._bury()
        self._ending.clear()

    def _fenced(
        self, connection: Connection, step: Callable[[*Arguments], None], *arguments: *Arguments
    ) -> None:
        try:
            step(*arguments)
        # The fence around one session: whatever is wrong with it, the other connections of
        # this task must not notice.
        except Exception as error:  # noqa: BLE001
            self._handler_errors += 1
            connection.fail(CloseCode.INTERNAL_ERROR)
            self._on_error(connection, error)

    # What a connection asks for (`Host`).

    def watch(self, connection: Connection, *, writable: bool) -> None:
        """Arm EPOLLOUT while there is a backlog."""
        if writable:
            self._blocked.add(connection)
        else:
            self._blocked.discard(connection)
        if self._epoll is not None:
            self._epoll.modify(connection, READABLE_AND_WRITABLE if writable else READABLE)

    def expect_end(self, connection: Connection) -> None:
        """Queue the deadline of a closing handshake."""
        deadline = trio.current_time() + self._close_timeout
        self._ending.append((deadline, connection))
        self._rest.deadline = min(self._rest.deadline, deadline)

    def retire(self, connection: Connection) -> None:
        """Have `_bury` look at the connection, soon also where another task did it."""
        self._retired.append(connection)
        self._rest.cancel()
