"""The delivery log: what every attempt came to (delivery.md, delivery log).

Only what is asked for by delivery has an index. By channel, user or notification the log is read
backwards, newest first; one call looks at a bounded number of rows, so that no question of an
operator holds up the writer, and says where the next has to go on.
"""

from collections.abc import Sequence

from tocsin.model.channel import ChannelType
from tocsin.store import rows
from tocsin.store.archive import LogQuery, Page, Pending
from tocsin.store.records import Attempt, LogEnd
from tocsin.store.schema import LEG_BITS, MAX_LEGS
from tocsin.store.statements.sql import IN_LIST, Database, as_json, fetch_all

ATTEMPT = (
    "delivery, notification, user, channel, type, at, number, result, latency_ms, status, reason,"
    " excerpt"
)
INSERT = f"INSERT INTO attempt({ATTEMPT}) VALUES"


def log_attempts(db: Database, attempts: Sequence[Attempt]) -> None:
    """Append to the log."""
    found = [
        (
            one.delivery,
            one.notification_id,
            one.user,
            one.channel_id,
            one.type.value,
            one.at,
            one.number,
            one.result,
            one.latency_ms,
            one.status,
            one.reason,
            one.excerpt,
        )
        for one in attempts
    ]
    for sql, values in rows.in_chunks(INSERT, 12, found):
        db.execute(sql, values)


def log_ends(db: Database, ids: str, result: str, now: int, *, reason: str | None = None) -> None:
    """Append that these deliveries (ids as JSON), still stored, end without an attempt."""
    db.execute(
        f"INSERT INTO attempt({ATTEMPT}) SELECT d.id, n.id, n.user, c.id, d.type, ?, d.attempts,"
        " ?, NULL, NULL, ?, NULL FROM delivery AS d"
        f" JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
        f" JOIN channel AS c ON c.key = d.channel WHERE d.id {IN_LIST}",
        (now, result, reason, ids),
    )


def log_end_of_channel(db: Database, channel_key: int, end: LogEnd) -> None:
    """Append that all deliveries of a channel, still stored, end without an attempt."""
    for lane in ("NULL", "NOT NULL"):
        db.execute(
            f"INSERT INTO attempt({ATTEMPT}) SELECT d.id, n.id, n.user, c.id, d.type, ?2,"
            " d.attempts, ?3, NULL, NULL, ?4, NULL FROM delivery AS d"
            f" JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
            f" JOIN channel AS c ON c.key = d.channel WHERE d.channel = ?1 AND d.lane IS {lane}",
            (channel_key, end.at, end.result, end.reason),
        )


def log_receipts(db: Database, ids: str, now: int) -> None:
    """Append that the clients of these deliveries (ids as JSON), still stored, have them: as long
    after they were accepted as that took."""
    # A cross join is done in the order it is written: the ids first.
    db.execute(
        f"INSERT INTO attempt({ATTEMPT}) SELECT d.id, n.id, n.user, c.id, d.type, ?1,"
        " d.attempts + 1, 'delivered', max(0, ?1 - n.accepted_at), NULL,"
        " iif(d.device IS NULL, NULL, 'direct'), NULL FROM json_each(?2)"
        " CROSS JOIN delivery AS d ON d.id = value"
        f" JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
        " JOIN channel AS c ON c.key = d.channel",
        (now, ids),
    )


def read_log(
    db: Database, query: LogQuery, *, before: int | None, limit: int, look: int
) -> Page[Attempt]:
    """Lines from below `before` that match, newest first."""
    first, last = db.execute(
        "SELECT (SELECT min(key) FROM attempt), (SELECT max(key) FROM attempt)"
    ).get
    if last is None:
        return Page([], None)
    top = last + 1 if before is None else min(before, last + 1)
    bottom = max(top - look, first)
    ids = None if query.notification_ids is None else as_json(query.notification_ids)
    wanted = [
        (condition, value)
        for condition, value in (
            ("channel = ?", query.channel_id),
            ("user = ?", query.user),
            ("notification = ?", query.notification_id),
            (f"notification {IN_LIST}", ids),
        )
        if value is not None
    ]
    conditions = "".join(f" AND {condition}" for condition, _ in wanted)
    found = fetch_all(
        db.execute(
            f"SELECT key, {ATTEMPT} FROM attempt WHERE key >= ? AND key < ?{conditions}"
            " ORDER BY key DESC LIMIT ?",
            (bottom, top, *(value for _, value in wanted), limit),
        )
    )
    reached = found[-1][0] if len(found) == limit else bottom
    return Page([_attempt_from(row[1:]) for row in found], reached if reached > first else None)


def prune_attempts(db: Database, before: int, *, keep: int, limit: int) -> int:
    """Delete what is too old or too much, from the log's beginning."""
    db.execute(
        "DELETE FROM attempt WHERE key IN (SELECT key FROM attempt ORDER BY key LIMIT ?1)"
        " AND (at < ?2 OR key <= (SELECT max(key) FROM attempt) - ?3)",
        (limit, before, keep),
    )
    return int(db.changes())


def find_pending(db: Database, notification_id: str, *, after: int, look: int) -> Page[Pending]:
    """Deliveries of a notification, among those stored from beyond `after` on."""
    last = db.execute(
        "SELECT key FROM notification WHERE key > ? ORDER BY key LIMIT 1 OFFSET ?",
        (after, look - 1),
    ).fetchone()
    upto = last[0] if last is not None else 1 << 46
    keys = [
        key
        for (key,) in db.execute(
            "SELECT key FROM notification WHERE key > ? AND key <= ? AND id = ?",
            (after, upto, notification_id),
        )
    ]
    found = db.execute(
        "SELECT d.id, c.id, d.type, d.lane, d.due_at, d.attempts, d.claimed IS NOT NULL, d.seq,"
        f" {rows.NOTIFICATION_OF_N} FROM json_each(?) AS wanted"
        " JOIN notification AS n ON n.key = wanted.value"
        f" JOIN delivery AS d ON d.id BETWEEN n.key << {LEG_BITS}"
        f" AND (n.key << {LEG_BITS}) + {MAX_LEGS - 1}"
        " JOIN channel AS c ON c.key = d.channel ORDER BY d.id",
        (as_json(keys),),
    )
    return Page([_pending_from(row) for row in found], None if last is None else upto)


def _attempt_from(row: rows.Row) -> Attempt:
    delivery, notification, user, channel, type_, at, number, result, *rest = row
    return Attempt(
        delivery, notification, user, channel, ChannelType(type_), at, number, result, *rest
    )


def _pending_from(row: rows.Row) -> Pending:
    id_, channel, type_, lane, due_at, attempts, held, seq, *rest = row
    return Pending(
        id_,
        channel,
        ChannelType(type_),
        lane,
        due_at,
        attempts,
        bool(held),
        seq,
        rows.notification_from(tuple(rest)),
    )
