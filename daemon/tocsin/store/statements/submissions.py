"""What was submitted, remembered for a day (channels.md, CH-114, CH-115; push.md, PU-18)."""

import zlib
from collections.abc import Iterable, Mapping

from tocsin.store import rows
from tocsin.store.records import CLASH, Identity, StoredAnswer, Submitted
from tocsin.store.statements.sql import IN_LIST, Database, as_json

# key, proof, subject, channels, at
IdentityRow = tuple[int, int, int, int, int]
PACKED_FROM = 1024
ANY_TIME = 1 << 62
Known = dict[int, IdentityRow]


def known_identities(db: Database, keys: Iterable[int]) -> Known:
    """The rows of these keys."""
    found = db.execute(
        f"SELECT key, proof, subject, channels, at FROM identity WHERE key {IN_LIST}",
        (as_json(keys),),
    )
    return {row[0]: row for row in found}


def repeats(known: Known, identities: Mapping[int, Identity]) -> dict[int, int]:
    """Which of these are repeats, by position: their first number of channels, or `CLASH`."""
    found = {}
    for position, identity in identities.items():
        row = known.get(identity.key)
        if row is not None and row[1] == identity.proof:
            found[position] = row[3] if row[2] == identity.subject else CLASH
    return found


def remember_identities(db: Database, fresh: list[IdentityRow]) -> None:
    """Insert; a stranger with the same key makes room."""
    head = "INSERT OR REPLACE INTO identity(key, proof, subject, channels, at) VALUES"
    for sql, values in rows.in_chunks(head, 5, fresh):
        db.execute(sql, values)


def remember_answer(db: Database, submitted: Submitted, found: Mapping[int, int]) -> bool:
    """Store the answer to a request, in place of one that stood for it meanwhile, unless it is a
    refusal; whether a row was added."""
    answer = submitted.answer(found)
    if answer is None:
        return False
    known = db.execute("SELECT count(*) FROM submission WHERE key = ?", (submitted.key,)).get
    packed = len(answer.body) > PACKED_FROM
    db.execute(
        "INSERT OR REPLACE INTO submission(key, proof, content, status, body, notification, at,"
        " packed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            submitted.key,
            submitted.proof,
            answer.content,
            answer.status,
            zlib.compress(answer.body, 1) if packed else answer.body,
            answer.notification_id,
            submitted.at,
            packed,
        ),
    )
    return not known


def find_submission(db: Database, key: int, proof: int) -> StoredAnswer | None:
    """The remembered answer."""
    row = db.execute(
        "SELECT content, status, body, notification, packed FROM submission"
        " WHERE key = ? AND proof = ?",
        (key, proof),
    ).fetchone()
    if row is None:
        return None
    content, status, body, notification, packed = row
    return StoredAnswer(content, status, zlib.decompress(body) if packed else body, notification)


def forget_submission(db: Database, key: int, proof: int) -> int:
    """Delete the answer, unless it is a stranger's with the same key; how many rows went."""
    db.execute("DELETE FROM submission WHERE key = ? AND proof = ?", (key, proof))
    return int(db.changes())


def forget(db: Database, table: str, before: int, *, excess: int, limit: int) -> int:
    """Delete from a table of `REMEMBERED` what is from before, and else the oldest `excess`; at
    most `limit` rows."""
    gone = _forget_oldest(db, table, before, limit)
    return gone + _forget_oldest(db, table, ANY_TIME, min(limit, excess) - gone)


def _forget_oldest(db: Database, table: str, before: int, most: int) -> int:
    if most <= 0:
        return 0
    db.execute(
        f"DELETE FROM {table} WHERE key IN (SELECT key FROM {table} WHERE at < ? ORDER BY at"
        " LIMIT ?)",
        (before, most),
    )
    return int(db.changes())
