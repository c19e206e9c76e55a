"""`tocsin.store.messages.Messages` on the same writer thread as the rest of the store."""

from collections.abc import Mapping, Sequence

import apsw
import attrs

from tocsin.model.conversation import Room, Subscriber
from tocsin.model.errors import StoreError
from tocsin.store.batches import Job
from tocsin.store.jobs import Done
from tocsin.store.mail import (
    FoundMessage,
    HistoryPage,
    HistoryQuery,
    LogPage,
    LogState,
    Mail,
    PutRoom,
)
from tocsin.store.messages import Load
from tocsin.store.records import Counts
from tocsin.store.resealing import room_place
from tocsin.store.rows import Row
from tocsin.store.sqlite_receipts import SqliteReceipts
from tocsin.store.statements import messaging
from tocsin.store.statements.messaging.rooms import ROOM
from tocsin.store.writer import InlineWriter, Writer

ROOM_ID = ROOM.split(", ").index("id")
INVITE_TOKEN = ROOM.split(", ").index("invite_token")


class SqliteMessages(SqliteReceipts):
    """The part of the store that keeps Subscribers, Rooms, Logs and histories."""

    def __init__(
        self, writer: Writer | InlineWriter, counts: Counts, connection: apsw.Connection
    ) -> None:
        """`connection` is asked for what has been given out in earlier lives."""
        super().__init__(writer, counts)
        self._next_subscriber = messaging.next_subscriber_key(connection)
        self._next_room = messaging.next_room_key(connection)
        self._next_message = messaging.next_message_key(connection)
        self._greatest_message_id = messaging.greatest_message_id(connection)
        self._log_epoch = messaging.log_epoch(connection)

    def next_subscriber_key(self) -> int:
        """See `Messages.next_subscriber_key`."""
        key, self._next_subscriber = self._next_subscriber, self._next_subscriber + 1
        return key

    def next_room_key(self) -> int:
        """See `Messages.next_room_key`."""
        key, self._next_room = self._next_room, self._next_room + 1
        return key

    @property
    def greatest_message_id(self) -> str | None:
        """See `Messages.greatest_message_id`."""
        return self._greatest_message_id

    @property
    def log_epoch(self) -> str:
        """See `Messages.log_epoch`."""
        return self._log_epoch

    # -- with `accept` ---------------------------------------------------------------------

    def _mail_rows(self, mail: Mail, notifications: Mapping[int, int]) -> messaging.MailRows:
        """Number a message, and render everything; `notifications` are keys by position."""
        key = self._next_message
        if mail.letter is not None:
            self._next_message += 1
        found = messaging.mail_rows(
            mail, message_key=key, notifications=notifications, most_entries=self.most_entries
        )
        if not self._vault.is_sealing:
            return found
        changes = [
            (kind, self._sealed(row) if kind is PutRoom else row) for kind, row in found.changes
        ]
        return attrs.evolve(found, changes=changes)

    def _sealed(self, room: Row) -> Row:
        """A Room's row, as it is to be stored."""
        sealed = self._vault.seal(room_place(room[ROOM_ID]), room[INVITE_TOKEN])
        return (*room[:INVITE_TOKEN], sealed, *room[INVITE_TOKEN + 1 :])

    def _opened(self, record: messaging.RoomRecord | None) -> messaging.RoomRecord | None:
        """A Room as it was before it was stored."""
        if record is None or not self._vault.is_sealing:
            return record
        room = record.room
        opened = self._vault.open(room_place(room[ROOM_ID]), room[INVITE_TOKEN])
        return attrs.evolve(record, room=(*room[:INVITE_TOKEN], opened, *room[INVITE_TOKEN + 1 :]))

    def _mail_stored(self, mail: Mail, delivered: messaging.Delivered) -> None:
        mail.repeat, mail.lapsed = delivered.repeat, delivered.lapsed
        if delivered.repeat is not None:
            return
        for subscriber in mail.subscribers:
            subscriber.is_stored = True
        for posted, seq in zip(mail.entries, delivered.numbers, strict=True):
            posted.seq = seq
        self._was_posted(mail.entries, delivered.trimmed)

    # -- subscribers and Rooms -------------------------------------------------------------

    async def find_subscribers(
        self, domain: str, ids: Sequence[str]
    ) -> dict[str, tuple[int, bool]]:
        """See `Messages.find_subscribers`."""
        return await self._perform(
            lambda db: messaging.find_subscribers(db, domain, ids), durable=False
        )

    async def load_room(self, domain: str, room_id: str, load: Load) -> Room | None:
        """See `Messages.load_room`."""
        found: list[Room] = []

        def done(record: messaging.RoomRecord | None, _error: StoreError | None) -> None:
            if record is not None:
                found.append(messaging.room_from(record, load))

        await self._perform(
            lambda db: self._opened(messaging.read_room(db, domain, room_id)), done, durable=False
        )
        return found[0] if found else None

    async def reload_room(self, room: Room, load: Load) -> None:
        """See `Messages.reload_room`."""

        def done(record: messaging.RoomRecord | None, error: StoreError | None) -> None:
            if error is None:
                messaging.renew_room(room, record, load)

        await self._perform(
            lambda db: self._opened(messaging.read_room(db, room.domain, room.id)),
            done,
            durable=False,
        )

    async def rooms_of(self, subscriber_key: int) -> list[str]:
        """See `Messages.rooms_of`."""
        return await self._perform(lambda db: messaging.rooms_of(db, subscriber_key), durable=False)

    async def lapse_invitations(self, now: int, *, limit: int) -> list[tuple[int, int]]:
        """See `Messages.lapse_invitations`."""
        return await self._perform(lambda db: messaging.lapse_invitations(db, now, limit))

    # -- Logs ------------------------------------------------------------------------------

    async def open_log(self, subscriber: Subscriber, then: Done[LogState]) -> None:
        """See `Messages.open_log`."""
        row = (subscriber.key, subscriber.domain, subscriber.id, True)

        def done(state: LogState | None, error: StoreError | None) -> None:
            if error is None:
                subscriber.is_stored = subscriber.is_known = True
            then(state, error)

        await self._perform(lambda db: messaging.open_log(db, row), done)

    def read_entries(
        self, subscriber_key: int, *, after: int, limit: int, then: Done[LogPage]
    ) -> None:
        """See `Messages.read_entries`."""
        self._submit(
            Job(
                lambda db: messaging.read_page(db, subscriber_key, after=after, limit=limit),
                then,
                durable=False,
            )
        )

    async def log_page(self, subscriber_key: int, *, after: int, limit: int) -> LogPage:
        """See `Messages.log_page`."""
        return await self._look(
            lambda db: messaging.read_page(db, subscriber_key, after=after, limit=limit)
        )

    async def trim_logs(self, before: int, *, limit: int) -> int:
        """See `Messages.trim_logs`."""
        return await self._perform(lambda db: messaging.trim_logs(db, before, limit), durable=False)

    # -- histories -------------------------------------------------------------------------

    async def history(self, query: HistoryQuery) -> HistoryPage:
        """See `Messages.history`."""
        return await self._look(lambda db: messaging.history(db, query))

    async def correspondents(
        self, subscriber_key: int, others: Sequence[int], *, since: int
    ) -> set[int]:
        """See `Messages.correspondents`."""
        return await self._perform(
            lambda db: messaging.correspondents(db, subscriber_key, others, since), durable=False
        )

    async def count_strangers(self, sender_key: int, *, since: int) -> set[int]:
        """See `Messages.count_strangers`."""
        return await self._perform(
            lambda db: messaging.count_strangers(db, sender_key, since), durable=False
        )

    async def find_repeat(self, sender_key: int, dedupe_id: str) -> str | None:
        """See `Messages.find_repeat`."""
        return await self._perform(
            lambda db: messaging.find_repeat(db, sender_key, dedupe_id), durable=False
        )

    async def find_message(self, domain: str, message_id: str) -> FoundMessage | None:
        """See `Messages.find_message`."""
        return await self._perform(
            lambda db: messaging.find_message(db, domain, message_id), durable=False
        )

    async def prune_messages(self, before: int, *, limit: int) -> int:
        """See `Messages.prune_messages`."""
        return await self._perform(
            lambda db: messaging.prune_messages(db, before, limit), durable=False
        )

    async def forget_dedupes(self, before: int, *, limit: int) -> int:
        """See `Messages.forget_dedupes`."""
        return await self._perform(
            lambda db: messaging.forget_dedupes(db, before, limit), durable=False
        )
