"""What every WebSocket engine has in common: who is connected, who is ending, and the fence.

Two engines serve the same sessions, held to one contract suite: the reactor (`reactor`), one
task for all sockets, wherever the kernel has epoll; and trio-websocket (`trio_engine`), some
tasks for each socket, elsewhere or by configuration (`ws.engine`).

There is no timer per connection. All closing handshakes have the same timeout, so their
deadlines are a queue; an engine looks at its head, and otherwise wakes once a second.
"""

import abc
import socket
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar, TypeVarTuple

import attrs
import trio

from tocsin.server.handler import ConnectionLimits, Handler, Link
from tocsin.server.link import SocketLink
from tocsin.server.loan import Loan
from tocsin.server.responselink import ResponseLink, ResponseWriter
from tocsin.wire.websocket import CloseCode

LOOK_INTERVAL = 1.0

Arguments = TypeVarTuple("Arguments")
AnyLink = TypeVar("AnyLink", bound=SocketLink, covariant=True)  # noqa: PLC0105


@attrs.frozen
class EngineStatistics:
    """Open connections, those with a backlog and its bytes; then totals since the start."""

    connections: int
    blocked: int
    backlog_bytes: int
    adopted: int
    handler_errors: int
    close_timeouts: int


def ignore_error(_link: Link, _error: Exception) -> None:
    """Nobody asked to hear of it; `statistics` has counted it."""


class Engine(abc.ABC, Generic[AnyLink]):
    """Serves adopted sockets while `run` runs. Everything but `run` is synchronous.

    `on_error(link, error)` hears of every session that raised; such a connection closes with
    1011 and nothing else is touched.
    """

    def __init__(
        self, *, close_timeout: float, on_error: Callable[[Link, Exception], None]
    ) -> None:
        self._close_timeout = close_timeout
        self._on_error = on_error
        self._rest = trio.CancelScope()
        self._connections: dict[int, SocketLink] = {}
        self._blocked: set[SocketLink] = set()
        self._retired: deque[SocketLink] = deque()
        self._ending: deque[tuple[float, SocketLink]] = deque()
        self._waiting_for_end = trio.lowlevel.ParkingLot()
        self._adopted = 0
        self._handler_errors = 0
        self._close_timeouts = 0

    @abc.abstractmethod
    async def run(
        self,
        *,
        progress: Callable[[], object] = lambda: None,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; `progress` is called at least once a second.

        When it ends, for whatever reason, all sockets are closed at once and their sessions
        told; a drain closes them with 1012 first. May be run again afterwards.
        """

    @abc.abstractmethod
    def adopt(
        self,
        sock: socket.socket,
        handler: Handler,
        limits: ConnectionLimits,
        *,
        received: bytes = b"",
    ) -> AnyLink:
        """Take over a non-blocking socket on which 101 has been sent; `opened` is called.

        `received` is what was read beyond the handshake: it is processed before anything else,
        after `opened`. Raises trio.ClosedResourceError while the engine is not running, and
        OSError or ValueError if the socket cannot be waited for; then it stays the caller's.
        """

    @abc.abstractmethod
    def adopt_response(
        self, sock: socket.socket, writer: ResponseWriter, loan: Loan, *, received: bytes = b""
    ) -> ResponseLink:
        """Take over a socket whose answer's head has been sent; `opened` is called.

        `received` is what came behind the request. Raises as `adopt` does; then the socket and
        its loan stay the caller's.
        """

    @property
    def connections(self) -> int:
        """Open sockets, those that are closing included."""
        return len(self._connections)

    async def wait_empty(self) -> None:
        """Until no socket is open any more."""
        while self._connections:
            await self._waiting_for_end.park()

    def statistics(self) -> EngineStatistics:
        """A snapshot; costs a step per connection with a backlog."""
        return EngineStatistics(
            connections=len(self._connections),
            blocked=len(self._blocked),
            backlog_bytes=sum(link.backlog for link in self._blocked),
            adopted=self._adopted,
            handler_errors=self._handler_errors,
            close_timeouts=self._close_timeouts,
        )

    # The ends of connections.

    def _look_after(self, now: float) -> None:
        """End the closing handshakes whose time is over, and bury."""
        while self._ending and self._ending[0][0] <= now:
            link = self._ending.popleft()[1]
            if not link.is_gone:
                self._close_timeouts += 1
                link.expire()
        self._bury()

    def _next_look(self, now: float) -> float:
        look = now + LOOK_INTERVAL
        return min(look, self._ending[0][0]) if self._ending else look

    def _bury(self) -> None:
        """Tell the sessions that have ended, close the sockets that are done with."""
        while self._retired:
            link = self._retired.popleft()
            self._fenced(link, link.take_handler().closed, link.code)
            # A connection that lingered comes here twice.
            if link.is_gone and link.fileno() in self._connections:
                del self._connections[link.fileno()]
                self._forget(link)
                link.shut()
        if not self._connections:
            self._waiting_for_end.unpark_all()

    def _forget(self, link: SocketLink) -> None:
        """Its socket is about to be closed."""

    def _close_all(self) -> None:
        for link in self._connections.values():
            link.abort()
        self._bury()
        self._ending.clear()

    def _fenced(
        self, link: SocketLink, step: Callable[[*Arguments], None], *arguments: *Arguments
    ) -> None:
        try:
            step(*arguments)
        # The fence around one session: whatever is wrong with it, the other connections of
        # this engine must not notice.
        except Exception as error:  # noqa: BLE001
            self._crashed(link, error)

    def _crashed(self, link: SocketLink, error: Exception) -> None:
        self._handler_errors += 1
        link.fail(CloseCode.INTERNAL_ERROR)
        self._on_error(link, error)

    # What a link asks for (`Host`).

    def watch(self, link: SocketLink, *, writable: bool) -> None:
        """Note who has a backlog; how the kernel is asked is the engine's."""
        if writable:
            self._blocked.add(link)
        else:
            self._blocked.discard(link)

    def listen(self, link: SocketLink) -> None:
        """Where the kernel need not be told, the link is looked at before it is read."""

    def expect_end(self, link: SocketLink) -> None:
        """Queue the deadline of a closing handshake."""
        deadline = trio.current_time() + self._close_timeout
        self._ending.append((deadline, link))
        self._rest.deadline = min(self._rest.deadline, deadline)

    def retire(self, link: SocketLink) -> None:
        """Have `_bury` look at the link, soon also where another task did it."""
        self._retired.append(link)
        self._rest.cancel()


AnyEngine = Engine[SocketLink]
