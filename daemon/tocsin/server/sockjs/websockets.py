"""WebSockets of a service, framed and raw: each is a session of its own (sockjs.md, section 6).

    OPEN ──close()──> CLOSING ──peer's Close, or 5 s──> closed
      └──peer's Close, end of stream, violation───────────^

The link below does the closing handshake, the deadline of which is its engine's. What the
application cannot take at once waits in the inbox. What the client does not read waits in the
link's outbox, up to the bounds of the session's settings; past them the connection closes with
1013 (SJ-28).

When the inbox is full the client is not read until there is room (`intake`). If the application
takes nothing for 10 s, and not because its client does not read, the connection closes with 1013.
So trap 3, that Pings and Close are always seen, gives way meanwhile: many clients come back with a
queue that they flush, and to be thrown out for it, at each attempt anew, helps neither side. While
we do not read, a missing Pong is our own doing, and nobody is overdue. Pings go on, one at a time,
and its Pong has its full time again when reading goes on; the peer's end is seen then, too.
"""

import math
from collections.abc import Callable
from typing import Final

import attrs

from tocsin.ops.metrics import Metrics
from tocsin.server.handler import ConnectionLimits, Link
from tocsin.server.heartbeat import Ticking
from tocsin.server.sockjs.application import Application
from tocsin.server.sockjs.framing import FRAMED, Framing
from tocsin.server.sockjs.intake import Intake
from tocsin.server.sockjs.receiver import STALLED
from tocsin.server.sockjs.receivers import count_frame
from tocsin.server.sockjs.session import SessionSettings
from tocsin.wire.sockjs import frames
from tocsin.wire.websocket import CloseCode, encode_ping, encode_text, is_sendable

# A flood, not a busy page.
FRAMES_PER_SECOND: Final = 20_000
# One message may be larger than the outbox bound, since a first one always fits; Pongs follow it.
LARGEST_FRAME: Final = 16_777_216
PONG_WITHIN: Final = 10.0


def link_limits(settings: SessionSettings) -> ConnectionLimits:
    """What the link of a WebSocket is held to; the outbox is held to less here."""
    return ConnectionLimits(
        max_message=frames.MESSAGE_BYTES,
        frames_per_second=FRAMES_PER_SECOND,
        outbox_bytes=settings.outbox_bytes + LARGEST_FRAME,
    )


@attrs.frozen
class SocketContext:
    """What the WebSockets of a service share; see `SessionContext`."""

    application: Application
    settings: SessionSettings
    metrics: Metrics
    now: Callable[[], float]
    schedule: Callable[[Ticking, float], None]
    stalled: float = STALLED


