"""Changes of Rooms, members and invitations (messaging.md, 7)."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import assert_never

from tocsin.store import rows
from tocsin.store.mail import (
    DropInvitation,
    DropMember,
    DropRoom,
    PutInvitation,
    PutMember,
    PutRoom,
    RoomChange,
)
from tocsin.store.statements.sql import Database, as_json, fetch_all

Change = tuple[type[RoomChange], rows.Row]
"""What is done, and the row it is done with; of what goes the key alone."""


def change_row(change: RoomChange) -> Change:
    """A change as it is now: its objects may change before it is stored."""
    room = change.room
    row: rows.Row
    match change:
        case PutRoom():
            row = (
                *(room.key, room.id, room.domain, room.name, room.created_at),
                *(room.invite_token, room.attributes),
            )
        case DropRoom():
            row = (room.key,)
        case PutMember(_, member):
            row = (
                *(room.key, member.subscriber.key, member.administrator),
                *(member.joined_at, member.joined_after),
            )
        case PutInvitation(_, key, invitation):
            row = (room.key, key, invitation.sender, invitation.until)
        case DropMember(_, key) | DropInvitation(_, key):
            row = (room.key, key)
        case _:
            assert_never(change)
    return type(change), row


def make_changes(db: Database, changes: Iterable[Change]) -> None:
    """Make changes in their order; many of a kind in a row cost little more than one."""
    for kind, group in itertools.groupby(changes, key=_kind_of):
        CHANGES[kind](db, [row for _, row in group])


def _kind_of(change: Change) -> type[RoomChange]:
    return change[0]


def _put_rooms(db: Database, found: Sequence[rows.Row]) -> None:
    for row in found:
        db.execute(
            "INSERT INTO room(key, id, domain, name, created_at, invite_token, attributes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT(key) DO UPDATE SET name = excluded.name,"
            " invite_token = excluded.invite_token, attributes = excluded.attributes",
            row,
        )


def _drop_rooms(db: Database, found: Sequence[rows.Row]) -> None:
    listed = as_json(found)
    for table in ("member", "invitation"):
        db.execute(
            f"DELETE FROM {table} WHERE key IN (SELECT t.key FROM json_each(?)"
            f" CROSS JOIN {table} AS t ON t.room = value ->> 0)",
            (listed,),
        )
    db.execute(
        "UPDATE room SET over = 1, name = '', invite_token = NULL, attributes = x'7B7D'"
        " WHERE key IN (SELECT value ->> 0 FROM json_each(?))",
        (listed,),
    )
    forget_rooms(db, [key for (key,) in found])


def forget_rooms(db: Database, keys: Iterable[int]) -> None:
    """Delete those of these Rooms that are over and of which no message is left."""
    db.execute(
        "DELETE FROM room WHERE key IN (SELECT value FROM json_each(?)) AND over"
        " AND NOT EXISTS (SELECT 1 FROM message WHERE first = -room.key)",
        (as_json(keys),),
    )


def _put_members(db: Database, found: Sequence[rows.Row]) -> None:
    for row in found:
        db.execute(
            "INSERT INTO member(room, subscriber, administrator, joined_at, joined_after)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT(room, subscriber) DO UPDATE"
            " SET administrator = excluded.administrator, joined_at = excluded.joined_at,"
            " joined_after = excluded.joined_after",
            row,
        )


def _put_invitations(db: Database, found: Sequence[rows.Row]) -> None:
    db.execute(
        "INSERT INTO invitation(room, subscriber, sender, until) SELECT value ->> 0, value ->> 1,"
        " value ->> 2, value ->> 3 FROM json_each(?) WHERE true ON CONFLICT(room, subscriber)"
        " DO UPDATE SET sender = excluded.sender, until = excluded.until",
        (as_json(found),),
    )


def _drop_members(db: Database, found: Sequence[rows.Row]) -> None:
    _drop_pairs(db, "member", found)


def _drop_invitations(db: Database, found: Sequence[rows.Row]) -> None:
    _drop_pairs(db, "invitation", found)


def _drop_pairs(db: Database, table: str, found: Sequence[rows.Row]) -> None:
    db.execute(
        f"DELETE FROM {table} WHERE key IN (SELECT t.key FROM json_each(?) CROSS JOIN {table} AS t"
        " ON t.room = value ->> 0 AND t.subscriber = value ->> 1)",
        (as_json(found),),
    )


CHANGES: Mapping[type[RoomChange], Callable[[Database, Sequence[rows.Row]], None]] = {
    PutRoom: _put_rooms,
    DropRoom: _drop_rooms,
    PutMember: _put_members,
    DropMember: _drop_members,
    PutInvitation: _put_invitations,
    DropInvitation: _drop_invitations,
}


def lapse_oldest(db: Database, invited: Iterable[int], most: int) -> list[tuple[int, int]]:
    """Drop the oldest invitations of those of these subscribers who have more than `most`;
    (room, subscriber) keys of them."""
    crowded = fetch_all(
        db.execute(
            "SELECT subscriber, count(*) - ?1 FROM json_each(?2) CROSS JOIN invitation"
            " ON subscriber = value GROUP BY subscriber HAVING count(*) > ?1",
            (most, as_json(invited)),
        )
    )
    gone: list[tuple[int, int]] = []
    for subscriber, excess in crowded:
        found = db.execute(
            "DELETE FROM invitation WHERE key IN (SELECT key FROM invitation WHERE subscriber = ?"
            " ORDER BY key LIMIT ?) RETURNING room, subscriber",
            (subscriber, excess),
        )
        gone += [(room, key) for room, key in found]
    return gone


def lapse_invitations(db: Database, now: int, limit: int) -> list[tuple[int, int]]:
    """Drop invitations that are over; (room, subscriber) keys of them."""
    found = db.execute(
        "DELETE FROM invitation WHERE key IN (SELECT key FROM invitation WHERE until <= ?"
        " ORDER BY until LIMIT ?) RETURNING room, subscriber",
        (now, limit),
    )
    return [(room, key) for room, key in found]
