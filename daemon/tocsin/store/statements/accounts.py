"""A user's channels and subscriptions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import apsw
import attrs
import orjson

from tocsin.model.channel import ChannelType, Device
from tocsin.model.subscription import Subscription
from tocsin.store import rows
from tocsin.store.records import AccountRecord, Ended, LogEnd
from tocsin.store.statements.deliverylog import log_end_of_channel
from tocsin.store.statements.pushes import gateway_pushes_of, take_back_results
from tocsin.store.statements.sql import (
    DUE,
    IN_LIST,
    Database,
    as_json,
    ended_of,
    fetch_all,
    forget_notifications,
)
from tocsin.store.vault import PLAIN, Vault

COLUMNS = rows.CHANNEL.split(", ")
USED_AT = COLUMNS.index("used_at")
CHANGEABLE = (
    *("application_tag", "lifetime", "expires_at", "secret", "previous", "rotated_until"),
    *("provider", "app", "token", "sealed_token", "registered_at", "max_notifications"),
    *("echoed", "used_at", "held_until"),
)


def load_account(db: Database, user: str, vault: Vault = PLAIN) -> AccountRecord:
    """A user's channels and subscriptions."""
    channels = {
        row[0]: rows.channel_from(row, vault)
        for row in db.execute(
            f"SELECT {rows.CHANNEL} FROM channel WHERE user = ? ORDER BY key",
            (user,),
        )
    }
    found = fetch_all(
        db.execute(
            "SELECT channel, id, service, destination, sender, listing, policy, expires_at,"
            " created_at FROM subscription WHERE user = ? ORDER BY created_at, id",
            (user,),
        )
    )
    abroad = {row[0] for row in found} - set(channels)
    for row in db.execute(
        f"SELECT {rows.CHANNEL} FROM channel WHERE key {IN_LIST}", (as_json(abroad),)
    ):
        channels[row[0]] = rows.channel_from(row, vault)
    subscriptions = [
        Subscription(id_, user, service, channels[key], *rest) for key, id_, service, *rest in found
    ]
    own = [channel for channel in channels.values() if channel.user == user]
    return AccountRecord(user, own, subscriptions)


def add_channel(db: Database, row: rows.Row) -> None:
    """Insert a channel."""
    places = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO channel({rows.CHANNEL}) VALUES ({places})", row)
    _register(db, dict(zip(COLUMNS, row, strict=True)))


def open_channels(db: Database, found: Sequence[rows.Row]) -> frozenset[int]:
    """Insert those of these channels that are not there, and note that the others are in use; the
    keys of the first kind. Nobody has registered a token by that."""
    known = {
        key
        for (key,) in db.execute(
            f"SELECT key FROM channel WHERE key {IN_LIST}", (as_json(row[0] for row in found),)
        )
    }
    fresh = {row[0]: row for row in found if row[0] not in known}
    head = f"INSERT INTO channel({rows.CHANNEL}) VALUES"
    for sql, values in rows.in_chunks(head, len(COLUMNS), list(fresh.values())):
        db.execute(sql, values)
    db.execute(
        "UPDATE channel SET used_at = max(used_at, value ->> 1) FROM json_each(?)"
        " WHERE channel.key = value ->> 0",
        (as_json((row[0], row[USED_AT]) for row in found if row[0] in known),),
    )
    return frozenset(fresh)


def _register(db: Database, channel: dict[str, Any]) -> None:
    """A token that is stored for a channel counts as gone no longer (PU-48)."""
    if channel["token"] is None:
        return
    found = db.execute(
        "UPDATE removed SET tombstone = 0 WHERE token = ? AND app = ? AND provider = ?"
        " AND tombstone > 0 RETURNING pushes",
        (channel["token"], channel["app"], channel["provider"]),
    )
    pushes = [id_ for (listed,) in fetch_all(found) for id_ in orjson.loads(listed)]
    if pushes:
        take_back_results(db, pushes)


