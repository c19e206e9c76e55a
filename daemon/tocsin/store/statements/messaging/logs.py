"""Logs: adding entries, reading them, dropping the oldest (messaging.md, 10)."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import apsw
import attrs

from tocsin.store import rows
from tocsin.store.mail import LogPage, LogState, Posted
from tocsin.store.statements.messaging.paging import filled
from tocsin.store.statements.sql import Database, as_json, fetch_all
from tocsin.wire.messaging.rendered import Rendered, rendered

INSERT = "INSERT INTO entry(subscriber, seq, type, body, message, notification, at) VALUES"
END = "coalesce((SELECT max(seq) FROM entry WHERE subscriber = s.key), s.trimmed)"
"""The last number of a Log of subscriber `s`."""
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
        f"SELECT s.key, {END}, s.trimmed, s.known FROM json_each(?)"
        " CROSS JOIN subscriber AS s ON s.key = value",
        (as_json(keys),),
    )
    return {key: Log(last, trimmed, bool(known)) for key, last, trimmed, known in found}


def append(
    db: Database, logs: Logs, drafts: Sequence[Draft], *, most: int
) -> tuple[list[int], int]:
    """Add entries, in this order; their numbers, and how many old ones went because a Log keeps no
    more than `most`. `logs` have those of everybody concerned, and are changed."""
    numbers: list[int] = []
    found: list[rows.Row] = []
    full: set[int] = set()
    for key, at, message, notification, type_, body in drafts:
        log = logs.get(key)
        if log is None:
            raise apsw.ConstraintError("an entry for a subscriber that is not stored")
        log.last += 1
        numbers.append(log.last)
        found.append((key, log.last, type_, body, message, notification, at))
        if log.last - log.trimmed > most:
            full.add(key)
    for sql, values in rows.in_chunks(INSERT, 7, found):
        db.execute(sql, values)
    return numbers, _trim(db, [(key, logs[key].last - most) for key in full]) if full else 0


def _trim(db: Database, bounds: Sequence[tuple[int, int]]) -> int:
    """Drop the entries of Logs up to a number of each; how many went."""
    listed = as_json(bounds)
    db.execute(
        "DELETE FROM entry WHERE key IN (SELECT e.key FROM json_each(?)"
        " CROSS JOIN entry AS e ON e.subscriber = value ->> 0 AND e.seq <= value ->> 1)",
        (listed,),
    )
    gone = int(db.changes())
    _note_trimmed(db, listed)
    return gone


def _note_trimmed(db: Database, listed: str) -> None:
    db.execute(
        "UPDATE subscriber SET trimmed = value ->> 1 FROM json_each(?)"
        " WHERE subscriber.key = value ->> 0",
        (listed,),
    )


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
        f"SELECT trimmed, {END}, proven FROM subscriber AS s WHERE key = ?", (key,)
    ).fetchone()
    return NO_LOG if row is None else LogState(*row)


def read_page(db: Database, key: int, *, after: int, limit: int) -> LogPage:
    """Entries beyond `after`."""
    cursor = db.execute(
        "SELECT e.seq, e.type, e.body, m.type, m.body, iif(m.sender = e.subscriber, m.dedupe_id,"
        " NULL) FROM entry AS e LEFT JOIN message AS m ON m.key = e.message"
        " WHERE e.subscriber = ? AND e.seq > ? ORDER BY e.seq LIMIT ?",
        (key, after, limit),
    )
    found, _ = filled(cursor, lambda row: len(row[2] or row[4] or b""))
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
    _note_trimmed(db, as_json(trimmed.items()))
    return len(found)
