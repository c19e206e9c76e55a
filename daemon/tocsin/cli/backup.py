"""`tocsin backup`: a copy of the store while the daemon serves."""

from pathlib import Path

import click

from tocsin.model.errors import StartupError
from tocsin.store.backup import back_up

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("store", type=FILE)
@click.argument("copy", type=FILE)
def backup(store: Path, copy: Path) -> None:
    """Copy the file of a STORE, as it is at one moment, to a new file COPY.

    The daemon goes on meanwhile. The copy takes as much room as the store; it has the secrets that
    the store has. Put in the place of the store it is what the daemon was at that moment: see
    "Restoring a backup" in the guide.

    \b
    Examples:
      tocsin backup /var/lib/tocsin/state/tocsin.db /var/backups/tocsin.db
      tocsin backup state/tocsin.db "tocsin-$(date +%F-%H%M).db"
    """
    try:
        back_up(store, copy)
    except StartupError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{copy}: {copy.stat().st_size / 1e6:,.1f} MB")
