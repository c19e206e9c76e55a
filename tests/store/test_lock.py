"""tocsin.store.lock: two daemons never share a store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tocsin.model.errors import StartupError
from tocsin.store.lock import lock_store


def test_a_second_lock_is_refused(tmp_path: Path) -> None:
    """In one line that says why; free again once the first lets go."""
    path = str(tmp_path / "state" / "store.db")
    first = lock_store(path)
    with pytest.raises(StartupError, match="in use by another daemon"):
        lock_store(path)
    os.close(first)
    os.close(lock_store(path))


def test_two_stores_do_not_know_each_other(tmp_path: Path) -> None:
    """A lock is one file's."""
    for descriptor in [lock_store(str(tmp_path / name)) for name in ("a.db", "b.db")]:
        os.close(descriptor)


def test_a_dead_process_holds_no_lock(tmp_path: Path) -> None:
    """The kernel takes the lock back; the file it leaves behind means nothing."""
    path = str(tmp_path / "store.db")
    code = (
        "import os, sys; from tocsin.store.lock import lock_store;"
        " lock_store(sys.argv[1]); os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert died.returncode == -9
    assert Path(f"{path}.lock").exists()
    os.close(lock_store(path))


def test_no_place_for_a_lock(tmp_path: Path) -> None:
    """One line that names the file."""
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="file"):
        lock_store(str(tmp_path / "file" / "store.db"))
