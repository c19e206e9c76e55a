"""tocsin.store.schema: which files are taken for a store, and that the others stay as they are."""

import os
import stat
from pathlib import Path

import apsw
import pytest

from tocsin.model.errors import StartupError
from tocsin.store.schema import APPLICATION_ID, MAGIC, VERSION, open_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is to be."""
    return tmp_path / "state" / "store.db"


def make_store(path: Path, channels: int = 0) -> None:
    """A store, closed again, with some rows to look at."""
    connection = open_database(str(path))
    for number in range(channels):
        connection.execute(
            "INSERT INTO channel(key, id, user, type, created_at, client_correlator, state,"
            " last_seq) VALUES (?, ?, 'u', 'Webhooks', 0, ?, 0, 0)",
            (number + 1, f"wh-{number}", "c" * 200),
        )
    connection.close()


def refused(path: Path) -> str:
    """The one line said about a file that is refused; its bytes must be what they were."""
    before = path.read_bytes()
    with pytest.raises(StartupError) as refusal:
        open_database(str(path))
    assert path.read_bytes() == before
    message = str(refusal.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_store_is_made_where_there_is_none(path: Path) -> None:
    """With its folder, marked as ours, and safe against power failures."""
    connection = open_database(str(path))
    assert connection.pragma("application_id") == APPLICATION_ID
    assert connection.pragma("user_version") == VERSION
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    connection.close()


def test_only_its_owner_may_read_it(path: Path) -> None:
    """Channel secrets stand in the file, whatever the umask says (SE-9)."""
    before = os.umask(0)
    try:
        make_store(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    """Somebody may have made it with the right owner and mode."""
    path.parent.mkdir()
    path.touch()
    make_store(path)
    connection = open_database(str(path))
    assert connection.pragma("application_id") == APPLICATION_ID
    connection.close()


def test_what_a_power_failure_left_of_a_new_file_is_taken(path: Path) -> None:
    """A database without anything in it."""
    path.parent.mkdir()
    new = apsw.Connection(str(path))
    new.pragma("journal_mode", "wal")
    new.close()
    assert path.stat().st_size
    make_store(path, channels=1)


def test_a_store_is_opened_again(path: Path) -> None:
    """And keeps what it has."""
    make_store(path, channels=3)
    connection = open_database(str(path))
    assert connection.execute("SELECT count(*) FROM channel").get == 3
    connection.close()


def test_a_store_that_was_not_closed_is_opened(path: Path, tmp_path: Path) -> None:
    """After a crash its newest rows stand only in the write-ahead log."""
    connection = open_database(str(path))
    connection.execute(
        "INSERT INTO subscription(id, user, service, channel, created_at, body)"
        " VALUES ('s', 'u', 'sms', 1, 0, x'')"
    )
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("store.db", "store.db-wal"):
        (crashed / name).write_bytes((path.parent / name).read_bytes())
    connection.close()
    again = open_database(str(crashed / "store.db"))
    assert again.execute("SELECT count(*) FROM subscription").get == 1
    again.close()


def test_a_foreign_database_is_refused(path: Path) -> None:
    """A SQLite file of another program."""
    path.parent.mkdir()
    foreign = apsw.Connection(str(path))
    foreign.execute("CREATE TABLE theirs(x)")
    foreign.close()
    assert "not a store of this daemon" in refused(path)


@pytest.mark.parametrize(
    "content",
    [b"[listen]\npublic = []\n" * 100, bytes(range(256)) * 64, b"\n", b"notes", MAGIC],
)
def test_garbage_is_refused(path: Path, content: bytes) -> None:
    """A file that is no database at all."""
    path.parent.mkdir()
    path.write_bytes(content)
    refused(path)


def test_a_truncated_store_is_refused(path: Path) -> None:
    """Its header is fine, its pages are missing."""
    make_store(path, channels=300)
    path.write_bytes(path.read_bytes()[: 9 * 4096])
    refused(path)


def test_a_damaged_store_is_refused(path: Path) -> None:
    """A page in the middle overwritten."""
    make_store(path, channels=300)
    content = bytearray(path.read_bytes())
    content[-3 * 4096 : -2 * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("version", [0, VERSION + 1])
def test_another_format_is_refused(path: Path, version: int) -> None:
    """A newer or unknown format is named, not guessed at."""
    make_store(path)
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", version)
    connection.close()
    assert f"format {version}" in refused(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """Where the file should be stands a folder."""
    with pytest.raises(StartupError):
        open_database(str(tmp_path))


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    """The store's folder cannot be made."""
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match="store folder"):
        open_database(str(tmp_path / "file" / "store.db"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_what_cannot_be_written_is_refused(path: Path) -> None:
    """A file, and a folder, that are not ours to write."""
    make_store(path)
    path.chmod(0o400)
    assert "cannot be read and written" in refused(path)
    path.chmod(0o600)
    path.parent.chmod(0o500)
    try:
        assert "not writable" in refused(path)
    finally:
        path.parent.chmod(0o700)


def test_what_may_not_be_written_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where the kernel's answer has to be played, because root may do anything."""
    make_store(path)
    monkeypatch.setattr(os, "access", lambda target, _mode: Path(target) != path)
    assert "cannot be read and written" in refused(path)
    monkeypatch.setattr(os, "access", lambda target, _mode: Path(target) != path.parent)
    with pytest.raises(StartupError, match="not writable"):
        open_database(str(path))
