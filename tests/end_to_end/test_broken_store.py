"""Stores that cannot be written, or are taken away under a running daemon (SE-12)."""

import subprocess
from pathlib import Path

import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat, id_of
from tests.end_to_end.daemon import BOUND, Daemon, command, environment, until
from tests.end_to_end.notification_socket import open_socket
from tests.end_to_end.quota import FileLimit, small_disk

pytestmark = pytest.mark.end_to_end


async def is_red(daemon: Daemon) -> bool:
    """Whether `/readyz` says that the store fails."""
    return "store" in (await daemon.health()).json()["failing"]


async def test_not_one_byte_can_be_written(tmp_path: Path) -> None:
    """SE-12: when no file of the daemon takes a single write, the log's included, it answers 503,
    keeps its sockets, and is well again by itself with nothing lost."""
    limit = FileLimit(tmp_path / "state")
    async with Daemon(tmp_path) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()
        async with open_socket(user, channel) as socket:
            await platform.publish(chat("alice", "before", id="before"))
            limit.shrink(daemon, 0)
            for _ in range(3):
                refusal = await platform.post(chat("alice", "refused", id="refused"))
                assert refusal.status == 503
                assert "retry-after" in refusal.headers
            await until(lambda: is_red(daemon), "readyz tells of the store")
            frames = await socket.texts(1)
            await socket.check()
            limit.free(daemon)
            await until(daemon.is_ready, "the daemon is well again")
            ids = await platform.publish(chat("alice", "after", id="after"))
            frames += await socket.texts(1)
    assert [id_of(frame) for frame in frames] == ["before", *ids]


async def test_a_read_only_disk(tmp_path: Path) -> None:
    """SE-12: on a disk that is mounted read-only the daemon says in one line why it does not
    start, and what it has accepted before is there once the disk is writable."""
    with small_disk(tmp_path / "state") as disk:
        async with Daemon(tmp_path) as daemon:
            user, platform = User(daemon, "alice"), Platform(daemon)
            channel = await user.socket_channel()
            ids = await platform.publish(chat("alice", "before"))
            await daemon.kill()
            remount(disk.folder, "ro")
            serve = command("serve", "--config", str(daemon.config))
            with trio.fail_after(BOUND):
                ended = await trio.run_process(
                    serve, capture_stderr=True, capture_stdout=True, check=False, env=environment()
                )
            remount(disk.folder, "rw")
            await daemon.start()
            async with open_socket(user, channel) as socket:
                assert [id_of(frame) for frame in await socket.texts(1)] == ids
    [line] = ended.stderr.decode().splitlines()
    assert line.startswith("tocsin: store")
    assert ended.returncode not in {0, None}


async def test_the_file_is_taken_away(tmp_path: Path) -> None:
    """SE-12, OP-11: when the store's file is moved away, nothing is accepted that the next start
    would not find; put back, all goes on."""
    file, away = tmp_path / "state" / "tocsin.db", tmp_path / "state" / "away.db"
    async with Daemon(tmp_path) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()
        ids = await platform.publish(chat("alice", "before"))
        file.rename(away)
        refusal = await platform.post(chat("alice", "refused"))
        assert refusal.status == 503
        await until(lambda: is_red(daemon), "readyz tells of the store")
        away.rename(file)
        await until(daemon.is_ready, "the daemon is well again")
        ids += await platform.publish(chat("alice", "after"))
        await daemon.kill()
        await daemon.start()
        async with open_socket(user, channel) as socket:
            assert [id_of(frame) for frame in await socket.texts(2)] == ids


def remount(folder: Path, mode: str) -> None:
    """Change how a file system is mounted."""
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)
