"""One WebSocket as its engine sees it: what leaves, and the closing handshake.

A link is passive. Its engine calls it when the kernel says so; the session calls `offer`,
`close` and `abort` whenever it likes, from its own callbacks or from any task of the same
thread. Nothing here waits, and nothing here calls the session back from inside one of those
three. Reading is the business of the kinds of link, one for each engine.

    OPEN ──close()──> CLOSING ──peer's Close──> FLUSHING ──outbox empty──> GONE
      ├──peer's Close (echoed)──────────────────────^                       ^
      └──fail(): a violation, 1002 to 1011──> LINGERING ──peer's FIN────────┤
    any ──end of stream, error, abort(), close_timeout──────────────────────┘

In CLOSING the peer may not have seen our Close yet: what it sent before is still delivered, so
that a receipt on its way is not lost, and the session ends with the peer's Close. LINGERING
throws away what arrives: closing a socket with unread bytes makes the kernel send RST, which
would destroy the Close that says what was wrong. The session hears `closed` when it can hear
nothing else any more, with the code of the first Close frame in either direction.

A session that cannot keep up has the link stop reading, and the kernel makes the peer wait. A
link that begins to end reads again, since it waits for the peer's Close or FIN.

Buffers: the outbox has at most `outbox_bytes` and one Close; when a frame does not fit, `offer`
says no and queues nothing. A Pong that does not fit is dropped: that peer is not reading.
"""

import contextlib
import socket
import struct

import trio

from tocsin.server.handler import NOBODY, ConnectionLimits, Handler, Host
from tocsin.server.outbox import Outbox
from tocsin.wire.websocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    CloseCode,
    close_code,
    encode_close,
    encode_ping,
    encode_pong,
)