class WebSocketSession:
    """A `Connection` for the application, a `Handler` for the link, a `Ticking` for the wheel."""

    __slots__ = (
        "_code",
        "_context",
        "_due",
        "_frame_at",
        "_framing",
        "_inbox",
        "_is_open",
        "_is_told",
        "_label",
        "_link",
        "_on_gone",
        "_pinged",
        "_pinged_as",
        "_pinged_at",
        "_proven",
        "_sent",
        "_waiting",
        "principal",
    )

    def __init__(
        self,
        context: SocketContext,
        framing: Framing,
        *,
        principal: object,
        on_gone: Callable[[], None],
    ) -> None:
        """`on_gone` is called once, when the connection has ended."""
        self.principal = principal
        self._context = context
        self._framing = framing
        self._on_gone = on_gone
        self._inbox = Intake(context.settings, self._deliver, context.now)
        self._link: Link | None = None
        self._is_open = self._is_told = False
        self._code: int | None = None
        self._sent = self._proven = self._waiting = 0
        self._label: int | None = None
        self._pinged = 0
        self._pinged_as = b""
        self._pinged_at: float | None = None
        self._frame_at = 0.0
        self._due = math.inf

    # -- the application's side --------------------------------------------------------------

    @property
    def transport(self) -> str:
        """`websocket` or `websocket-raw`."""
        return self._framing.transport

    @property
    def is_open(self) -> bool:
        """Messages go both ways."""
        return self._is_open

    @property
    def sent(self) -> int:
        """How many messages have been sent."""
        return self._sent

    @property
    def waiting(self) -> int:
        """How many of them may wait: those sent since everything was last read."""
        return self._waiting

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for the client to read."""
        return 0 if self._link is None else self._link.backlog

    def send(self, *messages: str | bytes) -> bool:
        """See `Connection`; what is sent in one call fits as a whole or not at all."""
        if not self._is_open or not messages:
            return self._is_open
        texts = self._framing.texts(messages)
        count = self._sent + len(messages)
        wants_proof = self._pinged_at is None and self._context.settings.prove_within > 0
        payload = self._question(count) if wants_proof else None
        has_room = self._has_room(len(messages), sum(map(len, texts)))
        if not has_room or not self._write(*texts, ping=payload):
            self.close(*frames.TRY_AGAIN_LATER)
            return False
        self._sent = count
        if self.waiting_bytes:
            self._waiting += len(messages)
        if payload is not None:
            self._has_pinged(payload)
        return True

    def mark(self, number: int) -> None:
        """See `Connection`."""
        self._label = number

    def close(
        self, code: int = frames.NORMAL_CLOSURE[0], reason: str = frames.NORMAL_CLOSURE[1]
    ) -> None:
        """See `Connection`."""
        last = self._framing.closing(code, reason)
        if not is_sendable(code):
            raise ValueError(f"{code} is not a code for a Close frame")
        if self._is_open and last:
            self._write(last)
        self._end(code, reason)

    def pause(self) -> None:
        """See `Connection`."""
        self._inbox.pause()

    def resume(self) -> None:
        """See `Connection`."""
        self._inbox.resume()
        self._tell_closed()

    # -- the link's side ---------------------------------------------------------------------

    def opened(self, connection: Link) -> None:
        """101 has been sent."""
        self._link = connection
        self._inbox.begin(connection)
        self._is_open = True
        self._frame_at = self._context.now()
        if opening := self._framing.opening():
            self._write(opening)
        self._expect(self._beat_at)
        self._context.application.opened(self)

    def text(self, payload: bytes) -> None:
        """Messages of the client; what arrives behind our Close is dropped."""
        if not self._is_open:
            return
        messages = self._framing.messages(payload)
        if messages is None:
            self._end(*frames.BROKEN_FRAMING)
        elif messages:
            self._inbox.put(messages)
            self._expect(self._inbox.room_by)

    def binary(self, _payload: bytes) -> None:
        """Not understood (SJ-34)."""
        self._end(CloseCode.UNSUPPORTED, "text only")

    def pong(self, payload: bytes) -> None:
        """The client is alive, and has what was sent before the Ping (SJ-29)."""
        if self._pinged_at is None or self._is_told or payload != self._pinged_as:
            return
        self._pinged_at = None
        if self._pinged > self._proven:
            self._proven = self._pinged
            self._context.application.proven(self, self._proven)
        if self._context.settings.prove_within and self._sent > self._proven:
            self._ping()

    def drained(self) -> None:
        """The client has read everything."""
        self._waiting = 0
        self._inbox.moved()
        self._expect(self._inbox.room_by)
        if self._pinged_at is not None:  # it may have left only now
            self._pinged_at = self._context.now()
            self._expect(self._pinged_at + PONG_WITHIN)
        self._context.application.drained(self)

    def closed(self, code: int) -> None:
        """The connection is over; the application need not know of one that never began."""
        self._is_open = False
        self._code = code
        self._is_told = self._is_told or self._link is None
        self._on_gone()
        self._tell_closed()

    # -- wheel -------------------------------------------------------------------------------

    def tick(self, now: float) -> float | None:
        """Heartbeats (SJ-33); when to be called next."""
        if not self._is_open or self._link is None or now < self._due:
            return None
        if now >= self._overdue_at:
            self._give_up(self._link)
            return None
        if now >= self._room_by:
            self.close(*frames.TRY_AGAIN_LATER)
            return None
        if now >= self._beat_at and self._link.blocked_since is None:
            if heartbeat := self._framing.heartbeat():
                self._write(heartbeat)
            self._frame_at = now
            self._ping()
        self._due = min(max(self._beat_at, now), self._overdue_at, self._room_by)
        return self._due

    def end(self, code: int) -> None:
        """Close; it has crashed."""
        self._end(code, frames.INTERNAL_ERROR[1])

    def _give_up(self, link: Link) -> None:
        """Nobody is there: the application need not wait for a Close of the client (MS-67)."""
        last = frames.TIMEOUT if link.blocked_since is None else frames.TRY_AGAIN_LATER
        self.close(*last)
        self._code = last[0]
        self._tell_closed()

    @property
    def _beat_at(self) -> float:
        return self._frame_at + self._context.settings.heartbeat_delay

    @property
    def _overdue_at(self) -> float:
        """When the client is taken for dead. While it has something to read, reading will do;
        while it is not read itself, it cannot show that it lives."""
        if self._link is not None and self._link.blocked_since is not None:
            return self._link.blocked_since + self._context.stalled
        if self._pinged_at is None:
            return math.inf
        return max(self._pinged_at, self._inbox.reading_since) + PONG_WITHIN

    @property
    def _room_by(self) -> float:
        """When the application is taken for stuck; for a client to read it may wait for longer."""
        is_blocked = self._link is not None and self._link.blocked_since is not None
        return math.inf if is_blocked else self._inbox.room_by

    def _ping(self) -> None:
        """At most one is on its way; its Pong proves what was sent before it."""
        if self._pinged_at is None and self._link is not None:
            payload = self._question(self._sent)
            if self._link.ping(payload):
                self._has_pinged(payload)

    def _question(self, sent: int) -> bytes:
        """What a Ping behind so many messages says."""
        return b"%d" % (sent if self._label is None else self._label)

    def _has_pinged(self, payload: bytes) -> None:
        self._pinged, self._pinged_as = self._sent, payload
        self._pinged_at = self._context.now()
        self._expect(self._pinged_at + PONG_WITHIN)

    # -- inside ------------------------------------------------------------------------------

    def _has_room(self, count: int, size: int) -> bool:
        """Whether more may wait; whoever reads everything at once may be sent anything."""
        waiting, settings = self.waiting_bytes, self._context.settings
        return not waiting or (
            self._waiting + count <= settings.outbox_messages
            and waiting + size <= settings.outbox_bytes
        )

    def _write(self, *texts: bytes, ping: bytes | None = None) -> bool:
        """Send messages, and with them the Ping that asks for their proof: in one piece."""
        for text in texts:
            if self._framing is FRAMED:
                count_frame(self._context.metrics, self.transport, text)
        self._frame_at = self._context.now()
        link = self._link
        parts = [encode_text(text) for text in texts]
        if ping is not None:
            parts.append(encode_ping(ping))
        if link is None or not link.offer(b"".join(parts)):
            return False
        if ping is not None:
            link.note_ping()
        if link.blocked_since is not None:
            self._expect(link.blocked_since + self._context.stalled)
        return True

    def _expect(self, at: float) -> None:
        """Be called no later than this; of several entries only the earliest finds it is due."""
        if at < self._due:
            self._due = at
            self._context.schedule(self, at)

    def _end(self, code: int, reason: str) -> None:
        """The Close frame alone, behind what waits; nothing of the client counts any more."""
        if self._is_open and self._link is not None:
            self._is_open = False
            self._inbox.drop()
            self._link.close(code, reason)

    def _deliver(self, message: str) -> None:
        self._context.application.received(self, message)

    def _tell_closed(self) -> None:
        """Once, when the application has had everything the client sent; whoever waits for room
        waits in vain till then."""
        if self._code is None or self._is_told:
            return
        if not self._inbox:
            self._is_told = True
            self._context.application.closed(self, self._code)
        elif self._waiting:
            self._waiting = 0
            self._context.application.drained(self)
