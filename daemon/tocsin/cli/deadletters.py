"""`tocsin deadletters`: what was given up, to be tried again or forgotten."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tocsin.cli.adminclient import AdminClient, asking, segment, since_option
from tocsin.cli.columns import show_members, show_table

COLUMNS = ("id", "died_at", "user", "channel", "service", "attempts", "reason", "status")

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def deadletters() -> None:
    """Look through the dead letters of a running daemon."""


@deadletters.command("list")
@asking
@click.option("--channel", metavar="ID", help="Only to this channel.")
@click.option("--user", help="Only this user's notifications.")
@since_option("Only those that died since then, e.g. 2h or 2026-11-22T10:00:00Z.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
def list_(
    *,
    client: AdminClient,
    as_json: bool,
    channel: str | None,
    user: str | None,
    since: str | int | None,
    limit: int,
) -> None:
    """List dead letters, the latest first.

    \b
    Examples:
      tocsin deadletters list --since 2h
      tocsin deadletters list --channel wh-6f1e... --json
    """
    found = client.pages(
        "/deadletters", "dead_letters", limit=limit, channel=channel, user=user, since=since
    )
    show_table(found, COLUMNS, as_json=as_json)


@deadletters.command()
@asking
@click.argument("letter_id")
def show(*, client: AdminClient, as_json: bool, letter_id: str) -> None:
    """Show one dead letter with what it says.

    \b
    Example:
      tocsin deadletters show 6553600
    """
    letter = client.get(f"/deadletters/{segment(letter_id)}")["dead_letter"]
    show_members(letter, as_json=as_json)
    if not as_json:
        click.echo()
        show_members(letter["notification"], as_json=False)
        show_members(letter["notification"]["body"], as_json=True)


def selecting(command: Command) -> Command:
    """Give a command the arguments that say which letters it is for."""
    for option in reversed(
        (
            click.argument("ids", nargs=-1, type=int),
            click.option("--channel", metavar="ID", help="All to this channel."),
            click.option("--user", help="All of this user's notifications."),
            since_option("All that died since then, e.g. 2h or 2026-11-22T10:00:00Z."),
            click.option("--all", "everything", is_flag=True, help="All there are."),
        )
    ):
        command = option(command)
    return command


@deadletters.command()
@asking
@selecting
def replay(*, client: AdminClient, as_json: bool, **selection: Any) -> None:
    """Deliver dead letters again, the oldest first, each with its first lifetime from now on.

    Interrupted, what was replayed is; the same command goes on with the rest.

    \b
    Examples:
      tocsin deadletters replay 6553600
      tocsin deadletters replay --channel wh-6f1e...
      tocsin deadletters replay --since 2h
    """
    _work_off(client, "replay", "replayed", selection, as_json=as_json)


@deadletters.command()
@asking
@selecting
@click.confirmation_option(prompt="Forget these dead letters for good?")
def purge(*, client: AdminClient, as_json: bool, **selection: Any) -> None:
    """Forget dead letters for good; asks first, unless told --yes.

    \b
    Examples:
      tocsin deadletters purge 6553600 --yes
      tocsin deadletters purge --user alice@example.com
    """
    _work_off(client, "purge", "purged", selection, as_json=as_json)


def _work_off(
    client: AdminClient, verb: str, done: str, selection: dict[str, Any], *, as_json: bool
) -> None:
    """Ask again until the daemon is through, and say how far it is."""
    order = _order(**selection)
    total = skipped = 0
    while True:
        answer = client.post(f"/deadletters/{verb}", order)
        total += answer[done]
        skipped += answer["skipped"]
        if "resume" not in answer:
            break
        order["resume"] = answer["resume"]
        click.echo(f"{total} {done}...", err=True)
    show_members({done: total, "skipped": skipped}, as_json=as_json)
    named = set(selection["ids"])
    if missing := len(named) - total - skipped if named else 0:
        raise click.ClickException(
            f"there is no such dead letter ({missing} of {len(named)} not found)"
        )


def _order(
    *,
    ids: tuple[int, ...],
    channel: str | None,
    user: str | None,
    since: str | int | None,
    everything: bool,
) -> dict[str, object]:
    members = {"ids": list(ids) or None, "channel": channel, "user": user, "since": since}
    order: dict[str, object] = {k: v for k, v in members.items() if v is not None}
    if bool(order) is everything:
        raise click.UsageError("say which: ids, --channel, --user, --since, or --all alone")
    return order or {"all": True}
