"""A channel that is polled: what each poll gets, and what the next one settles (CH-65 to CH-67).

The session lives from the first poll until 30 s after the last (CH-66), with no task of its own.
Deliveries are taken from the store, a push only wakes the poll that is held. Only the latest poll
gives numbers; what it gives is durable before it is told, so a position is never given twice.

    in the store, without a number --poll--> numbered, stored, answered --next poll--> over
                                                  ^                |
                                                  └── the answer did not go out whole

Bounds: a batch has at most the channel's `max_notifications`, and 1 MiB beyond its first one; the
rest waits in the store.
"""

from collections.abc import Callable

import attrs
import trio

from tocsin.delivery.directory import Account
from tocsin.delivery.sessions import Sessions
from tocsin.delivery.window import Written
from tocsin.model.channel import Channel
from tocsin.model.delivery import Delivery
from tocsin.model.errors import StoreError
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store
from tocsin.store.records import Resumption, Waiting

LINGER = 30.0
MOST_NOTIFICATIONS = 20
MOST_BYTES = 1_048_576
CLOCK_SHARE = 8


@attrs.frozen
class PollContext:
    """What all polled channels share.

    `clock` is epoch milliseconds, `now` is `trio.current_time`; `schedule(session, at)` has
    `tick` called then.
    """

    store: Store
    sessions: Sessions
    metrics: Metrics
    clock: Callable[[], int]
    now: Callable[[], float]
    schedule: Callable[["PollSession", float], None]


@attrs.frozen
class Batch:
    """What a poll is answered: texts of notifications, and where the client is then.

    `receipt` is told whether the answer went out whole, and False if that turns out wrong.
    """

    position: int
    bodies: list[bytes] = attrs.field(factory=list)
    receipt: Callable[[bool], None] | None = None


