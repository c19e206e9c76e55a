"""`tocsin listen` where there is nothing to listen to, and nobody to print for."""

import os
import sys
from pathlib import Path
from subprocess import CompletedProcess

import trio
from tests.fakes.daemon import Daemon, daemon, token

from tocsin.cli.main import FAILED

BOUND = 60


async def run(
    running: Daemon,
    channel: str,
    *words: str,
    bearer: str | None = None,
    output: str = os.devnull,
) -> CompletedProcess[bytes]:
    """What becomes of it, in a process of its own."""
    with trio.fail_after(BOUND), Path(output).open("wb") as stream:
        return await trio.run_process(
            [sys.executable, "-m", "tocsin", "listen", channel, *words],
            check=False,
            stdout=stream,
            capture_stderr=True,
            env=os.environ
            | {
                "TOCSIN_URL": f"http://{running.public}",
                "TOCSIN_TOKEN": bearer or token(scope="channels"),
            },
        )


async def waiting(running: Daemon) -> str:
    """The id of a channel for which three wait."""
    channel = await running.open_channel()
    await running.subscribe(channel)
    await running.publish("a", "b", "c")
    return str(channel["resourceURL"].rpartition("/")[2])


async def test_what_is_not_there_ends_it(tmp_path: Path) -> None:
    """A channel that is not there, a token that is void, another listener: to come back would be of
    no use, so it fails with one line (OP-3)."""
    async with daemon(tmp_path) as running:
        none = await run(running, "ws-none")
        assert (none.returncode, none.stderr) == (
            FAILED,
            b"Error: 404 There is no such channel.\n",
        )
        void = await run(running, "ws-none", bearer=token(scope="channels")[:-6] + "AAAAAA")
        assert void.returncode == FAILED
        assert void.stderr.startswith(b"Error: 401 ")
        wrong = await run(running, "ws-1", "--url", f"http://{running.app.admin_addresses[0]}")
        assert wrong.returncode == FAILED
        assert b"404 This is not the public listener" in wrong.stderr


async def test_it_leaves_while_more_waits(tmp_path: Path) -> None:
    """As many as were asked for are printed, though more are on the way (OP-3)."""
    async with daemon(tmp_path) as running:
        output = tmp_path / "output"
        result = await run(running, await waiting(running), "--count", "1", output=str(output))
        assert result.returncode == 0, result.stderr
        [line] = output.read_bytes().splitlines()
        assert b'"id":"a"' in line


async def test_a_full_disk_ends_it(tmp_path: Path) -> None:
    """What cannot be printed is no fault of the connection: it does not come back (OP-3)."""
    async with daemon(tmp_path) as running:
        result = await run(running, await waiting(running), output="/dev/full")
        assert result.returncode == FAILED
        assert result.stderr.splitlines()[-1].endswith(b"No space left on device")
