"""Conversations as they were, until they are old (messaging.md, MS-28, 12)."""

from collections.abc import Sequence
from typing import Any

from tocsin.store.mail import FoundMessage, HistoryPage, HistoryQuery
from tocsin.store.statements.messaging.logs import extended, with_dedupe
from tocsin.store.statements.messaging.paging import filled
from tocsin.store.statements.messaging.roomchanges import forget_rooms
from tocsin.store.statements.messaging.statuses import ALONE, ROOM_OF_M
from tocsin.store.statements.sql import IN_LIST, Database, as_json, fetch_all
from tocsin.wire.messaging.rendered import Rendered
from tocsin.wire.messaging.words import MessageStatus

BEYOND_ANY_ID = "~"

WITNESSES = f"SELECT recipient AS who, status FROM addressee WHERE message = ? AND peer <> {ALONE}"
RECIPIENTS = "SELECT subscriber AS who, 0 AS status FROM entry WHERE message = ?"
"""Those whose receipts are told, and in a large Room all."""


def history(db: Database, query: HistoryQuery) -> HistoryPage:
    """A page of a conversation. What a Room's message came to is what it came to for all."""
    is_forward = query.after is not None and query.before is None
    found, more = filled(
        db.execute(
            "SELECT m.type, m.body, m.sender = ?, m.dedupe_id,"
            f" (SELECT min(status) FROM addressee WHERE message = m.key AND peer <> {ALONE})"
            " FROM message AS m"
            " WHERE m.first = ? AND m.second = ? AND m.id > ? AND m.id < ? AND m.at >= ?"
            f" ORDER BY m.id {'ASC' if is_forward else 'DESC'} LIMIT ?",
            (
                query.reader.key,
                *query.conversation,
                max(query.after or "", query.since),
                BEYOND_ANY_ID if query.before is None else query.before,
                query.oldest,
                query.limit + 1,
            ),
        ),
        lambda row: len(row[1]),
    )
    page = found[: query.limit]
    if not is_forward:
        page.reverse()
    return HistoryPage([_past(*row) for row in page], more or len(found) > query.limit)


def _past(
    type_: str, body: bytes, is_own: bool, dedupe_id: str | None, status: int | None
) -> Rendered:
    text = Rendered(type_, body)
    if not is_own:
        return text
    word = MessageStatus(status or MessageStatus.STORED).word
    return extended(with_dedupe(text, dedupe_id), {"status": word})


def greatest_message_id(db: Database) -> str | None:
    """Of those that are stored."""
    found: str | None = db.execute("SELECT max(id) FROM message").get
    return found


def next_message_key(db: Database) -> int:
    """The first unused one."""
    return int(db.execute("SELECT coalesce(max(key), 0) + 1 FROM message").get)


def find_message(db: Database, domain: str, message_id: str) -> FoundMessage | None:
    """A message of a domain, for the operator."""
    row = db.execute(
        f"SELECT m.key, s.id, m.sender, {ROOM_OF_M}, m.at FROM message AS m"
        " JOIN subscriber AS s ON s.key = m.sender WHERE m.id = ? AND s.domain = ?",
        (message_id, domain),
    ).fetchone()
    if row is None:
        return None
    key, sender_id, sender, room_id, at = row
    statuses = _statuses(db, WITNESSES, key) or _statuses(db, RECIPIENTS, key)
    to = [(id_, MessageStatus(status)) for who, id_, status in statuses if who != sender]
    return FoundMessage(message_id, sender_id, room_id, at, to)


def _statuses(db: Database, known: str, message: int) -> list[tuple[Any, ...]]:
    """(key, id, status) of those that a query knows of, by their ids."""
    sql = f"SELECT s.key, s.id, t.status FROM ({known}) AS t JOIN subscriber AS s ON s.key = t.who"
    return fetch_all(db.execute(f"{sql} ORDER BY s.id", (message,)))


def prune_messages(db: Database, before: int, limit: int) -> int:
    """Delete messages from before that no Log refers to, of the oldest `limit`."""
    found = fetch_all(
        db.execute(
            "SELECT old.key, old.first, old.second FROM (SELECT key, first, second, at"
            " FROM message WHERE key > 0 ORDER BY key LIMIT ?) AS old WHERE old.at < ?"
            " AND NOT EXISTS (SELECT 1 FROM entry WHERE entry.message = old.key)",
            (limit, before),
        )
    )
    if found:
        _delete(db, found, before)
    return len(found)


def _delete(db: Database, found: Sequence[tuple[Any, ...]], before: int) -> None:
    keys = as_json(row[0] for row in found)
    db.execute(f"DELETE FROM addressee WHERE message {IN_LIST}", (keys,))
    db.execute(f"DELETE FROM message WHERE key {IN_LIST}", (keys,))
    pairs = {(first, second) for _, first, second in found if first > 0}
    # One of a pair wrote last when the message was sent that goes now, or later.
    db.execute(
        "DELETE FROM correspondence WHERE at < ? AND (sender, recipient) IN"
        " (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
        (before, as_json([*pairs, *((other, one) for one, other in pairs)])),
    )
    forget_rooms(db, {-first for _, first, _ in found if first < 0})


def forget_dedupes(db: Database, before: int, limit: int) -> int:
    """Delete `dedupe-id`s and strangers from before; how many."""
    gone = 0
    for table, rest in (("dedupe", "id"), ("stranger", "recipient")):
        db.execute(
            f"DELETE FROM {table} WHERE (sender, {rest}) IN (SELECT sender, {rest} FROM {table}"
            " WHERE at < ? ORDER BY at LIMIT ?)",
            (before, limit - gone),
        )
        gone += int(db.changes())
    return gone
