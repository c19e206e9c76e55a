"""Which master key a store is sealed by, and how that is changed (SE-7).

At the start, before anything is read: a store that is sealed by another key than it is to be, or
by none, is brought there whole in one transaction, and then written anew, so that nothing of what
stood in it before is left in pages nobody uses. A crash in between leaves the old state, or a mark
that the second step is still to be done. Nothing has to be done for it but to change the
configuration, and to have twice the room of the store free.

Without that room the first step is not begun. If the second one fails all the same, the daemon
serves: who must do without it until there is room has more to lose. It says so, and the next
start tries again.
"""

import os
from collections.abc import Sequence
from typing import Final

import apsw
import structlog

from tocsin.model.errors import StartupError
from tocsin.store.overhaul import Announce, lacking_room, nobody, overhaul
from tocsin.store.resealing import KIND, reseal
from tocsin.store.vault import Vault, master_key

KEY_ID: Final = "key"
UNCLEAN: Final = "unclean"
COPIES: Final = 2
"""VACUUM writes the whole store to a temporary file, and from there to the write-ahead log."""

log = structlog.get_logger()


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


def unlock(
    db: apsw.Connection,
    path: str,
    *,
    key: str | None,
    old_keys: Sequence[str] = (),
    announce: Announce = nobody,
) -> Vault:
    """The vault of this key for an open store, which is sealed by it from here on.

    `StartupError` with one line where it is sealed by a key that is none of these, or cannot be
    brought along; it is as it was then.
    """
    wanted = Vault(None if key is None else master_key(key))
    try:
        present = _key_id(db)
        if present != wanted.key_id:
            old = _vault_of(present, old_keys, path)
            if lack := _lacking_room(db):
                raise StartupError(f"store {path}: cannot be sealed by store.master_key: {lack}")
            with overhaul(db.filename, "seal", announce), db:
                reseal(db, old, wanted)
                _note(db, KEY_ID, wanted.key_id.encode())
                _note(db, UNCLEAN, b"")
        if _noted(db, UNCLEAN) is not None:
            _clean(db, announce)
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


# -- the second step -------------------------------------------------------------------------


def _clean(db: apsw.Connection, announce: Announce) -> None:
    """Write it anew, if that can be."""
    try:
        problem = _lacking_room(db)
        if problem is None:
            with overhaul(db.filename, "rewrite", announce):
                _rewrite(db)
    except apsw.Error as error:
        problem = str(error)
    if problem is not None:
        log.warning("store.rewrite_failed", reason=problem, left="secrets as they were before")


def _lacking_room(db: apsw.Connection) -> str | None:
    """What is missing for both steps; what a broken off one left in the log is of no use."""
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    return lacking_room(db.filename, COPIES)


def _rewrite(db: apsw.Connection) -> None:
    """Leave nothing of earlier contents in the file or its log."""
    kept = db.pragma("temp_store")
    # A copy of the whole store is not to be held in memory, and no other disk has room for it.
    db.pragma("temp_store", "default")
    db.pragma("temp_store_directory", os.path.dirname(db.filename))
    try:
        db.execute("VACUUM")
        db.execute("DELETE FROM memo WHERE kind = ? AND name = ?", (KIND, UNCLEAN))
    finally:
        db.pragma("temp_store_directory", "")
        db.pragma("temp_store", kept)
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
