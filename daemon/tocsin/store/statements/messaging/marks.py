"""What recipients say became of messages (messaging.md, MS-55 to MS-59)."""

from collections import Counter
from collections.abc import Sequence

import attrs

from tocsin.model.channel import ChannelType
from tocsin.store.mail import Mark
from tocsin.store.records import Ended
from tocsin.store.schema import LEG_BITS, MAX_LEGS
from tocsin.store.statements.escalation import cancel_legs
from tocsin.store.statements.messaging.logs import post_texts
from tocsin.store.statements.messaging.statuses import (
    ALONE,
    JOINED,
    NOTHING_RAISED,
    RISEN,
    ROOM_OF_M,
    UNKNOWN,
    Raised,
    Risen,
    raise_statuses,
)
from tocsin.store.statements.sql import Database, as_json
from tocsin.wire.messaging import answers
from tocsin.wire.messaging.rendered import Rendered
from tocsin.wire.messaging.views import Progress
from tocsin.wire.messaging.words import MessageStatus


def mark(db: Database, said: Mark, *, most: int) -> Raised:
    """Raise the status of a message, or of all up to it."""
    reader = said.reader.key
    row = db.execute(
        f"SELECT m.key, m.first, m.second, m.sender, {ROOM_OF_M}, a.status FROM message AS m"
        " LEFT JOIN addressee AS a ON a.message = m.key AND a.recipient = ?2 WHERE m.id = ?1",
        (said.message_id, reader),
    ).fetchone()
    if row is None:
        return UNKNOWN
    key, first, second, sender, room_id, status = row
    peer = first if first < 0 else first + second - reader
    if status is None:
        if not _went_to(db, said, key, first, sender):
            return UNKNOWN
        risen = _mark_alone(db, said, key, peer)
        if said.status < MessageStatus.READ and not risen:
            return NOTHING_RAISED
        told = _tell(db, said, risen, room_id, most)
        pushes = cancel_legs(db, _pushes_upto(db, said, peer, key), said.at)
        return attrs.evolve(told, cancelled=_together(told.cancelled, pushes))
    if said.through:
        risen = _open_upto(db, said, peer, key)
    elif status < said.status:
        risen = [Risen(key, reader, sender, said.message_id, room_id, said.reader.id)]
    else:
        risen = []
    if not risen:
        return NOTHING_RAISED
    raise_statuses(db, risen, said.status)
    return _tell(db, said, risen, room_id, most)


def _mark_alone(db: Database, said: Mark, message: int, peer: int) -> list[Risen]:
    """A message of a large Room, whose sender is told nothing (MS-58): that it was read is for the
    reader's own devices, once. What has risen are older messages, which may have receipts."""
    risen = _open_upto(db, said, peer, message) if said.through else []
    raise_statuses(db, risen, said.status)
    if said.status == MessageStatus.READ:
        db.execute(
            "INSERT INTO addressee(message, recipient, peer, status) VALUES (?, ?, ?, ?)",
            (message, said.reader.key, ALONE, int(said.status)),
        )
    return risen


def _went_to(db: Database, said: Mark, message: int, first: int, sender: int) -> bool:
    """Whether a message without receipts, of a large Room, is one that he got."""
    reader = said.reader.key
    if sender == reader or first > 0:
        return False
    return bool(
        db.execute(
            "SELECT EXISTS (SELECT 1 FROM entry WHERE message = ?1 AND subscriber = ?2)"
            " OR EXISTS (SELECT 1 FROM member WHERE room = ?3 AND subscriber = ?2"
            " AND joined_after < ?4)",
            (message, reader, -first, said.message_id),
        ).get
    )


def _open_upto(db: Database, said: Mark, peer: int, message: int) -> list[Risen]:
    """The messages of a conversation, oldest first, up to one of them, that the reader has said
    less of."""
    lower = ", ".join(str(status) for status in range(said.status))
    # `status < 3` once more: as it stands in the index.
    found = db.execute(
        f"SELECT {RISEN} FROM addressee AS a {JOINED} WHERE a.recipient = ? AND a.peer = ?"
        f" AND a.status IN ({lower}) AND a.status < 3 AND a.message <= ?",
        (said.reader.key, peer, message),
    )
    return sorted(Risen(*row) for row in found)


def _tell(
    db: Database, said: Mark, risen: Sequence[Risen], room_id: str | None, most: int
) -> Raised:
    """Tell each sender of the newest of his, and the reader's other devices what he has read."""
    newest = {one.sender: one for one in risen}
    texts = [
        (sender, one.progress(said.status, through=said.through)) for sender, one in newest.items()
    ]
    if said.status < MessageStatus.READ:
        return Raised(*post_texts(db, texts, at=said.at, most=most))
    texts.append((said.reader.key, _own(said, room_id)))
    posted, trimmed = post_texts(db, texts, at=said.at, most=most)
    posted[-1].origin = said.origin
    return Raised(posted, trimmed, _cancel_pushes(db, said, risen))


def _own(said: Mark, room_id: str | None) -> Rendered:
    return answers.delivery(
        Progress(said.message_id, said.status, said.reader.id, room_id, said.through)
    )


def _pushes_upto(db: Database, said: Mark, peer: int, message: int) -> list[int]:
    """The pushes that tell the reader of this message of a Room, or with `through` of any up to
    it: found from his devices, for there are few, and many messages."""
    if said.status < MessageStatus.READ:
        return []
    found = db.execute(
        "SELECT d.id FROM channel AS c CROSS JOIN delivery AS d ON d.channel = c.key"
        f" CROSS JOIN entry AS e ON e.notification = d.id >> {LEG_BITS}"
        " CROSS JOIN message AS m ON m.key = e.message"
        " WHERE c.user = ? AND d.type = ? AND d.lane IS NOT NULL AND d.attempts = 0"
        " AND d.claimed IS NULL AND e.subscriber = ? AND m.first = ? AND m.key BETWEEN ? AND ?",
        (
            said.reader.user,
            ChannelType.OMAPUSH.value,
            said.reader.key,
            peer,
            0 if said.through else message,
            message,
        ),
    )
    return [id_ for (id_,) in found]


def _together(one: Ended | None, other: Ended | None) -> Ended | None:
    """What two cancellations have ended."""
    if one is None or other is None:
        return one or other
    counts = Counter(one.counts)
    counts.update(other.counts)
    return attrs.evolve(one, counts=dict(counts), lanes=one.lanes | other.lanes)


def _cancel_pushes(db: Database, said: Mark, risen: Sequence[Risen]) -> Ended | None:
    """End the pushes that tell the reader of these, unless a queue has them or has tried them."""
    found = db.execute(
        "SELECT d.id FROM json_each(?) CROSS JOIN entry AS e ON e.message = value"
        " AND e.subscriber = ? CROSS JOIN delivery AS d"
        f" ON d.id BETWEEN e.notification << {LEG_BITS}"
        f" AND (e.notification << {LEG_BITS}) + {MAX_LEGS - 1}"
        " WHERE d.type = ? AND d.attempts = 0 AND d.claimed IS NULL",
        (as_json(one.message for one in risen), said.reader.key, ChannelType.OMAPUSH.value),
    )
    return cancel_legs(db, [id_ for (id_,) in found], said.at)
