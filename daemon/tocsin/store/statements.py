"""The SQL: one function per thing the store does, each run inside the writer's transaction.

Statements take lists as JSON, so that one statement touches many rows (see `writer`).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import apsw
import orjson

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.subscription import Subscription
from tocsin.store import rows
from tocsin.store.interface import (
    AccountRecord,
    Claim,
    Claimed,
    Counts,
    DeadLetter,
    Ended,
    Lane,
    Settled,
    Settlements,
    Waiting,
)
from tocsin.store.schema import LEG_BITS, MAX_LEGS

Database = apsw.Connection
IN_LIST = "IN (SELECT value FROM json_each(?))"
ACTIVE = "(SELECT state FROM channel WHERE channel.key = delivery.channel) = 0"


def _all(cursor: Iterable[Any]) -> list[tuple[Any, ...]]:
    return list(cursor)


def _json(values: Iterable[Any]) -> str:
    return orjson.dumps(list(values)).decode()


# -- start ---------------------------------------------------------------------------------


def next_keys(db: Database) -> tuple[int, int]:
    """The first unused notification and channel key."""
    notification, channel = db.execute(
        "SELECT max(coalesce((SELECT max(key) FROM notification), 0),"
        f" coalesce((SELECT max(id) FROM delivery), 0) >> {LEG_BITS},"
        f" coalesce((SELECT max(delivery) FROM dead_letter), 0) >> {LEG_BITS}) + 1,"
        " coalesce((SELECT max(key) FROM channel), 0) + 1"
    ).get
    return int(notification), int(channel)


def counts(db: Database) -> Counts:
    """How much of everything there is."""

    services = db.execute("SELECT service, count(*) FROM subscription GROUP BY service")
    return Counts(
        channels=count_by_type(db, "channel"),
        subscriptions=dict(services),
        pending=count_by_type(db, "delivery"),
        dead=count_by_type(db, "dead_letter"),
    )


def count_by_type(db: Database, table: str) -> dict[ChannelType, int]:
    """Rows of a table, per channel type."""
    found = db.execute(f"SELECT type, count(*) FROM {table} GROUP BY type")
    return {ChannelType(name): number for name, number in found}


def grant_grace(db: Database, until: int) -> None:
    """Move every clock that stands before `until` to it."""
    db.execute("UPDATE channel SET expires_at = ?1 WHERE expires_at < ?1", (until,))


def lanes(db: Database) -> list[Lane]:
    """Every lane that has work, by hopping from one to the next in the index."""
    found = _all(
        db.execute(
            "WITH RECURSIVE hop(lane) AS ("
            " SELECT min(lane) FROM delivery WHERE due_at IS NOT NULL"
            " UNION ALL"
            " SELECT (SELECT min(lane) FROM delivery WHERE lane > hop.lane AND due_at IS NOT NULL)"
            " FROM hop WHERE hop.lane IS NOT NULL)"
            " SELECT lane FROM hop WHERE lane IS NOT NULL"
        )
    )
    due = [(name, next_due(db, name)) for (name,) in found]
    return [Lane(name, due_at) for name, due_at in due if due_at is not None]


def next_due(db: Database, lane: str) -> int | None:
    """When the first delivery of a lane is due."""
    due = [
        db.execute(
            "SELECT min(due_at) FROM delivery WHERE lane = ? AND priority = ?"
            " AND due_at IS NOT NULL",
            (lane, priority),
        ).get
        for priority in rows.PRIORITIES
    ]
    return min((int(at) for at in due if at is not None), default=None)


# -- channels and subscriptions ------------------------------------------------------------


def load_account(db: Database, user: str) -> AccountRecord:
    """A user's channels and subscriptions."""
    channels = {
        row[0]: rows.channel_from(row)
        for row in db.execute(
            f"SELECT {rows.CHANNEL} FROM channel WHERE user = ? ORDER BY key",
            (user,),
        )
    }
    subscriptions = [
        Subscription(id_, user, service, channels[channel], destination, sender)
        for id_, service, channel, destination, sender in db.execute(
            "SELECT id, service, channel, destination, sender FROM subscription"
            " WHERE user = ? ORDER BY created_at, id",
            (user,),
        )
    ]
    return AccountRecord(user, list(channels.values()), subscriptions)


def add_channel(db: Database, row: rows.Row) -> None:
    """Insert a channel."""
    places = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO channel({rows.CHANNEL}) VALUES ({places})", row)


def extend_channels(db: Database, clocks: Sequence[tuple[int, int | None]]) -> None:
    """Write clocks, given as (channel key, expires_at)."""
    db.execute(
        "UPDATE channel SET expires_at = value ->> 1 FROM json_each(?)"
        " WHERE channel.key = value ->> 0",
        (_json(clocks),),
    )


