"""The `tocsin` command: its groups, help, and exit status."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tocsin.cli.main import tocsin


def commands(group: click.Group = tocsin, *names: str) -> Iterator[tuple[str, ...]]:
    """The words of every command that can be run."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield (*names, name)


def test_the_commands() -> None:
    """What this release has of OP-3's list."""
    known = {" ".join(words) for words in commands()}
    assert known >= {"serve", "check", "defaults", "explain", "token create", "listen", "version"}
    assert known >= {f"channels {verb}" for verb in ("list", "show", "delete")}
    assert known >= {"publish", "push"}
    assert known >= {"deliveries list", "deliveries show", "lanes list", "lanes pause"}
    assert known >= {f"deadletters {verb}" for verb in ("list", "replay", "purge")}


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help(words: tuple[str, ...]) -> None:
    """Every command explains itself in its own words (OP-3)."""
    result = CliRunner().invoke(tocsin, [*words, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: tocsin {' '.join(words)}")
    assert len(result.output.splitlines()) >= 5


@pytest.mark.parametrize("arguments", [["dance"], ["serve", "--dance"], ["token", "dance"]])
def test_bad_usage(arguments: list[str]) -> None:
    """What does not exist is bad usage: status 2, said on standard error (OP-3)."""
    result = CliRunner().invoke(tocsin, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "dance" in result.stderr


def test_the_overview_tells_the_exit_status() -> None:
    """`tocsin --help` lists the commands and what its exit status means (OP-3)."""
    result = CliRunner().invoke(tocsin, ["--help"])
    assert result.exit_code == 0
    assert "0 done, 1 failed, 2 bad usage or bad configuration" in result.output
    assert all(words[0] in result.output for words in commands())


def python_tocsin(*words: str, **streams: Any) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "tocsin", *words],
        check=False,
        env=os.environ | {"TOCSIN_CONFIG": ""},
        **streams,
    )


@pytest.mark.parametrize("words", [["defaults"], ["version"], ["serve", "--help"]])
def test_a_full_disk(words: list[str]) -> None:
    """What cannot be written is a failure in one line, and no second one at the end (OP-3)."""
    with Path("/dev/full").open("wb") as full:
        result = python_tocsin(*words, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert result.stderr == b"tocsin: the output cannot be written: No space left on device\n"


def test_a_full_disk_for_everything() -> None:
    """Where even that cannot be said, the status says it (OP-3)."""
    with Path("/dev/full").open("wb") as full:
        assert python_tocsin("defaults", stdout=full, stderr=full).returncode == 1


def test_a_reader_that_went_away() -> None:
    """A closed pipe is a failure without a word (OP-3)."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = python_tocsin("defaults", stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (1, b"")


def test_standard_streams_that_are_closed() -> None:
    """Nothing that is opened later gets their numbers, and nobody stumbles over them (OP-3)."""
    code = (
        "import os; [os.close(n) for n in range(3)];"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'tocsin', 'version'])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_other_errors_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system that is not the output's is a bug, and shows where (OP-3)."""

    def fail() -> None:
        raise OSError(errno.ENOSPC, "no space", "a.file")

    monkeypatch.setitem(tocsin.commands, "version", click.Command("version", callback=fail))
    with pytest.raises(OSError, match="no space"):
        tocsin.main(["version"])


@pytest.mark.parametrize("words", [["explain", "\udcff"], ["publish", "\udcff", "{}"]])
def test_arguments_that_are_no_text(words: list[str]) -> None:
    """What can be neither printed nor sent is bad usage (OP-3)."""
    result = CliRunner().invoke(tocsin, words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "an argument is not UTF-8 text" in result.stderr


def test_reading_a_standard_input_that_is_closed() -> None:
    """It is empty (OP-3)."""
    code = (
        "import os; os.close(0);"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'tocsin', 'publish', 'u', '-',"
        "'--token', 't'])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 2
    assert b"the notification is not JSON" in done.stderr
