"""`tocsin push`: push to a device through the gateway, and show what it says."""

import sys
from typing import Any

import click
import httpx
import orjson

from tocsin.cli.calling import call, calling_public, explained, printable
from tocsin.cli.columns import show_members
from tocsin.wire.push.verbs import GENERIC_TEXT_MESSAGE, VERBS

PATH = "/pnm2/send"
SENT = 200
FAILED = 1
TTL_MOST = 2_419_200


@click.command()
@calling_public(
    token_help="A token with scope push; none is needed from push.trusted_networks.",  # noqa: S106
    needs_token=False,
)
@click.argument("app_id", metavar="APPID")
@click.argument("device_token", metavar="TOKEN")
@click.option(
    "--verb",
    default=GENERIC_TEXT_MESSAGE,
    show_default=True,
    help=f"What it is: {', '.join(VERBS)}, or one of push.pass_verbs.",
)
@click.option("--message", "Message", metavar="TEXT", help="Shown to the person.")
@click.option("--selector", "Selector", metavar="TEXT", help="The account on the device.")
@click.option("--name", "UserDisplayName", metavar="TEXT", help="Who it is from.")
@click.option("--badge", "Badge", type=click.IntRange(min=0), help="The number on the app.")
@click.option("--sound", "Sound", metavar="NAME", help="default, or a sound the app has.")
@click.option("--id", "Id", metavar="ID", help="Of the message or call; a repeat is not sent.")
@click.option(
    "--ttl",
    "Ttl",
    type=click.IntRange(0, TTL_MOST),
    metavar="SECONDS",
    help="How long it is worth delivering.",
)
def push(
    *,
    url: str,
    token: str | None,
    as_json: bool,
    app_id: str,
    device_token: str,
    verb: str,
    **attributes: Any,
) -> None:
    """Push to the device TOKEN of the app APPID.

    Shows the gateway's reply; exit status 0 only if it took the push (code 200).

    \b
    Examples:
      tocsin push com.example.app 00fa... --message "Hello" --sound default
      tocsin push com.example.app.voip 00fb... --verb NotifyIncomingCall --selector a1 --id c7
    """
    given = {name: value for name, value in attributes.items() if value is not None}
    body = orjson.dumps({"verb": verb, "AppId": app_id, "DeviceToken": device_token, **given})
    answer = call("POST", url, PATH, token=token, body=body)
    reply = _reply(answer)
    if not answer.is_success:
        raise click.ClickException(printable(f"{answer.status_code} {reply['response']}"))
    show_members(reply, as_json=as_json)
    if reply["code"] != SENT:
        sys.exit(FAILED)


def _reply(answer: httpx.Response) -> dict[str, Any]:
    """A reply object; the end of the command if it is none."""
    try:
        reply = orjson.loads(answer.content)
        return {name: reply[name] for name in ("code", "status", "response")}
    except (ValueError, KeyError, TypeError):
        raise click.ClickException(explained(answer, "public listener")) from None
