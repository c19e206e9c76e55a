"""tocsin.store.sealing: a store's secrets under a master key, from the first start with one on."""

import contextlib
import os
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest
from structlog.testing import capture_logs
from tests.fakes.deliveries import T0, device_channel, webhook_channel
from tests.fakes.mail import DOMAIN, Postbox, load
from tests.fakes.stores import Reports, add

from tocsin.model.channel import Device, Webhook
from tocsin.model.errors import StartupError, StoreError
from tocsin.model.ids import new_id
from tocsin.store import overhaul, resealing, sealing
from tocsin.store.mail import PutRoom
from tocsin.store.records import Removal
from tocsin.store.sqlite import SqliteStore, StoreSettings

KEY, OTHER, THIRD = "11" * 32, "22" * 32, "33" * 32
APP = "com.example.app"
KINDS = (
    "authorization",
    "secret",
    "previous",
    "echoed",
    "device",
    "gone-device",
    "deleted",
    "invite",
)
PLANTED = [f"planted-{kind}-{number}" for kind in KINDS for number in range(3)]


def opened(folder: Path, key: str | None = None, *old: str) -> SqliteStore:
    """The store of a test."""
    path = str(folder / "store.db")
    return SqliteStore(
        StoreSettings(path=path, master_key=key, old_master_keys=list(old)), threaded=False
    )


def closed(store: SqliteStore) -> None:
    """Let go of it, as a process that ends."""
    store._writer._batches.connection.close()  # type: ignore[union-attr]


async def fill(store: SqliteStore) -> None:
    """Three of everything that is secret, and what was deleted or has gone."""
    post = Postbox(store)
    for number in range(3):
        hook = webhook_channel("ann")
        url = "https://hooks.example/x"
        of = [f"planted-{kind}-{number}" for kind in ("authorization", "secret", "previous")]
        hook.webhook = Webhook(url, "https://hooks.example", *of, rotated_until=T0)
        phone = device_channel("ann", f"planted-device-{number}")
        phone.echoed = {"x-deviceToken": f"planted-echoed-{number}"}
        await add(store, hook, phone)
        gone = device_channel("bob", f"planted-gone-device-{number}")
        await add(store, gone)
        await store.remove_devices([gone], Removal(T0 + number, T0 + 9, False), lambda *_: None)
        deleted = device_channel("cid", f"planted-deleted-{number}")
        await add(store, deleted)
        await store.remove_channel(deleted, lambda *_: None)
        await store.remember(f"kind{number % 2}", {f"{number}": b"planted-memo-%d" % number})
        room = await post.room(post.person(new_id()), id_=new_id())
        room.invite_token = f"planted-invite-{number}"
        await post.change(PutRoom(room))


async def everything(store: SqliteStore) -> list[Any]:
    """All that the store tells of secrets."""
    [ann] = await store.load_accounts(["ann"])
    listed = await store.all_channels(None, before=None, limit=99, look=99)
    devices = [Device("apns", APP, f"planted-device-{number}") for number in range(3)]
    removed = await store.removed_devices(APP, 0, guarded_only=False, after=0, limit=99)
    ids = [
        id_
        for (id_,) in apsw.Connection(path_of(store), flags=apsw.SQLITE_OPEN_READONLY).execute(
            "SELECT id FROM room ORDER BY key"
        )
    ]
    rooms = [await store.load_room(DOMAIN, id_, load) for id_ in ids]
    return [
        [(one.id, one.webhook, one.device, one.echoed) for one in [*ann.channels, *listed.items]],
        [await store.find_device(device) for device in devices],
        await store.find_device(Device("apns", APP, "planted-deleted-0")),
        [(one.channel.id, one.channel.device) for one in removed],
        await store.tombstones(T0, limit=9),
        [room and room.invite_token for room in rooms],
        [await store.recall(f"kind{number}") for number in range(2)],
    ]


def path_of(store: SqliteStore) -> str:
    """Its file."""
    return str(store._writer._batches.connection.filename)  # type: ignore[union-attr]


def seen(folder: Path) -> list[str]:
    """Which of the planted secrets stand in any file of the store."""
    content = b"".join(file.read_bytes() for file in folder.iterdir())
    return [one for one in PLANTED if one.encode() in content]


def key_id(folder: Path) -> str:
    """Whose store it says it is."""
    db = apsw.Connection(str(folder / "store.db"))
    row = db.execute("SELECT value FROM memo WHERE kind = 'seal' AND name = 'key'").fetchone()
    db.close()
    return "" if row is None else bytes(row[0]).decode()


