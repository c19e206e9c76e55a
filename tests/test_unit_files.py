"""The units in systemd/, judged by the systemd that is installed (OP-14)."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.end_to_end.peers.processes import require

UNITS = Path(__file__).parents[1] / "systemd"
COMMAND = "/opt/tocsin/bin/tocsin"
MOST_EXPOSED = 13
"""Tenths."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A folder with the units as they are, but for a command that exists."""
    for unit in UNITS.glob("tocsin.*"):
        text = unit.read_text()
        assert (COMMAND in text) == (unit.suffix == ".service")
        (tmp_path / unit.name).write_text(text.replace(COMMAND, shutil.which("true") or ""))
    return tmp_path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [require("systemd-analyze", "systemd"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_nothing_to_complain_about(units: Path) -> None:
    """OP-14: `systemd-analyze verify` says nothing about the service and the socket."""
    found = sorted(str(unit) for unit in units.iterdir())
    assert [Path(unit).suffix for unit in found] == [".service", ".socket"]
    done = analyze("verify", "--man=no", *found)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_exposure(units: Path) -> None:
    """OP-14: `systemd-analyze security` finds an exposure of 1.3 or less."""
    unit = units / "tocsin.service"
    done = analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", str(unit))
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level for tocsin.service: " in done.stdout


def test_the_socket_is_the_public_listener() -> None:
    """OP-8: it is passed by the name that `listen.public = "systemd:public"` asks for."""
    assert "FileDescriptorName=public" in (UNITS / "tocsin.socket").read_text().splitlines()
