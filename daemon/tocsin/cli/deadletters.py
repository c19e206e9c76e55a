"""`tocsin deadletters`: what was given up, to be tried again or forgotten."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import click

from tocsin.cli.adminclient import AdminClient, asking, segment, since_option
from tocsin.cli.columns import show_members, show_table
from tocsin.cli.progress import progress

COLUMNS = ("id", "died_at", "user", "channel", "service", "attempts", "reason", "status")
PORTION = 100
MOST_COUNTED = 20_000
LARGEST = 2**62

Selection = Mapping[str, Any]
Order = Mapping[str, object]
Answer = Mapping[str, Any]
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
            click.argument("ids", nargs=-1, type=click.IntRange(1, LARGEST)),
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

    Nothing drops out for them: they go as fast as there is room for them. Where nothing is
    delivered they are skipped, as they are where the channel is gone, and stay dead letters.

    Interrupted, what was replayed is; the same command goes on with the rest.

    \b
    Examples:
      tocsin deadletters replay 6553600
      tocsin deadletters replay --channel wh-6f1e...
      tocsin deadletters replay --since 2h
    """
    _work_off(client, "replay", "replayed", selection, as_json=as_json)


def _confirm(_context: click.Context, _parameter: click.Parameter, value: object) -> None:
    """The question goes where no pipe takes it for an answer."""
    if not value:
        click.confirm("Forget these dead letters for good?", abort=True, err=True)


@deadletters.command()
@asking
@selecting
@click.option(
    "--yes", is_flag=True, expose_value=False, callback=_confirm, help="Do not ask first."
)
def purge(*, client: AdminClient, as_json: bool, **selection: Any) -> None:
    """Forget dead letters for good; asks first, unless told --yes.

    \b
    Examples:
      tocsin deadletters purge 6553600 --yes
      tocsin deadletters purge --user alice@example.com
    """
    _work_off(client, "purge", "purged", selection, as_json=as_json)


def _work_off(
    client: AdminClient, verb: str, done: str, selection: Selection, *, as_json: bool
) -> None:
    """Ask again until the daemon is through, and say how far it is."""
    orders = _orders(**selection)
    counts = {done: 0, "skipped": 0}
    try:
        with progress(verb, partial(_count, client, selection)) as tell:
            for answer in _answers(client, verb, orders):
                for name in counts:
                    counts[name] += answer[name]
                tell(sum(counts.values()))
    except click.ClickException as error:
        raise click.ClickException(f"{error.message} ({counts[done]} {done} before)") from None
    show_members(counts, as_json=as_json)
    named = set(selection["ids"])
    if missing := len(named) - sum(counts.values()) if named else 0:
        raise click.ClickException(
            f"there is no such dead letter ({missing} of {len(named)} not found)"
        )


def _answers(client: AdminClient, verb: str, orders: Iterable[Order]) -> Iterator[Answer]:
    """What the daemon says, as often as it has to be asked."""
    for order in orders:
        answer = client.post(f"/deadletters/{verb}", order)
        yield answer
        while "resume" in answer:
            answer = client.post(f"/deadletters/{verb}", {**order, "resume": answer["resume"]})
            yield answer


def _count(client: AdminClient, selection: Selection) -> int | None:
    """How many there are to be worked off; None for more than are worth counting."""
    if selection["ids"]:
        return len(set(selection["ids"]))
    wanted = {name: selection[name] for name in ("channel", "user", "since")}
    found = client.pages("/deadletters", "dead_letters", limit=MOST_COUNTED + 1, **wanted)
    count = sum(1 for _ in found)
    return count if count <= MOST_COUNTED else None


def _orders(*, ids: Sequence[int], everything: bool, **members: object) -> list[Order]:
    """One for all that is selected, or as many as it takes for the ids that are named."""
    rest = {name: value for name, value in members.items() if value is not None}
    if bool(ids or rest) is everything:
        raise click.UsageError("say which: ids, --channel, --user, --since, or --all alone")
    if not ids:
        return [rest or {"all": True}]
    # By id those of one order key are in their order.
    named = sorted(set(ids))
    return [{**rest, "ids": named[at : at + PORTION]} for at in range(0, len(named), PORTION)]
