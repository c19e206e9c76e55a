"""What goes with a device token, and how it comes back (push.md, PU-48, PU-49)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import orjson

from tocsin.model.channel import ChannelType, Device
from tocsin.model.subscription import Subscription
from tocsin.store import rows
from tocsin.store.records import Ended, LogEnd, Removal, RemovedDevice
from tocsin.store.statements.accounts import (
    COLUMNS,
    add_channel,
    add_subscription,
    remove_channel,
)
from tocsin.store.statements.pushes import GONE, note_results
from tocsin.store.statements.sql import IN_LIST, Database, as_json, fetch_all
from tocsin.store.vault import PLAIN, Vault

if TYPE_CHECKING:
    from tocsin.model.notification import Notification

SUBSCRIPTION = "id, user, service, destination, sender, listing, policy, expires_at, created_at"


def remove_devices(db: Database, keys: Sequence[int], removal: Removal) -> Ended:
    """Delete channels, by key, with what belongs to them, and keep a record of each."""
    counts: Counter[ChannelType] = Counter()
    services: Counter[str] = Counter()
    lanes: set[str] = set()
    channels: dict[int, ChannelType] = {}
    pushes: dict[int, Notification] = {}
    for key in keys:
        record = _record(db, key)
        ended = remove_channel(db, key, LogEnd(removal.at, "gone", "token_removed"))
        if record is not None:
            _keep(db, record, removal, list(ended.pushes))
        note_results(db, [(id_, GONE) for id_ in ended.pushes])
        counts.update(ended.counts)
        services.update(ended.subscriptions)
        lanes |= ended.lanes
        channels |= ended.channels
        pushes |= ended.pushes
    return Ended(dict(counts), frozenset(lanes), channels, dict(services), pushes)


def _record(db: Database, key: int) -> tuple[rows.Row, list[rows.Row]] | None:
    channel = db.execute(f"SELECT {rows.CHANNEL} FROM channel WHERE key = ?", (key,)).fetchone()
    if channel is None:
        return None
    found = db.execute(
        f"SELECT {SUBSCRIPTION}, CAST(body AS TEXT) FROM subscription WHERE channel = ?", (key,)
    )
    return channel, fetch_all(found)


def _keep(
    db: Database, record: tuple[rows.Row, list[rows.Row]], removal: Removal, pushes: Sequence[int]
) -> None:
    channel, subscriptions = record
    named = dict(zip(COLUMNS, channel, strict=True))
    if named["token"] is None:
        return
    db.execute(
        "INSERT INTO removed(at, provider, app, token, guarded, tombstone, channel, subscriptions,"
        " pushes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            removal.at,
            named["provider"],
            named["app"],
            named["token"],
            removal.is_guarded,
            removal.tombstone,
            as_json(channel),
            as_json(subscriptions),
            as_json(pushes),
        ),
    )


def removed_devices(
    db: Database,
    app: str,
    since: int,
    *,
    guarded_only: bool,
    after: int,
    limit: int,
    vault: Vault = PLAIN,
) -> list[RemovedDevice]:
    """Records of an app, the oldest first."""
    found = db.execute(
        "SELECT key, at, channel, subscriptions FROM removed"
        " WHERE app = ? AND key > ? AND at >= ? AND guarded >= ? ORDER BY key LIMIT ?",
        (app, after, since, guarded_only, limit),
    )
    return [_removed_from(row, vault) for row in found]


def _removed_from(row: rows.Row, vault: Vault) -> RemovedDevice:
    key, at, channel_row, subscription_rows = row
    channel = rows.channel_from(tuple(orjson.loads(channel_row)), vault)
    subscriptions = [
        (Subscription(id_, user, service, channel, *rest), body.encode())
        for id_, user, service, *rest, body in orjson.loads(subscription_rows)
    ]
    return RemovedDevice(key, at, channel, subscriptions)


def restore_devices(
    db: Database, removed: Sequence[tuple[rows.Row, Sequence[tuple[Subscription, bytes]]]]
) -> None:
    """Insert channels, given as rows, and subscriptions again."""
    for channel, subscriptions in removed:
        add_channel(db, channel)
        for subscription, body in subscriptions:
            add_subscription(db, subscription, body)


def drop_records(db: Database, keys: Iterable[int]) -> int:
    """Delete records; how many there were."""
    db.execute(f"DELETE FROM removed WHERE key {IN_LIST}", (as_json(keys),))
    return int(db.changes())


def tombstones(
    db: Database, now: int, limit: int, vault: Vault = PLAIN
) -> list[tuple[Device, int]]:
    """Tokens that count as gone; walks the records, for the start."""
    found = db.execute(
        "SELECT max(tombstone), channel FROM removed WHERE tombstone > ?"
        " GROUP BY token, app, provider ORDER BY max(at) DESC LIMIT ?",
        (now, limit),
    )
    devices = [
        (rows.channel_from(tuple(orjson.loads(channel)), vault).device, until)
        for until, channel in found
    ]
    return [
        (Device(device.provider, device.app, device.token), until)
        for device, until in devices
        if device is not None
    ]
