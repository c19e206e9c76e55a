"""A `Mail` as rows: rendered when it is asked for, stored later."""

from collections.abc import Mapping, Sequence

import attrs

from tocsin.store import rows
from tocsin.store.mail import Letter, Mail, Posted
from tocsin.store.statements.messaging.logs import Draft
from tocsin.store.statements.messaging.roomchanges import Change, change_row
from tocsin.store.statements.messaging.subscribers import SubscriberRow

DedupeRow = tuple[int, str, str, int]
"""(sender, dedupe-id, message-id, at)"""


@attrs.frozen(eq=False)
class LetterRows:
    """A message with what belongs to it."""

    message: rows.Row
    addressees: Sequence[rows.Row]
    correspondence: rows.Row | None
    dedupe: DedupeRow | None


@attrs.frozen(eq=False)
class MailRows:
    """A `Mail`; `most_entries` is how many a Log keeps."""

    at: int
    drafts: Sequence[Draft]
    most_entries: int
    most_invitations: int
    letter: LetterRows | None
    subscribers: Mapping[int, SubscriberRow]
    strangers: Sequence[tuple[int, int]]
    changes: Sequence[Change]


def mail_rows(
    mail: Mail, *, message_key: int, notifications: Mapping[int, int], most_entries: int
) -> MailRows:
    """Render a `Mail`: its objects may change before it is stored. `notifications` are the keys of
    those that are stored, by position."""
    letter = mail.letter
    return MailRows(
        mail.at,
        [_draft(one, mail.at, message_key, notifications) for one in mail.entries],
        most_entries,
        mail.most_invitations,
        None if letter is None else _letter_rows(letter, message_key),
        {one.key: (one.key, one.domain, one.id, one.is_known) for one in mail.subscribers},
        list(mail.strangers),
        [change_row(change) for change in mail.changes],
    )


def _draft(posted: Posted, at: int, message_key: int, notifications: Mapping[int, int]) -> Draft:
    notification = None if posted.notification is None else notifications.get(posted.notification)
    if posted.is_letter:
        return Draft(posted.subscriber_key, at, message_key, notification)
    text = posted.rendered
    return Draft(posted.subscriber_key, at, None, notification, text.type, text.members)


def _letter_rows(letter: Letter, key: int) -> LetterRows:
    first, second = letter.conversation
    sender, text, in_room = letter.sender.key, letter.rendered, first < 0
    return LetterRows(
        (
            *(key, letter.id, first, second, sender, letter.at),
            *(text.type, text.members, letter.dedupe_id),
        ),
        [(key, one.key, first if in_room else sender) for one in letter.addressees],
        None if in_room else (sender, first + second - sender, letter.at),
        None if letter.dedupe_id is None else (sender, letter.dedupe_id, letter.id, letter.at),
    )
