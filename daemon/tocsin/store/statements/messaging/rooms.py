"""Rooms as they are stored, for those who keep them in memory (messaging.md, 7)."""

from collections.abc import Callable

import attrs

from tocsin.model.conversation import Invitation, Member, Room, Subscriber
from tocsin.store import rows
from tocsin.store.statements.sql import Database, fetch_all

ROOM = "key, id, domain, name, created_at, invite_token, attributes"


@attrs.frozen(eq=False)
class RoomRecord:
    """Rows of a Room, its members in order of joining, and its invitations."""

    room: rows.Row
    members: list[rows.Row]
    invitations: list[rows.Row]


def next_room_key(db: Database) -> int:
    """The first unused one, of Rooms whose messages are left included."""
    return int(
        db.execute(
            "SELECT max(coalesce((SELECT max(key) FROM room), 0),"
            " -coalesce((SELECT min(first) FROM message), 0)) + 1"
        ).get
    )


def read_room(db: Database, domain: str, room_id: str) -> RoomRecord | None:
    """A Room that is not over."""
    row = db.execute(
        f"SELECT {ROOM} FROM room WHERE id = ? AND domain = ? AND NOT over", (room_id, domain)
    ).fetchone()
    if row is None:
        return None
    members = db.execute(
        "SELECT s.key, s.domain, s.id, s.known, m.administrator, m.joined_at, m.joined_after"
        " FROM member AS m JOIN subscriber AS s ON s.key = m.subscriber WHERE m.room = ?"
        " ORDER BY m.key",
        (row[0],),
    )
    invitations = db.execute(
        "SELECT subscriber, sender, until FROM invitation WHERE room = ? ORDER BY key", (row[0],)
    )
    return RoomRecord(row, fetch_all(members), fetch_all(invitations))


def rooms_of(db: Database, subscriber: int) -> list[str]:
    """The ids of somebody's Rooms, in order of joining."""
    found = db.execute(
        "SELECT room.id FROM member JOIN room ON room.key = member.room"
        " WHERE member.subscriber = ? ORDER BY member.key",
        (subscriber,),
    )
    return [id_ for (id_,) in found]


def room_from(record: RoomRecord, load: Callable[[int, str, str, bool], Subscriber]) -> Room:
    """The Room of these rows."""
    key, id_, domain, name, created_at, token, attributes = record.room
    room = Room(key, id_, domain, name, created_at, token, attributes)
    for number, where, who, known, administrator, joined_at, joined_after in record.members:
        one = load(number, where, who, bool(known))
        room.members[number] = Member(one, bool(administrator), joined_at, joined_after)
    for number, sender, until in record.invitations:
        room.invited[number] = Invitation(sender, until)
    return room


def renew_room(
    room: Room, record: RoomRecord | None, load: Callable[[int, str, str, bool], Subscriber]
) -> None:
    """Make a Room what these rows say, in place; it is over where there are none. Doubts of it
    are its caller's."""
    room.is_over = record is None
    if record is None:
        room.members.clear()
        room.invited.clear()
        return
    stored = room_from(record, load)
    room.name, room.invite_token = stored.name, stored.invite_token
    room.attributes = stored.attributes
    room.members, room.invited = stored.members, stored.invited
