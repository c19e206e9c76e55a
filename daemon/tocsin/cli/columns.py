"""What commands print: aligned columns for people, JSON lines for machines."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import orjson

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = frozenset(
    {"at", "died_at", "due_at", "created_at", "expires_at", "accepted_at", "failing_since"}
)
WIDEST = 60


def show_table(
    items: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool
) -> None:
    """Items one a line; nothing but a heading where there are none."""
    if as_json:
        for item in items:
            click.echo(orjson.dumps(item))
        return
    rows = [[column.replace("_", " ") for column in columns]]
    rows += [[_cell(name, item.get(name)) for name in columns] for item in items]
    widths = [max(len(row[at]) for row in rows) for at in range(len(columns))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def show_members(members: Mapping[str, Any], *, as_json: bool) -> None:
    """One thing, a member a line; lists are left to the caller."""
    if as_json:
        click.echo(orjson.dumps(members))
        return
    plain = {name: value for name, value in members.items() if not isinstance(value, list | dict)}
    width = max(map(len, plain), default=0)
    for name, value in plain.items():
        label = name.replace("_", " ").ljust(width)
        click.echo(f"{label}  {_cell(name, value, whole=True)}".rstrip())


def _cell(name: str, value: object, *, whole: bool = False) -> str:
    """A value in a few words; a control character from afar must not reach the terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in TIMES and isinstance(value, int):
        return (EPOCH + timedelta(milliseconds=value)).strftime("%Y-%m-%d %H:%M:%SZ")
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text if whole or len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
