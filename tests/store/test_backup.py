"""tocsin.store.backup: a copy is whole or not there."""

import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from tocsin.model.errors import StartupError
from tocsin.store.backup import PASSED_OVER, back_up
from tocsin.store.schema import APPLICATION_ID, VERSION, open_database
from tocsin.store.statements.messaging.epoch import log_epoch


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A closed store's file, with one row that can be looked for."""
    file = tmp_path / "store.db"
    connection = open_database(str(file))
    connection.execute("INSERT INTO probe VALUES (1, 7)")
    connection.execute("INSERT INTO memo VALUES ('large', 'one', zeroblob(?))", (1 << 20,))
    connection.close()
    return file


def row_of(file: Path) -> int:
    """The row, as the daemon would find it."""
    connection = open_database(str(file))
    try:
        return int(connection.execute("SELECT at FROM probe").get)
    finally:
        connection.close()


def epoch_of(file: Path) -> str:
    """Which life of the Logs it is."""
    connection = open_database(str(file))
    try:
        return log_epoch(connection)
    finally:
        connection.close()


def numbers_of(file: Path) -> dict[str, int]:
    """Behind which number each channel goes on."""
    connection = open_database(str(file))
    try:
        found = connection.execute("SELECT id, max(last_seq, coalesce(reserved, 0)) FROM channel")
        return {str(id_): int(number) for id_, number in found}
    finally:
        connection.close()


def test_what_is_committed_is_in_the_copy(store: Path, tmp_path: Path) -> None:
    """OP-3: while the daemon writes, the copy has all that was committed, for its owner alone, and
    no second file is left."""
    busy = open_database(str(store))
    busy.execute("UPDATE probe SET at = 8")
    busy.execute("BEGIN IMMEDIATE; UPDATE probe SET at = 9")
    copy = tmp_path / "to" / "copy.db"
    copy.parent.mkdir()
    back_up(store, copy)
    busy.execute("ROLLBACK")
    busy.close()
    assert [one.name for one in copy.parent.iterdir()] == ["copy.db"]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert row_of(copy) == 8


def test_a_copy_is_another_life_of_the_logs(store: Path, tmp_path: Path) -> None:
    """MS-60: cursors of the store mean nothing to a daemon that starts with the copy; the store
    keeps its own."""
    before = epoch_of(store)
    back_up(store, tmp_path / "copy.db")
    assert epoch_of(tmp_path / "copy.db") != before
    assert epoch_of(store) == before


def test_no_number_is_given_twice(store: Path, tmp_path: Path) -> None:
    """CH-58, CH-67: a copy numbers on far behind what clients with positions may have been given
    since; for clients that have none, and in the store, everything stays."""
    connection = open_database(str(store))
    for id_, kind, reserved in (
        ("asks", "websockets", 5),
        ("not", "websockets", None),
        ("polls", "LongPolling", None),
    ):
        connection.execute(
            "INSERT INTO channel(id, user, type, created_at, client_correlator, state, last_seq,"
            " reserved) VALUES (?, 'u', ?, 0, 'c', 0, 7, ?)",
            (id_, kind, reserved),
        )
    connection.close()
    back_up(store, tmp_path / "copy.db")
    assert numbers_of(store) == {"asks": 7, "not": 7, "polls": 7}
    far = 7 + PASSED_OVER
    assert numbers_of(tmp_path / "copy.db") == {"asks": far, "not": 7, "polls": far}


@pytest.mark.parametrize("version", range(1, VERSION))
def test_older_formats(version: int, tmp_path: Path) -> None:
    """A store that an older daemon serves from is copied as it is, and brought along later."""
    store, copy = tmp_path / "store.db", tmp_path / "copy.db"
    connection = apsw.Connection(str(store))
    connection.execute((Path(__file__).parent / "formats" / f"{version}.sql").read_text())
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", version)
    connection.close()
    back_up(store, copy)
    taken = apsw.Connection(str(copy))
    assert taken.pragma("user_version") == version
    taken.close()
    open_database(str(copy)).close()


def test_what_is_there_is_never_written_over(store: Path, tmp_path: Path) -> None:
    """OP-3: neither an older backup nor one that is being made."""
    copy = tmp_path / "copy.db"
    for taken in (copy, tmp_path / "copy.db.part"):
        taken.write_text("mine")
        with pytest.raises(StartupError, match=f"{taken.name}: is there already"):
            back_up(store, copy)
        assert taken.read_text() == "mine"
        taken.unlink()


@contextmanager
def little_room() -> Iterator[None]:
    """Files cannot grow beyond what SQLite needs to look into one."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_no_room_leaves_nothing(store: Path, tmp_path: Path) -> None:
    """A copy that has no room is said in one line, and nothing of it stays."""
    with little_room(), pytest.raises(StartupError, match=r"copy\.db: cannot be written"):
        back_up(store, tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy.db*"))


def test_no_folder(store: Path, tmp_path: Path) -> None:
    """Folders are not made."""
    with pytest.raises(StartupError, match="No such file"):
        back_up(store, tmp_path / "nowhere" / "copy.db")


@pytest.mark.parametrize("content", [None, b"", b"not a database, and long enough to be read"])
def test_what_is_no_store_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """One line, and no file: what is not there is not made by asking for a copy of it."""
    store = tmp_path / "folder" / "store.db"
    if content is not None:
        store.parent.mkdir()
        store.write_bytes(content)
    with pytest.raises(StartupError):
        back_up(store, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
    assert store.parent.exists() == (content is not None)
