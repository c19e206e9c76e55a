"""Counting, expiring, pruning."""

from collections.abc import Collection

import attrs

from tocsin.model.channel import ChannelType
from tocsin.store import rows
from tocsin.store.records import REMEMBERED, Buried, Counts, Ended
from tocsin.store.schema import LEG_BITS, MAX_LEGS
from tocsin.store.statements.deliverylog import log_ends
from tocsin.store.statements.positions import count_dropped
from tocsin.store.statements.pushes import gateway_pushes
from tocsin.store.statements.sql import (
    IN_LIST,
    Database,
    as_json,
    ended_of,
    fetch_all,
    forget_notifications,
    promote,
)


def counts(db: Database) -> Counts:
    """How much of everything there is."""

    services = db.execute("SELECT service, count(*) FROM subscription GROUP BY service")
    return Counts(
        channels=count_by_type(db, "channel"),
        subscriptions=dict(services),
        pending=count_by_type(db, "delivery"),
        dead=count_by_type(db, "dead_letter"),
        remembered={
            table: int(db.execute(f"SELECT count(*) FROM {table}").get) for table in REMEMBERED
        },
    )


def count_by_type(db: Database, table: str) -> dict[ChannelType, int]:
    """Rows of a table, per channel type."""
    found = db.execute(f"SELECT type, count(*) FROM {table} GROUP BY type")
    return {ChannelType(name): number for name, number in found}


def oldest(db: Database) -> dict[ChannelType, int]:
    """When the oldest delivery of each type was accepted."""
    found = db.execute(
        "WITH first(type, id) AS (SELECT value,"
        " (SELECT min(id) FROM delivery WHERE delivery.type = value) FROM json_each(?))"
        " SELECT first.type, n.accepted_at FROM first"
        f" JOIN notification AS n ON n.key = first.id >> {LEG_BITS}",
        (as_json(kind.value for kind in ChannelType),),
    )
    return {ChannelType(name): at for name, at in found}


def expire_deliveries(
    db: Database,
    now: int,
    limit: int,
    keep: Collection[ChannelType],
    spare: Collection[int] = (),
) -> Ended:
    """Delete deliveries whose notification is past its deadline."""
    found = fetch_all(
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
    ids = as_json(id_ for (id_,) in found)
    buried = db.execute(
        "INSERT OR REPLACE INTO dead_letter(delivery, channel, type, died_at, attempts, reason,"
        f" {rows.NOTIFICATION}) SELECT d.id, c.id, d.type, ?, d.attempts, 'expired',"
        f" {rows.NOTIFICATION_OF_N} FROM delivery AS d"
        f" JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
        " JOIN channel AS c ON c.key = d.channel"
        f" WHERE d.attempts > 0 AND d.id {IN_LIST} AND d.type {IN_LIST} AND d.id NOT {IN_LIST}"
        " RETURNING type, id, channel, attempts",
        (now, ids, as_json(kind.value for kind in keep), as_json(spare)),
    )
    letters = [Buried(ChannelType(type_), *rest) for type_, *rest in buried]
    pushes = gateway_pushes(db, ids)
    log_ends(db, ids, "expired", now)
    gone = fetch_all(
        db.execute(
            f"DELETE FROM delivery WHERE id {IN_LIST}"
            " RETURNING id, type, lane, channel, order_key, seq",
            (ids,),
        )
    )
    forget_notifications(db, [row[0] for row in gone])
    count_dropped(db, [row[3] for row in gone if row[2] is None and row[5] is None])
    promote(db, {(row[3], row[4]) for row in gone if row[2] is not None}, now)
    ended = ended_of((row[1], row[2]) for row in gone)
    return attrs.evolve(ended, pushes=pushes, buried=letters)


def probe(db: Database, now: int) -> None:
    """Write a page."""
    db.execute(
        "INSERT INTO probe(key, at) VALUES (1, ?1) ON CONFLICT(key) DO UPDATE SET at = ?1", (now,)
    )
