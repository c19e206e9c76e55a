"""What makes way for a newer delivery: the collapsed, and what is too much (delivery.md).

Nothing that was written to a client or that a queue holds makes way: it may be there already.
"""

from collections import Counter
from collections.abc import Iterable

from tocsin.model.channel import ChannelType
from tocsin.store.interface import Trimmed
from tocsin.store.schema import LEG_BITS
from tocsin.store.statements.positions import count_dropped
from tocsin.store.statements.sql import (
    IN_LIST,
    Database,
    as_json,
    fetch_all,
    forget_notifications,
    promote,
)

# channel key, collapse key, id of the newer delivery
Collapse = tuple[int, str, int]

OF_CHANNEL = (
    "(SELECT id, priority, seq, claimed FROM delivery WHERE channel = ?1 AND lane IS NULL"
    " UNION ALL"
    " SELECT id, priority, seq, claimed FROM delivery WHERE channel = ?1 AND lane IS NOT NULL)"
)


def trim(
    db: Database,
    collapsing: Iterable[Collapse],
    crowded: Iterable[int],
    *,
    bounds: tuple[int, int],
    now: int,
) -> Trimmed:
    """Have older deliveries make way for newer ones of their collapse key, then the oldest low
    ones, then the oldest, of channels that hold more than `bounds` (deliveries, bytes)."""
    ended: Counter[tuple[ChannelType, str]] = Counter()
    replaced = _replaced(db, collapsing)
    gone = set(replaced)
    ended.update((kind, "collapsed") for kind, _ in _remove(db, replaced, now))
    rooms: dict[int, tuple[int, int]] = {}
    for key in set(crowded):
        excess, rooms[key] = _excess(db, key, *bounds)
        removed = _remove(db, excess, now)
        ended.update((kind, "overflow") for kind, _ in removed)
        count_dropped(db, [channel for _, channel in removed])
        gone.update(excess)
    return Trimmed(frozenset(gone), dict(ended), rooms)


def _replaced(db: Database, collapsing: Iterable[Collapse]) -> list[int]:
    newest = {(channel, key): id_ for channel, key, id_ in sorted(collapsing, key=lambda c: c[2])}
    if not newest:
        return []
    found = db.execute(
        "SELECT d.id FROM json_each(?) JOIN delivery AS d ON d.channel = value ->> 0"
        " AND d.collapse_key = value ->> 1 WHERE d.id < value ->> 2"
        " AND d.seq IS NULL AND d.claimed IS NULL",
        (as_json((channel, key, id_) for (channel, key), id_ in newest.items()),),
    )
    return [id_ for (id_,) in found]


def _excess(
    db: Database, channel: int, most: int, most_bytes: int
) -> tuple[list[int], tuple[int, int]]:
    """What a channel holds too much, and the room there is without it: deliveries, bytes."""
    held = fetch_all(
        db.execute(
            "SELECT d.id, length(n.body), d.seq IS NULL AND d.claimed IS NULL"
            f" FROM {OF_CHANNEL} AS d JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
            " ORDER BY d.priority = 2 DESC, d.id",
            (channel,),
        )
    )
    count, size = len(held), sum(bytes_ for _, bytes_, _ in held)
    excess = []
    for id_, bytes_, may_go in held:
        if count <= most and size <= most_bytes:
            break
        if may_go:
            excess.append(id_)
            count -= 1
            size -= bytes_
    return excess, (max(0, most - count), max(0, most_bytes - size))


def _remove(db: Database, ids: list[int], now: int) -> list[tuple[ChannelType, int]]:
    """Delete; the type and channel of each that was there."""
    if not ids:
        return []
    gone = fetch_all(
        db.execute(
            f"DELETE FROM delivery WHERE id {IN_LIST} RETURNING id, type, channel, lane, order_key",
            (as_json(ids),),
        )
    )
    forget_notifications(db, [row[0] for row in gone])
    promote(db, {(row[2], row[4]) for row in gone if row[3] is not None}, now)
    return [(ChannelType(row[1]), row[2]) for row in gone]
