"""Little things to be known at the next start, by kind and name."""

from collections.abc import Mapping

from tocsin.store.statements.sql import IN_LIST, Database, as_json
from tocsin.store.vault import PLAIN, Vault


def place_of(kind: str, name: str) -> str:
    """Where a value is sealed; whether it is a secret, its owner knows alone."""
    return f"memo/{kind}/{name}"


def recall(db: Database, kind: str, vault: Vault = PLAIN) -> dict[str, bytes]:
    """Everything of a kind."""
    found = db.execute("SELECT name, value FROM memo WHERE kind = ?", (kind,))
    return {name: vault.open_bytes(place_of(kind, name), value) for name, value in found}


def remember(
    db: Database, kind: str, values: Mapping[str, bytes | None], vault: Vault = PLAIN
) -> None:
    """Insert, replace or, where there is no value, delete."""
    forgotten = [name for name, value in values.items() if value is None]
    db.execute(f"DELETE FROM memo WHERE kind = ? AND name {IN_LIST}", (kind, as_json(forgotten)))
    kept = [
        (kind, name, vault.seal_bytes(place_of(kind, name), value))
        for name, value in values.items()
        if value is not None
    ]
    db.executemany("INSERT OR REPLACE INTO memo(kind, name, value) VALUES (?, ?, ?)", kept)
