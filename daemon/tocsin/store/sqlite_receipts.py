"""What clients say they have, and what need not be sent, or is due, because of it."""

from collections.abc import Callable, Mapping, Sequence

import apsw

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StoreError
from tocsin.store import statements
from tocsin.store.batches import Job
from tocsin.store.jobs import Done
from tocsin.store.mail import Mark, Posted, Proof
from tocsin.store.records import Counts, Ended, Resumption
from tocsin.store.sqlite_upkeep import SqliteUpkeep
from tocsin.store.statements import messaging
from tocsin.store.writer import InlineWriter, Writer

MOST_ENTRIES = 5000
OnError = Callable[[StoreError | None], None]


def _nobody(_error: StoreError | None) -> None:
    """For what nobody waits for."""


class SqliteReceipts(SqliteUpkeep):
    """The part of the store that takes receipts, of notifications and of messages."""

    def __init__(self, writer: Writer | InlineWriter, counts: Counts) -> None:
        super().__init__(writer, counts)
        self.most_entries = MOST_ENTRIES
        self.on_cancelled: Callable[[Ended], None] = lambda _ended: None
        self.on_posted: Callable[[Sequence[Posted]], None] = lambda _posted: None
        self.on_trimmed: Callable[[int], None] = lambda _count: None

    # -- of notifications ------------------------------------------------------------------

    def resume(
        self, channel: Channel, resumption: Resumption, *, now: int, then: Done[int]
    ) -> None:
        """See `Store.resume`."""
        key, last_seq, reserved = channel.key, channel.last_seq, channel.reserved
        most = self.most_entries

        def resume(db: apsw.Connection) -> statements.Receipted:
            return statements.resume(
                db, key, last_seq, reserved, resumption, now=now, most_entries=most
            )

        def done(receipted: statements.Receipted | None, error: StoreError | None) -> None:
            counts = self._count_receipted(receipted, error)
            then(None if counts is None else sum(counts.values()), error)

        self._submit(Job(resume, done))

    def settle_lazily(
        self,
        ids: Sequence[int],
        then: Callable[[Mapping[ChannelType, int] | None], None],
        *,
        now: int,
        upto: Sequence[tuple[int, int]] = (),
    ) -> None:
        """See `Store.settle_lazily`."""
        most = self.most_entries

        def settle(db: apsw.Connection) -> statements.Receipted:
            if upto:
                statements.settle_upto(db, upto)
            return statements.finish_polled(db, ids, now, most_entries=most)

        def done(receipted: statements.Receipted | None, error: StoreError | None) -> None:
            then(self._count_receipted(receipted, error))

        self._submit(Job(settle, done, durable=False))

    def _count_receipted(
        self, receipted: statements.Receipted | None, error: StoreError | None
    ) -> Mapping[ChannelType, int] | None:
        if receipted is None or error is not None:
            return None
        self.pending.subtract(receipted.counts)
        self._told(receipted.posted, receipted.trimmed, receipted.cancelled)
        return receipted.counts

    def escalate(
        self,
        channels: Sequence[Channel],
        connected: Sequence[Channel],
        *,
        now: int,
        then: Done[Mapping[str, bool]],
        messages: bool | None = None,
    ) -> None:
        """See `Store.escalate`."""
        held, live = [one.key for one in channels], [one.key for one in connected]
        self._submit(
            Job(lambda db: statements.escalate(db, held, live, now, messages), then, durable=False)
        )

    # -- of messages -----------------------------------------------------------------------

    def prove(self, proofs: Sequence[Proof], *, now: int, then: OnError = _nobody) -> None:
        """See `Messages.prove`."""
        listed, most = list(proofs), self.most_entries

        def done(raised: messaging.Raised | None, error: StoreError | None) -> None:
            self._raised(raised, error)
            then(error)

        self._submit(
            Job(lambda db: messaging.prove(db, listed, now=now, most=most), done, durable=False)
        )

    async def mark(self, mark: Mark) -> bool:
        """See `Messages.mark`."""
        most = self.most_entries
        raised = await self._perform(lambda db: messaging.mark(db, mark, most=most), self._raised)
        return raised.is_known

    def _raised(self, raised: messaging.Raised | None, error: StoreError | None) -> None:
        if raised is not None and error is None:
            self._told(raised.posted, raised.trimmed, raised.cancelled)

    def _told(self, posted: Sequence[Posted], trimmed: int, cancelled: Ended | None) -> None:
        """Pass on what came of receipts, now that it is written."""
        if cancelled is not None:
            self.pending.subtract(cancelled.counts)
            self.on_cancelled(cancelled)
        self._was_posted(posted, trimmed)

    def _was_posted(self, posted: Sequence[Posted], trimmed: int) -> None:
        if posted:
            self.on_posted(posted)
        if trimmed:
            self.on_trimmed(trimmed)
