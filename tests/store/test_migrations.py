"""tocsin.store.migrations: a file of an older release is brought along, whole or not at all."""

from pathlib import Path

import apsw
import orjson
import pytest
from tests.fakes.mail import Postbox

from tocsin.model.channel import ChannelType, Device
from tocsin.model.errors import StartupError
from tocsin.store import migrations
from tocsin.store.schema import APPLICATION_ID, VERSION, open_database
from tocsin.store.sqlite import SqliteStore, StoreSettings

FORMATS = Path(__file__).parent / "formats"
BODY = b'{"clientCorrelator":"c","resourceURL":"/our/prefix/chat/v1/u/subscriptions/s1"}'


def old_file(path: Path, version: int = 1) -> None:
    """A file as that format had it, with a little of everything."""
    db = apsw.Connection(str(path))
    db.execute((FORMATS / f"{version}.sql").read_text())
    db.pragma("application_id", APPLICATION_ID)
    db.pragma("user_version", version)
    db.execute(
        "INSERT INTO channel(key, id, user, type, created_at, client_correlator, url, origin,"
        " state, last_seq) VALUES (1, 'ws-1', 'u', 'websockets', 5, 'c', NULL, NULL, 0, 7),"
        " (2, 'wh-2', 'u', 'Webhooks', 5, 'c', 'https://h/x', 'https://h', 0, 0)"
    )
    db.execute(
        "INSERT INTO subscription(id, user, service, channel, created_at, body)"
        " VALUES ('s1', 'u', 'chat', 1, 5, ?)",
        (BODY,),
    )
    db.execute(
        "INSERT INTO notification VALUES (3, 'n', 'u', 'chat', 'r', x'7B7D', 1, 5, 99, 'k', 'ck',"
        " NULL, 'p')"
    )
    size = ", size" if version > 1 else ""
    db.execute(
        f"INSERT INTO delivery(id, channel, type, priority{size})"
        f" VALUES (?, 1, 'websockets', 1{', 2' if size else ''})",
        (3 << 16,),
    )
    if version > 1:
        db.execute(
            "INSERT INTO submission(key, proof, content, status, body, notification, at)"
            " VALUES (7, 8, 9, 202, x'7B7D', 'n', 5)"
        )
    db.close()


def shape(db: apsw.Connection) -> dict[str, object]:
    """Tables with their columns, and indexes."""
    found: dict[str, object] = {}
    for kind, name, sql in db.execute("SELECT type, name, sql FROM sqlite_schema"):
        if kind == "table":
            columns = db.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,))
            found[name] = {tuple(column) for column in columns}
        elif sql:
            found[name] = " ".join(sql.split())
    return found


@pytest.mark.parametrize("version", list(migrations.STEPS))
def test_an_old_file_becomes_a_new_one(tmp_path: Path, version: int) -> None:
    """The same tables, columns and indexes as in a fresh file; who waits is told (OP-14)."""
    old_file(tmp_path / "old.db", version)
    told: list[str] = []
    migrated = open_database(str(tmp_path / "old.db"), lambda work, _seconds: told.append(work))
    fresh = open_database(str(tmp_path / "fresh.db"), lambda work, _seconds: told.append(work))
    assert len(told) == 1
    assert shape(migrated) == shape(fresh)
    assert migrated.pragma("user_version") == VERSION
    migrated.close()
    fresh.close()


async def test_nothing_of_it_is_lost(tmp_path: Path) -> None:
    """Channels, subscriptions and what waits are there and can be used (CH-130)."""
    path = tmp_path / "old.db"
    old_file(path)
    store = SqliteStore(StoreSettings(path=str(path)), threaded=False)
    [record] = await store.load_accounts(["u"])
    assert [(one.id, one.last_seq, one.used_at) for one in record.channels] == [
        ("ws-1", 7, None),
        ("wh-2", 0, 5),
    ]
    [text] = await store.subscription_bodies([record.subscriptions[0].id])
    assert orjson.loads(text)["resourceURL"] == "/chat/v1/u/subscriptions/s1"
    assert (await store.counts()).pending == {record.channels[0].type: 1}
    db = apsw.Connection(str(path))
    assert db.execute("SELECT size, collapse_key FROM delivery").get == (2, "ck")
    db.close()


async def test_answers_from_before_packing_are_read_as_they_are(tmp_path: Path) -> None:
    """A request that was answered by the older release is answered the same (CH-114)."""
    path = tmp_path / "old.db"
    old_file(path, 2)
    store = SqliteStore(StoreSettings(path=str(path)), threaded=False)
    found = await store.find_submission(7, 8)
    assert found is not None
    assert (found.status, found.body) == (202, b"{}")
    assert store.remembered == {"identity": 0, "submission": 1, "push": 0, "removed": 0}


async def test_people_can_write_to_each_other_in_an_older_file(tmp_path: Path) -> None:
    """Nobody is known at first; what was there is untouched (MS-48, MS-70)."""
    path = tmp_path / "old.db"
    old_file(path, 3)
    post = Postbox(SqliteStore(StoreSettings(path=str(path)), threaded=False))
    assert post.store.greatest_message_id is None
    ann, bob = post.person("ann"), post.person("bob")
    await post.send(ann, await post.room(ann, bob), "hi")
    assert await post.log(bob) == ["hi"]
    assert (await post.store.counts()).pending == {ChannelType.WEBSOCKETS: 1}
    found = await post.store.find_submission(7, 8)
    assert found is not None
    assert found.body == b"{}"


@pytest.mark.parametrize("version", [4, 5])
async def test_removed_devices_of_an_older_file_come_back(tmp_path: Path, version: int) -> None:
    """Their tokens count as gone, and their channels can be restored and sealed (PU-49, SE-7)."""
    path = tmp_path / "old.db"
    old_file(path, version)
    row = [9, "ps-9", "u", "OMAPush", 5, "c", *[None] * 11, "apns", "app", "token", 6]
    row += [None, None, None, None, 0, 0, None, 0, *[None] * (version - 4)]
    db = apsw.Connection(str(path))
    db.execute(
        "INSERT INTO removed(at, provider, app, token, guarded, tombstone, channel, subscriptions,"
        " pushes) VALUES (5, 'apns', 'app', 'token', 0, 99, ?, '[]', '[]')",
        (orjson.dumps(row).decode(),),
    )
    db.close()
    for key in (None, "5e" * 32):
        store = SqliteStore(StoreSettings(path=str(path), master_key=key), threaded=False)
        assert await store.tombstones(6, limit=9) == [(Device("apns", "app", "token"), 99)]
    removed = await store.removed_devices("app", 0, guarded_only=False, after=0, limit=9)
    await store.restore_devices(removed, lambda _error: None)
    assert await store.find_device(Device("apns", "app", "token")) == [("u", "ps-9")]
    assert await store.tombstones(6, limit=9) == []


def test_a_step_that_fails_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older release can still open it."""
    path = tmp_path / "old.db"
    old_file(path)

    def fail(db: apsw.Connection) -> None:
        migrations._to_2(db)
        raise apsw.FullError("disk full")

    monkeypatch.setattr(migrations, "STEPS", {1: fail})
    with pytest.raises(StartupError, match="disk full"):
        open_database(str(path))
    db = apsw.Connection(str(path))
    assert db.pragma("user_version") == 1
    assert "attempt" not in shape(db)
    db.close()
