"""The `tocsin` command and its groups."""

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


@click.group()
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
