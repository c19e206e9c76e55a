"""Deliveries of clients that come to us."""

from collections import Counter
from collections.abc import Sequence

import attrs

from tocsin.model.channel import ChannelType
from tocsin.store import rows
from tocsin.store.mail import Posted
from tocsin.store.records import Ended, Waiting
from tocsin.store.schema import LEG_BITS
from tocsin.store.statements.deliverylog import log_receipts
from tocsin.store.statements.escalation import cancel
from tocsin.store.statements.messaging.proofs import receive_notified
from tocsin.store.statements.sql import IN_LIST, Database, as_json, fetch_all, forget_notifications


@attrs.frozen(eq=False)
class Receipted:
    """How many receipted deliveries there still were, per type, and what was cancelled by that;
    what was `posted` to senders of messages, and how many old entries of Logs went for it."""

    counts: dict[ChannelType, int] = attrs.field(factory=dict)
    cancelled: Ended | None = None
    posted: Sequence[Posted] = ()
    trimmed: int = 0


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


def mark_written(db: Database, channel: rows.Row, written: Sequence[tuple[int, int]]) -> None:
    """Note the seq of deliveries whose receipt is open, and of their channel, given as (key,
    last seq, reservation, clock)."""
    key, last_seq, reserved, expires_at = channel
    db.execute(
        "UPDATE channel SET last_seq = max(last_seq, ?), reserved = ?, expires_at = ?"
        " WHERE key = ?",
        (last_seq, reserved, expires_at, key),
    )
    write_places(db, written)


def mark_left(db: Database, channel_key: int, cleanly: bool) -> None:
    """Note whether a channel's client has said good-bye."""
    db.execute("UPDATE channel SET left_cleanly = ? WHERE key = ?", (cleanly, channel_key))


def write_places(db: Database, places: Sequence[tuple[int, int]]) -> None:
    """Note the seqs of deliveries, given as (delivery id, seq)."""
    if places:
        db.execute(
            "UPDATE delivery SET seq = value ->> 1 FROM json_each(?)"
            " WHERE delivery.id = value ->> 0",
            (as_json(places),),
        )


def finish_polled(db: Database, ids: Sequence[int], now: int, *, most_entries: int) -> Receipted:
    """Delete receipted deliveries that have no lane, and what was held for these receipts; each
    leaves a line in the delivery log. A message that one told of has been received (MS-54)."""
    listed = as_json(ids)
    log_receipts(db, listed, now)
    gone = fetch_all(
        db.execute(f"DELETE FROM delivery WHERE id {IN_LIST} RETURNING id, type, device", (listed,))
    )
    awaited = [(id_, device) for id_, _, device in gone if device is not None]
    cancelled = cancel(db, awaited, now) if awaited else None
    forget_notifications(db, [id_ for id_, _, _ in gone])
    raised = receive_notified(db, [row[0] for row in gone], now=now, most=most_entries)
    found = Counter(type_ for _, type_, _ in gone)
    counts = {ChannelType(name): count for name, count in found.items()}
    return Receipted(counts, cancelled, raised.posted, raised.trimmed)