async def test_nothing_secret_stands_in_a_sealed_store(tmp_path: Path) -> None:
    """Not in the file and not in its log, while it runs and afterwards; everything is found and
    read as without a key, also by the next process (SE-7)."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "sealed").mkdir()
    plain, sealed = opened(tmp_path / "plain"), opened(tmp_path / "sealed", KEY)
    await fill(plain)
    await fill(sealed)
    assert set(seen(tmp_path / "plain")) == set(PLANTED)
    assert seen(tmp_path / "sealed") == []
    before = await everything(sealed)
    planted = [one for one in PLANTED if "deleted" not in one]
    assert [one for one in planted if one not in repr_of(before)] == []
    assert repr_of(before[1:3]).count("ps-") == 3
    closed(sealed)
    assert seen(tmp_path / "sealed") == []
    assert await everything(opened(tmp_path / "sealed", KEY)) == before


def repr_of(values: list[Any]) -> str:
    """Everything in them, what hides itself included."""
    return repr([attrs.astuple(one) if attrs.has(type(one)) else one for one in flat(values)])


def flat(values: Any) -> list[Any]:
    """The innermost values of lists and tuples."""
    if isinstance(values, dict):
        return flat([*values.values()])
    if not isinstance(values, list | tuple):
        return [values]
    return [one for value in values for one in flat(value)]


async def test_the_first_start_with_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was written without one says the same afterwards, and nothing of it is left in
    any file, of what was deleted neither (SE-7)."""
    monkeypatch.setattr(resealing, "BATCH", 2)
    store = opened(tmp_path)
    await fill(store)
    before = await everything(store)
    closed(store)
    store = opened(tmp_path, KEY)
    assert seen(tmp_path) == []
    assert await everything(store) == before
    await fill(store)
    assert seen(tmp_path) == []


async def test_keys_are_changed(tmp_path: Path) -> None:
    """A start with a new key and the old one beside it seals everything by the new one, which is
    enough from then on; nothing is found by its old digest or opened by the old key any more."""
    store = opened(tmp_path, KEY)
    await fill(store)
    before, first = await everything(store), key_id(tmp_path)
    closed(store)
    store = opened(tmp_path, OTHER, THIRD, KEY)
    assert await everything(store) == before
    closed(store)
    assert key_id(tmp_path) not in {first, ""}
    store = opened(tmp_path, OTHER)
    assert await everything(store) == before
    closed(store)
    with pytest.raises(StartupError, match="another master key"):
        opened(tmp_path, KEY)


async def test_sealing_is_given_up(tmp_path: Path) -> None:
    """Without a key, but with the old one named, everything stands there as it is again."""
    store = opened(tmp_path, KEY)
    await fill(store)
    before = await everything(store)
    closed(store)
    store = opened(tmp_path, None, KEY)
    assert await everything(store) == before
    closed(store)
    assert key_id(tmp_path) == ""
    assert await everything(opened(tmp_path)) == before


@pytest.mark.parametrize("key", [None, OTHER])
async def test_a_wrong_key_and_none(tmp_path: Path, key: str | None) -> None:
    """The daemon does not start: one line names the key that is wanted by its id, and says what to
    do; the store is as it was (SE-7)."""
    store = opened(tmp_path, KEY)
    await fill(store)
    before = await everything(store)
    closed(store)
    with pytest.raises(StartupError) as refused:
        opened(tmp_path, key, THIRD)
    line = str(refused.value)
    assert f"was written with another master key ({key_id(tmp_path)})" in line
    assert "store.master_key" in line
    assert "\n" not in line
    assert not any(one in line for one in (KEY, OTHER, THIRD))
    assert await everything(opened(tmp_path, KEY)) == before


async def test_it_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing that fails in the middle leaves the store as it was, for a start without the key and
    for another attempt (SE-7, SE-12)."""
    store = opened(tmp_path)
    await fill(store)
    before = await everything(store)
    closed(store)
    with monkeypatch.context() as broken:
        broken.setattr(resealing, "_change_rooms", full)
        with pytest.raises(StartupError, match=r"cannot be sealed by .*: disk full"):
            opened(tmp_path, KEY)
    assert key_id(tmp_path) == ""
    plain = opened(tmp_path)
    assert await everything(plain) == before
    closed(plain)
    store = opened(tmp_path, KEY)
    assert seen(tmp_path) == []
    assert await everything(store) == before


async def test_too_little_room_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which it cannot be finished is found out before anything is changed: the line
    says what is needed, and without the key the daemon starts as before (SE-12)."""
    store = opened(tmp_path)
    await fill(store)
    before = await everything(store)
    closed(store)
    with monkeypatch.context() as cramped:
        cramped.setattr(overhaul, "free_bytes", lambda _path: 100)
        with pytest.raises(StartupError, match=r"cannot be sealed .*: needs \d+ MiB free beside"):
            opened(tmp_path, KEY)
        assert await everything(opened(tmp_path)) == before
    assert key_id(tmp_path) == ""


