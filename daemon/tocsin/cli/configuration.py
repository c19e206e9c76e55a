"""`tocsin check`, `defaults` and `explain`: the configuration without a daemon (OP-3)."""

import os
import sys
import time

import click

from tocsin.config import Config, ConfigError, doubts, load, locate
from tocsin.config.catalogue import Entry, entries, suggestion
from tocsin.config.rendering import default_toml, explain_entry, reference

BAD_CONFIGURATION = 2


@click.command()
@click.option("--config", "path", metavar="FILE", help="The file to check.")
def check(path: str | None) -> None:
    """Tell whether a configuration is right.

    Reads what `tocsin serve` would read and lists every mistake with its path. Exit status 0 if
    there is none, else 2. What works but is hardly meant, such as a certificate that has expired,
    is told as a warning, and the status is 0.

    \b
    Examples:
      tocsin check
      tocsin check --config /etc/tocsin/tocsin.toml
    """
    file = locate(path, os.environ) or "built-in defaults"
    try:
        config = load(path, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        click.echo(f"{file}: {_counted(len(error.problems), 'mistake')}", err=True)
        sys.exit(BAD_CONFIGURATION)
    warnings = doubts(config, now=time.time())
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{file}: all right" + (f", {_counted(len(warnings), 'warning')}" * bool(warnings)))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count > 1 else ''}"


@click.command()
@click.option("--reference", "as_reference", is_flag=True, help="Markdown instead of TOML.")
def defaults(*, as_reference: bool) -> None:
    """Print a configuration file with every option at its default.

    \b
    Examples:
      tocsin defaults > tocsin.toml
      tocsin defaults --reference > config/README.md
    """
    click.echo(reference() if as_reference else default_toml(), nl=False)


@click.command()
@click.argument("key")
def explain(key: str) -> None:
    """Say what a configuration KEY means, what it may be and what it is by default.

    \b
    Examples:
      tocsin explain listen.public
      tocsin explain webhooks
    """
    known = {entry.path: entry for entry in entries(Config)}
    entry = _find(key, known)
    if entry is None:
        meant = suggestion(key.lower(), list(known))
        hint = f" Did you mean {meant}?" if meant else ""
        raise click.UsageError(f"There is no option {key}.{hint}")
    click.echo(explain_entry(entry))


def _find(key: str, known: dict[str, Entry]) -> Entry | None:
    """The entry of a path, where `<name>` matches any one name."""
    if key in known:
        return known[key]
    parts = key.split(".")
    for path, entry in known.items():
        pattern = path.split(".")
        if len(pattern) == len(parts) and all(
            mine in {"<name>", given} for mine, given in zip(pattern, parts, strict=True)
        ):
            return entry
    return None
