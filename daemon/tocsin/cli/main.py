"""The `tocsin` command and its groups."""

import errno
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

import click

from tocsin.cli.apps import apps
from tocsin.cli.backup import backup
from tocsin.cli.channels import channels
from tocsin.cli.configuration import check, defaults, explain
from tocsin.cli.deadletters import deadletters
from tocsin.cli.deliveries import deliveries
from tocsin.cli.demo import demo
from tocsin.cli.descriptions import asyncapi, openapi
from tocsin.cli.lanes import lanes
from tocsin.cli.listen import listen
from tocsin.cli.manual import manual
from tocsin.cli.publish import publish
from tocsin.cli.push import push
from tocsin.cli.sbom import sbom
from tocsin.cli.serve import serve
from tocsin.cli.token import token
from tocsin.cli.version import version

FAILED = 1
STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Commands(click.Group):
    """All commands. One that cannot write what it has to say has failed, in one line."""

    def main(self, *args: Any, **options: Any) -> Any:
        """See there; of a reader that went away it knows."""
        _fill_gaps()
        try:
            return super().main(*args, **options)
        except OSError as error:
            if error.errno not in UNWRITABLE or error.filename is not None:
                raise
            with suppress(OSError):
                click.echo(f"tocsin: the output cannot be written: {error.strerror}", err=True)
            sys.exit(FAILED)
        finally:
            _let_go_of(sys.stdout)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See there; a usage error for what is no text, which nothing can print or send."""
        if not all(map(_is_text, args)):
            raise click.UsageError("an argument is not UTF-8 text", ctx)
        return super().parse_args(ctx, args)


def _fill_gaps() -> None:
    """Whoever starts a daemon may have closed the standard streams; files that are opened later
    must not get their numbers."""
    for number, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - for good


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _let_go_of(stream: TextIO | None) -> None:
    """What is left in it cannot be written, or the interpreter would try so at its end."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@click.group(cls=Commands)
def tocsin() -> None:
    """Deliver notifications: over WebSockets, to phones, to webhooks.

    \b
    Exit status: 0 done, 1 failed, 2 bad usage or bad configuration.
    """


for command in (
    *(serve, check, defaults, explain, token, channels, publish, push, listen),
    *(deliveries, deadletters, lanes, apps, backup, version, manual, sbom),
    *(openapi, asyncapi, demo),
):
    tocsin.add_command(command)
