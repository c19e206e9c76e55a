"""Dead letters: buried, looked at, taken up again, forgotten."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tocsin.model.channel import ChannelType
from tocsin.store import rows
from tocsin.store.archive import LetterQuery, Place
from tocsin.store.records import DeadLetter
from tocsin.store.statements.sql import IN_LIST, Database, as_json

LETTER = f"delivery, channel, type, died_at, attempts, reason, status, {rows.NOTIFICATION}"


def bury(db: Database, letters: Sequence[DeadLetter]) -> None:
    """Keep what was given up."""
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
    head = f"INSERT OR REPLACE INTO dead_letter({LETTER}) VALUES"
    for sql, values in rows.in_chunks(head, 19, found):
        db.execute(sql, values)


def take_up(db: Database, ids: Iterable[int]) -> set[int]:
    """Remove letters that are to be delivered again; those that were still there."""
    gone = db.execute(
        f"DELETE FROM dead_letter WHERE delivery {IN_LIST} RETURNING delivery", (as_json(ids),)
    )
    return {id_ for (id_,) in gone}


def dead_letters(
    db: Database, query: LetterQuery, *, after: Place | None, oldest_first: bool, limit: int
) -> list[DeadLetter]:
    """Letters in the order of their death. Each filter has an index that is in this order."""
    conditions, values = _where(query)
    if after is not None:
        conditions.append(f"(died_at, delivery) {'>' if oldest_first else '<'} (?, ?)")
        values += after
    order = "ASC" if oldest_first else "DESC"
    found = db.execute(
        f"SELECT {LETTER} FROM dead_letter WHERE {' AND '.join(conditions)}"
        f" ORDER BY died_at {order}, delivery {order} LIMIT ?",
        (*values, limit),
    )
    return [_letter_from(row) for row in found]


def purge_dead_letters(db: Database, query: LetterQuery, *, limit: int) -> dict[ChannelType, int]:
    """Delete the oldest of these letters."""
    conditions, values = _where(query)
    gone = db.execute(
        "DELETE FROM dead_letter WHERE delivery IN (SELECT delivery FROM dead_letter"
        f" WHERE {' AND '.join(conditions)} ORDER BY died_at, delivery LIMIT ?) RETURNING type",
        (*values, limit),
    )
    return Counter(ChannelType(type_) for (type_,) in gone)


def prune_dead_letters(db: Database, before: int, limit: int) -> dict[ChannelType, int]:
    """Delete old dead letters; how many, per type."""
    gone = db.execute(
        "DELETE FROM dead_letter WHERE delivery IN (SELECT delivery FROM dead_letter"
        " WHERE died_at < ? LIMIT ?) RETURNING type",
        (before, limit),
    )
    return Counter(ChannelType(type_) for (type_,) in gone)


def _where(query: LetterQuery) -> tuple[list[str], list[Any]]:
    """Conditions and their values. The place in time keeps to the index by a range."""
    conditions = ["died_at BETWEEN ? AND ?"]
    values: list[Any] = [
        -1 if query.since is None else query.since,
        (1 << 62) if query.until is None else query.until,
    ]
    for column, value in (
        ("channel", query.channel_id),
        ("user", query.user),
        ("id", query.notification_id),
    ):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    if query.ids is not None:
        conditions.append(f"delivery {IN_LIST}")
        values.append(as_json(query.ids))
    return conditions, values


def _letter_from(row: rows.Row) -> DeadLetter:
    id_, channel_id, type_, died_at, attempts, reason, status, *rest = row
    return DeadLetter(
        id_,
        channel_id,
        ChannelType(type_),
        rows.notification_from(tuple(rest)),
        died_at,
        attempts,
        reason,
        status,
    )
