"""Proof that clients have what is in a Log, and what need not be sent then (MS-54, MS-55)."""

from collections.abc import Iterable, Sequence

import attrs

from tocsin.store.mail import Proof
from tocsin.store.records import Ended
from tocsin.store.schema import LEG_BITS
from tocsin.store.statements.escalation import cancel_legs
from tocsin.store.statements.messaging.logs import END
from tocsin.store.statements.messaging.statuses import (
    JOINED,
    NOTHING_RAISED,
    RISEN,
    Raised,
    Risen,
    receive,
)
from tocsin.store.statements.sql import Database, as_json
from tocsin.wire.messaging.words import MessageStatus

IS_NEW = f"a.status < {MessageStatus.RECEIVED:d}"


def prove(db: Database, proofs: Sequence[Proof], *, now: int, most: int) -> Raised:
    """Clients have parts of their Logs; what was proven before is not looked at again."""
    # A cross join is done in the order it is written: the proofs first.
    found = db.execute(
        f"SELECT {RISEN} FROM json_each(?) CROSS JOIN subscriber AS log ON log.key = value ->> 0"
        " CROSS JOIN entry AS e ON e.subscriber = log.key"
        " AND e.seq > max(log.proven, value ->> 1) AND e.seq <= value ->> 2"
        " CROSS JOIN addressee AS a ON a.message = e.message AND a.recipient = e.subscriber"
        f" {JOINED} WHERE {IS_NEW}",
        (as_json((one.subscriber_key, one.after, one.upto) for one in proofs),),
    )
    raised = receive(db, [Risen(*row) for row in found], now=now, most=most)
    db.execute(
        f"UPDATE subscriber AS s SET proven = min({END}, value ->> 1) FROM json_each(?)"
        " WHERE s.key = value ->> 0 AND s.proven < value ->> 1",
        (as_json(_furthest(proofs).items()),),
    )
    cancelled = _cancel_held(db, proofs, now)
    return raised if cancelled is None else attrs.evolve(raised, cancelled=cancelled)


def _furthest(proofs: Iterable[Proof]) -> dict[int, int]:
    """How far each subscriber's go."""
    found: dict[int, int] = {}
    for one in proofs:
        found[one.subscriber_key] = max(one.upto, found.get(one.subscriber_key, 0))
    return found


def _cancel_held(db: Database, proofs: Iterable[Proof], now: int) -> Ended | None:
    """End what was held for these devices and tells of what they have, unless a queue has it or
    has tried it. Who has nothing held costs a look into an index per channel."""
    devices = [
        (one.user, one.correlator, one.is_everywhere, one.subscriber_key, one.upto)
        for one in proofs
        if one.is_everywhere or one.correlator is not None
    ]
    if not devices:
        return None
    found = db.execute(
        "SELECT DISTINCT d.id FROM json_each(?) CROSS JOIN channel AS c ON c.user = value ->> 0"
        " CROSS JOIN delivery AS d ON d.channel = c.key AND d.not_before IS NOT NULL"
        f" CROSS JOIN entry AS e ON e.notification = d.id >> {LEG_BITS}"
        " WHERE (value ->> 2 OR c.client_correlator = value ->> 1) AND d.attempts = 0"
        " AND e.subscriber = value ->> 3 AND e.seq <= value ->> 4",
        (as_json(devices),),
    )
    return cancel_legs(db, [id_ for (id_,) in found], now)


def receive_notified(db: Database, delivery_ids: Iterable[int], *, now: int, most: int) -> Raised:
    """Clients have these deliveries: the messages that they tell of count as received."""
    keys = {id_ >> LEG_BITS for id_ in delivery_ids}
    if not keys:
        return NOTHING_RAISED
    found = db.execute(
        f"SELECT {RISEN} FROM json_each(?) CROSS JOIN entry AS e ON e.notification = value"
        " CROSS JOIN addressee AS a ON a.message = e.message AND a.recipient = e.subscriber"
        f" {JOINED} WHERE {IS_NEW}",
        (as_json(keys),),
    )
    return receive(db, [Risen(*row) for row in found], now=now, most=most)
