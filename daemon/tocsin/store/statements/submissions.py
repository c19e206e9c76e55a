"""What was submitted, remembered for a day (channels.md, CH-114, CH-115)."""

from collections.abc import Iterable, Mapping

from tocsin.store import rows
from tocsin.store.records import CLASH, Identity, StoredAnswer, Submitted
from tocsin.store.statements.sql import IN_LIST, Database, as_json, fetch_all

# key, proof, subject, channels, at
IdentityRow = tuple[int, int, int, int, int]
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


def remember_answer(db: Database, submitted: Submitted, found: Mapping[int, int]) -> None:
    """Store the first answer to a request, unless it is a refusal."""
    answer = submitted.answer(found)
    if answer is None:
        return
    db.execute(
        "INSERT OR REPLACE INTO submission(key, proof, content, status, body, notification, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            submitted.key,
            submitted.proof,
            answer.content,
            answer.status,
            answer.body,
            answer.notification_id,
            submitted.at,
        ),
    )


def find_submission(db: Database, key: int, proof: int) -> StoredAnswer | None:
    """The remembered answer."""
    row = db.execute(
        "SELECT content, status, body, notification FROM submission WHERE key = ? AND proof = ?",
        (key, proof),
    ).fetchone()
    return None if row is None else StoredAnswer(*row)


def forget_submissions(db: Database, before: int, limit: int) -> int:
    """Delete what is older than `before` from both tables, at most `limit` rows of each."""
    gone = 0
    for table in ("identity", "submission"):
        gone += len(
            fetch_all(
                db.execute(
                    f"DELETE FROM {table} WHERE key IN (SELECT key FROM {table}"
                    " WHERE at < ? ORDER BY at LIMIT ?) RETURNING 1",
                    (before, limit),
                )
            )
        )
    return gone
