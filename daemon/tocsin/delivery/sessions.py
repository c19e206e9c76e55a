"""Live connections: where the server's sessions and the deliveries for them meet.

A session is synchronous. `push` is offered each delivery right after its commit; what a session
cannot take stays in the store and is fetched when there is room again.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from tocsin.delivery.position import reserve
from tocsin.delivery.window import Window, Written
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.delivery import Delivery
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store

MOST_RECEIPTS = 512
MOST_KEPT = 100_000


class Session(Protocol):
    """A live connection of one channel."""

    channel: Channel

    def push(self, delivery: Delivery) -> None:
        """Take a delivery that is now durable: write it, or leave it in the store."""

    def fall_behind(self) -> None:
        """There is more in the store than was pushed; a flush follows."""

    def ticket(self) -> int | None:
        """A number that changes when the session looks into the store; None while it has to."""

    def flush(self) -> None:
        """Send what was pushed since the last flush, and ask for its receipt."""

    def end(self, code: int) -> None:
        """Close the connection; the session detaches before this returns."""


class Sessions:
    """The live session of each channel, and the receipts on their way to the store: by the id of
    the delivery, the key of the channel whose client has it.

    `on_left(channel)` is called when a channel has no session any more. `sockets` counts those on
    a WebSocket.
    """

    def __init__(self, store: Store, *, metrics: Metrics, clock: Callable[[], int]) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self.on_left: Callable[[Channel], None] = lambda _channel: None
        self._live: dict[int, Session] = {}
        self._replacing: Channel | None = None
        self.sockets = 0
        self._per_user: Counter[str] = Counter()
        self._receipts: dict[int, int] = {}
        self._kept: dict[int, set[int]] = {}
        self._upto: dict[int, int] = {}
        self._clocks: dict[int, Channel] = {}
        self._written: dict[int, tuple[Channel, Window]] = {}

    def __len__(self) -> int:
        return len(self._live)

    def of(self, channel: Channel) -> Session | None:
        """The live session of a channel."""
        return self._live.get(channel.key)

    def count(self, user: str) -> int:
        """How many live sockets a user has."""
        return self._per_user[user]

    def all(self) -> list[Session]:
        """Every live session."""
        return list(self._live.values())

    def attach(self, session: Session) -> None:
        """A session is live; an older one of the same channel is closed 1000 (CH-51)."""
        channel = session.channel
        older = self._live.get(channel.key)
        if older is not None:
            self._replacing = channel
            try:
                older.end(1000)
            finally:
                self._replacing = None
        channel.left_at = None
        if channel.left_cleanly:
            channel.left_cleanly = False
            self._store.mark_left(channel)
        self._live[channel.key] = session
        if channel.type is ChannelType.WEBSOCKETS:
            self.sockets += 1
            self._per_user[channel.user] += 1

    def detach(
        self,
        session: Session,
        unsettled: Iterable[Written] | None,
        *,
        cleanly: bool = False,
        left_at: int | None = None,
    ) -> None:
        """A session is over. What it had written without a receipt keeps its place, and is
        replayed to the next one (CH-58); the channel's clock runs down from now (CH-41).

        `unsettled` None: it had not come to number anything, and the channel's numbering is not
        to be stored. `cleanly`: the client said good-bye (CH-45); `left_at`: it did not just leave.
        `on_left` is called at the end, but not where a newer session takes over at once.
        """
        channel = session.channel
        if self._live.get(channel.key) is not session:
            return
        del self._live[channel.key]
        if channel.type is ChannelType.WEBSOCKETS:
            self.sockets -= 1
            self._per_user[channel.user] -= 1
            if not self._per_user[channel.user]:
                del self._per_user[channel.user]
        self.flush_receipts()
        if unsettled is None:
            self._store.extend_channels([channel])
        else:
            if channel.reserved is not None:
                channel.reserved = channel.last_seq
            self._store.mark_written(channel, [(one.delivery, one.seq) for one in unsettled])
        self._clocks.pop(channel.key, None)
        self._written.pop(channel.key, None)
        channel.left_at = self._clock() if left_at is None else left_at
        channel.left_cleanly = cleanly
        if cleanly:
            self._store.mark_left(channel)
        if self._replacing is not channel:
            self.on_left(channel)

    def wrote(self, channel: Channel, window: Window) -> None:
        """A burst was sent; if its receipt is slow to come, its places are stored (`mark`)."""
        self._written[channel.key] = (channel, window)

    def mark(self) -> None:
        """Store the places of what is still unsettled, so that a replay after a crash has the
        order in which it was written (CH-56)."""
        written, self._written = self._written, {}
        for channel, window in written.values():
            fresh = window.take_unmarked()
            if reserve(channel) or fresh:
                self._store.mark_written(channel, [(one.delivery, one.seq) for one in fresh])

    def note_places(self, channel: Channel) -> None:
        """Store what was written to a channel's client, and what it has, before the next call."""
        if channel.key not in self._live:
            return
        self.flush_receipts()
        _, window = self._written.pop(channel.key, (channel, None))
        fresh = window.take_unmarked() if window is not None else []
        if fresh:
            self._store.mark_written(channel, [(one.delivery, one.seq) for one in fresh])

    def clock_moved(self, channel: Channel) -> None:
        """The stored clock of a connected channel is getting old; written with the receipts."""
        self._clocks[channel.key] = channel

    def receipted(self, written: Sequence[Written], channel: Channel) -> None:
        """The client has these. Written lazily: losing this causes a duplicate, not a loss."""
        now = self._clock()
        latency = self._metrics.delivery_latency[channel.type]
        for one in written:
            self._receipts[one.delivery] = channel.key
            latency.observe((now - one.accepted_at) / 1000)
        if written and channel.reserved is not None:
            self._upto[channel.key] = written[-1].seq
        if len(self._receipts) >= MOST_RECEIPTS:
            self.flush_receipts()

    def kept(self, channel: Channel) -> Collection[int]:
        """Deliveries that a channel's client has, though a failing store did not take that yet:
        they are still in there, and not to be written again. Up to date for whatever was asked of
        the store behind `flush_receipts`."""
        return self._kept.get(channel.key, ())

    def flush(self) -> None:
        """Hand everything gathered to the store."""
        self.flush_receipts()
        if self._clocks:
            clocks, self._clocks = self._clocks, {}
            self._store.extend_channels(list(clocks.values()))

    def flush_receipts(self) -> None:
        """Hand gathered receipts to the store; also before a fetch, which must not see them."""
        if self._receipts:
            receipts, self._receipts = self._receipts, {}
            upto, self._upto = self._upto, {}
            self._store.settle_lazily(
                list(receipts),
                partial(self._ended, receipts, upto),
                now=self._clock(),
                upto=list(upto.items()),
            )

    def _ended(
        self,
        receipts: dict[int, int],
        upto: dict[int, int],
        counts: Mapping[ChannelType, int] | None,
    ) -> None:
        """Count what ended; keep for later what a failing store did not take."""
        if counts is not None:
            self._forget(receipts)
            for kind, count in counts.items():
                self._metrics.deliveries[kind, "delivered"].inc(count)
        elif len(self._receipts) < MOST_KEPT:
            self._receipts |= receipts
            self._upto = {**upto, **self._upto}
            for delivery, key in receipts.items():
                self._kept.setdefault(key, set()).add(delivery)
        else:
            self._forget(receipts)

    def _forget(self, receipts: dict[int, int]) -> None:
        """They are stored, or given up: the client gets the latter again."""
        if not self._kept:
            return
        for delivery, key in receipts.items():
            kept = self._kept.get(key)
            if kept is not None:
                kept.discard(delivery)
                if not kept:
                    del self._kept[key]
