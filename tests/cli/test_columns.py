"""tocsin.cli.columns: the same for people, for tools and for machines (OP-3)."""

import re
import sys

import orjson
import pytest
from tests.fakes.terminal import terminal

from tocsin.cli.columns import show_members, show_table

LONG = "wh-27c5bde4-7e7f-45d3-b685-7baa2e87a553"
ITEMS = [
    {"id": LONG, "at": 1795353536279, "reason": "no\x1b[31m luck\n[red]at all[/]", "ok": True},
    {"id": "b", "at": None, "reason": "x" * 100, "ok": False},
]
COLUMNS = ("id", "at", "reason", "ok")
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def drawn(monkeypatch: pytest.MonkeyPatch, columns: int) -> str:
    with terminal() as screen, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", screen.stream)
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("TERM", "xterm-256color")
        show_table(ITEMS, COLUMNS, as_json=False)
    return screen.text


def test_a_pipe_gets_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Tabs between the columns, nothing cut off, in colour or with blanks inside but in texts from
    afar, and no control character of those."""
    show_table(ITEMS, COLUMNS, as_json=False)
    assert [line.split("\t") for line in capsys.readouterr().out.splitlines()] == [
        ["id", "at", "reason", "ok"],
        [LONG, "2026-11-22T13:18:56Z", "no?[31m luck?[red]at all[/]", "yes"],
        ["b", "-", "x" * 100, "no"],
    ]


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_a_terminal_gets_a_table(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Of no more than its width, where what is too long goes on below: no ellipsis, no markup."""
    lines = ESCAPES.sub("", drawn(monkeypatch, columns)).splitlines()
    assert max(map(len, lines)) <= columns
    whole = "".join("".join(lines).split())
    assert "…" not in whole
    assert whole.count("x") == 100
    assert "[r" in whole
    first = "".join(line.partition(" ")[0] for line in lines[2:])
    assert first.startswith(LONG)
    assert (LONG in lines[2]) is (columns >= 80)


def test_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR there is none."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[(?:[0-9]+;)*(?:3|4|9|10)[0-9]", drawn(monkeypatch, 100))


def test_forced_colour_is_not_for_pipes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What goes to another program is plain, whatever the environment says of terminals."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    show_table(ITEMS, COLUMNS, as_json=False)
    assert "\x1b" not in capsys.readouterr().out


def test_machines_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, as the daemon has it."""
    show_table(ITEMS, COLUMNS, as_json=True)
    assert [orjson.loads(line) for line in capsys.readouterr().out.splitlines()] == ITEMS


def test_members(capsys: pytest.CaptureFixture[str]) -> None:
    """One thing is a member a line, lists left out."""
    show_members({"id": LONG, "failing_since": 0, "list": [1], "lane": None}, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        f"id             {LONG}",
        "failing since  1970-01-01T00:00:00Z",
        "lane           -",
    ]


def test_what_is_due_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """It has been so since ever for the daemon, which is no date for people."""
    show_members({"due_at": 0}, as_json=False)
    assert capsys.readouterr().out == "due at  now\n"