class PollSession:
    """The session of one polled channel; a `tocsin.delivery.sessions.Session`."""

    def __init__(self, context: PollContext, account: Account, channel: Channel) -> None:
        """Holds `account`, which keeps it in memory."""
        self.channel = channel
        self._context = context
        self._account = account
        self._woken = trio.Event()
        self._turn = 0
        self._is_held = False
        self._is_over = False
        self._written: list[Written] = []
        self._settled = 0
        self._had = 0
        now = context.now()
        self._leave_at = now + LINGER
        self._stored_clock_at = now - channel.seconds_run(context.clock())

    def start(self) -> None:
        """The channel is connected from here on (CH-66)."""
        self._context.sessions.attach(self)
        self._context.schedule(self, self._leave_at)

    # -- the delivery's side -----------------------------------------------------------------

    def push(self, delivery: Delivery) -> None:
        """It is in the store, and will be found there."""

    def fall_behind(self) -> None:
        """The same."""

    def ticket(self) -> int | None:
        """It always looks into the store."""
        return None

    def flush(self) -> None:
        """Have the poll that is held look."""
        self._wake()

    def end(self, code: int) -> None:  # noqa: ARG002 - a poll has no close code
        """A poll that is held is answered with the empty list."""
        self._end()

    def _end(self, left_at: int | None = None) -> None:
        if not self._is_over:
            self._is_over = True
            self._wake()
            self._context.sessions.detach(self, [], left_at=left_at)

    def tick(self, now: float) -> float | None:
        """Let go of the channel when nobody has polled for long enough (CH-66)."""
        if self._is_over:
            return None
        if self._is_held:
            return now + LINGER
        if now >= self._leave_at:
            # It counts as connected until now, and as without a poll since its last one (CH-45).
            self._end(self._context.clock() - int(LINGER * 1000))
            return None
        return self._leave_at

    # -- polls -------------------------------------------------------------------------------

    async def poll(self, claim: int | None, *, hold: float) -> Batch:
        """What there is for the client, or becomes within `hold` seconds.

        `claim` is the position it says it has; None: it has the answer before, if that went out
        whole. A newer poll, or the end of the session, has this one come back empty. Raises
        `StoreError`. Cancelled, it takes nothing with it.
        """
        self._turn += 1
        turn = self._turn
        self._wake()
        self._settle(claim)
        self._restart_clock()
        self._is_held = True
        try:
            return await self._hold(turn, self._context.now() + hold)
        finally:
            if self._turn == turn:
                self._is_held = False
                self._leave_at = self._context.now() + LINGER

    async def _hold(self, turn: int, until: float) -> Batch:
        position = self.channel.answered_seq
        while True:
            woken = self._woken
            found = await self._fetch()
            if self._turn != turn or self._is_over:
                return Batch(position)
            if found:
                return await self._take(found)
            position = self.channel.last_seq
            with trio.move_on_at(until):
                await woken.wait()
            if not woken.is_set() or self._turn != turn or self._is_over:
                return Batch(position)

    def _wake(self) -> None:
        self._woken.set()
        self._woken = trio.Event()

    def _restart_clock(self) -> None:
        """The full lifetime starts again (CH-41); the stored clock follows now and then."""
        self.channel.restart_clock(self._context.clock())
        now = self._context.now()
        if now - self._stored_clock_at >= (self.channel.lifetime or 0) / CLOCK_SHARE:
            self._stored_clock_at = now
            self._context.sessions.clock_moved(self.channel)

    def _settle(self, claim: int | None) -> None:
        """What the client has is over, and nothing beyond it (CH-67)."""
        channel = self.channel
        upto = channel.answered_seq if claim is None else claim
        channel.answered_seq = self._had = upto
        if upto <= self._settled:
            return
        known = [one for one in self._written if one.seq <= upto]
        self._written = self._written[len(known) :]
        self._context.sessions.receipted(known, channel)
        self._context.sessions.flush_receipts()
        before, self._settled = self._settled, upto
        if len(known) < upto - before:
            self._settle_in_store(upto, before)

    def _settle_in_store(self, upto: int, before: int) -> None:
        """What a session before this one has written; the next poll tries again if the store
        fails, as if only `before` had been settled."""
        channel = self.channel
        metrics, now = self._context.metrics, self._context.clock()

        def settled(count: int | None, error: StoreError | None) -> None:
            if error is not None:
                self._settled = min(self._settled, before)
            elif count is not None:
                metrics.deliveries[channel.type, "delivered"].inc(count)

        self._context.store.resume(channel, Resumption(settle_upto=upto), now=now, then=settled)

    async def _fetch(self) -> list[Waiting]:
        """What waits: first what was answered before and not settled, then the rest. What the
        client has may still be in the store, if that did not take its settlement."""
        channel = self.channel
        reply = _Reply()
        self._context.store.fetch_waiting(
            channel,
            now=self._context.clock(),
            after=self._had,
            limit=channel.max_notifications or MOST_NOTIFICATIONS,
            then=reply.arrived,
        )
        await reply.event.wait()
        if reply.found is None:
            raise reply.error or StoreError("no answer")
        return reply.found

    async def _take(self, found: list[Waiting]) -> Batch:
        """Number what is new, and have that durable before it is told."""
        channel = self.channel
        written: list[Written] = []
        fresh: list[tuple[int, int]] = []
        for one in _within_bytes(found):
            seq = one.seq
            if seq is None:
                channel.last_seq += 1
                seq = channel.last_seq
                fresh.append((one.id, seq))
            written.append(Written(seq, one.id, one.notification.accepted_at))
        if fresh:
            await self._context.store.place(channel, fresh)
        self._written = written
        last = written[-1].seq
        bodies = [one.notification.body for one in found[: len(written)]]
        return Batch(last, bodies, self._receipt_for(last))

    def _receipt_for(self, last: int) -> Callable[[bool], None]:
        """The next poll settles this answer, if it went out whole."""
        channel = self.channel
        before = channel.answered_seq

        def receipt(is_whole: bool) -> None:
            if is_whole:
                channel.answered_seq = last
            elif channel.answered_seq == last:
                channel.answered_seq = before

        return receipt


class _Reply:
    """Carries what was found from the store's callback to the task that waits for it."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.found: list[Waiting] | None = None
        self.error: StoreError | None = None

    def arrived(self, found: list[Waiting] | None, error: StoreError | None) -> None:
        self.found, self.error = found, error
        self.event.set()


def _within_bytes(found: list[Waiting]) -> list[Waiting]:
    """As many as fit into one answer; the first always does."""
    size = 0
    for count, one in enumerate(found):
        size += len(one.notification.body)
        if size > MOST_BYTES and count:
            return found[:count]
    return found
