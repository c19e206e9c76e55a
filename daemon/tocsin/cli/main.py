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


def _fill_gaps() -> None:
    """Whoever starts a daemon may have closed the standard streams; files that are opened later
    must not get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for good


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
