"""Who there is: subscribers, known or not (messaging.md, 1, MS-26)."""

from collections.abc import Iterable, Mapping, Sequence

from tocsin.store import rows
from tocsin.store.mail import LogState
from tocsin.store.statements.messaging.logs import Log, Logs, logs_of, read_state
from tocsin.store.statements.sql import IN_LIST, Database, as_json

INSERT = "INSERT INTO subscriber(key, domain, id, known) VALUES"
SubscriberRow = tuple[int, str, str, bool]
"""(key, domain, id, whether known)"""


def next_subscriber_key(db: Database) -> int:
    """The first unused one."""
    return int(db.execute("SELECT coalesce(max(key), 0) + 1 FROM subscriber").get)


def find_subscribers(db: Database, domain: str, ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """(key, whether known) by id."""
    found = db.execute(
        f"SELECT id, key, known FROM subscriber WHERE domain = ? AND id {IN_LIST}",
        (domain, as_json(ids)),
    )
    return {id_: (key, bool(known)) for id_, key, known in found}


def open_log(db: Database, row: SubscriberRow) -> LogState:
    """Store a subscriber and that he is known, where that is new; how far his Log goes."""
    key = row[0]
    ensure(db, logs_of(db, [key]), {key: row})
    return read_state(db, key)


def ensure(db: Database, logs: Logs, wanted: Mapping[int, SubscriberRow]) -> None:
    """Store those of these that are not in `logs`, and mark as known who is now; `logs` are
    changed."""
    fresh = [row for key, row in wanted.items() if key not in logs]
    for sql, values in rows.in_chunks(INSERT, 4, fresh):
        db.execute(sql, values)
    for key, _, _, known in fresh:
        logs[key] = Log(0, 0, known)
    risen = [key for key, row in wanted.items() if row[3] and not logs[key].known]
    if risen:
        _mark_known(db, risen)
        for key in risen:
            logs[key].known = True


def _mark_known(db: Database, keys: Iterable[int]) -> None:
    db.execute(f"UPDATE subscriber SET known = 1 WHERE key {IN_LIST}", (as_json(keys),))


def count_strangers(db: Database, sender: int, since: int) -> set[int]:
    """Recipients nobody knew, since then."""
    found = db.execute(
        "SELECT recipient FROM stranger WHERE sender = ? AND at >= ?", (sender, since)
    )
    return {key for (key,) in found}


def correspondents(db: Database, key: int, others: Sequence[int], since: int) -> set[int]:
    """Those of the others with whom messages have gone both ways since then."""
    found = db.execute(
        "SELECT away.recipient FROM correspondence AS away JOIN correspondence AS back"
        " ON back.sender = away.recipient AND back.recipient = away.sender"
        f" WHERE away.sender = ?1 AND away.recipient {IN_LIST.replace('?', '?2')}"
        " AND away.at >= ?3 AND back.at >= ?3",
        (key, as_json(others), since),
    )
    return {other for (other,) in found}
