"""What one act of a subscriber writes, on the way in (messaging.md, MS-25, MS-46)."""

from collections.abc import Sequence
from itertools import islice

import attrs

from tocsin.store import rows
from tocsin.store.mail import PutInvitation
from tocsin.store.statements.messaging.logs import append, logs_of
from tocsin.store.statements.messaging.mailrows import DedupeRow, MailRows
from tocsin.store.statements.messaging.roomchanges import lapse_oldest, make_changes
from tocsin.store.statements.messaging.subscribers import SubscriberRow, ensure
from tocsin.store.statements.sql import Database, as_json

MESSAGE = "INSERT INTO message(key, id, first, second, sender, at, type, body, dedupe_id) VALUES"
ADDRESSEE = "INSERT INTO addressee(message, recipient, peer) VALUES"
CORRESPONDENCE = "INSERT OR REPLACE INTO correspondence(sender, recipient, at) VALUES"
DEDUPE = "INSERT OR IGNORE INTO dedupe(sender, id, message, at) VALUES"
STRANGER = "INSERT OR REPLACE INTO stranger(sender, recipient, at) VALUES"


@attrs.frozen(eq=False)
class Delivered:
    """What became of a `Mail`: the numbers of its entries, or what it repeats; `trimmed` entries
    went for them."""

    numbers: Sequence[int] = ()
    repeat: str | None = None
    lapsed: Sequence[tuple[int, int]] = ()
    trimmed: int = 0


NOTHING_POSTED = Delivered()


def find_repeats(db: Database, mails: Sequence[MailRows | None]) -> list[str | None]:
    """Remember the `dedupe-id`s of these; the message that had it first of each that is a repeat,
    of one of these perhaps."""
    wanted = [_dedupe_of(mail) for mail in mails]
    fresh = [row for row in wanted if row is not None]
    if len(fresh) == _insert(db, DEDUPE, fresh):
        return [None] * len(mails)
    found = db.execute(
        "SELECT d.sender, d.id, d.message FROM json_each(?) CROSS JOIN dedupe AS d"
        " ON d.sender = value ->> 0 AND d.id = value ->> 1",
        (as_json(fresh),),
    )
    first = {(sender, id_): message for sender, id_, message in found}
    return [None if row is None or first[row[:2]] == row[2] else first[row[:2]] for row in wanted]


def find_repeat(db: Database, sender: int, dedupe_id: str) -> str | None:
    """The message that had this `dedupe-id` first."""
    found = db.execute(
        "SELECT message FROM dedupe WHERE sender = ? AND id = ?", (sender, dedupe_id)
    )
    row = found.fetchone()
    return None if row is None else str(row[0])


def _dedupe_of(mail: MailRows | None) -> DedupeRow | None:
    return None if mail is None or mail.letter is None else mail.letter.dedupe


def post(
    db: Database, mails: Sequence[MailRows | None], repeats: Sequence[str | None]
) -> list[Delivered]:
    """Store those of these that are no repeats, in this order."""
    fresh = [
        mail
        for mail, repeat in zip(mails, repeats, strict=True)
        if mail is not None and repeat is None
    ]
    stored = iter(_post(db, fresh) if fresh else ())
    return [
        NOTHING_POSTED
        if mail is None
        else (next(stored) if repeat is None else Delivered(repeat=repeat))
        for mail, repeat in zip(mails, repeats, strict=True)
    ]


def _post(db: Database, mails: Sequence[MailRows]) -> list[Delivered]:
    drafts = [draft for mail in mails for draft in mail.drafts]
    subscribers = _subscribers(mails)
    logs = logs_of(db, subscribers.keys() | {draft.subscriber for draft in drafts})
    ensure(db, logs, subscribers)
    _insert_letters(db, mails)
    numbers, trimmed = append(db, logs, drafts, most=mails[0].most_entries)
    rest = iter(numbers)
    delivered: list[Delivered] = []
    for mail in mails:
        mine = list(islice(rest, len(mail.drafts)))
        lapsed = _change_rooms(db, mail) if mail.changes else ()
        delivered.append(Delivered(mine, None, lapsed, trimmed))
        trimmed = 0
    return delivered


def _subscribers(mails: Sequence[MailRows]) -> dict[int, SubscriberRow]:
    """Those that are to be there; who is known to one of these acts, is."""
    found: dict[int, SubscriberRow] = {}
    for mail in mails:
        for key, row in mail.subscribers.items():
            earlier = found.get(key)
            found[key] = earlier if earlier is not None and earlier[3] else row
    return found


def _insert_letters(db: Database, mails: Sequence[MailRows]) -> None:
    """Messages with what belongs to them."""
    letters = [mail.letter for mail in mails if mail.letter is not None]
    _insert(db, MESSAGE, [one.message for one in letters])
    _insert(db, ADDRESSEE, [row for one in letters for row in one.addressees])
    _insert(
        db,
        CORRESPONDENCE,
        [one.correspondence for one in letters if one.correspondence is not None],
    )
    _insert(db, STRANGER, [(*pair, mail.at) for mail in mails for pair in mail.strangers])


def _insert(db: Database, head: str, found: Sequence[rows.Row]) -> int:
    """How many rows were inserted."""
    count = 0
    if found:
        for sql, values in rows.in_chunks(head, len(found[0]), found):
            db.execute(sql, values)
            count += int(db.changes())
    return count


def _change_rooms(db: Database, mail: MailRows) -> Sequence[tuple[int, int]]:
    make_changes(db, mail.changes)
    invited = {row[1] for kind, row in mail.changes if kind is PutInvitation}
    return lapse_oldest(db, invited, mail.most_invitations) if invited else ()
