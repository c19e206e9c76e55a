"""Kept connections, by origin (push.md, PU-67).

Taking one is decided synchronously: an idle connection that is young, rested and quiet, the
one used last first. Opening one is awaited. At `max_sockets` the connection idle longest makes
room; when none is idle the caller waits for one to be given back, a little.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import attrs
import trio

from tocsin.transports.dial import Connection
from tocsin.transports.patience import UNLIMITED, Patience
from tocsin.wire.endpoint import Endpoint
from tocsin.wire.http1client import AnswerReader

IDLE_SECONDS = 30.0
AGE_SECONDS = 300.0
SWEEP_SECONDS = 5.0

Dial = Callable[[Endpoint, Patience], Awaitable[Connection]]


@attrs.define(eq=False)
class Link:
    """One connection of the pool, with the reader of its answers; lent to one task at a time."""

    connection: Connection
    origin: str
    opened_at: float
    answer: AnswerReader = attrs.field(factory=AnswerReader)
    idle_since: float = 0.0


@attrs.frozen
class PoolStatistics:
    """Sockets that are open or being opened, and how many of them are idle."""

    open: int
    idle: int


class ConnectionPool:
    """Lends connections; whoever takes one must give it back with `keep` or `discard`."""

    def __init__(self, dial: Dial, *, max_sockets: int) -> None:
        self._dial = dial
        self._max = max_sockets
        self._open = 0
        self._closed = False
        # Both in the order of falling idle, so that the first is the one idle longest.
        self._idle: dict[Link, None] = {}
        self._by_origin: dict[str, deque[Link]] = {}
        self._room = trio.lowlevel.ParkingLot()

    def statistics(self) -> PoolStatistics:
        """What it holds now."""
        return PoolStatistics(open=self._open, idle=len(self._idle))

    def take(self, origin: str) -> Link | None:
        """An idle connection to this origin that looks alive, or None."""
        links = self._by_origin.get(origin)
        now = trio.current_time()
        while links:
            link = links[-1]
            self._forget(link)
            if self._is_fresh(link, now) and link.connection.is_quiet():
                link.answer.reset()
                return link
            self.discard(link)
        return None

    async def connect(self, endpoint: Endpoint, patience: Patience = UNLIMITED) -> Link:
        """A new connection; raises NotConnectedError, OwnLimitError when there is no room for it.

        Cancelled or failed, it leaves nothing open.
        """
        if self._open >= self._max and not self._discard_oldest():
            with patience.waiting("sockets"):
                await self._wait_room()
        self._open += 1
        link = None
        try:
            connection = await self._dial(endpoint, patience)
            link = Link(connection, endpoint.origin, trio.current_time())
        finally:
            if link is None:
                self._give_room()
        return link

    def keep(self, link: Link) -> None:
        """Take back a connection that can carry another request."""
        now = trio.current_time()
        if self._closed or now - link.opened_at >= AGE_SECONDS:
            self.discard(link)
            return
        link.idle_since = now
        self._idle[link] = None
        self._by_origin.setdefault(link.origin, deque()).append(link)
        self._room.unpark()

    def discard(self, link: Link) -> None:
        """Close a connection that was taken."""
        link.connection.close()
        self._give_room()

    def close_idle(self) -> None:
        """Close every idle connection, so that the next one is judged by the rules of now."""
        while self._discard_oldest():
            pass

    async def run(self) -> None:
        """Close what has been idle too long, until cancelled."""
        while True:
            await trio.sleep(SWEEP_SECONDS)
            now = trio.current_time()
            while self._idle and not self._is_fresh(next(iter(self._idle)), now):
                self._discard_oldest()

    async def aclose(self) -> None:
        """Close the idle ones now, and those still lent when they come back."""
        self._closed = True
        self.close_idle()
        await trio.lowlevel.checkpoint()

    @staticmethod
    def _is_fresh(link: Link, now: float) -> bool:
        return now - link.idle_since < IDLE_SECONDS and now - link.opened_at < AGE_SECONDS

    async def _wait_room(self) -> None:
        while self._open >= self._max and not self._discard_oldest():
            await self._room.park()

    def _discard_oldest(self) -> bool:
        for link in self._idle:
            self._forget(link)
            self.discard(link)
            return True
        return False

    def _forget(self, link: Link) -> None:
        """Strike an idle connection from the books; it is first or last of its origin."""
        del self._idle[link]
        links = self._by_origin[link.origin]
        if links[-1] is link:
            links.pop()
        else:
            links.popleft()
        if not links:
            del self._by_origin[link.origin]

    def _give_room(self) -> None:
        self._open -= 1
        self._room.unpark()
