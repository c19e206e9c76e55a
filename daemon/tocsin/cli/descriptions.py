"""`tocsin openapi` and `tocsin asyncapi`: what a configuration serves, for machines (OP-3)."""

import os
import sys
from pathlib import Path
from typing import Any

import click
import orjson

from tocsin.app.descriptions import served
from tocsin.config import Config, ConfigError, load, locate, parse
from tocsin.server.description import asyncapi as sockets
from tocsin.server.description import document

BAD_CONFIGURATION = 2

config = click.option(
    "--config", "path", metavar="FILE", help="The configuration; else what `serve` would read."
)


@click.command()
@config
@click.option("--admin", is_flag=True, help="The admin listener's, instead of the public one's.")
def openapi(path: str | None, *, admin: bool) -> None:
    """Print the OpenAPI document of the REST API.

    It tells what a daemon with this configuration serves, which one that runs answers at
    /openapi.json, too.

    \b
    Examples:
      tocsin openapi > openapi.json
      tocsin openapi --admin --config /etc/tocsin/tocsin.toml
    """
    told = served(_configured(path))
    _print(document.admin(told) if admin else document.public(told))


@click.command()
@config
def asyncapi(path: str | None) -> None:
    """Print the AsyncAPI document of sockets and webhooks.

    It tells what a daemon with this configuration serves, which one that runs answers at
    /asyncapi.json, too.

    \b
    Examples:
      tocsin asyncapi > asyncapi.json
    """
    _print(sockets.asyncapi(served(_configured(path))))


def _configured(path: str | None) -> Config:
    """Without a file the defaults, which need not be enough to serve with."""
    try:
        if locate(path, os.environ) is None:
            return parse({}, folder=Path(), environ=os.environ, checks={})
        return load(path, os.environ)
    except ConfigError as error:
        click.echo(error, err=True)
        sys.exit(BAD_CONFIGURATION)


def _print(told: dict[str, Any]) -> None:
    click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2))
