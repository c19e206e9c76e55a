"""`tocsin publish`: hand a notification in, as a platform would."""

import os
import sys
from pathlib import Path

import click
import orjson

from tocsin.cli.calling import call, calling_public, explained, told
from tocsin.cli.columns import show_members
from tocsin.model.services import STANDARD
from tocsin.wire.notification import MOST_SECONDS, PRIORITIES

PATH = "/v1/notifications"


@click.command()
@calling_public(token_help="A token with scope publish.", needs_token=True)  # noqa: S106 - a help
@click.argument("user")
@click.argument("notification", metavar="JSON|-|@FILE")
@click.option("--service", help="What it belongs to; without, its root key tells.")
@click.option("--id", "id_", metavar="ID", help="Its id; the same again is delivered once.")
@click.option("--priority", type=click.Choice(list(PRIORITIES)))
@click.option(
    "--expires-in",
    type=click.IntRange(1, MOST_SECONDS),
    metavar="SECONDS",
    help="How long it lives.",
)
@click.option("--collapse-key", metavar="KEY", help="It replaces undelivered ones with this key.")
@click.option("--order-key", metavar="KEY", help="It comes after earlier ones with this key.")
@click.option("--destination-address", metavar="ADDRESS", help="For sms: whose number it came to.")
def publish(
    *,
    url: str,
    token: str,
    as_json: bool,
    user: str,
    notification: str,
    service: str | None,
    id_: str | None,
    **members: object,
) -> None:
    """Publish a notification to USER: one JSON object with one root key.

    It stands on the command line, on the standard input (-) or in a file (@FILE). Prints its id
    and how many channels it goes to.

    \b
    Examples:
      tocsin publish alice '{"chatMessageNotification":{"chatMessage":{"text":"hi"}}}'
      tocsin publish alice @invitation.json --priority urgent --expires-in 30
      jq -c .event log.json | tocsin publish alice - --service sms --json
    """
    text = _text(notification)
    item = {
        "user": user,
        "service": service or _service_of(text),
        "notification": orjson.Fragment(text),
        "id": id_,
        **members,
    }
    given = {name: value for name, value in item.items() if value is not None}
    answer = call("POST", url, PATH, token=token, body=orjson.dumps(given))
    if not answer.is_success:
        raise click.ClickException(explained(answer, "public listener"))
    show_members(told(answer, "public listener"), as_json=as_json)


def _text(argument: str) -> bytes:
    """The notification's own text; a usage error if it is none."""
    try:
        if argument == "-":
            text = sys.stdin.buffer.read()
        elif argument.startswith("@"):
            text = Path(argument[1:]).read_bytes()
        else:
            text = os.fsencode(argument)
    except OSError as error:
        raise click.UsageError(f"{argument} cannot be read: {error.strerror}") from None
    try:
        is_object = isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError as error:
        raise click.UsageError(f"the notification is not JSON: {error}") from None
    if not is_object:
        raise click.UsageError("the notification is not a JSON object")
    return text


def _service_of(text: bytes) -> str:
    for root_key in orjson.loads(text):
        if service := STANDARD.of_root_key(root_key):
            return service
    raise click.UsageError("say which service with --service: the root key does not tell")
