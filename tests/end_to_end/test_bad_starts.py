"""A daemon that cannot start says why in a line, and touches nothing (OP-3, OP-6)."""

import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
import trio
from tests.end_to_end.daemon import (
    BOUND,
    Daemon,
    command,
    defaults,
    environment,
    write_config,
)

from tocsin.store.schema import open_database

pytestmark = pytest.mark.end_to_end


async def start(
    folder: Path, settings: Mapping[str, object] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Start a daemon that ends by itself."""
    config = write_config(folder / "bad.toml", {**defaults(folder), **(settings or {})})
    return await start_with(config)


async def start_with(config: Path) -> subprocess.CompletedProcess[bytes]:
    """The same with a file that is there, or not."""
    with trio.fail_after(BOUND):
        return await trio.run_process(
            command("serve", "--config", str(config)),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=environment(),
        )


def line_of(ended: subprocess.CompletedProcess[bytes], status: int = 1) -> str:
    """The one line a failed start says, with this status, and nothing else anywhere."""
    lines = ended.stderr.decode().splitlines()
    assert (ended.returncode, len(lines)) == (status, 1), ended
    assert b"Traceback" not in ended.stdout
    return lines[0]


async def test_every_mistake_of_the_file_is_told(tmp_path: Path) -> None:
    """OP-3, OP-6: unknown keys, wrong types and impossible values end with status 2 and one line
    each, which names the path; \"80\" is not 80."""
    ended = await start(
        tmp_path,
        {
            "ws.window": "80",
            "ws.windw": 80,
            "drain.window": -1,
            "log.level": "loud",
            "webhooks.allow_networks": ["everything"],
            "surprise": True,
        },
    )
    assert (ended.returncode, ended.stdout) == (2, b"")
    lines = ended.stderr.decode().splitlines()
    paths = sorted(line.split(": ")[0] for line in lines)
    assert paths == [
        "drain.window",
        "log.level",
        "surprise",
        "webhooks.allow_networks",
        "ws.window",
        "ws.windw",
    ]


async def test_no_key_source(tmp_path: Path) -> None:
    """CH-11: without keys no token could be valid, so the daemon does not start."""
    config = tmp_path / "bad.toml"
    config.write_text(f'state_dir = "{tmp_path}"\nstore.path = "{tmp_path}/tocsin.db"\n')
    ended = await start_with(config)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr.startswith(b"auth: set jwks_url, jwks_file or shared_secret")
    assert not (tmp_path / "tocsin.db").exists()


@pytest.mark.parametrize("content", [None, b"ws.window = \n", b"\xff\xfe"])
async def test_a_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    """OP-4, OP-6: a file that is missing, no TOML or no text is status 2, and named."""
    config = tmp_path / "missing.toml"
    if content is not None:
        config.write_bytes(content)
    ended = await start_with(config)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert ended.stderr.decode().startswith(f"{config}: ")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("listener", ["public", "admin"])
async def test_a_port_that_is_taken(tmp_path: Path, listener: str) -> None:
    """OP-8: the line says which address."""
    [taken] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = f"127.0.0.1:{taken.socket.getsockname()[1]}"
    async with taken:
        ended = await start(tmp_path, {f"listen.{listener}": address})
    assert f"cannot listen on {address}: Address already in use" in line_of(ended)


async def test_a_second_daemon_on_the_same_store(tmp_path: Path) -> None:
    """SE-12: it is refused, and the first one serves on."""
    async with Daemon(tmp_path) as daemon:
        ended = await start(tmp_path)
        assert "in use by another daemon" in line_of(ended)
        assert await daemon.is_ready()


async def test_a_store_folder_that_is_a_file(tmp_path: Path) -> None:
    """OP-6, OP-8: it is a mistake in the configuration; the line names option and path, and the
    file in its place is left alone."""
    place = tmp_path / "occupied"
    place.write_text("not a folder")
    ended = await start(tmp_path, {"store.path": str(place / "tocsin.db")})
    assert line_of(ended, status=2) == f"store.path: {place} is no directory"
    assert place.read_text() == "not a folder"


async def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    """OP-6, OP-8: the same for state_dir."""
    place = tmp_path / "occupied"
    place.write_text("not a folder")
    settings = {"state_dir": str(place), "store.path": str(tmp_path / "tocsin.db")}
    ended = await start(tmp_path, settings)
    assert line_of(ended, status=2) == f"state_dir: {place} is no directory"
    assert place.read_text() == "not a folder"


def garbage(file: Path) -> None:
    """No database at all."""
    file.write_bytes(b"precious, and not a store\n" * 1000)


def foreign(file: Path) -> None:
    """Somebody else's database."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE precious(thing)")
        database.commit()


def newer(file: Path) -> None:
    """A store of a version to come."""
    database = open_database(str(file))
    database.pragma("user_version", 999)
    database.close()


def truncated(file: Path) -> None:
    """Half a store."""
    open_database(str(file)).close()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def overwritten(file: Path) -> None:
    """A store with a hole in it."""
    open_database(str(file)).close()
    content = bytearray(file.read_bytes())
    content[4096 : 4096 * 4] = b"\xa5" * (4096 * 3)
    file.write_bytes(content)


@pytest.mark.parametrize("spoil", [garbage, foreign, newer, truncated, overwritten])
async def test_a_store_that_is_not_usable(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """SE-12: what is not ours, damaged or too new is refused, named, and not changed by a byte."""
    (tmp_path / "state").mkdir()
    store = tmp_path / "state" / "tocsin.db"
    spoil(store)
    before = store.read_bytes()
    line = line_of(await start(tmp_path))
    assert str(store) in line
    assert "left untouched" in line
    assert store.read_bytes() == before


@pytest.mark.parametrize("key", ["22" * 32, None])
async def test_a_store_of_another_master_key(tmp_path: Path, key: str | None) -> None:
    """SE-7: with a wrong key, or without the one that a store is sealed by, one line says so, and
    neither key; with its own it starts again."""
    mine = {"store.master_key": "11" * 32}
    async with Daemon(tmp_path, mine) as daemon:
        await daemon.kill()
        ended = await start(tmp_path, {} if key is None else {"store.master_key": key})
        assert ended.returncode == 1
        [line] = [one for one in ended.stderr.decode().splitlines() if "master" in one]
        assert "was written with another master key" in line
        assert not any(one * 16 in line for one in ("11", "22"))
        await daemon.start()
