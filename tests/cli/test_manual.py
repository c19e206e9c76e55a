"""tocsin.cli.manual."""

import shutil
import subprocess

import click
import pytest
from click.testing import CliRunner

from tocsin.cli.main import tocsin
from tocsin.cli.manual import page


def page_of(command: click.Command) -> str:
    return page(click.Context(command, info_name="tocsin"))


def test_every_command_is_there() -> None:
    """OP-3: each command has a section, with its options; the command prints the page."""
    text = CliRunner().invoke(tocsin, ["man"]).stdout
    assert text.startswith(".TH TOCSIN 1")
    for name in ("serve", "check", "deadletters replay", "lanes pause", "token create"):
        assert f".SS tocsin {name}".replace("-", "\\-") in text
    assert "\\-\\-config" in text


def test_text_cannot_be_taken_for_roff() -> None:
    """A line that begins with a dot, a backslash or a hyphen stays what it is."""

    @click.group()
    def group() -> None:
        """A group."""

    @group.command()
    def odd() -> None:
        """.SH not a heading, and \\fB no bold -- either."""

    text = page_of(group)
    assert "\\&.SH not a heading, and \\efB no bold \\-\\- either." in text


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff")
def test_roff_is_clean() -> None:
    """The formatter has nothing to complain of."""
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-Tutf8"],
        input=page_of(tocsin).encode(),
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
