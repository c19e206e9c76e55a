"""`tocsin man`: the manual page, made of what the commands say of themselves."""

from collections.abc import Iterator

import click

from tocsin import __version__

NAME = "deliver notifications over WebSockets, to phones and to webhooks"
FILES = (
    ("/etc/tocsin/tocsin.toml", "The configuration, unless --config or TOCSIN_CONFIG names one."),
    ("state/tocsin.db", "The store (store.path), in the directory the daemon runs in."),
    ("state/listen.json", "The addresses bound, written when the daemon is ready."),
)
ENVIRONMENT = (
    ("TOCSIN_CONFIG", "The configuration file."),
    ("TOCSIN_URL, TOCSIN_TOKEN", "The daemon that commands talk to, and the token they show."),
    (
        "TOCSIN_ADMIN_URL, TOCSIN_ADMIN_TOKEN",
        "The same for commands of the operator, where the admin listener wants others.",
    ),
    ("NO_COLOR", "Set, nothing is printed in colour."),
)
SIGNALS = (
    ("TERM, INT", "Drain and end; a second one ends at once. Nothing accepted is lost."),
    ("HUP", "Take over the configuration file, whole or not at all."),
)
STATUS = (("0", "Done."), ("1", "Failed."), ("2", "Bad usage, or a bad configuration."))


@click.command("man")
@click.pass_context
def manual(context: click.Context) -> None:
    """Print the manual page of all commands, for man(1).

    \b
    Examples:
      tocsin man > /usr/local/share/man/man1/tocsin.1
      tocsin man | man -l -
    """
    click.echo(page(context.find_root()), nl=False)


def page(root: click.Context) -> str:
    """The page as roff, from the commands below the root's."""
    return "".join(f"{line}\n" for line in _lines(root))


def _lines(root: click.Context) -> Iterator[str]:
    yield f'.TH TOCSIN 1 "" "tocsin {__version__}" "User Commands"'
    yield from (".SH NAME", f"tocsin \\- {NAME}")
    yield from (
        ".SH SYNOPSIS",
        ".B tocsin",
        "\\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...",
    )
    yield ".SH DESCRIPTION"
    yield from _text(root.command.help or "", first_only=True)
    yield ".SH COMMANDS"
    yield from _commands(root, "tocsin")
    for title, rows in (
        ("FILES", FILES),
        ("ENVIRONMENT", ENVIRONMENT),
        ("SIGNALS", SIGNALS),
        ("EXIT STATUS", STATUS),
    ):
        yield f".SH {title}"
        for term, text in rows:
            yield from (".TP", f".B {_escaped(term)}", _escaped(text))
    yield from (".SH SEE ALSO", "tocsin defaults, tocsin explain, systemctl(1), journalctl(1)")


def _commands(parent: click.Context, path: str) -> Iterator[str]:
    group = parent.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        if command is None or command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=parent)
        if isinstance(command, click.Group):
            yield from _commands(context, f"{path} {name}")
            continue
        usage = " ".join(command.collect_usage_pieces(context))
        yield f".SS {_escaped(f'{path} {name}')} {_escaped(usage)}"
        yield from _text(command.help or "")
        yield from _options(command, context)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in parameter.opts:
            yield from (".TP", f".B {_escaped(record[0])}", _escaped(record[1]) or "\\&")


def _text(help_: str, *, first_only: bool = False) -> Iterator[str]:
    """Paragraphs; those behind a \\b stay as they are."""
    paragraphs = help_.strip().split("\n\n")
    for number, paragraph in enumerate(paragraphs[:1] if first_only else paragraphs):
        if number:
            yield ".PP"
        if paragraph.startswith("\b"):
            yield ".nf"
            yield from (_escaped(line) for line in paragraph.splitlines()[1:])
            yield ".fi"
        else:
            yield _escaped(" ".join(paragraph.split()))


def _escaped(text: str) -> str:
    """As text, whatever is in it: roff reads backslashes, leading dots and hyphens."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in {".", "'"} else escaped
