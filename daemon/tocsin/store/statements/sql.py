"""What the statements share: lists as JSON, and what happens when deliveries go."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import apsw
import orjson

from tocsin.model.channel import ChannelType
from tocsin.store.records import Ended
from tocsin.store.schema import LEG_BITS, MAX_LEGS

Database = apsw.Connection
IN_LIST = "IN (SELECT value FROM json_each(?))"
DUE = "max(?1, coalesce(not_before, 0))"
ACTIVE = "(SELECT state FROM channel WHERE channel.key = delivery.channel) = 0"


def fetch_all(cursor: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Every row, of columns the caller knows the types of."""
    return list(cursor)


def as_json(values: Iterable[Any]) -> str:
    """A list as `json_each` takes it."""
    return orjson.dumps(list(values)).decode()


def promote(db: Database, heads: set[tuple[int, str | None]], now: int) -> None:
    """Make the first remaining delivery of each (channel, order key) due; held ones in time."""
    if not heads:
        return
    db.execute(
        f"UPDATE delivery SET due_at = {DUE} WHERE due_at IS NULL AND claimed IS NULL"
        f" AND {ACTIVE} AND id IN ("
        " SELECT (SELECT min(id) FROM delivery AS d WHERE d.lane IS NOT NULL"
        " AND d.channel = value ->> 0 AND d.order_key = value ->> 1) FROM json_each(?2))",
        (now, as_json(heads)),
    )


def forget_notifications(db: Database, delivery_ids: Sequence[int]) -> None:
    """Delete the notifications of these deliveries that have no delivery left."""
    if not delivery_ids:
        return
    keys = {id_ >> LEG_BITS for id_ in delivery_ids}
    db.execute(
        f"DELETE FROM notification WHERE key {IN_LIST} AND NOT EXISTS ("
        f" SELECT 1 FROM delivery AS d WHERE d.id BETWEEN notification.key << {LEG_BITS}"
        f" AND (notification.key << {LEG_BITS}) + {MAX_LEGS - 1})",
        (as_json(keys),),
    )


def ended_of(gone: Iterable[tuple[str, str | None]]) -> Ended:
    """What ended, from the (type, lane) of each delivery."""
    found = list(gone)
    number = Counter(type_ for type_, _ in found)
    return Ended(
        counts={ChannelType(type_): count for type_, count in number.items()},
        lanes=frozenset(lane for _, lane in found if lane is not None),
    )
