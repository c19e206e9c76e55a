"""The configuration as documents: every option at its default, and the reference."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from tocsin.config import kinds
from tocsin.config.catalogue import ANY_NAME, Entry, entries
from tocsin.config.settings import Config

HEADER = """\
# Every option of tocsin at its default. `tocsin check` tells whether a file is right,
# `tocsin explain KEY` what a key means.
# Any string may stand elsewhere: { file = "path" }, { env = "NAME" }, { credential = "name" }.
"""
PLACEHOLDERS = {str: '"..."', bool: "false", int: "0", float: "0.0"}
INTRODUCTION = """\
# Configuration

One TOML file: `--config`, else `$TOCSIN_CONFIG`, else `/etc/tocsin/tocsin.toml` if there is one,
else the defaults. `tocsin.toml` next to this page has every option at its default. The defaults
alone do not start a daemon: whose tokens are accepted, only you can say (`[auth]`).

- `tocsin check` reads a file as the daemon does and lists every mistake at once, each with its
  path. Unknown keys are mistakes, and nothing is converted: `"80"` is not `80`. With a mistake
  the daemon does not start, and both end with status 2. What works but is hardly meant (a
  certificate that has expired, keys of tokens over plain http) is a warning, there and in the log.
- `tocsin explain KEY` says what a key or table means, `tocsin defaults` prints `tocsin.toml`,
  `tocsin defaults --reference` this page.
- Any string may stand elsewhere: `{ file = "path" }` (relative to the configuration file),
  `{ env = "NAME" }`, or `{ credential = "name" }` (in systemd's `$CREDENTIALS_DIRECTORY`). Line
  ends at the end are dropped. Keep secrets there.
- Times are seconds, sizes are bytes. `<name>` stands for a name you choose.

"""
COLUMNS = "| option | type | default | meaning |\n|---|---|---|---|"


def default_toml() -> str:
    """A TOML file with every option at its default; what has none is commented out (OP-4)."""
    return HEADER + "".join(f"\n{block}\n" for block in _blocks(entries(Config)))


def reference() -> str:
    """The page `config/README.md`: how it works, and all options by table."""
    parts = []
    for table, options in _by_table(entries(Config)):
        title = f"## `[{table.path}]`\n\n{table.help}" if table else "## Top level"
        rows = "\n".join(_row(option) for option in options)
        parts.append(f"{title}\n\n{COLUMNS}\n{rows}\n" if rows else f"{title}\n")
    return INTRODUCTION + "\n".join(parts)


def explain_entry(entry: Entry) -> str:
    """One entry in plain lines, for the terminal."""
    if entry.table is not None:
        inner = [f"  {option.path}" for option in entries(entry.table, f"{entry.path}.")]
        return "\n".join([f"[{entry.path}]", f"  {entry.help}", *inner])
    lines = [entry.path, f"  {entry.help}", f"  type:    {kinds.describe(entry.kind)}"]
    if entry.allowed:
        lines.append(f"  allowed: {entry.allowed}")
    lines.append(f"  default: {_default(entry)}")
    if entry.secret:
        lines.append("  a secret: never shown, best kept outside the file")
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    """A default as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:_}" if value >= 10_000 else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(element) for element in value)}]"
    if isinstance(value, dict):
        pairs = (f"{orjson.dumps(key).decode()} = {toml_value(v)}" for key, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    return orjson.dumps(value).decode()


def _by_table(found: Iterable[Entry]) -> Iterator[tuple[Entry | None, list[Entry]]]:
    """Entries in order, as one group for each table; the first group stands above all tables."""
    table: Entry | None = None
    options: list[Entry] = []
    for entry in found:
        if entry.table is None:
            options.append(entry)
        else:
            yield table, options
            table, options = entry, []
    yield table, options


def _blocks(found: Iterable[Entry]) -> Iterator[str]:
    for table, options in _by_table(found):
        mark = "# " if table is not None and ANY_NAME in table.path else ""
        lines = [] if table is None else [f"# {table.help}", f"{mark}[{table.path}]"]
        for option in options:
            allowed = f" ({option.allowed})" if option.allowed else ""
            lines += [f"# {option.help}{allowed}", mark + _assignment(option, mark)]
        yield "\n".join(lines)


def _assignment(option: Entry, mark: str) -> str:
    name = option.path.rpartition(".")[2]
    if option.default is not None:
        return f"{name} = {toml_value(option.default)}"
    (first, *_) = kinds.members(option.kind)
    return f"{'' if mark else '# '}{name} = {PLACEHOLDERS.get(first, '[]')}"


def _row(option: Entry) -> str:
    meaning = option.help + (f" Allowed: {option.allowed}." if option.allowed else "")
    secret = " A secret." if option.secret else ""
    name = option.path.rpartition(".")[2]
    return (
        f"| `{name}` | {kinds.describe(option.kind)} | {_default(option, code='`')} "
        f"| {meaning}{secret} |"
    )


def _default(option: Entry, code: str = "") -> str:
    if option.required:
        return "must be set"
    return "not set" if option.default is None else f"{code}{toml_value(option.default)}{code}"