def remove_channel(db: Database, key: int) -> Ended:
    """Delete a channel, its subscriptions and its deliveries."""
    db.execute("DELETE FROM subscription WHERE channel = ?", (key,))
    db.execute("DELETE FROM channel WHERE key = ?", (key,))
    gone = _all(
        db.execute(
            "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE channel = ?1"
            " AND lane IS NULL UNION ALL SELECT id FROM delivery WHERE channel = ?1"
            " AND lane IS NOT NULL) RETURNING id, type, lane",
            (key,),
        )
    )
    _forget_notifications(db, [id_ for id_, _, _ in gone])
    return _ended((type_, lane) for _, type_, lane in gone)


def expired_channels(db: Database, now: int, limit: int) -> list[tuple[Any, ...]]:
    """(user, id) of channels whose stored clock ran out."""
    return _all(
        db.execute(
            "SELECT user, id FROM channel WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
            (now, limit),
        )
    )


def add_subscription(db: Database, subscription: Subscription, body: bytes, now: int) -> None:
    """Insert a subscription; refused where its channel was not stored after all."""
    db.execute(
        "INSERT INTO subscription(id, user, service, channel, destination, sender, created_at,"
        " body) SELECT ?, ?, ?, key, ?, ?, ?, ? FROM channel WHERE key = ?",
        (
            subscription.id,
            subscription.user,
            subscription.service,
            subscription.destination,
            subscription.sender,
            now,
            body,
            subscription.channel.key,
        ),
    )
    if not db.changes():
        raise apsw.ConstraintError("a subscription without its channel")


def subscription_bodies(db: Database, ids: Sequence[str]) -> list[bytes]:
    """The texts of these subscriptions, in this order."""
    found = db.execute(
        "SELECT body FROM json_each(?) JOIN subscription ON subscription.id = value"
        " ORDER BY json_each.key",
        (_json(ids),),
    )
    return [body for (body,) in found]


# -- notifications in ----------------------------------------------------------------------


def insert(db: Database, notifications: Sequence[rows.Row], deliveries: Sequence[rows.Row]) -> None:
    """Insert notifications and their deliveries, and put those that have to wait behind an
    earlier one of their order key."""
    head = f"INSERT INTO notification(key, {rows.NOTIFICATION}) VALUES"
    for sql, values in rows.in_chunks(head, 13, notifications):
        db.execute(sql, values)
    head = "INSERT INTO delivery(id, channel, type, priority, lane, order_key, due_at, seq) VALUES"
    for sql, values in rows.in_chunks(head, 8, deliveries):
        db.execute(sql, values)
    with_lane = [row[0] for row in deliveries if row[4] is not None]
    if with_lane:
        db.execute(
            f"UPDATE delivery SET due_at = NULL WHERE id {IN_LIST}"
            " AND (EXISTS (SELECT 1 FROM delivery AS earlier WHERE earlier.lane IS NOT NULL"
            " AND earlier.channel = delivery.channel"
            " AND earlier.order_key = delivery.order_key AND earlier.id < delivery.id)"
            f" OR NOT {ACTIVE})",
            (_json(with_lane),),
        )


# -- deliveries of sockets -----------------------------------------------------------------


def waiting(db: Database, channel_key: int, *, now: int, after: int, limit: int) -> list[Waiting]:
    """Deliveries of a socket channel: those once written, by seq, then the others."""
    found: list[Waiting] = []
    for which, order in (("> ?2", "d.seq"), ("IS NULL", "d.priority, d.id")):
        rest = limit - len(found)
        if rest > 0:
            rows_found = db.execute(
                f"SELECT d.id, d.seq, {rows.NOTIFICATION_OF_N} FROM delivery AS d"
                f" JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
                f" WHERE d.channel = ?1 AND d.lane IS NULL AND d.seq {which}"
                f" AND n.expires_at > ?3 ORDER BY {order} LIMIT ?4",
                (channel_key, after, now, rest),
            )
            found += [
                Waiting(row[0], row[1], rows.notification_from(row[2:])) for row in rows_found
            ]
    return found


def mark_written(
    db: Database,
    channel_key: int,
    last_seq: int,
    expires_at: int | None,
    written: Sequence[tuple[int, int]],
) -> None:
    """Note the seq of deliveries whose receipt is open, and the channel's last one and clock."""
    db.execute(
        "UPDATE channel SET last_seq = max(last_seq, ?), expires_at = ? WHERE key = ?",
        (last_seq, expires_at, channel_key),
    )
    if written:
        db.execute(
            "UPDATE delivery SET seq = value ->> 1 FROM json_each(?)"
            " WHERE delivery.id = value ->> 0",
            (_json(written),),
        )


