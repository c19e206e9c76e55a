"""tocsin.cli.backup."""

from pathlib import Path

from click.testing import CliRunner

from tocsin.cli.backup import backup
from tocsin.store.schema import open_database


def test_backup(tmp_path: Path) -> None:
    """OP-3: a copy and a line about it; the second time the one line why not, exit status 1."""
    store, copy = str(tmp_path / "store.db"), str(tmp_path / "copy.db")
    open_database(store).close()
    done = CliRunner().invoke(backup, [store, copy])
    assert (done.exit_code, done.stdout.startswith(f"{copy}: 0.")) == (0, True)
    again = CliRunner().invoke(backup, [store, copy])
    assert (again.exit_code, again.stderr) == (1, f"Error: {copy}: is there already\n")
