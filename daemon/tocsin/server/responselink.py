"""A streamed answer as its engine sees it: bytes leave, and the end of the client is noticed.

The HTTP server has written the head and lent the connection (`loan`); what is written here is the
body. An engine serves it like a WebSocket: no task, no timer, and a client that hangs up is heard
of at once, though nothing is written.

    OPEN ──finish()──> FLUSHING ──last byte sent──> GONE, the connection goes back to HTTP
      |                                └──────────> LINGERING ──peer's FIN──> GONE, closed
      └──abort(), the client's end, an error──────> GONE, closed; the answer stays incomplete

What the client sends behind its request is kept for the HTTP server, or thrown away if no further
request may come. Too much of it ends the connection: nobody pipelines bodies.

The link has no bound of its own: its writer looks at `blocked_since` and writes no more.
"""

import contextlib
import socket
from typing import Final

import trio

from tocsin.server.handler import ConnectionLimits, Host, Link
from tocsin.server.link import FLUSHING, GONE, LINGERING, OPEN, SocketLink
from tocsin.server.loan import Loan
from tocsin.wire.response import LAST_CHUNK, chunk
from tocsin.wire.websocket import CloseCode

NO_LIMITS: Final = ConnectionLimits(max_message=0, frames_per_second=0, outbox_bytes=0)
PIPELINED_BYTES: Final = 131_072
# A complete answer may wait so long for a reader that takes nothing of it.
STALLED: Final = 5.0


class ResponseWriter:
    """Whose answer it is; a `Handler` that hears no messages."""

    def begin(self, link: "ResponseLink") -> None:
        """The head has left: the body may be written; comes before everything else."""

    def ended(self) -> None:
        """The last byte was handed to the kernel; may come from inside a call of the link."""

    def drained(self) -> None:
        """Everything written so far was handed to the kernel, after it had not been."""

    def closed(self, code: int) -> None:
        """Exactly once and last; without `ended` before it the answer has broken off."""

    def opened(self, connection: Link) -> None: ...
    def text(self, payload: bytes) -> None: ...
    def binary(self, payload: bytes) -> None: ...
    def pong(self, payload: bytes) -> None: ...


class ResponseLink(SocketLink):
    """The connection of one streamed answer."""

    __slots__ = ("_is_whole", "_loan", "_received", "_writer")

    def __init__(
        self, sock: socket.socket, writer: ResponseWriter, loan: Loan, host: Host, received: bytes
    ) -> None:
        """`received` is what came behind the request."""
        super().__init__(sock, writer, NO_LIMITS, host)
        self._writer = writer
        self._loan = loan
        self._received = received
        self._is_whole = False

    # For the writer.

    def write(self, data: bytes) -> None:
        """Send a part of the body, now or behind what waits; nothing when it has ended."""
        if self._state == OPEN:
            self._put(chunk(data) if self._loan.chunked else data)

    def finish(self, data: bytes = b"") -> None:
        """Send the last part, and end the answer behind it."""
        if self._state != OPEN:
            return
        self._state = FLUSHING
        if self._loan.chunked:
            data = (chunk(data) if data else b"") + LAST_CHUNK
        if data:
            self._put(data)
        if self._outbox is None:
            self._finish()
        else:
            self._host.expect_end(self)

    def close(self, _code: int, _reason: str = "") -> None:
        """End the answer behind what waits."""
        self.finish()

    def abort(self, code: int = CloseCode.ABNORMAL) -> None:
        """Drop the connection; the client sees that the answer is incomplete."""
        self._drop(code)

    # For the engine.

    def open(self) -> None:
        """Tell the writer."""
        self._writer.begin(self)

    def fail(self, code: int, _reason: str = "") -> None:
        """The writer has crashed."""
        self._drop(code)

    def take(self, data: bytes | memoryview) -> None:
        """Keep the next request, if there may be one."""
        super().take(data)
        if self._loan.returns:
            self._received += data
        if len(self._received) > PIPELINED_BYTES:
            self._drop(CloseCode.ABNORMAL)

    def expire(self) -> None:
        """The end is overdue; a reader that goes on reading is waited for."""
        if (
            self._state == FLUSHING
            and self.blocked_since is not None
            and self._host.now - self.blocked_since < STALLED
        ):
            self._host.expect_end(self)
        else:
            self._drop(CloseCode.ABNORMAL)

    def shut(self) -> None:
        """Give the connection back, or close it."""
        trio.lowlevel.notify_closing(self._socket)
        if self._is_whole and self._loan.returns:
            self._loan.give_back(self._socket, self._received)
        else:
            self._socket.close()
            self._loan.end()

    # Inside.

    def _finish(self) -> None:
        if self._state != FLUSHING:
            return
        self.code = CloseCode.NORMAL
        self._is_whole = True
        if self._loan.returns:
            self._state = GONE
        else:
            self._state = LINGERING
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
            self._host.expect_end(self)
        self._host.retire(self)
        self._writer.ended()
