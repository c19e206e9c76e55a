"""What commands print: tables on a terminal, columns with tabs between them in a pipe (for cut, awk
and grep: whole, without colour), JSON lines for machines."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import orjson
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = frozenset(
    {"at", "died_at", "due_at", "created_at", "expires_at", "accepted_at", "failing_since"}
)


def show_table(
    items: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool
) -> None:
    """Items one a line; nothing but a heading where there are none."""
    if as_json:
        for item in items:
            click.echo(orjson.dumps(item))
        return
    headings = [column.replace("_", " ") for column in columns]
    rows = ([_cell(name, item.get(name)) for name in columns] for item in items)
    if sys.stdout.isatty():
        _draw(headings, list(rows))
        return
    for row in (headings, *rows):
        click.echo("\t".join(row))


def _draw(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Nothing is left out: what is too wide goes on below, ids in the first column last of all,
    for they are to be copied."""
    console = Console(highlight=False)
    heads = [Column(one, overflow="fold") for one in headings]
    heads[0].no_wrap = max((len(row[0]) for row in rows), default=0) <= console.width // 2
    table = Table(*heads, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def show_members(members: Mapping[str, Any], *, as_json: bool) -> None:
    """One thing, a member a line; lists are left to the caller."""
    if as_json:
        click.echo(orjson.dumps(members))
        return
    plain = {name: value for name, value in members.items() if not isinstance(value, list | dict)}
    width = max(map(len, plain), default=0)
    for name, value in plain.items():
        label = name.replace("_", " ").ljust(width)
        click.echo(f"{label}  {_cell(name, value)}".rstrip())


def _cell(name: str, value: object) -> str:
    """A value in words; a control character from afar must not reach the terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "due_at" and value == 0:
        return "now"
    if name in TIMES and isinstance(value, int):
        return (EPOCH + timedelta(milliseconds=value)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return "".join(c if c.isprintable() else "?" for c in str(value))
