"""The socket of one HTTP connection, under one deadline that moves."""

import math
import socket
from typing import Final

import trio

from tocsin.server.tlssocket import TlsSocket

RECEIVE_BYTES: Final = 65_536
LINGER_SECONDS: Final = 2.0
LINGER_BYTES: Final = 1_048_576


class HangupError(Exception):
    """The peer is gone, or what it sent cannot be answered any more."""


class Stream:
    """A non-blocking socket, used by one task.

    One cancel scope lasts as long as the connection; each wait moves its deadline, which costs a
    fraction of a scope for each. `waiting_for` names the wait, for the one who finds the scope
    cancelled.
    """

    __slots__ = ("_fd", "_scope", "_sock", "detached", "waiting_for")

    def __init__(self, sock: socket.socket, scope: trio.CancelScope) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._scope = scope
        self.detached = False
        self.waiting_for = "idle"

    async def receive(self, waiting_for: str, *, deadline: float) -> bytes:
        """The next bytes, always after a checkpoint; b"" at the end of the stream.

        Raises HangupError when the connection was reset.
        """
        self.waiting_for = waiting_for
        self._scope.deadline = deadline
        if isinstance(self._sock, TlsSocket) and self._sock.ahead:
            await trio.lowlevel.checkpoint()
            return self._sock.recv(RECEIVE_BYTES)
        while True:
            await trio.lowlevel.wait_readable(self._fd)
            try:
                return self._sock.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise HangupError(str(error)) from None

    def working(self) -> None:
        """No deadline until the next wait: the time is the handler's now."""
        self.waiting_for = "handler"
        self._scope.deadline = math.inf

    async def send(self, data: bytes, *, seconds: float) -> None:
        """Write everything, at once if the kernel takes it, else within `seconds`.

        Raises HangupError when the peer is gone.
        """
        sent = self.send_nowait(data)
        if sent == len(data):
            return
        self.waiting_for = "write"
        self._scope.deadline = trio.current_time() + seconds
        view = memoryview(data)
        while sent < len(data):
            await trio.lowlevel.wait_writable(self._fd)
            sent += self.send_nowait(view[sent:])

    def send_nowait(self, data: bytes | memoryview) -> int:
        """Write what the kernel takes; returns how much that was. Raises HangupError."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise HangupError(str(error)) from None

    async def wait_hangup(self, *, by_reset: bool = False) -> None:
        """Return when the peer has closed, or only when it has reset the connection, `by_reset`;
        wait for ever once further bytes from it lie ready."""
        open_and_silent = True
        while open_and_silent:
            await trio.lowlevel.wait_readable(self._fd)
            try:
                if self._sock.recv(1, socket.MSG_PEEK):
                    await trio.sleep_forever()
                if by_reset:
                    await trio.sleep_forever()
                open_and_silent = False
            except BlockingIOError:
                continue
            except OSError:
                open_and_silent = False

    async def linger(self) -> None:
        """End our side and swallow what still comes, within bounds.

        To close with bytes unread makes the kernel send a reset, which may overtake the answer.
        """
        try:
            self._sock.shutdown(socket.SHUT_WR)
            deadline, swallowed = trio.current_time() + LINGER_SECONDS, 0
            while swallowed < LINGER_BYTES:
                data = await self.receive("linger", deadline=deadline)
                if not data:
                    return
                swallowed += len(data)
        except (HangupError, OSError):
            return

    def detach(self) -> socket.socket:
        """Hand the socket out; it is not closed here any more."""
        self.detached = True
        return self._sock

    def close(self) -> None:
        """Close the socket unless it was detached."""
        if not self.detached:
            self._sock.close()
