"""`tocsin apps`: the apps on phones, and tokens that were removed by mistake."""

import click

from tocsin.cli.adminclient import MISSING, AdminClient, RefusedError, asking, segment, since_option
from tocsin.cli.columns import show_members, show_table

COLUMNS = ("id", "provider", "key", "kind", "lane", "guarded")


@click.group()
def apps() -> None:
    """See the apps a running daemon pushes to, and undo the removal of tokens."""


@apps.command("list")
@asking
def list_(*, client: AdminClient, as_json: bool) -> None:
    """List the registered apps. Of a guarded one so many tokens were said to be bad that the
    mistake may be ours: none is removed any more, pushes are refused instead.

    \b
    Example:
      tocsin apps list
    """
    show_table(client.get("/apps")["apps"], COLUMNS, as_json=as_json)


@apps.command()
@asking
@click.argument("app_id", metavar="APPID")
def clear(*, client: AdminClient, as_json: bool, app_id: str) -> None:
    """Believe again what the provider says of an app's tokens, once the mistake is mended.

    \b
    Example:
      tocsin apps clear com.example.app
    """
    try:
        client.post(f"/apps/{segment(app_id)}/clear")
    except RefusedError as error:
        if error.id != MISSING:
            raise
        reason = "is not guarded, or no app; `tocsin apps list` shows them"
        raise click.ClickException(f"{app_id} {reason}") from None
    show_members({"cleared": app_id}, as_json=as_json)


@apps.command()
@asking
@click.argument("app_id", metavar="APPID")
@since_option("Only what was removed since then; a day is kept.")
def restore(*, client: AdminClient, as_json: bool, app_id: str, since: str | int | None) -> None:
    """Bring back channels that were removed because their token was said to be gone.

    \b
    Example:
      tocsin apps restore com.example.app --since 2h
    """
    body = {"since": 0 if since is None else since}
    show_members(client.post(f"/apps/{segment(app_id)}/restore", body), as_json=as_json)
