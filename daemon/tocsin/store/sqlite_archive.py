"""`tocsin.store.archive.Archive` on the same writer thread as the rest of the store."""

from collections import Counter
from collections.abc import Mapping, Sequence

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StoreError
from tocsin.store import statements
from tocsin.store.archive import Holding, LetterQuery, LogQuery, Page, Pending, Place
from tocsin.store.jobs import Jobs
from tocsin.store.records import Attempt, DeadLetter
from tocsin.store.writer import InlineWriter, Writer


class SqliteArchive(Jobs):
    """The part of the store that operators ask.

    `dead` counts the dead letters of each type that are stored.
    """

    def __init__(self, writer: Writer | InlineWriter, dead: Mapping[ChannelType, int]) -> None:
        super().__init__(writer)
        self.dead = Counter(dead)

    async def read_log(
        self, query: LogQuery, *, before: int | None, limit: int, look: int
    ) -> Page[Attempt]:
        """See `Archive.read_log`."""
        return await self._look(
            lambda db: statements.read_log(db, query, before=before, limit=limit, look=look)
        )

    async def find_pending(self, notification_id: str, *, after: int, look: int) -> Page[Pending]:
        """See `Archive.find_pending`."""
        return await self._look(
            lambda db: statements.find_pending(db, notification_id, after=after, look=look)
        )

    async def prune_attempts(self, before: int, *, keep: int, limit: int) -> int:
        """See `Archive.prune_attempts`."""
        return await self._perform(
            lambda db: statements.prune_attempts(db, before, keep=keep, limit=limit),
            durable=False,
        )

    async def dead_letters(
        self, query: LetterQuery, *, after: Place | None, oldest_first: bool, limit: int
    ) -> list[DeadLetter]:
        """See `Archive.dead_letters`."""
        return await self._look(
            lambda db: statements.dead_letters(
                db, query, after=after, oldest_first=oldest_first, limit=limit
            )
        )

    async def purge_dead_letters(
        self, query: LetterQuery, *, limit: int
    ) -> Mapping[ChannelType, int]:
        """See `Archive.purge_dead_letters`."""

        def done(purged: Mapping[ChannelType, int] | None, error: StoreError | None) -> None:
            if purged is not None and error is None:
                self.dead.subtract(purged)

        return await self._perform(
            lambda db: statements.purge_dead_letters(db, query, limit=limit), done
        )

    async def owners(self, channel_ids: Sequence[str]) -> Mapping[str, str]:
        """See `Archive.owners`."""
        return await self._perform(lambda db: statements.owners(db, channel_ids), durable=False)

    async def holdings(self, channel_keys: Sequence[int]) -> Mapping[int, Holding]:
        """See `Archive.holdings`."""
        return await self._perform(lambda db: statements.holdings(db, channel_keys), durable=False)

    async def all_channels(
        self, kind: ChannelType | None, *, before: int | None, limit: int, look: int
    ) -> Page[Channel]:
        """See `Archive.all_channels`."""
        return await self._look(
            lambda db: statements.all_channels(
                db, kind, before=before, limit=limit, look=look, vault=self._vault
            )
        )

    async def lane_backlogs(self, lanes: Sequence[str], *, most: int) -> Mapping[str, int]:
        """See `Archive.lane_backlogs`."""
        return await self._perform(
            lambda db: statements.lane_backlogs(db, lanes, most=most), durable=False
        )