def change_channel(db: Database, row: rows.Row) -> None:
    """Replace what may change of a channel's row."""
    now = dict(zip(COLUMNS, row, strict=True))
    columns = ", ".join(f"{name} = ?" for name in CHANGEABLE)
    values = [now[name] for name in CHANGEABLE]
    db.execute(f"UPDATE channel SET {columns} WHERE key = ?", (*values, now["key"]))
    if not db.changes():
        raise apsw.ConstraintError("a channel that is gone")
    _register(db, now)
    if now["app"] is not None:
        lane = Device(now["provider"], now["app"], "").lane
        db.execute(
            "UPDATE delivery SET lane = ?1 WHERE channel = ?2 AND lane IS NOT NULL AND lane <> ?1",
            (lane, now["key"]),
        )


def extend_channels(db: Database, clocks: Sequence[tuple[int, int | None]]) -> None:
    """Write clocks, given as (channel key, expires_at)."""
    db.execute(
        "UPDATE channel SET expires_at = value ->> 1 FROM json_each(?)"
        " WHERE channel.key = value ->> 0",
        (as_json(clocks),),
    )


def mark_failing(db: Database, since: Mapping[int, int | None]) -> None:
    """Write since when channels fail, by their keys."""
    db.execute(
        "UPDATE channel SET failing_since = value ->> 1 FROM json_each(?)"
        " WHERE channel.key = value ->> 0",
        (as_json(since.items()),),
    )


def mark_held(db: Database, until: Mapping[int, int]) -> None:
    """Write until when channels are left alone, by their keys."""
    db.execute(
        "UPDATE channel SET held_until = value ->> 1 FROM json_each(?)"
        " WHERE channel.key = value ->> 0",
        (as_json(until.items()),),
    )


def count_unsigned(db: Database) -> int:
    """Webhooks without a secret of their own."""
    return int(
        db.execute("SELECT count(*) FROM channel WHERE url IS NOT NULL AND secret IS NULL").get
    )


def grant_grace(db: Database, until: int) -> None:
    """Move every clock that stands before `until` to it."""
    db.execute("UPDATE channel SET expires_at = ?1 WHERE expires_at < ?1", (until,))


def remove_channel(db: Database, key: int, end: LogEnd | None = None) -> Ended:
    """Delete a channel, its subscriptions and its deliveries, which the log tells as `end`."""
    if end is not None:
        log_end_of_channel(db, key, end)
    services = Counter(
        service
        for (service,) in db.execute(
            "DELETE FROM subscription WHERE channel = ? RETURNING service", (key,)
        )
    )
    pushes = gateway_pushes_of(db, key)
    removed = db.execute("DELETE FROM channel WHERE key = ? RETURNING key, type", (key,))
    channels = {number: ChannelType(type_) for number, type_ in removed}
    gone = fetch_all(
        db.execute(
            "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE channel = ?1"
            " AND lane IS NULL UNION ALL SELECT id FROM delivery WHERE channel = ?1"
            " AND lane IS NOT NULL) RETURNING id, type, lane",
            (key,),
        )
    )
    forget_notifications(db, [id_ for id_, _, _ in gone])
    ended = ended_of((type_, lane) for _, type_, lane in gone)
    return attrs.evolve(ended, channels=channels, subscriptions=dict(services), pushes=pushes)


def expired_channels(db: Database, now: int, limit: int) -> list[tuple[Any, ...]]:
    """(user, id) of channels whose stored clock ran out."""
    return fetch_all(
        db.execute(
            "SELECT user, id FROM channel WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
            (now, limit),
        )
    )


def suspend_channel(db: Database, key: int) -> None:
    """Take a channel's deliveries off the lane."""
    db.execute("UPDATE channel SET state = 1 WHERE key = ?", (key,))
    db.execute("UPDATE delivery SET due_at = NULL WHERE channel = ? AND lane IS NOT NULL", (key,))


