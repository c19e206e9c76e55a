"""What is left in the store of a daemon that ought to have nothing left, for a failure to tell.

Read from the file, beside the daemon, whatever that says or does.
"""

from contextlib import closing
from pathlib import Path

import apsw

MOST = 20
CHANNELS = (
    "SELECT c.key, c.type, c.user, c.client_correlator, c.state, c.last_seq,"
    " (SELECT count(*) FROM subscription AS s WHERE s.channel = c.key) AS subscriptions,"
    " count(*) AS deliveries, count(d.seq) AS written, count(d.due_at) AS due,"
    " count(d.claimed) AS claimed"
    " FROM delivery AS d LEFT JOIN channel AS c ON c.key = d.channel GROUP BY d.channel"
)
DELIVERIES = (
    "SELECT d.channel, n.id AS notification, d.priority, d.seq, d.lane, d.order_key, d.due_at,"
    " d.attempts, d.unanswered, d.claimed, d.not_before, n.accepted_at, n.expires_at"
    " FROM delivery AS d LEFT JOIN notification AS n ON n.key = d.id >> 16"
    f" ORDER BY d.id LIMIT {MOST}"
)


def deliveries_in(folder: Path) -> int:
    """How many deliveries there really are in the store of a daemon with this folder."""
    with closing(_store_in(folder)) as store:
        return int(store.execute("SELECT count(*) FROM delivery").get)


def remains_in(folder: Path) -> str:
    """The channels that have deliveries left, and some of these, one a line."""
    with closing(_store_in(folder)) as store:
        return "\n".join(
            [
                *("left are:", *_lines(store, CHANNELS)),
                *(f"of these, {MOST} at most:", *_lines(store, DELIVERIES)),
            ]
        )


def _store_in(folder: Path) -> apsw.Connection:
    store = apsw.Connection(str(folder / "state" / "tocsin.db"))
    store.set_busy_timeout(5000)
    return store


def _lines(store: apsw.Connection, query: str) -> list[str]:
    """Each row by the names of its columns, without what is NULL."""
    cursor = store.execute(query)
    return [
        " ".join(
            f"{name}={value}"
            for (name, _), value in zip(cursor.get_description(), row, strict=True)
            if value is not None
        )
        for row in cursor
    ]
