"""Faults of a SQLite store, caused from outside through a second connection to its file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

WRITES = {
    "channel": ("INSERT", "UPDATE", "DELETE"),
    "subscription": ("INSERT", "DELETE"),
    "notification": ("INSERT", "DELETE"),
    "delivery": ("INSERT", "UPDATE", "DELETE"),
    "probe": ("INSERT", "UPDATE"),
    "memo": ("INSERT", "DELETE"),
    "removed": ("INSERT", "DELETE"),
    "submission": ("DELETE",),
}


class Fault:
    """Makes writes of a store's file fail, or wait."""

    def __init__(self, path: Path | str) -> None:
        self._db = apsw.Connection(str(path))
        self._db.set_busy_timeout(5000)

    def begin(self, *tables: str) -> None:
        """Every change of these tables (all, if none is named) is refused from now on."""
        for table in tables or WRITES:
            for action in WRITES[table]:
                self._db.execute(
                    f"CREATE TRIGGER fault_{table}_{action} BEFORE {action} ON {table}"
                    " BEGIN SELECT RAISE(ABORT, 'the disk is on fire'); END"
                )

    def end(self) -> None:
        """The store works again."""
        names = [row[0] for row in self._db.execute("SELECT name FROM sqlite_schema") if row[0]]
        for name in names:
            if name.startswith("fault_"):
                self._db.execute(f"DROP TRIGGER {name}")

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Commits do not get on while this lasts (a few seconds at most)."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
