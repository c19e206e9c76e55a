"""trio-websocket's kind of link: a task waits for what it receives."""

import socket
from typing import Final

import trio

from tocsin.server.handler import ConnectionLimits, Handler, Host
from tocsin.server.link import SocketLink

RECEIVE_BYTES: Final = 65_536


class TrioLink(SocketLink):
    """One WebSocket of `TrioWebSocketEngine`.

    `turn` is set while the library may have the next frame, and for good when the socket closes.
    `_call` is what `receive` waits for while the link does not read.
    """

    __slots__ = ("_call", "turn")

    def __init__(
        self, sock: socket.socket, handler: Handler, limits: ConnectionLimits, host: Host
    ) -> None:
        super().__init__(sock, handler, limits, host)
        self.turn = trio.Event()
        self._call: trio.Event | None = None

    def read_on(self) -> None:
        """See `SocketLink`."""
        super().read_on()
        self._wake()

    async def receive(self, max_bytes: int | None = None) -> bytes:
        """The next bytes of the peer; b"" when the link has come to its end, by this or before."""
        while not self.is_gone:
            try:
                await self._readable()
                if not self.is_reading:
                    continue
                data = self._socket.recv(max_bytes or RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError):
                data = b""
            if data:
                self.last_received = self._host.now
                return data
            self.expire()
        return b""

    async def linger(self) -> None:
        """Throw away what the peer still sends, until the end."""
        while await self.receive():
            pass

    def shut(self) -> None:
        """Close the socket and wake whoever waits for it."""
        trio.lowlevel.notify_closing(self._socket)
        self.turn.set()
        self._wake()
        super().shut()

    async def _readable(self) -> None:
        if self.is_reading:
            await trio.lowlevel.wait_readable(self._socket)
        else:
            self._call = trio.Event()
            await self._call.wait()

    def _wake(self) -> None:
        if self._call is not None:
            self._call.set()
            self._call = None
