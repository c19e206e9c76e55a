"""The replies to one request of the gateway while they come in (push.md, A.5).

What is stored is waited for until its ending has been told, at most until the request's deadline;
what is still out then is answered as queued. A delivery whose ending is decided but not yet
written is waited for a moment more: otherwise a caller could be told "queued" of what is over.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import attrs
import trio

from tocsin.delivery.endings import Ending, Endings
from tocsin.model.notification import Notification
from tocsin.wire.push.pnm2 import FAILED, QUEUED, SENT, TOO_LARGE, Reply

BEING_WRITTEN = 1.0


@attrs.define(eq=False)
class Waiting:
    """How many pushes are waited for in all, and how many may be (PU-17); `over` is whether nobody
    waits any more."""

    endings: Endings
    most: int
    count: int = 0
    over: bool = False
    _scopes: set[trio.CancelScope] = attrs.field(factory=set)

    def end(self) -> None:
        """Wait for nothing more: what is still out is queued."""
        self.over = True
        for scope in self._scopes:
            scope.cancel()

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """What is awaited inside is given up at the deadline (Trio's clock), or at the end."""
        with trio.move_on_at(deadline) as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.remove(scope)


@attrs.frozen
class _Awaited:
    delivery_id: int
    tell: partial[None]


class Replies:
    """One reply for each push of a request, in its order; None while it is not known."""

    def __init__(self, waiting: Waiting, replies: Sequence[Reply | None], *, gone: Reply) -> None:
        self._waiting = waiting
        self._replies = list(replies)
        self._gone = gone
        self._awaited: dict[int, _Awaited] = {}
        self._nothing_awaited = trio.Event()
        self._closed = False

    def put(self, position: int, reply: Reply) -> None:
        """This one is known."""
        self._replies[position] = reply

    def end(self, position: int, ending: Ending) -> None:
        """This one's delivery has ended."""
        self._replies[position] = reply_to(ending, gone=self._gone)

    def expect(
        self, position: int, delivery_id: int, notification: Notification | None = None
    ) -> None:
        """Wait for a delivery, if there is room for one more that waits. To be called in the
        callback of its commit. With its `notification` an ending that comes too late after all is
        told like that of a delivery nobody has waited for."""
        waiting = self._waiting
        if self._closed or waiting.over or waiting.count >= waiting.most:
            return
        tell = partial(self._told, position, delivery_id, notification)
        self._awaited[position] = _Awaited(delivery_id, tell)
        waiting.count += 1
        waiting.endings.watch(delivery_id, tell)

    async def wait(self, deadline: float) -> None:
        """Return when nothing is awaited any more, or soon after the deadline (Trio's clock)."""
        if self._awaited:
            with self._waiting.until(deadline):
                await self._nothing_awaited.wait()
            self.close()
        if self._awaited:
            with trio.move_on_after(BEING_WRITTEN):
                await self._nothing_awaited.wait()
            for position in list(self._awaited):
                self._forget(position)

    def close(self) -> None:
        """Wait for nothing that is not about to be told. For the end, however it came."""
        self._closed = True
        for position, one in list(self._awaited.items()):
            if self._waiting.endings.unwatch(one.delivery_id, one.tell):
                self._forget(position)

    def finish(self) -> list[Reply]:
        """All of them; what is not known is queued."""
        return [reply or QUEUED for reply in self._replies]

    def _told(
        self, position: int, delivery_id: int, notification: Notification | None, ending: Ending
    ) -> None:
        if position in self._awaited:
            self._forget(position)
            self.end(position, ending)
        elif notification is not None:
            self._waiting.endings.unwatched(delivery_id, notification, ending)

    def _forget(self, position: int) -> None:
        del self._awaited[position]
        self._waiting.count -= 1
        if not self._awaited:
            self._nothing_awaited.set()


def reply_to(ending: Ending, *, gone: Reply) -> Reply:
    """What a caller is told of a push that ended so (PU-14)."""
    if ending.result == "delivered":
        return SENT
    if ending.result == "gone":
        return gone
    if ending.result == "collapsed":
        return QUEUED
    return TOO_LARGE if ending.reason == "payload_too_large" else FAILED
