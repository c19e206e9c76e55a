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
receiver holds one frame more and is given up after `stalled` seconds; the inbox see there.
"""

import enum
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import attrs

from tocsin.server.sockjs.application import Application
from tocsin.server.sockjs.inbox import Inbox, InboxLimits
from tocsin.server.sockjs.outbox import Outbox, OutboxLimits
from tocsin.server.sockjs.receiver import STALLED, Receiver, answer, is_stalled
from tocsin.wire.sockjs.frames import (
    HEARTBEAT,
    INTERNAL_ERROR,
    NORMAL_CLOSURE,
    OPEN,
    STILL_OPEN,
    TRY_AGAIN_LATER,
    close_frame,
    encode_message,
    message_frame,
)

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


_OVER = frozenset({_State.CLOSING, _State.GONE})


@attrs.frozen
class SessionContext:
    """What the sessions of a service share.

    `now` is `trio.current_time`; `schedule(session, at)` has `tick` called then. `stalled` is the
    seconds after which one who has something to read, and reads nothing, is given up.
    """

    application: Application
    settings: SessionSettings
    now: Callable[[], float]
    schedule: Callable[["Session", float], None]
    stalled: float = STALLED


class Session:
    """One session; a `Connection` for the application, a `Ticking` for the wheel.

    Whatever the service calls here ends in `_settle`. What the application sends from inside one
    of its own calls leaves there, in one frame.
    """

    __slots__ = (
        "_close_frame",
        "_code",
        "_context",
        "_due",
        "_frame_at",
        "_has_waited",
        "_inbox",
        "_is_calling",
        "_is_ending",
        "_is_told",
        "_leave_at",
        "_on_gone",
        "_outbox",
        "_proven",
        "_receiver",
        "_sent",
        "_state",
        "_unproven_since",
        "key",
        "principal",
        "transport",
    )

    def __init__(
        self,
        context: SessionContext,
        *,
        key: Hashable,
        principal: object,
        on_gone: Callable[[], None] = lambda: None,
    ) -> None:
        """`key` is what a request must show to be of this session (SJ-4). `on_gone` is called
        once, when no request may find the session any more."""
        self.key = key
        self.principal = principal
        self.transport = ""
        self._context = context
        self._on_gone = on_gone
        self._inbox = Inbox(context.settings, self._deliver)
        self._outbox = Outbox()
        self._state = _State.NEW
        self._receiver: Receiver | None = None
        self._is_ending = False
        self._is_calling = False
        self._is_told = False
        self._has_waited = False
        self._close_frame = b""
        self._code = ENDED
        self._sent = 0
        self._proven = 0
        self._unproven_since: float | None = None
        self._frame_at = self._leave_at = 0.0
        self._due = math.inf

    # -- requests ----------------------------------------------------------------------------

    @property
    def is_closing(self) -> bool:
        """Requests with the session's key are answered without asking the hook again (SJ-4)."""
        return self._state is _State.CLOSING

    def attach(self, receiver: Receiver) -> None:
        """A receiving request is here, and gets all that waits; the first one opens the session.

        One too many, or one that comes after the close frame, is answered and ended at once and
        is nothing to this session from then on. Not for a session that is gone.
        """
        if self._state is _State.NEW:
            self._open(receiver)
        elif self._state is _State.CLOSING and (self._receiver is not None or not self._outbox):
            answer(receiver, self._close_frame)
        elif self._receiver is not None:
            answer(receiver, ANOTHER)
        else:
            self._take(receiver)

    def drained(self, receiver: Receiver) -> None:
        """The receiver's peer has read everything: `blocked_since` is None again."""
        if receiver is self._receiver:
            self._settle()

    def ended(self, receiver: Receiver) -> None:
        """The last byte of the response was handed to the kernel."""
        if receiver is self._receiver:
            self._detach()

    def broken(self, receiver: Receiver) -> None:
        """The connection broke before the response ended: the session ends (SJ-24).

        One that is closing anyway stays, to say so to the next receiver.
        """
        if receiver is not self._receiver:
            return
        self._detach()
        self._outbox.take()
        if self._state is _State.OPEN:
            self._leave()
        self._settle()

    def received(self, messages: Sequence[str]) -> Handover:
        """Messages of one sending request, taken whole or not at all (SJ-19)."""
        if self._state is _State.CLOSING:
            return Handover.CLOSING
        if self._state is not _State.OPEN:
            return Handover.GONE
        if self._inbox.is_full and messages:
            return Handover.FULL
        with self._calling():
            self._inbox.put(messages)
        self._settle()
        return Handover.TAKEN

    def when_room(self, call: Callable[[], None]) -> Callable[[], None]:
        """After `FULL`: have `call` called once, when it is worth another try; returns what
        withdraws it. Which of two requests under way at once comes first is left to chance."""
        return self._inbox.when_room(call)

    # -- the application's side --------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Messages go both ways."""
        return self._state is _State.OPEN

    @property
    def sent(self) -> int:
        """How many messages have been sent."""
        return self._sent

    @property
    def waiting(self) -> int:
        """How many of them wait."""
        return len(self._outbox)

    @property
    def waiting_bytes(self) -> int:
        """What those amount to in frames."""
        return self._outbox.size

    def send(self, *messages: str | bytes) -> bool:
        """See `Connection`."""
        for message in messages:
            if self._state is not _State.OPEN:
                return False
            self._put(encode_message(message))
        if not self._is_calling:
            self._flush()
        self._has_waited = self._has_waited or bool(self._outbox)
        return self._state is _State.OPEN

    def mark(self, number: int) -> None:
        """See `Connection`; there are no Pings here."""

    def close(self, code: int = NORMAL_CLOSURE[0], reason: str = NORMAL_CLOSURE[1]) -> None:
        """See `Connection`."""
        frame = close_frame(code, reason)
        if self._state is not _State.OPEN:
            return
        now = self._context.now()
        self._state = _State.CLOSING
        self._close_frame = frame
        self._code = code
        self._leave_at = now + self._context.settings.disconnect_delay
        self._inbox.drop()
        self._flush()
        self._schedule(now)  # for the application to hear of it outside of its own call

    def pause(self) -> None:
        """See `Connection`."""
        self._inbox.pause()

    def resume(self) -> None:
        """See `Connection`."""
        with self._calling():
            self._inbox.resume()
        self._settle()

    # -- wheel -------------------------------------------------------------------------------

    def tick(self, now: float) -> float | None:
        """Heartbeats, and the ends of responses and of the session; when to call again."""
        if now < self._due:
            return None
        self._due = now
        self._settle()
        self._act(now)
        self._due = math.inf if self._state is _State.GONE else self._next_tick(now)
        return None if self._due == math.inf else self._due

    def end(self, code: int) -> None:
        """Close; it has crashed. If that was in closing, let go."""
        self._due = math.inf
        if self._state is _State.OPEN:
            self.close(code, INTERNAL_ERROR[1])
            return
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.abort()
        self._leave()
        self._schedule(self._context.now())  # to tell the application

    def _act(self, now: float) -> None:
        receiver = self._receiver
        if receiver is None:
            if now >= self._leave_at:
                self._leave()
                self._settle()
        elif is_stalled(receiver, now, after=self._context.stalled):
            if self._state is _State.OPEN:
                self._code = TRY_AGAIN_LATER[0]  # which nobody is there to be told
            receiver.abort()
            self.broken(receiver)
        elif not self._is_ending:
            self._keep_alive(receiver, now)

    def _keep_alive(self, receiver: Receiver, now: float) -> None:
        """Make the client come again and prove what it has, or tell it that we are here."""
        if now >= self._prove_at:
            self._is_ending = True
            receiver.end()
        elif now >= self._beat_at and receiver.blocked_since is None:
            self._write(receiver, HEARTBEAT)

    def _next_tick(self, now: float) -> float:
        receiver = self._receiver
        if self._has_room_again:
            return now
        if receiver is None:
            return self._leave_at
        if receiver.blocked_since is not None:
            return receiver.blocked_since + self._context.stalled
        if self._is_ending:
            return now + self._context.stalled
        return min(self._beat_at, self._prove_at)

    @property
    def _beat_at(self) -> float:
        return self._frame_at + self._context.settings.heartbeat_delay

    @property
    def _prove_at(self) -> float:
        """When the response ends for the sake of the request that follows it (SJ-29)."""
        within = self._context.settings.prove_within
        if self._unproven_since is None or not within:
            return math.inf
        return self._unproven_since + within

    def _schedule(self, at: float) -> None:
        """Be called no later than this; of several entries only the earliest finds it is due."""
        if at < self._due:
            self._due = at
            self._context.schedule(self, at)

    # -- receivers ---------------------------------------------------------------------------

    def _open(self, receiver: Receiver) -> None:
        self._state = _State.OPEN
        self.transport = receiver.transport
        self._begin(receiver)
        self._write(receiver, OPEN)
        with self._calling():
            self._context.application.opened(self)
        self._settle()

    def _take(self, receiver: Receiver) -> None:
        """The client is back: it has read every response before this one to its end."""
        self._begin(receiver)
        proven = self._sent - len(self._outbox)
        if self._state is _State.OPEN and proven > self._proven:
            self._proven = proven
            with self._calling():
                self._context.application.proven(self, proven)
        self._settle()

    def _begin(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._unproven_since = None
        self._frame_at = self._context.now()
        self._schedule(self._beat_at)

    def _detach(self) -> None:
        self._receiver = None
        self._is_ending = False
        self._leave_at = self._context.now() + self._context.settings.disconnect_delay
        self._schedule(self._leave_at)

    # -- writing -----------------------------------------------------------------------------

    def _put(self, message: bytes) -> None:
        settings = self._context.settings
        if not self._outbox.has_room(len(message), settings):
            self._flush()
        if self._outbox.has_room(len(message), settings):
            self._outbox.put(message)
            self._sent += 1
        else:
            self.close(*TRY_AGAIN_LATER)

    def _flush(self) -> None:
        """Give the receiver what it can take now: what waits, then the close frame."""
        receiver = self._receiver
        if receiver is None or self._is_ending:
            return
        if self._outbox and receiver.blocked_since is None:
            self._write_messages(receiver)
        if (
            self._state is _State.CLOSING
            and not self._outbox
            and receiver is self._receiver
            and not self._is_ending
        ):
            self._is_ending = True
            answer(receiver, self._close_frame)

    def _write_messages(self, receiver: Receiver) -> None:
        if self._unproven_since is None:
            self._unproven_since = self._context.now()
            self._schedule(self._prove_at)
        self._write(receiver, message_frame(self._outbox.take()))

    def _write(self, receiver: Receiver, frame: bytes) -> None:
        self._frame_at = self._context.now()
        if not receiver.write(frame) and receiver is self._receiver:
            self._is_ending = True

    # -- calling the application -------------------------------------------------------------

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """What is sent from inside waits for `_settle`."""
        was, self._is_calling = self._is_calling, True
        try:
            yield
        finally:
            self._is_calling = was

    def _deliver(self, message: str) -> None:
        self._context.application.received(self, message)

    def _settle(self) -> None:
        """At the end of every call of the service: write, and tell the application the rest."""
        if self._is_calling:
            return
        self._flush()
        if self._has_room_again:
            self._has_waited = False
            with self._calling():
                self._context.application.drained(self)
            self._flush()
            if self._has_room_again:  # in its turn: one client does not hold up the others
                self._schedule(self._context.now())
        if self._state in _OVER and not self._is_told:
            self._tell_end()

    def _tell_end(self) -> None:
        """Behind what the client had sent; whoever waits for room waits in vain till then."""
        with self._calling():
            if not self._inbox:
                self._is_told = True
                self._context.application.closed(self, self._code)
            elif self._has_waited:
                self._has_waited = False
                self._context.application.drained(self)

    @property
    def _has_room_again(self) -> bool:
        """Something waited when the application looked last, and has left."""
        return self._has_waited and not self._outbox and self._state is _State.OPEN

    def _leave(self) -> None:
        """No request may find the session any more."""
        if self._state is not _State.GONE:
            self._state = _State.GONE
            self._outbox.take()
            self._inbox.wake()
            self._on_gone()
