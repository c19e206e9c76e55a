"""Gateway pushes: which repeat which, and what became of the first (push.md, PU-18, PU-19)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tocsin.model.channel import ChannelType
from tocsin.model.notification import GATEWAY_SERVICE, Notification
from tocsin.store import rows
from tocsin.store.records import FirstPush, PushIdentity
from tocsin.store.schema import LEG_BITS
from tocsin.store.statements.sql import IN_LIST, Database, as_json

GONE = "gone"
Pushes = Mapping[int, tuple[PushIdentity, int]]
"""By position, what a push is known by, and its delivery."""


class _Known(NamedTuple):
    proof: int
    delivery: int
    result: str | None
    pending: bool


def first_pushes(
    db: Database, accepted: Sequence[tuple[Pushes, int]]
) -> tuple[list[dict[int, FirstPush]], list[int]]:
    """The first pushes of those that are repeats, of several requests, given with their time, and
    among them; the others are remembered. Also how many rows each request has added."""
    keys = [identity.key for pushes, _ in accepted for identity, _ in pushes.values()]
    if not keys:
        return [{} for _ in accepted], [0] * len(accepted)
    known = _known(db, keys)
    fresh: list[rows.Row] = []
    found: list[dict[int, FirstPush]] = []
    added: list[int] = []
    for pushes, now in accepted:
        again: dict[int, FirstPush] = {}
        new = 0
        for position, (identity, delivery) in pushes.items():
            first = known.get(identity.key)
            if first is not None and _is_repeated(first, identity):
                again[position] = FirstPush(first.delivery, first.result)
                continue
            new += first is None
            known[identity.key] = _Known(identity.proof, delivery, None, pending=True)
            fresh.append((identity.key, identity.proof, delivery, now))
        found.append(again)
        added.append(new)
    _remember(db, fresh)
    return found, added


def _known(db: Database, keys: Iterable[int]) -> dict[int, _Known]:
    found = db.execute(
        "SELECT key, proof, delivery, result,"
        " EXISTS (SELECT 1 FROM delivery WHERE delivery.id = push.delivery)"
        f" FROM push WHERE key {IN_LIST}",
        (as_json(keys),),
    )
    return {
        key: _Known(proof, delivery, result, bool(pending))
        for key, proof, delivery, result, pending in found
    }


def _is_repeated(first: _Known, identity: PushIdentity) -> bool:
    return first.proof == identity.proof and (first.result is not None or first.pending)


def _remember(db: Database, fresh: list[rows.Row]) -> None:
    head = "INSERT OR REPLACE INTO push(key, proof, delivery, at) VALUES"
    for sql, values in rows.in_chunks(head, 4, fresh):
        db.execute(sql, values)


def note_results(db: Database, results: Sequence[tuple[int, str]]) -> None:
    """Write what became of pushes, by delivery."""
    db.execute(
        "UPDATE push SET result = value ->> 1 FROM json_each(?) WHERE push.delivery = value ->> 0",
        (as_json(results),),
    )


def take_back_results(db: Database, deliveries: Iterable[int]) -> None:
    """Pushes that were found gone are not remembered any more: their tokens are registered."""
    db.execute(
        f"UPDATE push SET result = NULL WHERE delivery {IN_LIST} AND result = ?",
        (as_json(deliveries), GONE),
    )


def gateway_pushes(db: Database, ids: str) -> dict[int, Notification]:
    """Those of these deliveries (ids as JSON), still stored, that are gateway pushes."""
    found = db.execute(
        f"SELECT d.id, {rows.NOTIFICATION_OF_N} FROM delivery AS d"
        f" JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
        f" WHERE d.id {IN_LIST} AND d.type = ? AND n.service = ?",
        (ids, ChannelType.OMAPUSH.value, GATEWAY_SERVICE),
    )
    return {row[0]: rows.notification_from(row[1:]) for row in found}


def gateway_pushes_of(db: Database, channel_key: int) -> dict[int, Notification]:
    """The gateway pushes that wait for a channel."""
    found = db.execute(
        f"SELECT d.id, {rows.NOTIFICATION_OF_N} FROM delivery AS d"
        f" JOIN notification AS n ON n.key = d.id >> {LEG_BITS}"
        " WHERE d.channel = ? AND d.lane IS NOT NULL AND d.type = ? AND n.service = ?",
        (channel_key, ChannelType.OMAPUSH.value, GATEWAY_SERVICE),
    )
    return {row[0]: rows.notification_from(row[1:]) for row in found}
