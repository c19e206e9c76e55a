"""`tocsin channels`: who can be reached where."""

import click

from tocsin.cli.adminclient import AdminClient, asking, segment
from tocsin.cli.columns import show_members, show_table
from tocsin.model.channel import ChannelType

COLUMNS = ("id", "user", "type", "state", "connected", "created_at", "lane")


@click.group()
def channels() -> None:
    """Look after the channels of a running daemon."""


@channels.command("list")
@asking
@click.option("--user", help="Only this user's.")
@click.option("--type", "kind", type=click.Choice([kind.value for kind in ChannelType]))
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
def list_(
    *, client: AdminClient, as_json: bool, user: str | None, kind: str | None, limit: int
) -> None:
    """List channels, the youngest first.

    \b
    Examples:
      tocsin channels list --user alice@example.com
      tocsin channels list --type Webhooks --limit 1000 --json
    """
    found = client.pages("/channels", "channels", limit=limit, user=user, type=kind)
    show_table(found, COLUMNS, as_json=as_json)


@channels.command()
@asking
@click.argument("channel_id")
def show(*, client: AdminClient, as_json: bool, channel_id: str) -> None:
    """Show one channel and the subscriptions that point to it.

    \b
    Example:
      tocsin channels show wh-6f1e...
    """
    channel = client.get(f"/channels/{segment(channel_id)}")["channel"]
    show_members(channel, as_json=as_json)
    if not as_json and channel["subscriptions"]:
        click.echo()
        show_table(channel["subscriptions"], ("id", "service", "user"), as_json=False)


@channels.command()
@asking
@click.argument("channel_id")
def delete(*, client: AdminClient, as_json: bool, channel_id: str) -> None:
    """Delete a channel with its subscriptions and what waits for it.

    \b
    Example:
      tocsin channels delete ws-6f1e...
    """
    client.delete(f"/channels/{segment(channel_id)}")
    show_members({"deleted": channel_id}, as_json=as_json)


@channels.command()
@asking
@click.argument("channel_id")
def suspend(*, client: AdminClient, as_json: bool, channel_id: str) -> None:
    """Stop calling a webhook or phone; what is for it waits.

    \b
    Example:
      tocsin channels suspend wh-6f1e...
    """
    _switch(client, channel_id, "suspend", as_json=as_json)


@channels.command()
@asking
@click.argument("channel_id")
def resume(*, client: AdminClient, as_json: bool, channel_id: str) -> None:
    """Call a channel again that is suspended, or whose receiver has asked for a rest; what waits
    for it is due at once.

    \b
    Example:
      tocsin channels resume wh-6f1e...
    """
    _switch(client, channel_id, "resume", as_json=as_json)


def _switch(client: AdminClient, channel_id: str, verb: str, *, as_json: bool) -> None:
    channel = client.post(f"/channels/{segment(channel_id)}/{verb}")["channel"]
    show_members(channel, as_json=as_json)
