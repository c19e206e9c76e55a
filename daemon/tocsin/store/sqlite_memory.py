"""What a store remembers of what was: who submitted what, what went with its token, and memos."""

from collections import Counter
from collections.abc import Mapping, Sequence

import apsw

from tocsin.model.channel import Device
from tocsin.model.errors import StoreError
from tocsin.store import statements
from tocsin.store.records import Counts, RemovedDevice, StoredAnswer
from tocsin.store.sqlite_archive import SqliteArchive
from tocsin.store.writer import InlineWriter, Writer

SUBMITTED = ("identity", "submission", "push")


class SqliteMemory(SqliteArchive):
    """The part of the store that forgets by itself what is too old or too much.

    `remembered` counts the rows of each of its tables, so that nobody has to walk them.
    """

    def __init__(self, writer: Writer | InlineWriter, counts: Counts) -> None:
        super().__init__(writer, counts.dead)
        self.remembered = Counter(counts.remembered)

    async def recall(self, kind: str) -> dict[str, bytes]:
        """See `Store.recall`."""
        return await self._perform(
            lambda db: statements.recall(db, kind, self._vault), durable=False
        )

    async def remember(self, kind: str, values: Mapping[str, bytes | None]) -> None:
        """See `Store.remember`."""
        await self._perform(lambda db: statements.remember(db, kind, values, self._vault))

    async def find_submission(self, key: int, proof: int) -> StoredAnswer | None:
        """See `Store.find_submission`."""
        return await self._perform(
            lambda db: statements.find_submission(db, key, proof), durable=False
        )

    async def forget_submission(self, key: int, proof: int) -> None:
        """See `Store.forget_submission`."""

        def done(gone: int | None, error: StoreError | None) -> None:
            if gone is not None and error is None:
                self.remembered["submission"] -= gone

        await self._perform(lambda db: statements.forget_submission(db, key, proof), done)

    async def forget_submissions(self, before: int, *, keep: int, limit: int) -> int:
        """See `Store.forget_submissions`."""
        return await self._forget(SUBMITTED, before, keep=keep, limit=limit)

    async def forget_removed(self, before: int, *, keep: int, limit: int) -> int:
        """See `Store.forget_removed`."""
        return await self._forget(["removed"], before, keep=keep, limit=limit)

    async def _forget(self, tables: Sequence[str], before: int, *, keep: int, limit: int) -> int:
        excess = {table: max(0, self.remembered[table] - keep) for table in tables}

        def forget(db: apsw.Connection) -> Counter[str]:
            return Counter(
                {
                    table: statements.forget(db, table, before, excess=beyond, limit=limit)
                    for table, beyond in excess.items()
                }
            )

        def done(gone: Counter[str] | None, error: StoreError | None) -> None:
            if gone is not None and error is None:
                self.remembered.subtract(gone)

        return (await self._perform(forget, done, durable=False)).total()

    async def tombstones(self, now: int, *, limit: int) -> list[tuple[Device, int]]:
        """See `Store.tombstones`."""
        return await self._perform(
            lambda db: statements.tombstones(db, now, limit, self._vault), durable=False
        )

    async def removed_devices(
        self, app: str, since: int, *, guarded_only: bool, after: int, limit: int
    ) -> list[RemovedDevice]:
        """See `Store.removed_devices`."""
        return await self._perform(
            lambda db: statements.removed_devices(
                db,
                app,
                since,
                guarded_only=guarded_only,
                after=after,
                limit=limit,
                vault=self._vault,
            ),
            durable=False,
        )
