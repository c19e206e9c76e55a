"""One request on its way through a pool, and how it may end (push.md, PU-62)."""

from typing import TYPE_CHECKING

import attrs
import outcome
import trio

from tocsin.model.notification import Priority
from tocsin.wire.http2.events import Answer

if TYPE_CHECKING:
    from tocsin.transports.push.http2 import Http2Link


@attrs.frozen
class NotSent:
    """The server has not acted on it.

    `reason` is `connect` if the server could not be reached in time, else `not_sent`: no stream
    came free in time, or servers refused it too often.
    """

    reason: str


@attrs.frozen
class Unknown:
    """It was sent, and no complete answer came.

    `reason`: `timeout`, `cut` with the connection, or `reset` by the server.
    """

    reason: str


@attrs.frozen
class Reply(Answer):
    """A complete answer, and the connection it came over, see `Http2Pool.replace`."""

    link: "Http2Link" = attrs.field(eq=False, repr=False)


Result = Reply | NotSent | Unknown


@attrs.define(eq=False)
class Call:
    """A request and the task that waits for its answer.

    It waits in the pool while `link` is None, else it has the stream `stream_id` there. `deadline`
    is Trio's time. `moves` counts the connections it left without having been sent, `left` is the
    last of them.
    """

    block: bytes = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    priority: Priority
    deadline: float
    _task: trio.lowlevel.Task | None
    link: "Http2Link | None" = None
    stream_id: int = 0
    moves: int = 0
    left: "Http2Link | None" = None

    @property
    def is_settled(self) -> bool:
        """Its result is known, or nobody wants it any more."""
        return self._task is None

    def settle(self, result: Result) -> None:
        """Give it its result: once, and while its task is parked for it."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task, outcome.Value(result))

    def forget(self) -> None:
        """Its task goes on without a result."""
        self._task = None
