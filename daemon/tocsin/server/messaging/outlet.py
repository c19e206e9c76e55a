"""What a client is sent, within the bounds of one connection (messaging.md, 12), and what it has.

Who writes asks for room first. What was in hand when the room ran out, a reply and its `ack`, goes
nevertheless: SockJS holds that much more. A first message always has room, however large.
"""

from typing import Final

import trio

from tocsin.messaging.settings import MessagingLimits
from tocsin.server.sockjs.application import Connection

MOST_MARKS: Final = 32


class Outlet:
    """The way to one client."""

    __slots__ = ("_connection", "_highest", "_limits", "_marks", "_woken")

    def __init__(self, connection: Connection, limits: MessagingLimits) -> None:
        self._connection = connection
        self._limits = limits
        self._highest = -1
        self._marks: list[tuple[int, int]] | None = None
        self._woken: trio.Event | None = None

    @property
    def is_open(self) -> bool:
        """There is somebody to write to."""
        return self._connection.is_open

    @property
    def is_waited_for(self) -> bool:
        """Somebody waits for room."""
        return self._woken is not None

    def has_room(self, count: int = 1, size: int = 0) -> bool:
        """Whether so many messages of so many bytes in all may be sent. Where one may not,
        something waits to be read, and `wake` follows when it has been."""
        waiting = self._connection.waiting_bytes
        if not waiting and count == 1:
            return True
        limits = self._limits
        return (
            self._connection.waiting + count <= limits.outbox_messages
            and waiting + size <= limits.outbox_bytes
        )

    async def room(self) -> None:
        """Wait until there is room for a message, or nobody to write to any more."""
        while self.is_open and not self.has_room():
            if self._woken is None:
                self._woken = trio.Event()
            await self._woken.wait()

    def wake(self) -> None:
        """There may be room, or nobody any more."""
        if self._woken is not None:
            self._woken.set()
            self._woken = None

    def expect_from(self, seq: int) -> None:
        """What Pings say before anything of the Log was written."""
        self._highest = seq
        self._connection.mark(seq)

    def close(self, code: int, reason: str) -> None:
        """Close the connection behind what was sent."""
        self._connection.close(code, reason)

    def write(self, *texts: bytes, upto: int | None = None) -> None:
        """Send messages; with them the client has its Log up to that number. Nothing happens
        where nobody is there."""
        if upto is None:
            self._connection.send(*texts)
            return
        if upto > self._highest:
            self._highest = upto
            self._connection.mark(upto)  # MS-67
        if self._connection.send(*texts):
            self._remember(self._connection.sent, upto)

    def proven(self, count: int) -> int | None:
        """The client has the first `count` messages: up to which number of its Log that is, if
        it is a new one."""
        marks = self._marks
        seq = None
        while marks and marks[0][0] <= count:
            seq = max(marks.pop(0)[1], seq or 0)
        if not marks:
            self._marks = None
        return seq

    def _remember(self, count: int, seq: int) -> None:
        """Where there are too many marks the last is moved on: its proof comes later."""
        if self._marks is None:
            self._marks = []
        elif len(self._marks) >= MOST_MARKS:
            seq = max(self._marks.pop()[1], seq)
        self._marks.append((count, seq))