def resume_channel(db: Database, key: int, now: int) -> None:
    """Put the first delivery of each order key of a channel back on the lane; it has failed
    no longer, and may be called at once."""
    db.execute(
        "UPDATE channel SET state = 0, failing_since = NULL, held_until = 0 WHERE key = ?", (key,)
    )
    db.execute(
        f"UPDATE delivery SET due_at = {DUE} WHERE claimed IS NULL AND id IN ("
        " SELECT min(id) FROM delivery WHERE channel = ?2 AND lane IS NOT NULL"
        " GROUP BY order_key)",
        (now, key),
    )


def add_subscription(db: Database, subscription: Subscription, body: bytes) -> None:
    """Insert a subscription; refused where its channel was not stored after all."""
    db.execute(
        "INSERT INTO subscription(id, user, service, channel, destination, sender, listing,"
        " policy, expires_at, created_at, body)"
        " SELECT ?, ?, ?, key, ?, ?, ?, ?, ?, ?, ? FROM channel WHERE key = ?",
        (
            subscription.id,
            subscription.user,
            subscription.service,
            subscription.destination,
            subscription.sender,
            subscription.listing,
            subscription.policy,
            subscription.expires_at,
            subscription.created_at,
            body,
            subscription.channel.key,
        ),
    )
    if not db.changes():
        raise apsw.ConstraintError("a subscription without its channel")


def check_subscriptions(db: Database, premises: Sequence[tuple[str, bool]]) -> None:
    """Refuse what relies on subscriptions that are there, or are not, where that is wrong."""
    wrong = db.execute(
        "SELECT 1 FROM json_each(?)"
        " WHERE value ->> 1 <> EXISTS (SELECT 1 FROM subscription WHERE id = value ->> 0) LIMIT 1",
        (as_json(premises),),
    ).fetchone()
    if wrong is not None:
        raise apsw.ConstraintError("a change of subscriptions that was not stored")


def remove_subscription(db: Database, id_: str, channel_key: int, now: int) -> None:
    """Delete a subscription; its channel was in use until now (CH-42)."""
    db.execute("DELETE FROM subscription WHERE id = ?", (id_,))
    db.execute(
        "UPDATE channel SET used_at = ? WHERE key = ? AND used_at IS NOT NULL", (now, channel_key)
    )


def renew_subscription(db: Database, id_: str, expires_at: int | None) -> None:
    """Write when a subscription ends."""
    db.execute("UPDATE subscription SET expires_at = ? WHERE id = ?", (expires_at, id_))


def expired_subscriptions(db: Database, now: int, limit: int) -> list[tuple[Any, ...]]:
    """(user, id) of subscriptions whose own time is up."""
    return fetch_all(
        db.execute(
            "SELECT user, id FROM subscription WHERE expires_at <= ? ORDER BY expires_at LIMIT ?",
            (now, limit),
        )
    )


def unused_channels(
    db: Database, kind: ChannelType, before: int, limit: int
) -> list[tuple[Any, ...]]:
    """(user, id) of channels without a subscription that were not used since."""
    return fetch_all(
        db.execute(
            "SELECT user, id FROM channel WHERE type = ? AND used_at < ? AND NOT EXISTS"
            " (SELECT 1 FROM subscription WHERE subscription.channel = channel.key)"
            " ORDER BY used_at LIMIT ?",
            (kind.value, before, limit),
        )
    )


def find_device(db: Database, provider: str, app: str, token: str) -> list[tuple[Any, ...]]:
    """(user, id) of the channels of one device and app; the token as it is stored."""
    return fetch_all(
        db.execute(
            "SELECT user, id FROM channel WHERE token = ? AND app = ? AND provider = ?",
            (token, app, provider),
        )
    )


def subscription_bodies(db: Database, ids: Sequence[str]) -> list[bytes]:
    """The texts of these subscriptions, in this order."""
    found = db.execute(
        "SELECT body FROM json_each(?) JOIN subscription ON subscription.id = value"
        " ORDER BY json_each.key",
        (as_json(ids),),
    )
    return [body for (body,) in found]
