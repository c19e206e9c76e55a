"""The delivery log: what every attempt came to (delivery.md, delivery log).

Only what is asked for by delivery has an index. By channel, user or notification the log is read
backwards, newest first; one call looks at a bounded number of rows, so that no question of an
operator holds up the writer, and says where the next has to go on.
"""

from collections.abc import Sequence

from tocsin.store import rows
from tocsin.store.interface import Attempt
from tocsin.store.statements.sql import Database

ATTEMPT = (
    "delivery, notification, user, channel, type, at, number, result, latency_ms, status, reason,"
    " excerpt"
)
INSERT = f"INSERT INTO attempt({ATTEMPT}) VALUES"


def log_attempts(db: Database, attempts: Sequence[Attempt]) -> None:
    """Append to the log."""
    found = [
        (
            one.delivery,
            one.notification_id,
            one.user,
            one.channel_id,
            one.type.value,
            one.at,
            one.number,
            one.result,
            one.latency_ms,
            one.status,
            one.reason,
            one.excerpt,
        )
        for one in attempts
    ]
    for sql, values in rows.in_chunks(INSERT, 12, found):
        db.execute(sql, values)
