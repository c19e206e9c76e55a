"""tocsin.cli.configuration: check, defaults and explain (OP-3)."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tocsin.cli.configuration import check, defaults, explain
from tocsin.config.rendering import default_toml, reference


def explained(key: str) -> Result:
    return CliRunner().invoke(explain, [key])


def test_check_of_a_right_file(tmp_path: Path) -> None:
    """A right configuration: status 0 and the file's name."""
    file = tmp_path / "tocsin.toml"
    file.write_text(f'[auth]\nshared_secret = "{"x" * 40}"\n')
    result = CliRunner().invoke(check, ["--config", str(file)])
    assert (result.exit_code, result.stdout) == (0, f"{file}: all right\n")


def test_check_warns(tmp_path: Path) -> None:
    """What works but is hardly meant is told on standard error, and nothing fails for it (SE-1)."""
    file = tmp_path / "tocsin.toml"
    file.write_text('[auth]\njwks_url = "http://keys.example/set"\n')
    result = CliRunner().invoke(check, ["--config", str(file)])
    assert (result.exit_code, result.stdout) == (0, f"{file}: all right, 1 warning\n")
    assert result.stderr.startswith("warning: auth.jwks_url: is plain http; ")


def test_check_lists_every_mistake(tmp_path: Path) -> None:
    """A wrong one: status 2, and each mistake on its own line on standard error (OP-6)."""
    file = tmp_path / "tocsin.toml"
    file.write_text('[store]\nbatch = "80"\npaht = "x"\n')
    result = CliRunner().invoke(check, ["--config", str(file)])
    assert result.exit_code == 2
    assert "store.batch: must be a whole number, not a string\n" in result.stderr
    assert "store.paht: unknown option, did you mean store.path?\n" in result.stderr
    assert result.stderr.endswith(f"{file}: 3 mistakes\n")
    assert result.stdout == ""


def test_defaults_prints_both_documents() -> None:
    """The sample file and the reference come out exactly as they are generated."""
    assert CliRunner().invoke(defaults).stdout == default_toml()
    assert CliRunner().invoke(defaults, ["--reference"]).stdout == reference()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("store.batch", ["type:    a whole number", "default: 512", "allowed: 1 to 10_000"]),
        ("auth.shared_secret", ["default: not set", "a secret"]),
        ("auth.builtin.clients.web.secret", ["auth.builtin.clients.<name>.secret"]),
        ("auth.builtin", ["[auth.builtin]", "auth.builtin.enabled"]),
    ],
)
def test_explain(key: str, words: list[str]) -> None:
    """An option shows type, bounds and default; a table its options; any name fits `<name>`."""
    result = explained(key)
    assert result.exit_code == 0
    for word in words:
        assert word in result.stdout


def test_explain_of_an_unknown_key() -> None:
    """An unknown key is bad usage, status 2, with a suggestion."""
    result = explained("listen.publik")
    assert result.exit_code == 2
    assert "Did you mean listen.public?" in result.stderr
