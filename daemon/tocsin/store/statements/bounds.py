"""What makes way for a newer delivery: the collapsed, and what is too much (delivery.md).

Nothing that was written to a client or that a queue has claimed makes way: it may be there
already. Unless the queue has set it aside: then it begins no attempt before it knows.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing

import attrs
import orjson

from tocsin.model.channel import ChannelType
from tocsin.model.notification import Notification, Priority
from tocsin.store.records import Trimmed
from tocsin.store.statements.deliverylog import log_ends
from tocsin.store.statements.positions import count_dropped
from tocsin.store.statements.pushes import gateway_pushes
from tocsin.store.statements.sql import (
    IN_LIST,
    Database,
    as_json,
    fetch_all,
    forget_notifications,
    promote,
)

# Its parameter is what is set aside, as `_as_json` renders it.
UNCLAIMED = (
    "(claimed IS NULL OR delivery.id IN (SELECT value FROM json_each(?2, '$.ids'))"
    " OR (lane, claimed) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?2, '$.claims')))"
)
# channel key, collapse key, id of the newer delivery
Collapse = tuple[int, str, int]


@attrs.frozen(eq=False)
class Aside:
    """What a queue has set aside: deliveries by id, and all that a claim took, by lane and
    mark."""

    ids: Sequence[int] = ()
    claims: Sequence[tuple[str, int]] = ()


NOTHING_ASIDE = Aside()


def _that_may_go(*priorities: Priority) -> str:
    """Oldest first. Each part is in this order in an index, and read no further than needed."""
    parts = (
        f"SELECT id, size FROM delivery WHERE channel = ?1 AND lane IS {null}"
        f" AND priority = {priority:d} AND seq IS NULL AND {UNCLAIMED}"
        for null in ("NULL", "NOT NULL")
        for priority in priorities
    )
    return f"{' UNION ALL '.join(parts)} ORDER BY id"


# Left to itself the planner takes another index, and fetches each size from the table.
HELD = (
    "SELECT count(*), coalesce(sum(size), 0) FROM"
    " (SELECT size FROM delivery INDEXED BY delivery_waiting"
    " WHERE channel = ?1 AND lane IS NULL UNION ALL"
    " SELECT size FROM delivery INDEXED BY delivery_age"
    " WHERE channel = ?1 AND lane IS NOT NULL)"
)
MAY_GO = (_that_may_go(Priority.LOW), _that_may_go(Priority.URGENT, Priority.NORMAL))


def trim(
    db: Database,
    collapsing: Iterable[Collapse],
    crowded: Iterable[int],
    *,
    aside: Iterable[Aside],
    bounds: tuple[int, int],
    now: int,
    withdrawing: Iterable[int] = (),
) -> Trimmed:
    """Have older deliveries make way for newer ones of their collapse key, and those to be
    withdrawn; then the oldest low ones, then the oldest, of channels that hold more than `bounds`
    (deliveries, bytes). Of those that are claimed only the ones set `aside`."""
    spare = _as_json(aside)
    ended: Counter[tuple[ChannelType, str]] = Counter()
    pushes: dict[int, Notification] = {}
    replaced = _replaced(db, collapsing, spare) + _withdrawn(db, withdrawing, spare)
    gone = dict.fromkeys(replaced, "collapsed")
    pushes |= _log_ends(db, replaced, "collapsed", now)
    ended.update((kind, "collapsed") for kind, _ in _remove(db, replaced, now))
    rooms: dict[int, tuple[int, int]] = {}
    for key in set(crowded):
        excess, rooms[key] = _excess(db, key, spare, *bounds)
        pushes |= _log_ends(db, excess, "overflow", now)
        removed = _remove(db, excess, now)
        ended.update((kind, "overflow") for kind, _ in removed)
        count_dropped(db, [channel for _, channel in removed])
        gone.update(dict.fromkeys(excess, "overflow"))
    return Trimmed(gone, dict(ended), rooms, pushes)


def _as_json(aside: Iterable[Aside]) -> str:
    ids: list[int] = []
    claims: list[tuple[str, int]] = []
    for one in aside:
        ids += one.ids
        claims += one.claims
    return orjson.dumps({"ids": ids, "claims": claims}).decode()


def _withdrawn(db: Database, ids: Iterable[int], spare: str) -> list[int]:
    wanted = as_json(ids)
    if wanted == "[]":
        return []
    found = db.execute(
        f"SELECT id FROM delivery WHERE id {IN_LIST.replace('?', '?1')} AND seq IS NULL"
        f" AND {UNCLAIMED}",
        (wanted, spare),
    )
    return [id_ for (id_,) in found]


def _log_ends(db: Database, ids: Sequence[int], result: str, now: int) -> dict[int, Notification]:
    """The gateway pushes among these, whose callers are told; a line in the delivery log says what
    became of each of all."""
    if not ids:
        return {}
    listed = as_json(ids)
    log_ends(db, listed, result, now)
    return gateway_pushes(db, listed)


def _replaced(db: Database, collapsing: Iterable[Collapse], spare: str) -> list[int]:
    newest = {(channel, key): id_ for channel, key, id_ in sorted(collapsing, key=lambda c: c[2])}
    if not newest:
        return []
    found = db.execute(
        "SELECT delivery.id FROM json_each(?1) JOIN delivery ON channel = value ->> 0"
        " AND collapse_key = value ->> 1 WHERE delivery.id < value ->> 2"
        f" AND seq IS NULL AND {UNCLAIMED}",
        (as_json((channel, key, id_) for (channel, key), id_ in newest.items()), spare),
    )
    return [id_ for (id_,) in found]


def holdings(db: Database, channels: Iterable[int]) -> dict[int, tuple[int, int]]:
    """What each of these channels holds: deliveries, bytes."""
    return {channel: db.execute(HELD, (channel,)).get for channel in channels}


def _excess(
    db: Database, channel: int, spare: str, most: int, most_bytes: int
) -> tuple[list[int], tuple[int, int]]:
    """What a channel holds too much, and the room there is without it: deliveries, bytes."""
    count, size = db.execute(HELD, (channel,)).get
    excess = []
    for statement in MAY_GO:
        if count <= most and size <= most_bytes:
            break
        with closing(db.execute(statement, (channel, spare))) as held:
            for id_, bytes_ in held:
                excess.append(id_)
                count -= 1
                size -= bytes_
                if count <= most and size <= most_bytes:
                    break
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
