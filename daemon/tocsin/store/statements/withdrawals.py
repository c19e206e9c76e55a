"""Incoming calls that may have to be withdrawn (push.md, PU-13)."""

from collections.abc import Iterable

from tocsin.model.notification import Notification
from tocsin.store import rows
from tocsin.store.schema import LEG_BITS
from tocsin.store.statements.sql import IN_LIST, Database, as_json

# As in the index `notification_call`, which is not used otherwise.
IS_CALL = "n.root_key = 'NotifyIncomingCall'"


def find_calls(db: Database, order_keys: Iterable[str]) -> list[tuple[int, Notification]]:
    """The undelivered gateway calls with these order keys, with the ids of their deliveries: a
    gateway push has one."""
    found = db.execute(
        f"SELECT d.id, {rows.NOTIFICATION_OF_N} FROM notification AS n"
        f" JOIN delivery AS d ON d.id = n.key << {LEG_BITS}"
        f" WHERE {IS_CALL} AND n.order_key {IN_LIST} AND n.service = 'push'",
        (as_json(order_keys),),
    )
    return [(row[0], rows.notification_from(row[1:])) for row in found]
