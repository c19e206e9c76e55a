"""Everything that is sealed in a store, from one key to another (SE-7).

Rows are read and written a bounded number at a time, all in the transaction of the caller.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import apsw
import orjson

from tocsin.store import rows
from tocsin.store.statements import memos
from tocsin.store.statements.messaging.epoch import MEMO
from tocsin.store.vault import Vault

KIND: Final = "seal"
OWN_KINDS: Final = (KIND, MEMO)
"""Memos of the store itself, which are no secrets and are never sealed."""
BATCH: Final = 1000
COLUMNS: Final = rows.CHANNEL.split(", ")
SECRETS: Final = ("id", *rows.SEALED, "token", "sealed_token")

Change = Callable[[str, str | None], str | None]


def room_place(room_id: str) -> str:
    """Where the invite token of a Room is sealed."""
    return f"room/invite_token/{room_id}"


def reseal(db: apsw.Connection, old: Vault, new: Vault) -> None:
    """Open everything by one vault and seal it by another; to be called in a transaction."""

    def change(place: str, stored: str | None) -> str | None:
        return new.seal(place, old.open(place, stored))

    _change_channels(db, old, new, change)
    _change_removed(db, old, new, change)
    _change_rooms(db, change)
    _change_memos(db, old, new)


def _change_channels(db: apsw.Connection, old: Vault, new: Vault, change: Change) -> None:
    sql = (
        "SELECT key, id, authorization, secret, previous, echoed, token, sealed_token"
        " FROM channel WHERE key > ? AND (token IS NOT NULL OR authorization IS NOT NULL"
        " OR secret IS NOT NULL OR previous IS NOT NULL OR echoed IS NOT NULL)"
        " ORDER BY key LIMIT ?"
    )
    for batch in _batches(db, sql):
        changed = [
            (*_changed(dict(zip(SECRETS, row, strict=True)), old, new, change), key)
            for key, *row in batch
        ]
        db.executemany(
            "UPDATE channel SET authorization = ?, secret = ?, previous = ?, echoed = ?,"
            " token = ?, sealed_token = ? WHERE key = ?",
            changed,
        )


def _change_removed(db: apsw.Connection, old: Vault, new: Vault, change: Change) -> None:
    sql = "SELECT key, channel FROM removed WHERE key > ? ORDER BY key LIMIT ?"
    for batch in _batches(db, sql):
        changed = []
        for key, text in batch:
            named = dict(zip(COLUMNS, orjson.loads(text), strict=True))
            named.update(zip(SECRETS[1:], _changed(named, old, new, change), strict=True))
            changed.append((named["token"], orjson.dumps([*named.values()]).decode(), key))
        db.executemany("UPDATE removed SET token = ?, channel = ? WHERE key = ?", changed)


def _changed(
    row: Mapping[str, str | None], old: Vault, new: Vault, change: Change
) -> list[str | None]:
    """The columns of a channel from the second of `SECRETS` on."""
    id_ = str(row["id"])
    found = [change(rows.place_of(name, id_), row[name]) for name in rows.SEALED]
    place = rows.place_of("token", id_)
    token = old.open(place, row["sealed_token"]) if old.is_sealing else row["token"]
    if token is None:
        return [*found, None, None]
    return [*found, new.digest(token), new.seal(place, token) if new.is_sealing else None]


def _change_rooms(db: apsw.Connection, change: Change) -> None:
    sql = (
        "SELECT key, id, invite_token FROM room WHERE key > ? AND invite_token IS NOT NULL"
        " ORDER BY key LIMIT ?"
    )
    for batch in _batches(db, sql):
        changed = [(change(room_place(id_), token), key) for key, id_, token in batch]
        db.executemany("UPDATE room SET invite_token = ? WHERE key = ?", changed)


def _change_memos(db: apsw.Connection, old: Vault, new: Vault) -> None:
    last = ("", "")
    while batch := list(
        db.execute(
            "SELECT kind, name, value FROM memo WHERE (kind, name) > (?, ?)"
            " AND kind NOT IN (?, ?) ORDER BY kind, name LIMIT ?",
            (*last, *OWN_KINDS, BATCH),
        )
    ):
        changed = []
        for kind, name, value in batch:
            place = memos.place_of(kind, name)
            changed.append((new.seal_bytes(place, old.open_bytes(place, value)), kind, name))
        db.executemany("UPDATE memo SET value = ? WHERE kind = ? AND name = ?", changed)
        last = batch[-1][0], batch[-1][1]


def _batches(db: apsw.Connection, sql: str) -> Iterator[list[rows.Row]]:
    """Rows by ascending key, a bounded number at a time; each may be changed before the next."""
    last = -1
    while batch := list(db.execute(sql, (last, BATCH))):
        yield batch
        last = batch[-1][0]
