"""Little things to be known at the next start, by kind and name."""

from collections.abc import Mapping

from tocsin.store.statements.sql import IN_LIST, Database, as_json


def recall(db: Database, kind: str) -> dict[str, bytes]:
    """Everything of a kind."""
    return dict(db.execute("SELECT name, value FROM memo WHERE kind = ?", (kind,)))


def remember(db: Database, kind: str, values: Mapping[str, bytes | None]) -> None:
    """Insert, replace or, where there is no value, delete."""
    forgotten = [name for name, value in values.items() if value is None]
    db.execute(f"DELETE FROM memo WHERE kind = ? AND name {IN_LIST}", (kind, as_json(forgotten)))
    kept = [(kind, name, value) for name, value in values.items() if value is not None]
    db.executemany("INSERT OR REPLACE INTO memo(kind, name, value) VALUES (?, ?, ?)", kept)
