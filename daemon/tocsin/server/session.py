"""A notification socket: what its client is sent, and what it has receipted.

Synchronous: frames and the time in, `Link.offer` out. Deliveries come from memory right
after their commit (`push`) as long as the client keeps up; once something had to be left in the
store, everything follows through the store, so nothing overtakes what waits (CH-56, CH-58).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from tocsin.delivery.directory import Account
from tocsin.delivery.sessions import Sessions
from tocsin.delivery.window import Window, Written
from tocsin.model.channel import Channel
from tocsin.model.delivery import Delivery
from tocsin.model.errors import StoreError
from tocsin.ops.metrics import Metrics
from tocsin.server.pulse import Pulse
from tocsin.server.resuming import Resumed, Resuming
from tocsin.store.interface import Store
from tocsin.store.records import Waiting
from tocsin.wire.conncheck import CONN_ACK, ConnAck, ConnCheck, Ignored, conn_check, parse
from tocsin.wire.position import Claim
from tocsin.wire.websocket import encode_ping, encode_text

if TYPE_CHECKING:
    from tocsin.server.handler import Link
    from tocsin.server.websocket import WsSettings

CHUNK = 32
MOST_CHECKS = 100
CLOCK_SHARE = 8
FRAME_HEAD = 32
ACK_FRAME = encode_text(CONN_ACK)
GOOD_BYE = (1000, 1001)
TOKEN_OVER = 4401
COME_BACK = 1012


@attrs.frozen
class SessionContext:
    """What all sessions share.

    `clock` is epoch milliseconds, `now` is `trio.current_time`; `schedule(session, at)` has
    `tick` called then.
    """

    store: Store
    sessions: Sessions
    settings: "WsSettings"
    metrics: Metrics
    clock: Callable[[], int]
    now: Callable[[], float]
    schedule: Callable[["NotificationSession", float], None]


class NotificationSession:
    """The session of one channel on one connection."""

    __slots__ = (
        "_account",
        "_acks",
        "_asked",
        "_behind",
        "_burst",
        "_burst_bytes",
        "_checks",
        "_connection",
        "_context",
        "_due",
        "_fetches",
        "_loading",
        "_needs",
        "_on_closed",
        "_pulse",
        "_receipted_meanwhile",
        "_replay_end",
        "_replayed",
        "_result",
        "_resuming",
        "_sent",
        "_since",
        "_stored_clock_at",
        "_window",
        "channel",
    )

    def __init__(
        self,
        context: SessionContext,
        account: Account,
        channel: Channel,
        *,
        since: Claim | None = None,
        cut_at: float | None = None,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        """Holds `account`, which keeps it in memory. `since` is the position the client claims;
        at `cut_at` its token is over. `on_closed` is called once, at the end."""
        self._context = context
        self._account = account
        self.channel = channel
        self._since = since
        self._on_closed = on_closed
        self._connection: Link | None = None
        self._window = Window(last_seq=channel.last_seq, limit=context.settings.window)
        self._burst: list[bytes] | None = None
        self._burst_bytes = 0
        self._behind = False
        self._loading = False
        self._asked = 0
        self._needs = 0
        self._fetches = 0
        self._resuming: Resuming | None = None
        self._result: str | None = None
        self._acks = 0
        self._replayed = 0
        self._replay_end = 0
        self._sent = 0
        self._receipted_meanwhile: set[int] | None = None
        self._due = 0.0
        now = context.now()
        self._stored_clock_at = now - channel.seconds_run(context.clock())
        self._pulse = Pulse(context.settings, role=channel.check_role, now=now, cut_at=cut_at)
        self._checks: list[int] | None = None

    # -- the connection's side ---------------------------------------------------------------

    def opened(self, connection: "Link") -> None:
        """The client is here: it takes over from an older socket and gets what waits for it."""
        self._connection = connection
        context = self._context
        context.sessions.attach(self)
        self._alive()
        if self._since is None and self.channel.reserved is None:
            self._begin()
        else:
            self._loading = True
            context.sessions.flush_receipts()
            self._resuming = Resuming(
                context.store,
                context.metrics,
                self.channel,
                self._since,
                clock=context.clock,
                done=self._resumed,
            )
            self._resuming.start()
        if self._connection is not None:
            self._schedule(connection)

    def text(self, payload: bytes) -> None:
        """connCheck and connAck; anything else is ignored and counted (CH-53)."""
        if self._connection is None:
            return
        message = parse(payload)
        if not isinstance(message, Ignored):
            self._alive()
        match message:
            case ConnCheck(interval):
                if self._resuming is None:
                    self._offer(ACK_FRAME)
                else:
                    self._acks += 1  # `channelResumed` comes first (CH-52)
                self._adopt(interval)
            case ConnAck():
                self._acknowledged()
            case Ignored(legacy):
                if not legacy:
                    self._context.metrics.ws_frames_ignored.inc()

    def binary(self, payload: bytes) -> None:  # noqa: ARG002 - binary means nothing here
        """Close 1003 (CH-53)."""
        self.end(1003)

    def pong(self, payload: bytes) -> None:
        """A receipt for everything written before the Ping it answers."""
        settled = self._window.pong(payload)
        if self._connection is None:
            # Closing, by our word: what the client did read counts all the same, unless a newer
            # socket may have numbered it anew.
            if self.channel.reserved is None:
                self._context.sessions.receipted(settled, self.channel)
            return
        self._alive()
        self._settled(settled)

    def drained(self) -> None:
        """A slow reader has caught up."""
        self._catch_up()

    def closed(self, code: int) -> None:
        """The connection is gone: what has no receipt waits for the next one."""
        self._context.metrics.ws_closed[code].inc()
        self._detach(cleanly=code in GOOD_BYE)
        self._on_closed()

    # -- the delivery's side -----------------------------------------------------------------

    def push(self, delivery: Delivery) -> None:
        """Write a delivery that has just become durable, or leave it in the store."""
        if self._behind or self._loading or not self._has_room(len(delivery.notification.body)):
            self._behind = True
            return
        self._write(delivery)

    def fall_behind(self) -> None:
        """There is something in the store for this client."""
        self._behind = True

    def ticket(self) -> int | None:
        """Changes when this session has looked into the store; None while it has to."""
        return None if self._behind or self._loading else self._fetches

    def flush(self) -> None:
        """Send the burst, then look into the store if something was left there."""
        if self._burst is not None:
            self._send_burst(self._burst)
        connection = self._connection
        if connection is not None and not connection.backlog:
            self._catch_up()  # with a backlog, `drained` will

    def _send_burst(self, burst: list[bytes]) -> None:
        """The frames, and behind them the Ping that asks for their receipt."""
        self._burst = None
        self._burst_bytes = 0
        connection = self._connection
        if connection is None:
            return
        last = self._window.unsettled[-1].seq
        burst.append(encode_ping(b"%d" % last))
        if not connection.offer(b"".join(burst)):
            self.end(1011)  # nothing of it has left, and nothing of it is settled
            return
        self._sent = last
        self._window.ping(last)
        connection.note_ping()
        self._pulse.last_ping = self._context.now()
        self._context.sessions.wrote(self.channel, self._window)

    def end(self, code: int) -> None:
        """Close from our side; an older socket must let go before a newer one begins."""
        connection = self._connection
        self._detach()
        if connection is not None:
            connection.close(code)

    # -- heartbeat ---------------------------------------------------------------------------

    def tick(self, now: float) -> float | None:
        """Ping, check, and give up on a dead peer (CH-55 to CH-57); when to call again."""
        connection = self._connection
        if connection is None or now < self._due:
            return None
        pulse = self._pulse
        if self._is_dead(connection, now):
            self._detach()
            connection.abort(1001)
            return None
        if pulse.is_over(now):
            self.end(TOKEN_OVER)
            return None
        if pulse.is_ping_due(now):
            self._window.ping(self._sent)
            connection.ping(b"%d" % self._sent)
            pulse.last_ping = now
        if pulse.is_check_due(now):
            self._check()
        self._store_clock(now)
        self._catch_up()
        self._due = pulse.next_due(connection, is_owing=bool(self._window.unsettled))
        return self._due

    def _is_dead(self, connection: "Link", now: float) -> bool:
        if self._pulse.is_stalled(connection, now):
            self._context.metrics.ws_slow_consumers.inc()
            return True
        return self._pulse.is_silent(connection, now, is_owing=bool(self._window.unsettled))

    def _store_clock(self, now: float) -> None:
        """Keep the stored clock near the true one, for the day the power goes (CH-41)."""
        if now - self._stored_clock_at >= (self.channel.lifetime or 0) / CLOCK_SHARE:
            self._stored_clock_at = now
            self._context.sessions.clock_moved(self.channel)

    def _schedule(self, connection: "Link") -> None:
        """Be called when something is due; an entry for a later time finds nothing due, and is
        dropped."""
        self._due = self._pulse.next_due(connection, is_owing=bool(self._window.unsettled))
        self._context.schedule(self, self._due)

    def _adopt(self, interval: float | None) -> None:
        """The client says how often it checks (CH-54, CH-55)."""
        if self._pulse.adopt(interval) and self._connection is not None:
            self._schedule(self._connection)

    # -- writing -----------------------------------------------------------------------------

    def _has_room(self, size: int) -> bool:
        """Room in the window and in the outbox; a first frame always fits."""
        connection = self._connection
        if connection is None or self._window.room <= 0:
            return False
        waiting = connection.backlog + self._burst_bytes
        return not waiting or waiting + size + FRAME_HEAD <= self._context.settings.outbox_bytes

    def _write(self, delivery: Delivery) -> bool:
        """Put it into the burst; False: it has expired."""
        notification = delivery.notification
        if notification.expires_at <= self._context.clock():
            return False
        if not self._window.unsettled:
            self._pulse.unsettled_since = self._context.now()
        self._window.write(delivery)
        self.channel.last_seq = self._window.last_seq
        frame = encode_text(notification.body)
        if self._burst is None:
            self._burst = []
        self._burst.append(frame)
        self._burst_bytes += len(frame)
        return True

    def _offer(self, frame: bytes) -> None:
        if self._connection is not None:
            self._connection.offer(frame)

    # -- catching up from the store ----------------------------------------------------------

    def _begin(self) -> None:
        """The channel's numbering is known: from here on there may be frames."""
        self._window = Window(last_seq=self.channel.last_seq, limit=self._context.settings.window)
        self._fetch()
        if self.channel.check_role == "server":
            self._check()

    def _resumed(self, resumed: Resumed | None) -> None:
        """Tell a client that asked where it is, then go on from there."""
        if resumed is None:
            self.end(1011)
            return
        self._resuming = None
        self._replayed = resumed.base
        self._result = resumed.result
        if resumed.message is not None:
            self._replay_end = resumed.last_seq
            self._offer(encode_text(resumed.message))
        if self._acks:
            self._offer(ACK_FRAME * self._acks)
        self._begin()

    def _catch_up(self) -> None:
        """Fetch more from the store, if there is any and the client keeps up."""
        if self._behind and not self._loading and self._has_room(self._needs):
            self._fetch()

    def _fetch(self) -> None:
        """Ask for what an earlier connection wrote, then for what nobody wrote yet (CH-58).

        What this one has written and not settled comes along, and is skipped; so does what the
        client has receipted while the store fails (`Sessions.kept`).
        """
        context = self._context
        self._loading, self._behind = True, False
        self._needs = 0
        self._fetches += 1
        self._receipted_meanwhile = set()
        context.sessions.flush_receipts()
        skipping = len(self._window.unsettled) + len(context.sessions.kept(self.channel))
        self._asked = skipping + min(CHUNK, max(self._window.room, 1))
        context.store.fetch_waiting(
            self.channel,
            now=context.clock(),
            after=self._replayed,
            limit=self._asked,
            then=self._fetched,
        )

    def _fetched(self, found: list[Waiting] | None, error: StoreError | None) -> None:
        self._loading = False
        skipped = self._receipted_meanwhile or set()
        self._receipted_meanwhile = None
        if self._connection is None:
            return
        if error is not None or found is None:
            self.end(1011)
            return
        if self._fetches == 1:
            replayed = bool(found) and found[0].seq is not None
            result = self._result or ("replayed" if replayed else "fresh")
            self._context.metrics.ws_resumes[result].inc()
        skipped.update(one.delivery for one in self._window.unsettled)
        complete = self._write_found(
            [one for one in found if one.id not in skipped and not self._is_receipted(one)]
        )
        exhausted = complete and len(found) < self._asked
        if exhausted and self._has_hole(None):
            self.end(COME_BACK)
        self._behind = self._behind or not exhausted
        if not self._behind and not self._window.unsettled:
            self._sent = self._window.last_seq
        self.flush()

    def _is_receipted(self, one: Waiting) -> bool:
        """The store still has it, but the client too; unless that has come back to a position
        before it, where the row has no holes."""
        is_replay = one.seq is not None and one.seq <= self._replay_end
        return not is_replay and one.id in self._context.sessions.kept(self.channel)

    def _write_found(self, found: list[Waiting]) -> bool:
        """Write what there is room for; whether that was all.

        If not, nothing is fetched until there is room for the next one.
        """
        for one in found:
            if not self._has_room(len(one.notification.body)):
                self._needs = len(one.notification.body)
                return False
            if self._has_hole(one.seq):
                self.end(COME_BACK)
                return False
            if self._write(Delivery(one.id, one.notification, self.channel, seq=one.seq)):
                self._replayed = max(self._replayed, one.seq or 0)
        return True

    def _has_hole(self, seq: int | None) -> bool:
        """Whether `seq` breaks the row of what is replayed to a client that counts: something
        expired since it was told where it is. It has to be told anew."""
        return self._replayed < self._replay_end and seq != self._replayed + 1

    # -- receipts and checks -----------------------------------------------------------------

    def _settled(self, written: list[Written]) -> None:
        if written:
            if self._receipted_meanwhile is not None:
                self._receipted_meanwhile.update(one.delivery for one in written)
            self._pulse.unsettled_since = self._context.now()
            self._context.sessions.receipted(written, self.channel)
            self._catch_up()

    def _check(self) -> None:
        """Send a connCheck; its answer will settle what was written before it (CH-56)."""
        self._pulse.last_check = self._context.now()
        self._checks = self._checks or []
        if len(self._checks) < MOST_CHECKS:
            self._checks.append(self._sent)
            self._offer(encode_text(conn_check(self._context.settings.check_interval)))

    def _acknowledged(self) -> None:
        """The k-th connAck answers the k-th connCheck; one too many settles nothing."""
        if self._checks:
            self._settled(self._window.settle(self._checks.pop(0)))

    def _alive(self) -> None:
        """The full lifetime starts again (CH-41)."""
        self.channel.restart_clock(self._context.clock())

    def _detach(self, *, cleanly: bool = False) -> None:
        """Let go of the channel; what is unsettled is replayed to the next session."""
        if self._connection is None:
            return
        self._connection = None
        unsettled: list[Written] | None = self._window.unsettled
        if self._resuming is not None:
            self._resuming.cancel()
            unsettled = None
        self._context.sessions.detach(self, unsettled, cleanly=cleanly)
