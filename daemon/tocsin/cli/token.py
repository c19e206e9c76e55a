"""`tocsin token`: tokens and hashes without a daemon, and what a daemon is to refuse (OP-3)."""

import os
import secrets
import sys
import time
from typing import BinaryIO

import click

from tocsin.cli.inputs import text
from tocsin.cli.revoking import revocations, revoke
from tocsin.config import ConfigError, load
from tocsin.model.principal import SCOPES
from tocsin.server.auth import AuthSettings
from tocsin.wire.jwk import Key, shared_secret
from tocsin.wire.jwt import mint
from tocsin.wire.scrypt import hashed

SALT_BYTES = 16


def _some_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("names nobody")
    return value


@click.group()
def token() -> None:
    """Make tokens, revoke them, and make hashes of secrets for the token endpoint."""


token.add_command(revoke)
token.add_command(revocations)


@token.command()
@click.option("--user", required=True, callback=_some_name, help="Whom the token speaks for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it may do; give it several times for several. Default: channels.",
)
@click.option(
    "--client", metavar="ID", help="The program that uses it, a producer when it publishes."
)
@click.option(
    "--expires-in",
    type=click.IntRange(min=1),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="How long it is valid.",
)
@click.option("--config", "path", metavar="FILE", help="Take secret, issuer, audience from here.")
@click.option(
    "--secret-file",
    type=click.File("rb"),
    help="Take the shared secret from here instead; - is standard input.",
)
def create(
    *,
    user: str,
    scopes: tuple[str, ...],
    client: str | None,
    expires_in: int,
    path: str | None,
    secret_file: BinaryIO | None,
) -> None:
    """Print a token signed with the daemon's shared secret.

    Secret, issuer and audience come from the configuration that `tocsin serve` would read, so
    that the daemon accepts the token. With --secret-file no configuration is read, unless
    --config names one.

    \b
    Examples:
      tocsin token create --user alice
      tocsin token create --user crm --scope publish --client crm --expires-in 86400
      tocsin token create --user alice --scope admin --secret-file state/shared-secret
    """
    settings = _settings(path) if path or secret_file is None else AuthSettings()
    secret = settings.shared_secret
    if secret_file is not None:
        secret = text(secret_file.read(), "the secret").rstrip("\r\n")
    claims = {
        "iss": settings.issuer,
        "aud": settings.audience,
        "sub": user,
        "preferred_username": user,
        "scope": " ".join(scopes or ["channels"]),
        "client_id": client,
        "jti": secrets.token_hex(16),
    }
    present = {name: value for name, value in claims.items() if value is not None}
    click.echo(mint(present, _key(secret), now=time.time(), lifetime=expires_in))


@token.command("hash")
def hash_() -> None:
    """Print the hash of a secret, as [auth.builtin] wants it.

    Asks for the secret twice, or reads one line where standard input is not a terminal.

    \b
    Examples:
      tocsin token hash
      openssl rand -hex 24 | tee project-secret | tocsin token hash
    """
    if sys.stdin.isatty():
        secret = click.prompt("Secret", hide_input=True, confirmation_prompt=True, err=True)
    else:
        secret = text(sys.stdin.buffer.readline(), "the secret").rstrip("\r\n")
    if not secret:
        raise click.UsageError("there is no secret on standard input")
    click.echo(str(hashed(secret, secrets.token_bytes(SALT_BYTES))))


def _settings(path: str | None) -> AuthSettings:
    try:
        return load(path, os.environ).auth
    except ConfigError as error:
        raise click.UsageError("the configuration is wrong:\n" + str(error)) from None


def _key(secret: str | None) -> Key:
    """The loaded secret; a missing or bad one is a usage error, exit status 2."""
    if not secret:
        raise click.UsageError("there is no secret: set auth.shared_secret or give --secret-file")
    try:
        return shared_secret(secret)
    except ValueError as error:
        raise click.UsageError(f"the shared secret {error}") from None
