"""Logs: adding entries, reading them, dropping the oldest (messaging.md, 10)."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import apsw
import attrs

from tocsin.store import rows
from tocsin.store.mail import LogPage, LogState, Posted
from tocsin.store.statements.sql import IN_LIST, Database, as_json, fetch_all
from tocsin.wire.messaging.rendered import Rendered, rendered

INSERT = "INSERT INTO entry(subscriber, seq, type, body, message, notification, at) VALUES"
NO_LOG = LogState(0, 0, 0)


class Draft(NamedTuple):
    """An entry without its number: with the key of its message, or with a text of its own."""

    subscriber: int
    at: int
    message: int | None = None
    notification: int | None = None
    type: str | None = None
    body: bytes | None = None


@attrs.define
class Log:
    """How far a Log goes, while entries are added to it."""

    last: int
    trimmed: int
    known: bool


Logs = dict[int, Log]


def logs_of(db: Database, keys: Collection[int]) -> Logs:
    """The Logs of those of these subscribers that are stored."""
    found = db.execute(
        f"SELECT key, last_seq, trimmed, known FROM subscriber WHERE key {IN_LIST}",
        (as_json(keys),),
    )
    return {key: Log(last, trimmed, bool(known)) for key, last, trimmed, known in found}


def append(
    db: Database, logs: Logs, drafts: Sequence[Draft], *, most: int
) -> tuple[list[int], int]:
    """Add entries, in this order; their numbers, and how many old ones went because a Log keeps no
    more than `most`. `logs` have those of everybody concerned, and are changed."""
    numbers: list[int] = []
    for draft in drafts:
        log = logs.get(draft.subscriber)
        if log is None:
            raise apsw.ConstraintError("an entry for a subscriber that is not stored")
        log.last += 1
        numbers.append(log.last)
    found = [
        (one.subscriber, seq, one.type, one.body, one.message, one.notification, one.at)
        for one, seq in zip(drafts, numbers, strict=True)
    ]
    for sql, values in rows.in_chunks(INSERT, 7, found):
        db.execute(sql, values)
    changed = {draft.subscriber: logs[draft.subscriber] for draft in drafts}
    full = [(key, log.last - most) for key, log in changed.items() if log.last - log.trimmed > most]
    for key, trimmed in full:
        logs[key].trimmed = trimmed
    db.execute(
        "UPDATE subscriber SET last_seq = value ->> 1, trimmed = value ->> 2 FROM json_each(?)"
        " WHERE subscriber.key = value ->> 0",
        (as_json((key, log.last, log.trimmed) for key, log in changed.items()),),
    )
    return numbers, _trim_to(db, full) if full else 0


def _trim_to(db: Database, bounds: Sequence[tuple[int, int]]) -> int:
    """Drop the entries of Logs up to a number of each."""
    db.execute(
        "DELETE FROM entry WHERE key IN (SELECT e.key FROM json_each(?)"
        " CROSS JOIN entry AS e ON e.subscriber = value ->> 0 AND e.seq <= value ->> 1)",
        (as_json(bounds),),
    )
    return int(db.changes())


def post_texts(
    db: Database, texts: Iterable[tuple[int, Rendered]], *, at: int, most: int
) -> tuple[list[Posted], int]:
    """Add entries with texts of their own, given with whose Log each is for; as they are told, and
    how many old ones went."""
    listed = list(texts)
    if not listed:
        return [], 0
    logs = logs_of(db, {key for key, _ in listed})
    drafts = [Draft(key, at, type=text.type, body=text.members) for key, text in listed]
    numbers, gone = append(db, logs, drafts, most=most)
    posted = [Posted(key, text, seq=seq) for (key, text), seq in zip(listed, numbers, strict=True)]
    return posted, gone


def read_state(db: Database, key: int) -> LogState:
    """How far a Log goes."""
    row = db.execute(
        "SELECT trimmed, last_seq, proven FROM subscriber WHERE key = ?", (key,)
    ).fetchone()
    return NO_LOG if row is None else LogState(*row)


def read_page(db: Database, key: int, *, after: int, limit: int) -> LogPage:
    """Entries beyond `after`."""
    found = db.execute(
        "SELECT e.seq, e.type, e.body, m.type, m.body, iif(m.sender = e.subscriber, m.dedupe_id,"
        " NULL) FROM entry AS e LEFT JOIN message AS m ON m.key = e.message"
        " WHERE e.subscriber = ? AND e.seq > ? ORDER BY e.seq LIMIT ?",
        (key, after, limit),
    )
    entries = [
        Posted(key, Rendered(type_, body), seq=seq)
        if type_ is not None
        else Posted(key, with_dedupe(Rendered(kind, text), dedupe_id), is_letter=True, seq=seq)
        for seq, type_, body, kind, text, dedupe_id in found
    ]
    return LogPage(entries, read_state(db, key))


def with_dedupe(text: Rendered, dedupe_id: str | None) -> Rendered:
    """A message as its sender's own devices have it."""
    return text if dedupe_id is None else extended(text, {"dedupe-id": dedupe_id})


def extended(text: Rendered, members: dict[str, object]) -> Rendered:
    """A message with a few more members."""
    more = rendered(text.type, members).members
    return Rendered(text.type, b"%b,%b" % (text.members, more))


def trim_logs(db: Database, before: int, limit: int) -> int:
    """Drop the oldest entries, up to the last of them from before: nothing in a Log goes before
    what stands earlier in it, even where a clock was put back."""
    found = fetch_all(
        db.execute(
            "SELECT key, subscriber, seq, at FROM entry WHERE key > 0 ORDER BY key LIMIT ?",
            (limit,),
        )
    )
    while found and found[-1][3] >= before:
        found.pop()
    if not found:
        return 0
    db.execute("DELETE FROM entry WHERE key <= ?", (found[-1][0],))
    trimmed = {subscriber: seq for _, subscriber, seq, _ in found}
    db.execute(
        "UPDATE subscriber SET trimmed = value ->> 1 FROM json_each(?)"
        " WHERE subscriber.key = value ->> 0",
        (as_json(trimmed.items()),),
    )
    return len(found)
