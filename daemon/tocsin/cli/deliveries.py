"""`tocsin deliveries`: what was attempted, and what came of it."""

import click

from tocsin.cli.adminclient import AdminClient, asking, segment
from tocsin.cli.columns import show_members, show_table

COLUMNS = ("at", "notification", "channel", "number", "result", "status", "reason", "latency_ms")
PENDING = ("delivery", "channel", "attempts", "held", "due_at", "lane")
LETTERS = ("id", "channel", "died_at", "attempts", "reason", "status")


@click.group()
def deliveries() -> None:
    """Read the delivery log of a running daemon."""


@deliveries.command("list")
@asking
@click.option("--channel", metavar="ID", help="Only to this channel.")
@click.option("--user", help="Only this user's notifications.")
@click.option("--notification", metavar="ID", help="Only of this notification.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
def list_(
    *,
    client: AdminClient,
    as_json: bool,
    channel: str | None,
    user: str | None,
    notification: str | None,
    limit: int,
) -> None:
    """List attempts, the latest first, of a channel, a user or a notification.

    \b
    Examples:
      tocsin deliveries list --channel wh-6f1e...
      tocsin deliveries list --user alice@example.com --json
    """
    if not (channel or user or notification):
        raise click.UsageError("give --channel, --user or --notification")
    found = client.pages(
        "/deliveries",
        "attempts",
        limit=limit,
        channel=channel,
        user=user,
        notification=notification,
    )
    show_table(found, COLUMNS, as_json=as_json)


@deliveries.command()
@asking
@click.argument("notification_id")
def show(*, client: AdminClient, as_json: bool, notification_id: str) -> None:
    """Show the whole way of one notification: attempts, what is to come, what was given up.

    \b
    Example:
      tocsin deliveries show 0f8f1b9e-...
    """
    path = client.get(f"/notifications/{segment(notification_id)}")
    if as_json:
        show_members(path, as_json=True)
        return
    show_members(path.get("notification") or {"id": path["id"]}, as_json=False)
    for title, name, columns in (
        ("attempts", "attempts", COLUMNS),
        ("still to come", "pending", PENDING),
        ("given up", "dead_letters", LETTERS),
    ):
        if path[name]:
            click.echo(f"\n{title}:")
            show_table(path[name], columns, as_json=False)
    if not path["complete"]:
        click.echo("\nThe search took too long; there may be more.", err=True)
