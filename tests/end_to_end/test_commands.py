"""The commands a newcomer tries first (OP-1, OP-3)."""

import shutil
import sys
from pathlib import Path

import orjson
import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat, text_of
from tests.end_to_end.daemon import BOUND, Daemon, command, environment, until

pytestmark = pytest.mark.end_to_end


async def test_listen_prints_what_arrives(tmp_path: Path, port: int) -> None:
    """OP-3: `tocsin listen` prints one notification a line, comes back after the daemon was
    killed, and exits 0 when it has seen as many as it was asked for."""
    output, errors = tmp_path / "output", tmp_path / "errors"
    async with Daemon(tmp_path, {"listen.public": f"127.0.0.1:{port}"}) as daemon:
        user, platform = User(daemon, "alice@example.com"), Platform(daemon)
        channel = await user.socket_channel()
        with output.open("wb") as out, errors.open("wb") as err:
            process = await trio.lowlevel.open_process(
                command("listen", "--count", "3", channel),
                stdout=out,
                stderr=err,
                env={
                    **environment(),
                    "TOCSIN_URL": f"http://{daemon.public}",
                    "TOCSIN_TOKEN": user.bearer,
                },
            )
        try:
            await platform.publish(chat(user.name, "one"), chat(user.name, "two"))
            await until(lambda: len(output.read_bytes().splitlines()) == 2, "two are printed")
            await until(lambda: settled(daemon, 2), "both are receipted")
            await daemon.kill()
            await daemon.start()
            await platform.publish(chat(user.name, "three"))
            with trio.fail_after(BOUND):
                status = await process.wait()
        finally:
            process.kill()
    assert status == 0, errors.read_text()
    assert [text_of(line) for line in output.read_bytes().splitlines()] == ["one", "two", "three"]


@pytest.mark.skipif(not shutil.which("curl"), reason="the lines are for curl")
async def test_the_lines_of_the_welcome_work(tmp_path: Path) -> None:
    """OP-1: what `serve --welcome` prints can be pasted into a shell as it is, and ends with the
    notification on the socket."""
    async with Daemon(tmp_path, {}, "--welcome") as daemon:
        await until(lambda: "Stop with Ctrl-C" in daemon.log, "the welcome is printed")
        welcome = daemon.log.partition("tocsin is ready.")[2]
        exports = [line.strip() for line in welcome.splitlines() if "  export " in line]
        channel, listen, publish = steps(welcome)
        listen = listen.replace(".venv/bin/tocsin", f"'{sys.executable}' -m tocsin")
        script = "\n".join(["set -eu", *exports, channel, publish, f"{listen.strip()} --count 1"])
        with trio.fail_after(BOUND):
            ended = await trio.run_process(
                ["bash", "-c", script],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                env=environment(),
            )
    assert ended.returncode == 0, ended
    assert f"connected to ws://{daemon.public}".encode() in ended.stderr
    last = ended.stdout.splitlines()[-1]
    assert text_of(last[last.rindex(b'{"chatMessageNotification"') :]) == "hello"
    assert orjson.loads(last[last.index(b'{"id"') :].partition(b"}")[0] + b"}")["channels"] == 1


def steps(welcome: str) -> list[str]:
    """The shell lines under the numbered headings."""
    parts = welcome.partition("Stop with")[0].split("\n1. ")[1].replace("\n2. ", "\n3. ")
    return [part.partition("\n")[2] for part in parts.split("\n3. ")]


async def settled(daemon: Daemon, count: int) -> bool:
    """Whether so many deliveries have been receipted."""
    name = "tocsin_deliveries_total"
    return await daemon.metric(name, type="websockets", outcome="delivered") == count
