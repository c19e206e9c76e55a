"""What a store is asked for though nobody wants anything: counting, expiring, pruning."""

from collections import Counter
from collections.abc import Collection, Mapping

from tocsin.model.channel import ChannelType
from tocsin.model.errors import StoreError
from tocsin.store import statements
from tocsin.store.records import Counts, Ended
from tocsin.store.sqlite_memory import SqliteMemory
from tocsin.store.writer import InlineWriter, Writer


class SqliteUpkeep(SqliteMemory):
    """The part of the store that housekeeping asks."""

    def __init__(self, writer: Writer | InlineWriter, counts: Counts) -> None:
        super().__init__(writer, counts)
        self.pending = Counter(counts.pending)

    async def expire_deliveries(
        self, now: int, *, limit: int, keep: Collection[ChannelType], spare: Collection[int] = ()
    ) -> Ended:
        """See `Store.expire_deliveries`."""
        spared = list(spare)

        def done(ended: Ended | None, error: StoreError | None) -> None:
            if ended is not None and error is None:
                self.pending.subtract(ended.counts)
                self.dead.update(letter.type for letter in ended.buried)

        return await self._perform(
            lambda db: statements.expire_deliveries(db, now, limit, keep, spared),
            done,
            durable=False,
        )

    async def prune_dead_letters(self, before: int, *, limit: int) -> int:
        """See `Store.prune_dead_letters`."""

        def done(pruned: Mapping[ChannelType, int] | None, error: StoreError | None) -> None:
            if pruned is not None and error is None:
                self.dead.subtract(pruned)

        pruned = await self._perform(
            lambda db: statements.prune_dead_letters(db, before, limit), done, durable=False
        )
        return sum(pruned.values())

    async def grant_grace(self, until: int) -> None:
        """See `Store.grant_grace`."""
        await self._perform(lambda db: statements.grant_grace(db, until))

    async def probe(self, now: int) -> None:
        """See `Store.probe`."""
        await self._perform(lambda db: statements.probe(db, now))

    async def count_unsigned(self) -> int:
        """See `Store.count_unsigned`."""
        return await self._perform(statements.count_unsigned, durable=False)

    async def barrier(self) -> None:
        """See `Store.barrier`."""
        await self._perform(lambda _db: None)

    async def oldest(self) -> Mapping[ChannelType, int]:
        """See `Store.oldest`."""
        return await self._perform(statements.oldest, durable=False)

    async def counts(self) -> Counts:
        """See `Store.counts`."""
        return await self._perform(statements.counts, durable=False)
