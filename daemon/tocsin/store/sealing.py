"""Which master key a store is sealed by, and how that is changed (SE-7).

At the start, before anything is read: a store that is sealed by another key than it is to be, or
by none, is brought there whole in one transaction, and then written anew, so that nothing of what
stood in it before is left in pages nobody uses. A crash in between leaves the old state, or a mark
that the second step is still to be done. It takes a second or so for each 100,000 secrets; nothing
has to be done for it but to change the configuration.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import apsw
import orjson

from tocsin.model.errors import StartupError
from tocsin.store import rows
from tocsin.store.statements import memos
from tocsin.store.statements.messaging.epoch import MEMO
from tocsin.store.vault import Vault, master_key

KIND: Final = "seal"
OWN_KINDS: Final = (KIND, MEMO)
"""Memos of the store itself, which are no secrets and are never sealed."""
KEY_ID: Final = "key"
UNCLEAN: Final = "unclean"
BATCH: Final = 1000
COLUMNS: Final = rows.CHANNEL.split(", ")
SECRETS: Final = ("id", *rows.SEALED, "token", "sealed_token")

Change = Callable[[str, str | None], str | None]


def key_problem(text: str) -> str | None:
    """What is wrong with a key as it is configured."""
    try:
        master_key(text)
    except ValueError as error:
        return str(error)
    return None


def keys_problem(texts: Sequence[str]) -> str | None:
    """What is wrong with any of several."""
    return next((problem for text in texts if (problem := key_problem(text))), None)


def room_place(room_id: str) -> str:
    """Where the invite token of a Room is sealed."""
    return f"room/invite_token/{room_id}"


def unlock(
    db: apsw.Connection, path: str, *, key: str | None, old_keys: Sequence[str] = ()
) -> Vault:
    """The vault of this key for an open store, which is sealed by it from here on.

    `StartupError` with one line where it is sealed by a key that is none of these, or cannot be
    brought along.
    """
    wanted = Vault(None if key is None else master_key(key))
    try:
        present = _key_id(db)
        if present != wanted.key_id:
            _reseal(db, _vault_of(present, old_keys, path), wanted)
        if _noted(db, UNCLEAN) is not None:
            _rewrite(db)
    except apsw.Error as error:
        raise StartupError(
            f"store {path}: cannot be sealed by store.master_key: {error}"
        ) from error
    return wanted


def _vault_of(key_id: str, old_keys: Sequence[str], path: str) -> Vault:
    """The vault that opens what stands there now."""
    vaults = [Vault(), *(Vault(master_key(text)) for text in old_keys)]
    for vault in vaults:
        if vault.key_id == key_id:
            return vault
    raise StartupError(
        f"store {path}: was written with another master key ({key_id}): set store.master_key to "
        "that one, or name it in store.old_master_keys"
    )


def _noted(db: apsw.Connection, name: str) -> bytes | None:
    found = db.execute("SELECT value FROM memo WHERE kind = ? AND name = ?", (KIND, name))
    row = found.fetchone()
    return None if row is None else bytes(row[0])


def _key_id(db: apsw.Connection) -> str:
    return (_noted(db, KEY_ID) or b"").decode()


def _note(db: apsw.Connection, name: str, value: bytes) -> None:
    db.execute(
        "INSERT OR REPLACE INTO memo(kind, name, value) VALUES (?, ?, ?)", (KIND, name, value)
    )


# -- the first step --------------------------------------------------------------------------


def _reseal(db: apsw.Connection, old: Vault, new: Vault) -> None:
    """Open everything by one vault and seal it by another, all or nothing."""

    def change(place: str, stored: str | None) -> str | None:
        return new.seal(place, old.open(place, stored))

    with db:
        _change_channels(db, old, new, change)
        _change_removed(db, old, new, change)
        _change_rooms(db, change)
        _change_memos(db, old, new)
        _note(db, KEY_ID, new.key_id.encode())
        _note(db, UNCLEAN, b"")


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


# -- the second step -------------------------------------------------------------------------


def _rewrite(db: apsw.Connection) -> None:
    """Leave nothing of earlier contents in the file or its log."""
    kept = db.pragma("temp_store")
    # By default on disk: a copy of the whole store is not to be held in memory.
    db.pragma("temp_store", "default")
    db.execute("VACUUM")
    db.pragma("temp_store", kept)
    db.execute("DELETE FROM memo WHERE kind = ? AND name = ?", (KIND, UNCLEAN))
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