OPEN, CLOSING, FLUSHING, LINGERING, GONE = range(5)

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class SocketLink:
    """One peer behind a non-blocking socket; see `Link` for what is the session's."""

    __slots__ = (
        "_frames",
        "_handler",
        "_host",
        "_outbox",
        "_pings",
        "_second",
        "_socket",
        "_state",
        "blocked_since",
        "code",
        "is_reading",
        "last_received",
        "limits",
    )

    def __init__(
        self, sock: socket.socket, handler: Handler, limits: ConnectionLimits, host: Host
    ) -> None:
        self.limits = limits
        self.blocked_since: float | None = None
        self.last_received = host.now
        self.code = 0
        self.is_reading = True
        self._socket = sock
        self._handler = handler
        self._host = host
        self._outbox: Outbox | None = None
        self._state = OPEN
        self._pings = 0
        self._frames = 0
        self._second = host.now

    # For the session.

    @property
    def backlog(self) -> int:
        """Bytes that wait because the peer does not read."""
        return self._outbox.size if self._outbox is not None else 0

    def stop_reading(self) -> None:
        """Let the peer wait, until `read_on` or the connection begins to close; see `Link`."""
        if self._state == OPEN and self.is_reading:
            self.is_reading = False
            self._host.listen(self)

    def read_on(self) -> None:
        """End what `stop_reading` began."""
        if self._state != GONE and not self.is_reading:
            self.is_reading = True
            self._host.listen(self)

    def offer(self, data: bytes) -> bool:
        """Send encoded frames, now or when what waits before them has left.

        False, and nothing sent or queued, if the outbox bound would be passed or the
        connection is closing. A frame larger than the bound never leaves.
        """
        waiting = self._outbox.size if self._outbox is not None else 0
        if self._state != OPEN or waiting + len(data) > self.limits.outbox_bytes:
            return False
        self._put(data)
        return self._state == OPEN

    def ping(self, payload: bytes = b"") -> bool:
        """Send a Ping; the Pong that answers it is not counted as a client's frame."""
        if not self.offer(encode_ping(payload)):
            return False
        self.note_ping()
        return True

    def note_ping(self) -> None:
        """A Ping has left as part of what was offered: its Pong is expected."""
        self._pings += 1

    def close(self, code: int, reason: str = "") -> None:
        """Start the closing handshake behind what waits; no-op when already closing.

        ValueError: a code that no Close frame may carry.
        """
        frame = encode_close(code, reason)
        if self._state == OPEN:
            self._enter(CLOSING, code)
            self._put(frame)

    def abort(self, code: int = CloseCode.ABNORMAL) -> None:
        """Drop the connection now, without waiting for anybody.

        With a code other than 1006 a Close is tried, but not behind a backlog: the peer has
        stopped reading.
        """
        frame = b"" if code == CloseCode.ABNORMAL else encode_close(code)
        if frame and self._state == OPEN and self._outbox is None:
            with contextlib.suppress(OSError):
                self._socket.send(frame)
        self._drop(code)

    # For the engine.

    @property
    def is_listening(self) -> bool:
        """What the peer sends still counts."""
        return self._state <= CLOSING

    @property
    def is_gone(self) -> bool:
        """Nothing is left to do but to close the socket."""
        return self._state == GONE

    def fileno(self) -> int:
        """The descriptor, -1 after `shut`."""
        return self._socket.fileno()

    def open(self) -> None:
        """Tell the session."""
        self._handler.opened(self)

    def admit(self, opcode: int) -> bool:
        """Count a frame of the peer; one too many in a second fails the connection."""
        if opcode == PONG and self._pings:
            self._pings -= 1
            return True
        now = self._host.now
        if now - self._second >= 1.0:
            self._second = now
            self._frames = 0
        self._frames += 1
        if self._frames <= self.limits.frames_per_second:
            return True
        self.fail(CloseCode.POLICY, "too many frames")
        return False

    def deliver(self, opcode: int, payload: bytes) -> None:
        """A whole message or control frame of the peer goes where it belongs."""
        if opcode == TEXT:
            self._handler.text(payload)
        elif opcode == PONG:
            self._handler.pong(payload)
        elif opcode == PING:
            self.offer(encode_pong(payload))
        elif opcode == BINARY:
            self._handler.binary(payload)
        elif opcode == CLOSE:
            self._peer_closed(close_code(payload))

    def flush(self) -> None:
        """Send what waits, as many frames at once as the kernel takes."""
        if self._outbox is None:
            return
        try:
            self._outbox.send(self._socket)
        except BlockingIOError:
            return
        except OSError:
            self._drop(CloseCode.ABNORMAL)
            return
        if self._outbox.size:
            self.blocked_since = self._host.now
        else:
            self._unblock()

    def fail(self, code: int, reason: str = "") -> None:
        """Say what is wrong and hear no more (section 7.1.7)."""
        was = self._state
        if was > CLOSING:
            return
        self._enter(LINGERING, code)
        self._host.retire(self)
        if was == OPEN:
            self._put(encode_close(code, reason))
        if self._outbox is None:
            self._finish()

    def read_into(self, buffer: memoryview) -> None:
        """Receive once and process it; the end of the stream is the end of the connection."""
        try:
            size = self._socket.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size:
            self.take(buffer[:size])
        else:
            self._drop(CloseCode.ABNORMAL)

    def take(self, _data: bytes | memoryview) -> None:
        """Process bytes of the peer, which are not used after the call."""
        self.last_received = self._host.now

    def expire(self) -> None:
        """close_timeout has passed."""
        self._drop(CloseCode.ABNORMAL)

    def take_handler(self) -> Handler:
        """The session that is to hear `closed`; a second call gives one that does not care."""
        handler, self._handler = self._handler, NOBODY
        return handler

    def shut(self) -> None:
        """Close the socket."""
        self._socket.close()

    # Inside.

    def _peer_closed(self, code: int) -> None:
        was = self._state
        self._enter(FLUSHING, code)
        self._host.retire(self)
        if was == OPEN:
            self._put(encode_close(code))
        if self._outbox is None:
            self._finish()

    def _enter(self, state: int, code: int) -> None:
        """Begin to end: from here on close_timeout runs, and the code is settled."""
        if self._state == OPEN:
            self.code = code
            self._host.expect_end(self)
            self.read_on()
        self._state = state

    def _finish(self) -> None:
        """The last byte has left."""
        if self._state == FLUSHING:
            self._drop(self.code)
        elif self._state == LINGERING:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def _drop(self, code: int) -> None:
        if self._state == GONE:
            return
        self.code = self.code or code
        self._state = GONE
        if self._outbox is not None:
            # Otherwise the kernel keeps a full send buffer for minutes for a peer that is dead.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self._host.watch(self, writable=False)
        self._outbox = None
        self.blocked_since = None
        self._host.retire(self)

    def _put(self, data: bytes) -> None:
        if self._outbox is not None:
            self._outbox.put(data)
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(CloseCode.ABNORMAL)
            return
        if sent < len(data):
            self._block(memoryview(data)[sent:])

    def _block(self, rest: memoryview) -> None:
        self._outbox = Outbox(rest)
        self.blocked_since = trio.current_time()
        self._host.watch(self, writable=True)

    def _unblock(self) -> None:
        self._outbox = None
        self.blocked_since = None
        self._host.watch(self, writable=False)
        if self._state == OPEN:
            self._handler.drained()
        else:
            self._finish()
