"""Notifications and their deliveries, on the way in."""

from collections.abc import Sequence

from tocsin.model.channel import Channel
from tocsin.model.notification import Priority
from tocsin.store import rows
from tocsin.store.schema import LEG_BITS
from tocsin.store.statements.sql import ACTIVE, IN_LIST, Database, as_json


def next_keys(db: Database) -> tuple[int, int]:
    """The first unused notification and channel key."""
    notification, channel = db.execute(
        "SELECT max(coalesce((SELECT max(key) FROM notification), 0),"
        f" coalesce((SELECT max(id) FROM delivery), 0) >> {LEG_BITS},"
        f" coalesce((SELECT max(delivery) FROM dead_letter), 0) >> {LEG_BITS}) + 1,"
        " coalesce((SELECT max(key) FROM channel), 0) + 1"
    ).get
    return int(notification), int(channel)


Numbered = tuple[list[rows.Row], list[rows.Row]]


def insert(db: Database, accepted: Sequence[Numbered]) -> None:
    """Insert notifications and their deliveries, of several requests at once, and put those that
    have to wait behind an earlier one of their order key."""
    notifications = [row for one, _ in accepted for row in one]
    deliveries = [row for _, one in accepted for row in one]
    head = f"INSERT INTO notification(key, {rows.NOTIFICATION}) VALUES"
    for sql, values in rows.in_chunks(head, 13, notifications):
        db.execute(sql, values)
    head = "INSERT INTO delivery(id, channel, type, priority, lane, order_key, due_at, seq) VALUES"
    for sql, values in rows.in_chunks(head, 8, deliveries):
        db.execute(sql, values)
    _inherit_priority(db, notifications, deliveries)
    with_lane = [row[0] for row in deliveries if row[4] is not None]
    if with_lane:
        db.execute(
            f"UPDATE delivery SET due_at = NULL WHERE id {IN_LIST}"
            " AND (EXISTS (SELECT 1 FROM delivery AS earlier WHERE earlier.lane IS NOT NULL"
            " AND earlier.channel = delivery.channel"
            " AND earlier.order_key = delivery.order_key AND earlier.id < delivery.id)"
            f" OR NOT {ACTIVE})",
            (as_json(with_lane),),
        )


def _inherit_priority(
    db: Database, notifications: Sequence[rows.Row], deliveries: Sequence[rows.Row]
) -> None:
    """Let what waits for a client go before a more urgent one of its own order key: raised to
    the same priority, it is the older of the two."""
    order_keys = {row[0]: row[9] for row in notifications}
    raising = [
        (row[1], row[3], row[0], order_keys[row[0] >> LEG_BITS])
        for row in deliveries
        if row[4] is None and row[3] < Priority.LOW
    ]
    if raising:
        db.execute(
            "UPDATE delivery SET priority = value ->> 1 FROM json_each(?)"
            " WHERE delivery.channel = value ->> 0 AND delivery.lane IS NULL"
            " AND delivery.priority > value ->> 1 AND delivery.id < value ->> 2"
            " AND delivery.seq IS NULL AND value ->> 3 = (SELECT order_key FROM notification"
            f" WHERE notification.key = delivery.id >> {LEG_BITS})",
            (as_json(raising),),
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
