"""`tocsin version`."""

import platform

import apsw
import click
import trio

from tocsin import __version__


@click.command()
@click.option("--short", is_flag=True, help="Only the daemon's own version.")
def version(*, short: bool) -> None:
    """Print the versions of tocsin and of what it stands on.

    \b
    Examples:
      tocsin version
      tocsin version --short
    """
    click.echo(__version__ if short else f"tocsin {__version__}")
    if not short:
        click.echo(f"python {platform.python_version()}")
        click.echo(f"trio {trio.__version__}")
        click.echo(f"sqlite {apsw.sqlite_lib_version()}")
