"""`tocsin serve` in this process: exit status, and what it says when it cannot start."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import structlog
from click.testing import CliRunner, Result
from structlog.testing import capture_logs
from tests.fakes.tokens import SECRET

from tocsin.cli import serve as module
from tocsin.cli.serve import serve
from tocsin.store.lock import lock_store


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """`serve` tunes its whole process."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    structlog.reset_defaults()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "tocsin.toml"
    file.write_text(
        f'state_dir = "{tmp_path}"\n'
        f'[store]\npath = "{tmp_path}/tocsin.db"\n'
        f'[auth]\nshared_secret = "{SECRET}"\n'
        '[listen]\npublic = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n'
        "[drain]\nwindow = 0\n"
        '[log]\nformat = "json"\n'
    )
    return file


def run(*arguments: str) -> Result:
    return CliRunner(env={"TOCSIN_CONFIG": ""}).invoke(serve, arguments)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(
    config: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Once ready it prints the welcome; the first signal drains, and the status is 0 (OP-1,
    OP-12)."""

    def welcome(_config: object, public: str, admin: str) -> str:
        os.kill(os.getpid(), number)
        return f"welcome {public} {admin}"

    monkeypatch.setattr(module, "welcome", welcome)
    result = run("--config", str(config), "--welcome")
    assert (result.exit_code, result.exception) == (0, None)
    said = result.stdout.splitlines()
    [line] = [line for line in said if line.startswith("welcome ")]
    listened = orjson.loads((config.parent / "listen.json").read_bytes())
    assert line.split()[1:] == [*listened["public"], *listened["admin"]]
    events = [orjson.loads(line)["event"] for line in said if line.startswith("{")]
    order = ["daemon.ready", "signal.received", "daemon.draining", "daemon.stopped"]
    assert [event for event in events if event in order] == order


def test_what_is_hardly_meant_is_in_the_log(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning at the start, and again when the file is read again (SE-1, OP-7)."""
    config.write_text('trusted_proxies = ["0.0.0.0/0"]\n' + config.read_text())

    def welcome(*_arguments: object) -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        return "welcome"

    monkeypatch.setattr(module, "welcome", welcome)
    result = run("--config", str(config), "--welcome")
    assert result.exit_code == 0
    events = [orjson.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    [doubt] = [one for one in events if one["event"] == "config.doubtful"]
    assert (doubt["level"], doubt["doubt"].partition(":")[0]) == ("warning", "trusted_proxies")
    with capture_logs() as again:
        module._read_again(str(config))
    assert [one["doubt"] for one in again] == [doubt["doubt"]]


def test_bad_configuration(config: Path) -> None:
    """Every mistake on a line of its own, status 2, and nothing was made (OP-6)."""
    config.write_text(config.read_text() + "windw = 1\n[ws]\nwindow = 0\n")
    result = run("--config", str(config))
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 2
    assert "log.windw" in result.stderr
    assert "ws.window" in result.stderr
    assert os.listdir(config.parent) == [config.name]


def test_no_such_file(tmp_path: Path) -> None:
    """A missing file is bad configuration (OP-6)."""
    result = run("--config", str(tmp_path / "none.toml"))
    assert result.exit_code == 2
    assert "none.toml" in result.stderr


def test_a_store_in_use(config: Path) -> None:
    """What keeps it from starting is one line and status 1, without a traceback (OP-3)."""
    lock = lock_store(str(config.parent / "tocsin.db"))
    try:
        result = run("--config", str(config))
    finally:
        os.close(lock)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "in use by another daemon" in result.stderr


def test_a_state_directory_that_cannot_be(config: Path) -> None:
    """The same for a failure inside the running nurseries (OP-3)."""
    (config.parent / "listen.json").mkdir()
    result = run("--config", str(config))
    assert result.exit_code == 1
    assert result.stderr.startswith("tocsin: state_dir ")
    assert len(result.stderr.splitlines()) == 1
