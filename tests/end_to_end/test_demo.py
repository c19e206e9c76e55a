"""`tocsin demo` as anybody would run it (OP-2)."""

import signal
from collections.abc import Mapping
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess

import orjson
import pytest
import trio
from tests.end_to_end.daemon import BOUND, command, environment, until

pytestmark = pytest.mark.end_to_end

EXPECTED = {"socket": 12, "webhook": 12, "phone": 10, "ann": 2, "ben": 4}


def leaving_traces_in(folder: Path) -> Mapping[str, str]:
    """An environment in which whatever is temporary is made here; a terminal is not taken for
    one."""
    return {**environment(), "TMPDIR": str(folder)}


def remains(folder: Path) -> list[str]:
    """Files in the folder, and command lines of processes that name it."""
    running = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder).encode() in line:
            running.append(line.decode(errors="replace"))
    return [*map(str, folder.iterdir()), *running]


async def run(folder: Path, *options: str) -> CompletedProcess[bytes]:
    """The whole demo; nothing of it may remain."""
    with trio.fail_after(2 * BOUND):
        done = await trio.run_process(
            command("demo", *options),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=leaving_traces_in(folder),
        )
    assert remains(folder) == []
    return done


async def test_everything_arrives(tmp_path: Path) -> None:
    """OP-2: the exit status is 0, every receiver has exactly what was published to it, and the
    delivery log tells of the webhook's failure and its success. Plain text, as there is no
    terminal."""
    done = await run(tmp_path)
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b""), text
    assert "\x1b" not in text
    for part in ("socket", "webhook", "phone", "Delivery log", "deferred", "connect"):
        assert part in text
    assert f"All {sum(EXPECTED.values())} arrived, in order, within " in text


async def test_a_webhook_that_stays_down(tmp_path: Path) -> None:
    """OP-2: the exit status is 1, and what is missing is named, at the webhook and nowhere else."""
    done = await run(tmp_path, "--json", "--webhook-stays-down", "--patience", "20")
    assert (done.returncode, done.stderr) == (1, b"")
    said = orjson.loads(done.stdout)
    assert not said["ok"]
    assert {one["receiver"]: one["expected"] for one in said["receivers"]} == EXPECTED
    missing = {one["receiver"]: len(one["missing"]) for one in said["receivers"]}
    assert missing == dict.fromkeys(EXPECTED, 0) | {"webhook": 4}
    assert len(said["complaints"]) == 4
    assert all(one.startswith("webhook: missing: ") for one in said["complaints"])
    failed = [one for one in said["deliveries"] if one["result"] == "deferred"]
    assert {one["receiver"] for one in failed} == {"webhook"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    """OP-2: whoever has seen enough leaves nothing behind, no process and no file."""
    process = await trio.lowlevel.open_process(
        command("demo", "--pause", "2"),
        stdout=DEVNULL,
        stderr=PIPE,
        env=leaving_traces_in(tmp_path),
    )
    assert process.stderr is not None
    async with process.stderr as stderr:
        try:
            await until(lambda: [*tmp_path.glob("*/state/listen.json")], "its daemon listens")
            process.send_signal(number)
            with trio.fail_after(BOUND):
                said = b"".join([bytes(part) async for part in stderr])
                assert await process.wait() == 1
        finally:
            process.kill()
    assert said == b"tocsin demo: interrupted\n"
    assert remains(tmp_path) == []
