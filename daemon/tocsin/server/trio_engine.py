"""The other WebSocket engine: trio-websocket reads, in tasks of each connection's own.

For kernels without epoll, and as a second opinion on the reactor: the sessions, the links, their
limits and their ends are the same, only the reading differs. It costs more, two tasks and some
20 KB for each connection and several task switches for each message; sending costs the same.

    _serve, one task for each connection
      nursery: trio-websocket's reader ──messages──> _pass_on ──> session
      then, with the library ended: linger until the link is gone
    _flush, one task for each connection with a backlog

A connection's tasks end when its link is gone, since that closes the socket under them.
"""

import errno
import os
import socket
from collections.abc import Callable

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from tocsin.server.engine import Engine, ignore_error
from tocsin.server.handler import ConnectionLimits, Handler, Link
from tocsin.server.link import SocketLink
from tocsin.server.loan import Loan
from tocsin.server.responselink import ResponseLink, ResponseWriter
from tocsin.server.trio_engine_link import RECEIVE_BYTES, TrioLink
from tocsin.server.trio_engine_stream import LibraryStream
from tocsin.wire.websocket import BINARY, TEXT, CloseCode


class TrioWebSocketEngine(Engine[TrioLink]):
    """The engine where there is no epoll."""

    def __init__(
        self,
        *,
        close_timeout: float = 5.0,
        on_error: Callable[[Link, Exception], None] = ignore_error,
    ) -> None:
        super().__init__(close_timeout=close_timeout, on_error=on_error)
        self._nursery: trio.Nursery | None = None
        self._flushing: set[SocketLink] = set()
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))

    @property
    def now(self) -> float:
        """The time (`Host`)."""
        return trio.current_time()

    async def run(
        self,
        *,
        progress: Callable[[], object] = lambda: None,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; `progress` is called at least once a second."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                while True:
                    progress()
                    self._look_after(self.now)
                    with trio.CancelScope(deadline=self._next_look(self.now)) as self._rest:
                        await trio.sleep_forever()
            finally:
                self._nursery = None
                self._close_all()

    def adopt(
        self,
        sock: socket.socket,
        handler: Handler,
        limits: ConnectionLimits,
        *,
        received: bytes = b"",
    ) -> TrioLink:
        """See `Engine.adopt`; `received` is processed after this has returned."""
        nursery = self._open_for(sock)
        link = TrioLink(sock, handler, limits, self)
        self._connections[sock.fileno()] = link
        self._fenced(link, link.open)
        nursery.start_soon(self._serve, link, received)
        return link

    def adopt_response(
        self, sock: socket.socket, writer: ResponseWriter, loan: Loan, *, received: bytes = b""
    ) -> ResponseLink:
        """See `Engine.adopt_response`."""
        nursery = self._open_for(sock)
        link = ResponseLink(sock, writer, loan, self, received)
        self._connections[sock.fileno()] = link
        self._fenced(link, link.open)
        nursery.start_soon(self._read, link)
        return link

    def _open_for(self, sock: socket.socket) -> trio.Nursery:
        if self._nursery is None:
            raise trio.ClosedResourceError("the engine is not running")
        if sock.fileno() < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._adopted += 1
        return self._nursery

    async def _read(self, link: ResponseLink) -> None:
        try:
            while not link.is_gone:
                await trio.lowlevel.wait_readable(link.fileno())
                self._fenced(link, link.read_into, self._buffer)
        except trio.ClosedResourceError:
            return  # it has ended, and the socket may be somebody else's

    async def _serve(self, link: TrioLink, received: bytes) -> None:
        try:
            await self._run_library(link, received)
        # The fence around one connection: a crash of the library ends that one.
        except* Exception as crash:  # noqa: BLE001
            self._crashed(link, crash)
        # Nobody listens any more: should the link be open still, it must not seem so.
        link.fail(CloseCode.INTERNAL_ERROR)
        await link.linger()

    async def _run_library(self, link: TrioLink, received: bytes) -> None:
        def deliver(opcode: int, payload: bytes) -> None:
            self._fenced(link, link.deliver, opcode, payload)

        stream = LibraryStream(link, deliver, received)
        async with trio.open_nursery() as tasks:
            request = await wrap_server_stream(
                tasks,
                stream,
                message_queue_size=0,
                max_message_size=link.limits.max_message,
                receive_buffer_size=RECEIVE_BYTES,
            )
            library = await request.accept()
            stream.begin(library)
            await _pass_on(library, stream)

    def watch(self, link: SocketLink, *, writable: bool) -> None:
        """Have a task that flushes while there is a backlog."""
        super().watch(link, writable=writable)
        if writable and link not in self._flushing and self._nursery is not None:
            self._flushing.add(link)
            self._nursery.start_soon(self._flush, link)

    async def _flush(self, link: SocketLink) -> None:
        try:
            while link.backlog:
                await trio.lowlevel.wait_writable(link.fileno())
                self._fenced(link, link.flush)
        except trio.ClosedResourceError:
            return  # the link is gone, and its backlog with it
        finally:
            self._flushing.discard(link)


async def _pass_on(library: WebSocketConnection, stream: LibraryStream) -> None:
    """Each message goes to the session, until there are no more."""
    try:
        while True:
            message = await library.get_message()
            if isinstance(message, str):
                stream.message(TEXT, message.encode())
            else:
                stream.message(BINARY, message)
    except ConnectionClosed:
        return
