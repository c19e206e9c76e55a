"""Every option there is, with its path: for suggestions, `tocsin explain` and the reference."""

import difflib
from collections.abc import Iterator
from typing import Any

import attrs

from tocsin.config import kinds
from tocsin.model.option import ALLOWED, HELP, SECRET

ANY_NAME = "<name>"


@attrs.frozen
class Entry:
    """One option or table. `<name>` in a path stands for a key the operator chooses.

    `table` is its Settings class if it is a table.
    """

    path: str
    kind: Any
    help: str
    default: Any = None
    allowed: str = ""
    secret: bool = False
    required: bool = False
    table: type | None = None


def entries(settings: type, prefix: str = "") -> Iterator[Entry]:
    """All entries below a Settings class: of each table first its options, then its tables."""
    own = [_entry(field, prefix) for field in attrs.fields(attrs.resolve_types(settings))]
    yield from (entry for entry in own if entry.table is None)
    for entry in own:
        if entry.table is not None:
            yield entry
            yield from entries(entry.table, f"{entry.path}.")


def suggestion(unknown: str, known: list[str]) -> str | None:
    """The path that was probably meant: the same table's first, then any with that last name."""
    table, _, name = unknown.rpartition(".")
    siblings = {path.rpartition(".")[2]: path for path in known if path.rpartition(".")[0] == table}
    close = difflib.get_close_matches(name, siblings, n=1)
    if close:
        return siblings[close[0]]
    elsewhere = [path for path in known if path.rpartition(".")[2] == name]
    near = elsewhere or difflib.get_close_matches(unknown, known, n=1, cutoff=0.8)
    return near[0] if near and not unknown.startswith(f"{near[0]}.") else None


def _entry(field: "attrs.Attribute[Any]", prefix: str) -> Entry:
    path, help_line = prefix + field.name, field.metadata.get(HELP, "")
    if attrs.has(field.type):  # type: ignore[arg-type] # has() takes anything
        return Entry(path, field.type, help_line, table=field.type)
    of_each = kinds.entry_settings(field.type)
    if of_each is not None:
        return Entry(f"{path}.{ANY_NAME}", field.type, help_line, table=of_each)
    return Entry(
        path,
        field.type,
        help_line,
        default=_default(field),
        allowed=field.metadata.get(ALLOWED, ""),
        secret=field.metadata.get(SECRET, False),
        required=field.default is attrs.NOTHING,
    )


def _default(field: "attrs.Attribute[Any]") -> Any:
    if field.default is attrs.NOTHING:
        return None
    if isinstance(field.default, attrs.Factory):  # type: ignore[arg-type] # a class at run time
        return field.default.factory()  # type: ignore[union-attr]
    return field.default
