"""What one act of a subscriber writes, on the way in (messaging.md, MS-25, MS-46)."""

from collections.abc import Mapping, Sequence
from itertools import islice

import attrs

from tocsin.store import rows
from tocsin.store.mail import Letter, Mail, Posted, PutInvitation
from tocsin.store.statements.messaging.logs import Draft, append, logs_of
from tocsin.store.statements.messaging.roomchanges import (
    Change,
    change_row,
    lapse_oldest,
    make_changes,
)
from tocsin.store.statements.messaging.subscribers import SubscriberRow, ensure
from tocsin.store.statements.sql import Database, as_json

MESSAGE = "INSERT INTO message(key, id, first, second, sender, at, type, body, dedupe_id) VALUES"
ADDRESSEE = "INSERT INTO addressee(message, recipient, peer) VALUES"
CORRESPONDENCE = "INSERT OR REPLACE INTO correspondence(sender, recipient, at) VALUES"
DEDUPE = "INSERT INTO dedupe(sender, id, message, at) VALUES"
STRANGER = "INSERT OR REPLACE INTO stranger(sender, recipient, at) VALUES"
DedupeKey = tuple[int, str]
"""(sender, dedupe-id)"""


@attrs.frozen(eq=False)
class MailRows:
    """A `Mail` as rows; `most_entries` is how many a Log keeps."""

    at: int
    drafts: Sequence[Draft]
    most_entries: int
    most_invitations: int
    message: rows.Row | None = None
    message_id: str = ""
    addressees: Sequence[rows.Row] = ()
    correspondence: Sequence[rows.Row] = ()
    dedupe: DedupeKey | None = None
    subscribers: Mapping[int, SubscriberRow] = attrs.field(factory=dict)
    strangers: Sequence[tuple[int, int]] = ()
    changes: Sequence[Change] = ()


@attrs.frozen(eq=False)
class Delivered:
    """What became of a `Mail`: the numbers of its entries, or what it repeats; `trimmed` entries
    went for them."""

    numbers: Sequence[int] = ()
    repeat: str | None = None
    lapsed: Sequence[tuple[int, int]] = ()
    trimmed: int = 0


def mail_rows(
    mail: Mail, *, message_key: int, notifications: Mapping[int, int], most_entries: int
) -> MailRows:
    """Render a `Mail`: its objects may change before it is stored. `notifications` are the keys of
    those that are stored, by position."""
    letter = mail.letter
    drafts = [_draft(one, mail.at, message_key, notifications) for one in mail.entries]
    given = MailRows(
        mail.at,
        drafts,
        most_entries,
        mail.most_invitations,
        subscribers={
            one.key: (one.key, one.domain, one.id, one.is_known) for one in mail.subscribers
        },
        strangers=list(mail.strangers),
        changes=[change_row(change) for change in mail.changes],
    )
    return given if letter is None else _with_letter(given, letter, message_key)


def _draft(posted: Posted, at: int, message_key: int, notifications: Mapping[int, int]) -> Draft:
    notification = None if posted.notification is None else notifications.get(posted.notification)
    if posted.is_letter:
        return Draft(posted.subscriber_key, at, message_key, notification)
    text = posted.rendered
    return Draft(posted.subscriber_key, at, None, notification, text.type, text.members)


def _with_letter(given: MailRows, letter: Letter, key: int) -> MailRows:
    first, second = letter.conversation
    sender, text = letter.sender.key, letter.rendered
    in_room = first < 0
    to = [one.key for one in letter.addressees]
    return attrs.evolve(
        given,
        message=(
            *(key, letter.id, first, second, sender, letter.at),
            *(text.type, text.members, letter.dedupe_id),
        ),
        message_id=letter.id,
        addressees=[(key, one, first if in_room else sender) for one in to],
        correspondence=() if in_room else ((sender, first + second - sender, letter.at),),
        dedupe=None if letter.dedupe_id is None else (sender, letter.dedupe_id),
    )


NOTHING_POSTED = Delivered()


def find_repeats(db: Database, mails: Sequence[MailRows | None]) -> list[str | None]:
    """The message that had the `dedupe-id` of each of these first, those among them too."""
    wanted = [mail.dedupe for mail in mails if mail is not None and mail.dedupe is not None]
    if not wanted:
        return [None] * len(mails)
    found = db.execute(
        "SELECT d.sender, d.id, d.message FROM json_each(?) CROSS JOIN dedupe AS d"
        " ON d.sender = value ->> 0 AND d.id = value ->> 1",
        (as_json(wanted),),
    )
    known: dict[DedupeKey, str] = {(sender, id_): message for sender, id_, message in found}
    repeats: list[str | None] = []
    for mail in mails:
        first = None
        if mail is not None and mail.dedupe is not None:
            first = known.get(mail.dedupe)
            known.setdefault(mail.dedupe, mail.message_id)
        repeats.append(first)
    return repeats


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
    _insert(db, mails)
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


def _insert(db: Database, mails: Sequence[MailRows]) -> None:
    """Messages with what belongs to them."""
    with_message = [mail for mail in mails if mail.message is not None]
    parts: list[tuple[str, list[rows.Row]]] = [
        (MESSAGE, [mail.message for mail in with_message if mail.message is not None]),
        (ADDRESSEE, [row for mail in with_message for row in mail.addressees]),
        (CORRESPONDENCE, [row for mail in with_message for row in mail.correspondence]),
        (
            DEDUPE,
            [
                (*mail.dedupe, mail.message_id, mail.at)
                for mail in with_message
                if mail.dedupe is not None
            ],
        ),
        (STRANGER, [(*pair, mail.at) for mail in mails for pair in mail.strangers]),
    ]
    for head, found in parts:
        if found:
            for sql, values in rows.in_chunks(head, len(found[0]), found):
                db.execute(sql, values)


def _change_rooms(db: Database, mail: MailRows) -> Sequence[tuple[int, int]]:
    make_changes(db, mail.changes)
    invited = {row[1] for kind, row in mail.changes if kind is PutInvitation}
    return lapse_oldest(db, invited, mail.most_invitations) if invited else ()
