"""`tocsin demo`: the main job in a terminal (OP-2)."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import orjson
import trio
from rich.console import Console

from tocsin.demo.child import last_words
from tocsin.demo.errors import DemoError
from tocsin.demo.show import Demo

FAILED = 1
TERMINAL_PAUSE = 1.0
PLAIN_WIDTH = 120


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print nothing but a summary as JSON.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    default=25,
    show_default=True,
    metavar="SECONDS",
    help="How long arrivals are waited for, in all.",
)
@click.option(
    "--pause",
    type=click.FloatRange(min=0, max=2),
    metavar="SECONDS",
    help="Time to read between two acts.  [default: 1 on a terminal, else 0]",
)
@click.option(
    "--webhook-stays-down",
    is_flag=True,
    help="Do not start the webhook's receiver again: see what a failure looks like.",
)
def demo(*, as_json: bool, patience: float, pause: float | None, webhook_stays_down: bool) -> None:
    """Show what tocsin does, in half a minute, and account for every event by its id.

    Starts a daemon of its own on free ports, with a WebSocket, a webhook and a phone (a local
    stand-in for APNs) to deliver to; drops the socket, kills the webhook's receiver, lets two
    subscribers write to each other. Needs no configuration and no network, and leaves nothing
    behind. The exit status is 0 only if everything arrived where it should, in order.

    \b
    Examples:
      tocsin demo
      tocsin demo --json | jq .receivers
    """
    console = Console(quiet=as_json, highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    if pause is None:
        pause = TERMINAL_PAUSE if console.is_terminal and not as_json else 0
    wanted = Demo(patience=patience, pause=pause, restarts_webhook=not webhook_stays_down)
    with tempfile.TemporaryDirectory(prefix="tocsin-demo-") as name:
        folder = Path(name)
        try:
            report = trio.run(wanted.run, folder, console)
        except* DemoError as errors:
            for error in _leaves(errors):
                click.echo(f"tocsin demo: {error}", err=True)
            click.echo(last_words(folder), err=True, nl=False)
            sys.exit(FAILED)
    if report is None:
        click.echo("tocsin demo: interrupted", err=True)
        sys.exit(FAILED)
    if as_json:
        click.echo(orjson.dumps(report.as_json()))
    sys.exit(0 if report.is_good else FAILED)


def _leaves(group: BaseExceptionGroup[DemoError]) -> Iterator[DemoError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
