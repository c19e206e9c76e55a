"""The embedded store: SQLite in WAL mode behind one writer thread."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import apsw
import attrs
import trio

from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.model.delivery import Delivery
from tocsin.model.errors import StoreError
from tocsin.model.notification import Notification
from tocsin.model.option import not_empty, option
from tocsin.model.subscription import Subscription
from tocsin.store import rows, statements
from tocsin.store.batches import Batches, Commit, Job, Merged
from tocsin.store.jobs import Done
from tocsin.store.overhaul import Announce, nobody
from tocsin.store.records import (
    Acceptance,
    AccountRecord,
    Claim,
    Ended,
    Lane,
    LogEnd,
    Position,
    Removal,
    RemovedDevice,
    Settled,
    Settlements,
    Takeover,
    Waiting,
)
from tocsin.store.schema import LEG_BITS, open_database
from tocsin.store.sealing import key_problem, keys_problem, unlock
from tocsin.store.sqlite_messages import SqliteMessages
from tocsin.store.writer import InlineWriter, Writer

OnError = Callable[[StoreError | None], None]


@attrs.frozen
class StoreSettings:
    """`[store]`"""

    path: str = option("state/tocsin.db", "The store's file.", check=not_empty)
    batch: int = option(512, "Requests that may share one commit.", minimum=1, maximum=10_000)
    checkpoint_pages: int = option(
        4000, "Pages of write-ahead log after which it is moved into the file.", minimum=100
    )
    master_key: str | None = option(
        None,
        "Seals the secrets in the store: 32 random bytes in base64 or hex; not set, they stand in "
        "it as they are.",
        check=key_problem,
        secret=True,
    )
    old_master_keys: list[str] = option(
        [],
        "Keys that the store may still be sealed by; it is sealed by master_key at the start, or "
        "opened for good without one.",
        check=keys_problem,
        secret=True,
    )


class SqliteStore(SqliteMessages):
    """`tocsin.store.interface.Store` and `tocsin.store.messages.Messages` on one SQLite file.

    `pending` counts undelivered deliveries per channel type, those being stored included.
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        threaded: bool = True,
        on_commit: Callable[[Commit], None] = lambda _commit: None,
        announce: Announce = nobody,
    ) -> None:
        """Open or create the file; `StartupError` if that cannot be. `announce` is told what takes
        long.

        `threaded=False` commits inline, for tests under a mock clock.
        """
        connection = open_database(settings.path, announce)
        self._vault = unlock(
            connection,
            settings.path,
            key=settings.master_key,
            old_keys=settings.old_master_keys,
            announce=announce,
        )
        batches = Batches(connection, checkpoint_pages=settings.checkpoint_pages)
        self._next_notification, self._next_channel = statements.next_keys(connection)
        self.at_start = statements.counts(connection)
        super().__init__(
            Writer(batches, most_per_commit=settings.batch, on_commit=on_commit)
            if threaded
            else InlineWriter(batches),
            self.at_start,
            connection,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then write what was asked for and close the file."""
        await self._writer.run(task_status=task_status)

    @property
    def failing(self) -> str | None:
        """Why the last durable commit failed; None once one has worked again."""
        return self._writer.failing

    @property
    def backlog(self) -> int:
        """Undelivered deliveries in all."""
        return self.pending.total()

    # -- notifications ---------------------------------------------------------------------

    async def accept(self, acceptance: Acceptance, on_done: OnError) -> None:
        """See `Store.accept`."""
        numbered = self._number(acceptance)
        made = _per_type(acceptance.deliveries)
        for kind, count in made.items():
            self.pending[kind] += count

        def done(inserted: statements.Inserted | None, error: StoreError | None) -> None:
            if inserted is None or error is not None:
                self.pending.subtract(made)
            else:
                acceptance.repeats, acceptance.firsts = inserted.repeats, inserted.firsts
                acceptance.trimmed, acceptance.opened = inserted.trimmed, inserted.opened
                self.remembered.update(inserted.remembered)
                if acceptance.mail is not None:
                    self._mail_stored(acceptance.mail, inserted.mail)
                self.pending.subtract(_per_type(acceptance.repeated()))
                for (kind, _), count in acceptance.trimmed.ended.items():
                    self.pending[kind] -= count
                self.dead.subtract(_replayed(acceptance))
            on_done(error)

        await self._perform(Merged(statements.insert, numbered), done)

    async def find_calls(self, order_keys: Sequence[str]) -> list[tuple[int, Notification]]:
        """See `Store.find_calls`."""
        return await self._perform(lambda db: statements.find_calls(db, order_keys), durable=False)

    def _number(self, acceptance: Acceptance) -> statements.Numbered:
        """Give the deliveries their ids and render all rows."""
        notifications, deliveries = [], []
        stored: dict[int, int] = {}
        for channel in acceptance.opening:
            self._give_key(channel)
        first = self._next_notification
        entries = zip(acceptance.notifications, acceptance.deliveries, strict=True)
        for key, (notification, legs) in enumerate(entries, first):
            if legs:
                stored[key - first] = key
                notifications.append(rows.notification_row(key, notification))
            for leg, delivery in enumerate(legs):
                delivery.id = (key << LEG_BITS) | leg
                deliveries.append(statements.delivery_row(delivery))
        count = len(acceptance.notifications)
        self._next_notification += count
        if acceptance.is_plain:
            return statements.Numbered(notifications, deliveries)
        collapsing = acceptance.collapsing
        return statements.Numbered(
            notifications,
            deliveries,
            range(first, first + count),
            {
                position: (identity, len(acceptance.deliveries[position]))
                for position, identity in acceptance.identities.items()
            },
            acceptance.submitted,
            acceptance.notifications[0].accepted_at if acceptance.notifications else 0,
            acceptance.replays,
            [(one.channel.key, one.notification.collapse_key or "", one.id) for one in collapsing],
            list(acceptance.crowded),
            acceptance.bounds,
            statements.held_rows(acceptance.held),
            statements.Aside(
                [one.id for one in acceptance.aside], list(acceptance.claiming.items())
            ),
            acceptance.withdrawing,
            [rows.channel_row(channel, self._vault) for channel in acceptance.opening],
            {
                position: (identity, acceptance.deliveries[position][0].id)
                for position, identity in acceptance.pushes.items()
            },
            premises=acceptance.premises,
            mail=None if acceptance.mail is None else self._mail_rows(acceptance.mail, stored),
        )

    def _give_key(self, channel: Channel) -> None:
        if not channel.key:
            channel.key = self._next_channel
            self._next_channel += 1

    # -- channels and subscriptions --------------------------------------------------------

    async def load_accounts(self, users: Sequence[str]) -> list[AccountRecord]:
        """See `Store.load_accounts`."""
        return await self._perform(
            lambda db: [statements.load_account(db, user, self._vault) for user in users],
            durable=False,
        )

    async def add_channel(self, channel: Channel, on_done: OnError) -> None:
        """See `Store.add_channel`."""
        self._give_key(channel)
        row = rows.channel_row(channel, self._vault)
        await self._perform(
            lambda db: statements.add_channel(db, row), lambda _result, error: on_done(error)
        )

    async def change_channel(self, channel: Channel, on_done: OnError) -> None:
        """See `Store.change_channel`."""
        row = rows.channel_row(channel, self._vault)
        await self._perform(
            lambda db: statements.change_channel(db, row), lambda _result, error: on_done(error)
        )

    async def find_device(self, device: Device) -> list[tuple[str, str]]:
        """See `Store.find_device`."""
        wanted = (device.provider, device.app, self._vault.digest(device.token))
        return await self._perform(
            lambda db: [(user, id_) for user, id_ in statements.find_device(db, *wanted)],
            durable=False,
        )

    async def unused_channels(
        self, kind: ChannelType, before: int, *, limit: int
    ) -> list[tuple[str, str]]:
        """See `Store.unused_channels`."""
        return await self._perform(
            lambda db: [(r[0], r[1]) for r in statements.unused_channels(db, kind, before, limit)],
            durable=False,
        )

    async def remove_channel(
        self, channel: Channel, on_done: Done[Ended], *, end: LogEnd | None = None
    ) -> None:
        """See `Store.remove_channel`."""
        key = channel.key
        await self._perform(
            lambda db: statements.remove_channel(db, key, end), self._counting_ended(on_done)
        )

    async def remove_devices(
        self, channels: Sequence[Channel], removal: Removal, on_done: Done[Ended]
    ) -> None:
        """See `Store.remove_devices`."""
        keys = [channel.key for channel in channels]

        def done(ended: Ended | None, error: StoreError | None) -> None:
            if ended is not None and error is None:
                self.pending.subtract(ended.counts)
                self.remembered["removed"] += len(ended.channels)
            on_done(ended, error)

        await self._perform(lambda db: statements.remove_devices(db, keys, removal), done)

    async def restore_devices(self, removed: Sequence[RemovedDevice], on_done: OnError) -> None:
        """See `Store.restore_devices`."""
        for one in removed:
            one.channel.key = 0
            self._give_key(one.channel)
        found = [(rows.channel_row(one.channel, self._vault), one.subscriptions) for one in removed]

        def restore(db: apsw.Connection) -> int:
            statements.restore_devices(db, found)
            return statements.drop_records(db, [one.key for one in removed])

        def done(dropped: int | None, error: StoreError | None) -> None:
            if dropped is not None and error is None:
                self.remembered["removed"] -= dropped
            on_done(error)

        await self._perform(restore, done)

    def _counting_ended(self, on_done: Done[Ended]) -> Done[Ended]:
        def done(ended: Ended | None, error: StoreError | None) -> None:
            if ended is not None and error is None:
                self.pending.subtract(ended.counts)
            on_done(ended, error)

        return done

    async def add_subscription(
        self,
        subscription: Subscription,
        body: bytes,
        on_done: Done[Ended],
        *,
        takeovers: Sequence[Takeover] = (),
    ) -> None:
        """See `Store.add_subscription`."""

        def add(db: apsw.Connection) -> tuple[Ended, Counter[ChannelType]]:
            statements.add_subscription(db, subscription, body)
            return statements.take_over(db, takeovers)

        await self._perform(add, self._counting_moved(on_done))

    async def take_over(self, takeovers: Sequence[Takeover], on_done: Done[Ended]) -> None:
        """See `Store.take_over`."""
        await self._perform(
            lambda db: statements.take_over(db, takeovers), self._counting_moved(on_done)
        )

    def _counting_moved(self, on_done: Done[Ended]) -> Done[tuple[Ended, Counter[ChannelType]]]:
        def done(
            result: tuple[Ended, Counter[ChannelType]] | None, error: StoreError | None
        ) -> None:
            ended = None
            if result is not None and error is None:
                ended, moved = result
                for kind, count in moved.items():
                    self.pending[kind] += count
                self.pending.subtract(ended.counts)
            on_done(ended, error)

        return done

    async def renew_subscription(self, subscription: Subscription, on_done: OnError) -> None:
        """See `Store.renew_subscription`."""
        id_, end = subscription.id, subscription.expires_at
        await self._perform(
            lambda db: statements.renew_subscription(db, id_, end),
            lambda _result, error: on_done(error),
        )

    async def expired_subscriptions(self, now: int, *, limit: int) -> list[tuple[str, str]]:
        """See `Store.expired_subscriptions`."""
        return await self._perform(
            lambda db: [(r[0], r[1]) for r in statements.expired_subscriptions(db, now, limit)],
            durable=False,
        )

    async def remove_subscription(
        self, subscription: Subscription, now: int, on_done: OnError
    ) -> None:
        """See `Store.remove_subscription`."""
        id_, channel_key = subscription.id, subscription.channel.key
        await self._perform(
            lambda db: statements.remove_subscription(db, id_, channel_key, now),
            lambda _result, error: on_done(error),
        )

    async def subscription_bodies(self, ids: Sequence[str]) -> list[bytes]:
        """See `Store.subscription_bodies`."""
        return await self._perform(
            lambda db: statements.subscription_bodies(db, ids), durable=False
        )

    def extend_channels(self, channels: Sequence[Channel]) -> None:
        """See `Store.extend_channels`."""
        clocks = [(channel.key, channel.expires_at) for channel in channels]
        self._later(lambda db: statements.extend_channels(db, clocks))

    async def expired_channels(self, now: int, *, limit: int) -> list[tuple[str, str]]:
        """See `Store.expired_channels`."""
        return await self._perform(
            lambda db: [(row[0], row[1]) for row in statements.expired_channels(db, now, limit)],
            durable=False,
        )

    # -- deliveries of sockets -------------------------------------------------------------

    def mark_written(self, channel: Channel, written: Sequence[tuple[int, int]]) -> None:
        """See `Store.mark_written`."""
        row = _numbering(channel)
        self._later(lambda db: statements.mark_written(db, row, written))

    def mark_left(self, channel: Channel) -> None:
        """See `Store.mark_left`."""
        key, cleanly = channel.key, channel.left_cleanly
        self._later(lambda db: statements.mark_left(db, key, cleanly))

    async def place(self, channel: Channel, written: Sequence[tuple[int, int]]) -> None:
        """See `Store.place`."""
        row = _numbering(channel)
        await self._perform(lambda db: statements.mark_written(db, row, written))

    def read_position(self, channel: Channel, *, then: Done[Position]) -> None:
        """See `Store.read_position`."""
        key = channel.key
        self._submit(Job(lambda db: statements.read_position(db, key), then, durable=False))

    def fetch_waiting(
        self, channel: Channel, *, now: int, after: int, limit: int, then: Done[list[Waiting]]
    ) -> None:
        """See `Store.fetch_waiting`."""
        key = channel.key
        self._submit(
            Job(
                lambda db: statements.waiting(db, key, now=now, after=after, limit=limit),
                then,
                durable=False,
            )
        )

    # -- deliveries with lanes -------------------------------------------------------------

    async def claim(
        self, lane: str, *, now: int, limit: int, provisional: int, urgent: int = 0
    ) -> Claim:
        """See `Store.claim`."""
        return await self._perform(
            lambda db: statements.claim(
                db, lane, now=now, limit=limit, provisional=provisional, urgent=urgent
            ),
            durable=False,
        )

    async def suspend_channel(self, channel: Channel) -> None:
        """See `Store.suspend_channel`."""
        await self._perform(lambda db: statements.suspend_channel(db, channel.key))

    async def resume_channel(self, channel: Channel, on_done: OnError, *, now: int) -> None:
        """See `Store.resume_channel`."""
        key = channel.key
        await self._perform(
            lambda db: statements.resume_channel(db, key, now),
            lambda _result, error: on_done(error),
        )

    async def release_claims(self, kind: ChannelType, now: int) -> None:
        """See `Store.release_claims`."""
        await self._perform(lambda db: statements.release_claims(db, kind, now))

    async def hasten(self, lane: str, now: int) -> None:
        """See `Store.hasten`."""
        await self._perform(lambda db: statements.hasten(db, lane, now), durable=False)

    async def settle(
        self, settlements: Settlements, on_done: Done[Settled] | None = None, *, now: int
    ) -> Settled:
        """See `Store.settle`."""

        def done(settled: Settled | None, error: StoreError | None) -> None:
            if settled is not None and error is None:
                self.pending.subtract(settled.ended)
                self.dead.update(letter.type for letter in settlements.dead)
            if on_done is not None:
                on_done(settled, error)

        return await self._perform(
            lambda db: statements.settle(db, settlements, now=now),
            done,
            durable=bool(settlements.dead),
        )

    async def lanes(self) -> list[Lane]:
        """See `Store.lanes`."""
        return await self._perform(statements.lanes, durable=False)


def _per_type(deliveries: Iterable[Sequence[Delivery]]) -> dict[ChannelType, int]:
    """How many deliveries there are for channels of each type."""
    found: dict[ChannelType, int] = {}
    for legs in deliveries:
        for delivery in legs:
            kind = delivery.channel.type
            found[kind] = found.get(kind, 0) + 1
    return found


def _replayed(acceptance: Acceptance) -> list[ChannelType]:
    """Of which types the dead letters were that are deliveries again."""
    return [
        acceptance.deliveries[position][0].channel.type
        for position in acceptance.replays
        if position not in acceptance.repeats
    ]


def _numbering(channel: Channel) -> rows.Row:
    return (channel.key, channel.last_seq, channel.reserved, channel.expires_at)
