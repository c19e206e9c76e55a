"""`tocsin token revoke` and `tocsin token revocations`: tokens void before their time (OP-3)."""

import sys

import click

from tocsin.cli.adminclient import AdminClient, asking
from tocsin.cli.columns import show_members, show_table
from tocsin.cli.inputs import text

COLUMNS = ("by", "name", "at", "expires_at")


@click.command()
@asking
@click.argument("void_token", metavar="[TOKEN]", required=False)
@click.option("--jti", help="The token with this id.")
@click.option("--user", help="Every token of this user issued up to now.")
@click.option("--client", "client_id", metavar="ID", help="Every token of this client up to now.")
@click.option("--subscriber", metavar="ID", help="Every token of this subscriber up to now.")
@click.option("--domain", help="The domain of --subscriber.")
def revoke(
    *,
    client: AdminClient,
    as_json: bool,
    void_token: str | None,
    jti: str | None,
    user: str | None,
    client_id: str | None,
    subscriber: str | None,
    domain: str | None,
) -> None:
    """Have a running daemon refuse tokens from now on, over restarts too, and close what is open
    by them. TOKEN is the token itself; with - it is read from standard input, so that it stays
    out of the shell's history.

    \b
    Examples:
      tocsin token revoke - < leaked-token
      tocsin token revoke --user alice@example.com
      tocsin token revoke --subscriber 12125550199 --domain example.com
    """
    if void_token == "-":  # noqa: S105 - where the token is
        void_token = text(sys.stdin.buffer.read(), "the token").strip()
    ways = {"token": void_token, "jti": jti, "user": user, "client": client_id}
    ways["subscriber"] = subscriber
    given = {way: name for way, name in ways.items() if name is not None}
    if len(given) != 1:
        raise click.UsageError("give one of TOKEN, --jti, --user, --client and --subscriber")
    if (subscriber is None) is not (domain is None):
        raise click.UsageError("--subscriber and --domain go together")
    client.post("/tokens/revoke", given if domain is None else {**given, "domain": domain})
    [way] = given
    show_members({"revoked": way if way == "token" else given[way]}, as_json=as_json)


@click.command()
@asking
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
def revocations(*, client: AdminClient, as_json: bool, limit: int) -> None:
    """List what is revoked, and until when; tokens by their id or a hash.

    \b
    Example:
      tocsin token revocations --json
    """
    found = client.pages("/tokens/revoked", "revocations", limit=limit, cursor="after")
    show_table(found, COLUMNS, as_json=as_json)
