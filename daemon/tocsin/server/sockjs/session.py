"""A SockJS session over HTTP: one client across the requests it makes (sockjs.md, section 5).

Synchronous: requests, messages and the time in; frames for the receiver out. It has no task and
no timer of its own, `schedule` has `tick` called.

    NEW ──attach──> OPEN ──close()──> CLOSING ──disconnect_delay──> GONE
                     ├──receiver broke off──────────────────────────^
                     └──no receiver for disconnect_delay────────────^

A *receiver* is the response to a receiving request; there is at most one. While it takes frames,
what is sent leaves at once; while it is blocked, or there is none, messages wait in the outbox
and leave in one frame (SJ-25). In CLOSING the first receivers still get what waits; then every
one gets the close frame, which ends it, and that does not prolong the delay (SJ-26, MS-10).

Bounds: the outbox as configured, beyond it the session closes with 1013 (SJ-28); a blocked
receiver holds one frame more and is given up after `STALLED` seconds; the inbox see there.
"""

import enum
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import attrs

from tocsin.server.sockjs.application import Application, Connection
from tocsin.server.sockjs.inbox import Inbox, InboxLimits
from tocsin.server.sockjs.outbox import Outbox, OutboxLimits
from tocsin.wire.sockjs.frames import (
    HEARTBEAT,
    NORMAL_CLOSURE,
    OPEN,
    STILL_OPEN,
    TRY_AGAIN_LATER,
    close_frame,
    encode_message,
    message_frame,
)

STALLED = 30.0
ENDED = 1006
ANOTHER = close_frame(*STILL_OPEN)


class SessionSettings(InboxLimits, OutboxLimits, Protocol):
    """What a session needs of its service's settings; delays are seconds."""

    @property
    def heartbeat_delay(self) -> float: ...
    @property
    def disconnect_delay(self) -> float: ...
    @property
    def prove_within(self) -> float: ...


class Receiver(Protocol):
    """The response to a receiving request, whatever transport writes it.

    `write`, `end` and `abort` must not call the session back, with one exception: `ended` may
    come from inside `write` and `end`.
    """

    @property
    def transport(self) -> str:
        """`xhr-polling`, `eventsource`..."""

    @property
    def blocked_since(self) -> float | None:
        """When what waits for the peer to read last moved; None if nothing waits."""

    def write(self, frame: bytes) -> bool:
        """Send a frame, now or behind what waits.

        False: the response ends with it, because it crosses response_limit or the transport has
        but one (SJ-15). There is no further call then but `abort`.
        """

    def end(self) -> None:
        """End the response properly behind what waits."""

    def abort(self) -> None:
        """Drop the connection: its peer does not read."""


class Handover(enum.Enum):
    """What became of messages a client sent."""

    TAKEN = enum.auto()
    FULL = enum.auto()  # wait with `when_room`
    CLOSING = enum.auto()  # dropped: to be answered as if taken, and counted (SJ-18)
    GONE = enum.auto()  # 404


class _State(enum.Enum):
    NEW = enum.auto()
    OPEN = enum.auto()
    CLOSING = enum.auto()
    GONE = enum.auto()


@attrs.frozen
class SessionContext:
    """What the sessions of a service share.

    `now` is `trio.current_time`; `schedule(session, at)` has `tick` called then; `gone(session)`
    is called once, when no request may find the session any more.
    """

    application: Application
    settings: SessionSettings
    now: Callable[[], float]
    schedule: Callable[["Session", float], None]
    gone: Callable[["Session"], None]


class Session:
    """One session; a `Connection` for the application, a `Ticking` for the wheel."""

    def __init__(self, context: SessionContext, *, key: Hashable, principal: object) -> None:
        """`key` is what a request must show to be of this session (SJ-4)."""

    # -- requests ----------------------------------------------------------------------------

    def attach(self, receiver: Receiver) -> None:
        """A receiving request is here, and gets all that waits; the first one opens the session.

        One too many, or one that comes after the close frame, is answered and ended at once and
        is nothing to this session from then on.
        """

    def drained(self, receiver: Receiver) -> None:
        """The receiver's peer has read everything: `blocked_since` is None again."""

    def ended(self, receiver: Receiver) -> None:
        """The last byte of the response was handed to the kernel."""

    def broken(self, receiver: Receiver) -> None:
        """The connection broke before the response ended (SJ-24)."""

    def received(self, messages: Sequence[str]) -> Handover:
        """Messages of one sending request, taken whole or not at all (SJ-19)."""

    def when_room(self, call: Callable[[], None]) -> Callable[[], None]:
        """After `FULL`: have `call` called once when it is worth another try; returns what
        withdraws it."""

    # -- wheel -------------------------------------------------------------------------------

    def tick(self, now: float) -> float | None: ...

    def end(self, code: int) -> None: ...