def finish_polled(db: Database, ids: Sequence[int]) -> int:
    """Delete receipted deliveries that have no lane; how many there still were."""
    gone = _all(
        db.execute(
            f"DELETE FROM delivery WHERE id {IN_LIST} RETURNING id",
            (_json(ids),),
        )
    )
    _forget_notifications(db, [id_ for (id_,) in gone])
    return len(gone)


# -- deliveries with lanes -----------------------------------------------------------------


def claim(db: Database, lane: str, *, now: int, limit: int, provisional: int) -> Claim:
    """Take due deliveries of a lane, urgent first, and count their attempts."""
    claimed: list[Claimed] = []
    for priority in rows.PRIORITIES:
        found = db.execute(
            f"SELECT d.id, d.channel, c.id, c.user, d.attempts + 1, d.unanswered,"
            f" {rows.NOTIFICATION_OF_N} FROM delivery AS d"
            f" JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
            " JOIN channel AS c ON c.key = d.channel"
            " WHERE d.lane = ? AND d.priority = ? AND d.due_at <= ?"
            " ORDER BY d.due_at, d.id LIMIT ?",
            (lane, int(priority), now, limit - len(claimed)),
        )
        for id_, key, channel_id, owner, attempts, unanswered, *rest in found:
            notification = rows.notification_from(tuple(rest))
            claimed.append(Claimed(id_, key, channel_id, owner, notification, attempts, unanswered))
        if len(claimed) >= limit:
            break
    if claimed:
        db.execute(
            "UPDATE delivery SET attempts = attempts + 1, due_at = NULL, claimed = ?"
            f" WHERE id {IN_LIST}",
            (provisional, _json(one.id for one in claimed)),
        )
    return Claim(claimed, next_due(db, lane))


def release_claims(db: Database, now: int) -> None:
    """Make due what a process that died had claimed."""
    db.execute(
        f"UPDATE delivery SET due_at = iif({ACTIVE}, ?, NULL), claimed = NULL"
        " WHERE claimed IS NOT NULL",
        (now,),
    )


def suspend_channel(db: Database, key: int) -> None:
    """Take a channel's deliveries off the lane."""
    db.execute("UPDATE channel SET state = 1 WHERE key = ?", (key,))
    db.execute("UPDATE delivery SET due_at = NULL WHERE channel = ? AND lane IS NOT NULL", (key,))


def resume_channel(db: Database, key: int, now: int) -> None:
    """Put the first delivery of each order key of a channel back on the lane."""
    db.execute("UPDATE channel SET state = 0 WHERE key = ?", (key,))
    db.execute(
        "UPDATE delivery SET due_at = ?1 WHERE claimed IS NULL AND id IN ("
        " SELECT min(id) FROM delivery WHERE channel = ?2 AND lane IS NOT NULL"
        " GROUP BY order_key)",
        (now, key),
    )


def settle(db: Database, settlements: Settlements, *, now: int) -> Settled:
    """Write what became of attempts; promote the deliveries that waited behind finished ones."""
    over = settlements.finished + [letter.id for letter in settlements.dead]
    if settlements.dead:
        _bury(db, settlements.dead)
    gone = _all(
        db.execute(
            f"DELETE FROM delivery WHERE id {IN_LIST} RETURNING id, type, lane, channel, order_key",
            (_json(over),),
        )
    )
    _forget_notifications(db, [row[0] for row in gone])
    _promote(db, {(row[3], row[4]) for row in gone}, now)
    touched = {row[2] for row in gone if row[2] is not None}
    touched |= _reschedule(db, settlements)
    ended: dict[ChannelType, int] = defaultdict(int)
    for row in gone:
        ended[ChannelType(row[1])] += 1
    return Settled(ended, {lane: next_due(db, lane) for lane in touched})


def _reschedule(db: Database, settlements: Settlements) -> set[str]:
    if not settlements.rescheduled:
        return set()
    again = _json(
        (one.id, one.due_at, one.attempts, one.unanswered) for one in settlements.rescheduled
    )
    found = db.execute(
        "UPDATE delivery SET claimed = NULL, attempts = value ->> 2, unanswered = value ->> 3,"
        f" due_at = iif({ACTIVE}, value ->> 1, NULL)"
        " FROM json_each(?) WHERE delivery.id = value ->> 0 RETURNING lane",
        (again,),
    )
    return {lane for (lane,) in found if lane is not None}


def _promote(db: Database, heads: set[tuple[int, str | None]], now: int) -> None:
    """Make the first remaining delivery of each (channel, order key) due."""
    if not heads:
        return
    db.execute(
        f"UPDATE delivery SET due_at = ? WHERE due_at IS NULL AND claimed IS NULL"
        f" AND {ACTIVE} AND id IN ("
        " SELECT (SELECT min(id) FROM delivery AS d WHERE d.lane IS NOT NULL"
        " AND d.channel = value ->> 0 AND d.order_key = value ->> 1) FROM json_each(?))",
        (now, _json(heads)),
    )


