"""A backup made while the daemon serves, and a start with it, as the guides say."""

import shutil
import sys
from pathlib import Path

import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat, id_of
from tests.end_to_end.daemon import Daemon
from tests.end_to_end.notification_socket import open_socket
from tests.end_to_end.talkers import direct, talk

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]


def command_of(guide: str, **paths: str) -> str:
    """The guide's line for a backup, of other paths."""
    [line] = [one for one in (ROOT / guide).read_text().splitlines() if "tocsin backup" in one]
    for old, new in {"tocsin backup": f"{sys.executable} -m tocsin backup", **paths}.items():
        assert old in line
        line = line.replace(old, new)
    return line


async def test_back_to_a_backup(tmp_path: Path) -> None:
    """What waited when the backup was made is delivered after the start with it; what came later is
    unknown, and a messaging client that has seen more is told that it lacks something (MS-60)."""
    state = tmp_path / "state"
    store, copy = state / "tocsin.db", tmp_path / "copy.db"
    async with Daemon(tmp_path) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()
        [before] = await platform.publish(chat("alice", "before"))
        async with talk(daemon, "bob") as bob, talk(daemon, "carol") as carol:
            assert (await carol.ask(direct("bob", "before"))).is_ok
            backup = command_of(
                "README.md",
                **{
                    "/var/lib/tocsin/state/tocsin.db": str(store),
                    '"/var/backups/tocsin-$(date +%F-%H%M).db"': str(copy),
                },
            )
            await trio.run_process(backup, shell=True)
            assert (await carol.ask(direct("bob", "after"))).is_ok
            await bob.until("direct-message", content="after")
            seen = bob.cursor
        await platform.publish(chat("alice", "after"))
        await daemon.kill()

        for file in state.glob("tocsin.db*"):
            file.unlink()
        shutil.copy(copy, store)
        await daemon.start()
        async with open_socket(user, channel) as socket:
            frames = await socket.texts(1)
            assert [id_of(frame) for frame in frames] == [before]
            await socket.check()
        async with talk(daemon, "bob") as bob:
            resumed = (await bob.resume(seen)).messages[-1]
            assert (resumed["type"], resumed["complete"]) == ("resumed", False)
            assert bob.welcome is not None
            assert bob.welcome["cursor"].split(":")[0] != seen.split(":")[0]
