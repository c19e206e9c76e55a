"""tocsin.cli.progress: a bar for those who watch, nothing for others (OP-3)."""

import sys

import pytest
from tests.fakes.terminal import terminal

from tocsin.cli.progress import progress


def never() -> int:
    raise AssertionError("nobody wants to know")


def test_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed, and nothing is counted for it."""
    with progress("replay", never) as tell:
        tell(3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("total", "shown"), [(5, "3/5"), (None, "3/?")])
def test_a_bar_on_a_terminal(
    total: int | None,
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On standard error, with how many are done of how many, as far as that is known."""
    with terminal() as screen, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", screen.stream)
        patch.setenv("TERM", "xterm-256color")
        with progress("replay", lambda: total) as tell:
            tell(3)
    assert "replay" in screen.text
    assert shown in screen.text
    assert capsys.readouterr().out == ""
