"""`tocsin token`."""

import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.fakes.tokens import SECRET

from tocsin.cli.token import token
from tocsin.wire.jwk import KeySet, shared_secret
from tocsin.wire.jwt import Rules, verify
from tocsin.wire.scrypt import parsed

KEYS = KeySet(shared_secret(SECRET))


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner(env={"TOCSIN_CONFIG": ""}).invoke(token, arguments, input=stdin)


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    return str(file)


def config_file(folder: Path, text: str) -> str:
    file = folder / "tocsin.toml"
    file.write_text(text)
    return str(file)


def test_token_from_a_secret_file(secret_file: str) -> None:
    """OP-3: only the token is printed, with user, scopes, client and lifetime as asked."""
    options = ["--scope", "publish", "--scope", "admin", "--client", "crm", "--expires-in", "60"]
    result = run("create", "--user", "al@x", *options, "--secret-file", secret_file)
    assert (result.exit_code, result.stderr) == (0, "")
    now = time.time()
    principal = verify(result.stdout.removesuffix("\n"), KEYS, now=now, rules=Rules())
    assert (principal.user, principal.subject) == ("al@x", "al@x")
    assert principal.scopes == {"publish", "admin"}
    assert principal.producer == "crm"
    assert now < principal.expires_at <= now + 60


def test_token_from_the_configuration(tmp_path: Path) -> None:
    """OP-3: issuer and audience come along, so that the daemon accepts the token."""
    lines = f'[auth]\nshared_secret = "{SECRET}"\nissuer = "us"\naudience = "tocsin"\n'
    result = run("create", "--user", "alice", "--config", config_file(tmp_path, lines))
    assert result.exit_code == 0, result.output
    rules = Rules(issuer="us", audience="tocsin", default_scopes=frozenset())
    principal = verify(result.stdout.strip(), KEYS, now=time.time(), rules=rules)
    assert principal.scopes == {"channels"}
    assert principal.producer == "alice"


@pytest.mark.parametrize(
    "arguments",
    [
        ["create"],
        ["create", "--user", "a", "--scope", "root"],
        ["create", "--user", "a", "--expires-in", "0"],
        ["create", "--user", "a", "--secret-file", "/nonexistent/secret"],
        ["create", "--user", "a", "--config", "/nonexistent/tocsin.toml"],
        ["hash"],
    ],
)
def test_bad_usage(arguments: list[str]) -> None:
    """OP-3: bad usage and bad configuration exit with status 2 and print nothing on stdout."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")


def test_short_secret(tmp_path: Path) -> None:
    """CH-11: no token is made with a secret the daemon would not take."""
    file = tmp_path / "secret"
    file.write_text("short")
    result = run("create", "--user", "a", "--secret-file", str(file))
    assert result.exit_code == 2
    assert "at least 32 bytes" in result.stderr


def test_configuration_without_a_secret(tmp_path: Path) -> None:
    """OP-3: a daemon that trusts an identity provider only has nothing to sign with."""
    lines = '[auth]\njwks_url = "https://idp.example/keys"\n'
    result = run("create", "--user", "a", "--config", config_file(tmp_path, lines))
    assert result.exit_code == 2
    assert "auth.shared_secret" in result.stderr


def test_hash_of_a_piped_secret() -> None:
    """CH-14: the printed hash matches the first line of standard input, without its end."""
    result = run("hash", stdin="s3cret\n")
    assert result.exit_code == 0
    assert parsed(result.stdout.removesuffix("\n")).matches("s3cret")
    assert result.stdout != run("hash", stdin="s3cret\n").stdout


@pytest.mark.parametrize("command", ["create", "hash"])
def test_help_has_examples(command: str) -> None:
    """OP-3: every command explains itself by example."""
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"tocsin token {command}" in result.stdout
