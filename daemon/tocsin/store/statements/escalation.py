"""Legs that wait for the receipt of another leg of their notification (delivery.md, escalation).

Both carry the same `device` number. Held legs are not due before their `not_before`, which they
keep: it tells that a leg was held. Receipts of legs without a number are not looked into.
"""

from collections.abc import Iterable, Sequence

from tocsin.store import rows
from tocsin.store.records import Ended, Held
from tocsin.store.schema import LEG_BITS, MAX_LEGS
from tocsin.store.statements.deliverylog import log_ends
from tocsin.store.statements.sql import (
    IN_LIST,
    Database,
    as_json,
    ended_of,
    fetch_all,
    forget_notifications,
    promote,
)

OF_A_LOG = f"EXISTS (SELECT 1 FROM entry WHERE notification = delivery.id >> {LEG_BITS})"


def held_rows(held: Iterable[Held]) -> list[rows.Row]:
    """(delivery id, device, not before) of numbered deliveries."""
    found: list[rows.Row] = []
    for one in held:
        device = one.later[0].id & (MAX_LEGS - 1)
        found += ((leg.id, device, None) for leg in one.first)
        found += ((leg.id, device, one.not_before) for leg in one.later)
    return found


def hold(db: Database, held: Sequence[rows.Row]) -> None:
    """Hold back deliveries that were inserted in this transaction; those that are not there, or
    not due for another reason, stay so."""
    db.execute(
        "UPDATE delivery SET device = value ->> 1, not_before = value ->> 2,"
        " due_at = max(due_at, value ->> 2) FROM json_each(?) WHERE delivery.id = value ->> 0",
        (as_json(held),),
    )


def cancel(db: Database, receipted: Sequence[tuple[int, int]], now: int) -> Ended | None:
    """End what was held for these receipts, given as (delivery id, device), unless a queue has
    it or has tried it: a claim has counted its attempt."""
    # A cross join is done in the order it is written: receipts first, then the legs beside each.
    found = db.execute(
        "SELECT DISTINCT later.id FROM json_each(?) CROSS JOIN delivery AS later"
        f" ON later.id BETWEEN (value ->> 0) >> {LEG_BITS} << {LEG_BITS}"
        f" AND ((value ->> 0) >> {LEG_BITS} << {LEG_BITS}) + {MAX_LEGS - 1}"
        " WHERE later.device = value ->> 1 AND later.not_before IS NOT NULL"
        " AND later.attempts = 0",
        (as_json(receipted),),
    )
    return cancel_legs(db, [id_ for (id_,) in found], now)


def cancel_legs(db: Database, found: Sequence[int], now: int) -> Ended | None:
    """End these deliveries, if there are any: what they tell of has been received."""
    if not found:
        return None
    ids = as_json(found)
    log_ends(db, ids, "cancelled", now, reason="receipted")
    gone = fetch_all(
        db.execute(
            f"DELETE FROM delivery WHERE id {IN_LIST} RETURNING id, type, lane, channel, order_key",
            (ids,),
        )
    )
    forget_notifications(db, [row[0] for row in gone])
    promote(db, {(row[3], row[4]) for row in gone}, now)
    return ended_of((row[1], row[2]) for row in gone)


def escalate(
    db: Database,
    channels: Sequence[int],
    connected: Sequence[int],
    now: int,
    messages: bool | None = None,
) -> dict[str, bool]:
    """Make due what is held in these channels and waits for no leg to a connected one; the lanes
    of that, and whether any of it is urgent. `messages`: only what tells of an entry of a Log, or
    only what does not."""
    which = "" if messages is None else f" AND {OF_A_LOG} = {messages:d}"
    found = db.execute(
        "UPDATE delivery SET not_before = ?1, due_at = min(due_at, ?1)"
        f" WHERE channel {IN_LIST.replace('?', '?2')} AND not_before > ?1"
        " AND NOT EXISTS (SELECT 1 FROM delivery AS first"
        f" WHERE first.id BETWEEN delivery.id >> {LEG_BITS} << {LEG_BITS}"
        f" AND (delivery.id >> {LEG_BITS} << {LEG_BITS}) + {MAX_LEGS - 1}"
        " AND first.device = delivery.device AND first.not_before IS NULL"
        f" AND first.channel {IN_LIST.replace('?', '?3')}){which} RETURNING lane, priority",
        (now, as_json(channels), as_json(connected)),
    )
    lanes: dict[str, bool] = {}
    for lane, priority in found:
        lanes[lane] = lanes.get(lane, False) or priority == 0
    return lanes
