"""`tocsin lanes`: the far sides, and what blocks them."""

import click

from tocsin.cli.adminclient import INVALID, MISSING, AdminClient, RefusedError, asking, segment
from tocsin.cli.columns import show_members, show_table

COLUMNS = ("name", "type", "blocked", "width", "under_way", "held", "backlog", "due_at")

UNKNOWN = {INVALID: "is no name of a lane;", MISSING: "is not blocked, or no lane;"}


@click.group()
def lanes() -> None:
    """See and steer the lanes of a running daemon."""


@lanes.command("list")
@asking
@click.option("--blocked", is_flag=True, help="Only those where less is attempted than could be.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
def list_(*, client: AdminClient, as_json: bool, blocked: bool, limit: int) -> None:
    """List lanes that have work or are blocked, by name.

    \b
    Examples:
      tocsin lanes list
      tocsin lanes list --blocked --json
    """
    only = "true" if blocked else None
    found = client.pages("/lanes", "lanes", limit=limit, cursor="after", blocked=only)
    show_table(found, COLUMNS, as_json=as_json)


@lanes.command()
@asking
@click.argument("name")
def pause(*, client: AdminClient, as_json: bool, name: str) -> None:
    """Attempt nothing more on a lane, over restarts too; what is under way is finished.

    \b
    Example:
      tocsin lanes pause https://hook.example:443
    """
    _steer(client, name, "pause")
    show_members({"paused": name}, as_json=as_json)


@lanes.command()
@asking
@click.argument("name")
def resume(*, client: AdminClient, as_json: bool, name: str) -> None:
    """Let a lane flow again, whatever blocks it; a paused credential is probed at once.

    \b
    Example:
      tocsin lanes resume https://hook.example:443
    """
    _steer(client, name, "resume")
    show_members({"resumed": name}, as_json=as_json)


def _steer(client: AdminClient, name: str, verb: str) -> None:
    try:
        client.post(f"/lanes/{segment(name)}/{verb}")
    except RefusedError as error:
        reason = UNKNOWN.get(error.id or "")
        if reason is None:
            raise
        raise click.ClickException(f"{name} {reason} `tocsin lanes list` shows them") from None
