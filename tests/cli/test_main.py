"""The `tocsin` command: its groups, help, and exit status."""

from collections.abc import Iterator

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
