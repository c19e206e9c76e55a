"""tocsin.cli.inputs: secrets and tokens that are handed in."""

import pytest
from click.testing import CliRunner

from tocsin.cli.inputs import text
from tocsin.cli.main import tocsin


@pytest.mark.parametrize(
    "words",
    [
        ["token", "hash"],
        ["token", "create", "--user", "u", "--secret-file", "-"],
        ["token", "revoke", "-", "--token", "t"],
    ],
    ids=" ".join,
)
def test_what_is_no_text(words: list[str]) -> None:
    """Bad usage in one line, which does not show what it was (OP-3)."""
    result = CliRunner().invoke(tocsin, words, input=b"secret\xff\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is not UTF-8 text" in result.stderr
    assert "secret\\" not in result.stderr


def test_a_mark_in_front() -> None:
    """As the configuration takes it (OP-5)."""
    assert text(b"\xef\xbb\xbfabc", "the secret") == "abc"