def _bury(db: Database, letters: Sequence[DeadLetter]) -> None:
    head = (
        "INSERT OR REPLACE INTO dead_letter(delivery, channel, type, died_at, attempts, reason,"
        f" status, {rows.NOTIFICATION}) VALUES"
    )
    found = [
        (
            one.id,
            one.channel_id,
            one.type.value,
            one.died_at,
            one.attempts,
            one.reason,
            one.status,
            *rows.notification_row(0, one.notification)[1:],
        )
        for one in letters
    ]
    for sql, values in rows.in_chunks(head, 19, found):
        db.execute(sql, values)


# -- housekeeping --------------------------------------------------------------------------


def expire_deliveries(db: Database, now: int, limit: int, keep: Collection[ChannelType]) -> Ended:
    """Delete deliveries whose notification is past its deadline."""
    found = _all(
        db.execute(
            "SELECT d.id FROM notification AS n"
            f" JOIN delivery AS d ON d.id BETWEEN n.key << {LEG_BITS}"
            f" AND (n.key << {LEG_BITS}) + {MAX_LEGS - 1} WHERE n.expires_at <= ?"
            " AND d.claimed IS NULL LIMIT ?",
            (now, limit),
        )
    )
    if not found:
        return Ended({}, frozenset())
    ids = _json(id_ for (id_,) in found)
    db.execute(
        "INSERT OR REPLACE INTO dead_letter(delivery, channel, type, died_at, attempts, reason,"
        f" {rows.NOTIFICATION}) SELECT d.id, c.id, d.type, ?, d.attempts, 'expired',"
        f" {rows.NOTIFICATION_OF_N} FROM delivery AS d"
        f" JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
        " JOIN channel AS c ON c.key = d.channel"
        f" WHERE d.attempts > 0 AND d.id {IN_LIST} AND d.type {IN_LIST}",
        (now, ids, _json(kind.value for kind in keep)),
    )
    gone = _all(
        db.execute(
            f"DELETE FROM delivery WHERE id {IN_LIST} RETURNING id, type, lane, channel, order_key",
            (ids,),
        )
    )
    _forget_notifications(db, [row[0] for row in gone])
    _promote(db, {(row[3], row[4]) for row in gone if row[2] is not None}, now)
    return _ended((row[1], row[2]) for row in gone)


def probe(db: Database, now: int) -> None:
    """Write a page."""
    db.execute(
        "INSERT INTO probe(key, at) VALUES (1, ?1) ON CONFLICT(key) DO UPDATE SET at = ?1", (now,)
    )


def prune_dead_letters(db: Database, before: int, limit: int) -> int:
    """Delete old dead letters."""
    return len(
        _all(
            db.execute(
                "DELETE FROM dead_letter WHERE delivery IN (SELECT delivery FROM dead_letter"
                " WHERE died_at < ? LIMIT ?) RETURNING 1",
                (before, limit),
            )
        )
    )


def oldest(db: Database) -> dict[ChannelType, int]:
    """When the oldest delivery of each type was accepted."""
    found = db.execute(
        "WITH first(type, id) AS (SELECT value,"
        " (SELECT min(id) FROM delivery WHERE delivery.type = value) FROM json_each(?))"
        " SELECT first.type, n.accepted_at FROM first"
        f" JOIN notification AS n ON n.key = first.id >> {LEG_BITS}",
        (_json(kind.value for kind in ChannelType),),
    )
    return {ChannelType(name): at for name, at in found}


def _forget_notifications(db: Database, delivery_ids: Sequence[int]) -> None:
    """Delete the notifications of these deliveries that have no delivery left."""
    if not delivery_ids:
        return
    keys = {id_ >> LEG_BITS for id_ in delivery_ids}
    db.execute(
        f"DELETE FROM notification WHERE key {IN_LIST} AND NOT EXISTS ("
        f" SELECT 1 FROM delivery AS d WHERE d.id BETWEEN notification.key << {LEG_BITS}"
        f" AND (notification.key << {LEG_BITS}) + {MAX_LEGS - 1})",
        (_json(keys),),
    )


def _ended(gone: Iterable[tuple[str, str | None]]) -> Ended:
    found = list(gone)
    number = Counter(type_ for type_, _ in found)
    return Ended(
        counts={ChannelType(type_): count for type_, count in number.items()},
        lanes=frozenset(lane for _, lane in found if lane is not None),
    )


def delivery_row(id_: int, channel: Channel, order_key: str, priority: int, now: int) -> rows.Row:
    """A new delivery: due at once where it has a lane, else waiting for its client."""
    lane = channel.lane
    return (
        id_,
        channel.key,
        channel.type.value,
        priority,
        lane,
        order_key if lane is not None else None,
        now if lane is not None else None,
        None,
    )