@pytest.mark.parametrize("cause", ["full", "no room"])
async def test_too_little_room_to_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    """A sealed store that cannot be written anew is served and says so at each start; the first
    start that can does what is left (SE-7, SE-12)."""
    store = opened(tmp_path)
    await fill(store)
    before = await everything(store)
    closed(store)
    with monkeypatch.context() as broken:
        broken.setattr(sealing, "_rewrite", full)
        closed(opened(tmp_path, KEY))
    assert key_id(tmp_path) != ""
    with monkeypatch.context() as broken, capture_logs() as told:
        if cause == "full":
            broken.setattr(sealing, "_rewrite", full)
        else:
            broken.setattr(overhaul, "free_bytes", lambda _path: 100)
        store = opened(tmp_path, KEY)
        assert await everything(store) == before
        closed(store)
    [failed] = [line for line in told if line["event"] == "store.rewrite_failed"]
    assert failed["log_level"] == "warning"
    store = opened(tmp_path, KEY)
    assert seen(tmp_path) == []
    assert await everything(store) == before


def full(*_: object) -> None:
    """What a full disk does."""
    raise apsw.FullError("disk full")


def test_who_waits_is_told(tmp_path: Path) -> None:
    """Before each step, how long it may take; a start with the same key has nothing to do
    (OP-14)."""
    told: list[tuple[str, float]] = []
    settings = StoreSettings(path=str(tmp_path / "store.db"), master_key=KEY)
    for _ in range(2):
        store = SqliteStore(
            settings, threaded=False, announce=lambda *announced: told.append(announced)
        )
        closed(store)
    assert [work.partition(" (")[0] for work, _ in told] == [
        "Sealing the store by another master key",
        "Writing the store anew after its master key was changed",
    ]
    assert all(seconds >= overhaul.AT_LEAST for _, seconds in told)


def test_the_copy_is_made_beside_the_store(tmp_path: Path) -> None:
    """Where the store has room the operator has seen to it; other disks may be small (SE-12)."""
    closed(opened(tmp_path))
    db = apsw.Connection(str(tmp_path / "store.db"))
    db.pragma("cache_size", 10)
    db.execute(
        "WITH RECURSIVE keys(key) AS (VALUES(2) UNION ALL SELECT key + 1 FROM keys LIMIT 20000)"
        " INSERT INTO probe(key, at) SELECT key, 1 FROM keys"
    )
    deleted: set[str] = set()

    def look() -> bool:
        for descriptor in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                deleted.add(os.readlink(descriptor))
        return False

    db.set_progress_handler(look, 1000)
    sealing._rewrite(db)
    db.close()
    assert any(path.startswith(str(tmp_path)) and "deleted" in path for path in deleted)


async def test_what_was_put_into_another_place(tmp_path: Path) -> None:
    """A sealed secret of one channel is refused in another, and so is one that was written in as
    it is: that user is answered 503 until it is put right, others are served (SE-7)."""
    store = opened(tmp_path, KEY)
    await fill(store)
    await add(store, device_channel("dan", "dans"))
    db = apsw.Connection(str(tmp_path / "store.db"))
    one, two = db.execute("SELECT key FROM channel WHERE secret IS NOT NULL LIMIT 2")
    for sql in (
        "UPDATE channel SET secret = (SELECT secret FROM channel WHERE key = ?1) WHERE key = ?2",
        "UPDATE channel SET secret = 'mine' WHERE key IN (?1, ?2)",
    ):
        db.execute(sql, (one[0], two[0]))
        with pytest.raises(StoreError, match="is not what was sealed there"):
            await store.load_accounts(["ann"])
        [dan] = await store.load_accounts(["dan"])
        assert dan.channels[0].device == Device("apns", APP, "dans", T0)
    db.close()


async def test_a_changed_secret_is_sealed(tmp_path: Path) -> None:
    """What is changed of a channel later is sealed like what it was made with (PU-77)."""
    store = opened(tmp_path, KEY)
    hook, device = webhook_channel("ann"), device_channel("ann", "planted-device-0")
    await add(store, hook, device)
    assert hook.webhook is not None
    hook.webhook = hook.webhook.rotated("planted-secret-1", until=T0)
    device.device = Device("apns", APP, "planted-device-1")
    for channel in (hook, device):
        await store.change_channel(channel, Reports())
    [ann] = await store.load_accounts(["ann"])
    assert {one.webhook for one in ann.channels} == {hook.webhook, None}
    assert device.device in {one.device for one in ann.channels}
    assert await store.find_device(device.device) == [("ann", device.id)]
    assert await store.find_device(Device("apns", APP, "planted-device-0")) == []
    assert seen(tmp_path) == []
