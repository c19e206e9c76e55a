"""tocsin.cli.demo where there is nothing to show; `end_to_end/test_demo` has the rest (OP-2)."""

import sys

import pytest
from click.testing import CliRunner

from tocsin.cli.demo import demo


def test_a_daemon_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told in one line, behind which the daemon's log ends; the exit status is 1."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    result = CliRunner().invoke(demo, ["--json"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "tocsin demo: the daemon ended at once\n"


def test_bad_usage() -> None:
    """Nobody can wait for less than no time: status 2."""
    assert CliRunner().invoke(demo, ["--patience", "-1"]).exit_code == 2
