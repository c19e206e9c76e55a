"""Between the attach of a session and its first fetch: where the client is, and what it missed.

Only where positions count: the client asks now, or did once. The older socket's places and
receipts are in the store before ours is asked. Nothing is numbered, and nothing of the channel's
numbering is stored, before the store has taken the decision; whatever dies in between, the next
socket finds what this one found.
"""

from collections.abc import Callable

import attrs

from tocsin.delivery.position import RESERVE, Decision, decide, reserve
from tocsin.model.channel import Channel
from tocsin.model.errors import StoreError, invalid
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store
from tocsin.store.records import Position
from tocsin.wire.position import Claim, channel_resumed, parse_claim


@attrs.frozen
class Resumed:
    """Where the channel goes on. `message` is for a client that asked, `result` for the metrics;
    what is replayed stands in one row from `base` + 1 to `last_seq`."""

    base: int
    last_seq: int
    message: bytes | None = None
    result: str | None = None


def judge_since(since: str, channel: Channel) -> Claim:
    """The claim in a query. Raises 400 `since` if it is malformed or in the future."""
    claim = parse_claim(since)
    if claim is None or (claim.epoch == channel.epoch and claim.seq > channel.last_seq):
        raise invalid("since")
    return claim


class Resuming:
    """Asks the store, decides, and tells `done` once; None when the store failed."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        channel: Channel,
        since: Claim | None,
        *,
        clock: Callable[[], int],
        done: Callable[[Resumed | None], None],
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._channel = channel
        self._since = since
        self._claimed = _claimed(channel, since)
        self._clock = clock
        self._done = done
        self._wanted = True

    def start(self) -> None:
        """Ask; the session is attached."""
        self._store.read_position(self._channel, then=self._read)

    def cancel(self) -> None:
        """The connection is gone: nothing more is begun."""
        self._wanted = False

    def _read(self, position: Position | None, error: StoreError | None) -> None:
        if not self._wanted:
            return
        if error is not None or position is None:
            self._done(None)
            return
        channel = self._channel
        if self._since is None and channel.last_seq == position.last_seq:
            self._go_on()
            return
        decision = decide(position, last_seq=channel.last_seq, claim=self._claimed)
        before = channel.last_seq, channel.reserved
        channel.last_seq = decision.last_seq
        channel.reserved = decision.last_seq + RESERVE

        def resumed(settled: int | None, error: StoreError | None) -> None:
            if error is not None or settled is None:
                channel.last_seq, channel.reserved = before
            else:
                self._metrics.deliveries[channel.type, "delivered"].inc(settled)
            if self._wanted:
                self._done(None if error is not None else self._answer(decision))

        self._store.resume(channel, decision.resumption, now=self._clock(), then=resumed)

    def _go_on(self) -> None:
        """Nobody counts on this connection, and nothing is in doubt: the next one that does is
        told of what is missing."""
        if reserve(self._channel):
            self._store.mark_written(self._channel, [])
        self._done(Resumed(0, 0))

    def _answer(self, decision: Decision) -> Resumed:
        since, channel = self._since, self._channel
        if since is None:
            return Resumed(decision.base, decision.last_seq)
        recovered = since.is_question or (self._claimed is not None and not decision.missed)
        message = channel_resumed(
            channel.epoch, decision.base, missed=decision.missed, recovered=recovered
        )
        result = None if since.is_question else "recovered" if recovered else "gap"
        return Resumed(decision.base, decision.last_seq, message, result)


def _claimed(channel: Channel, since: Claim | None) -> int | None:
    """The claim, if it is one in our numbering, of which somebody was told before."""
    if since is None or since.epoch != channel.epoch or channel.reserved is None:
        return None
    return since.seq
