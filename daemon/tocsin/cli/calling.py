"""How commands call a running daemon, and what they say of its refusals."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
import httpx
import orjson

PUBLIC_URL = "http://127.0.0.1:8080"
TIMEOUT = 60.0
ADDRESS = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?")

Command = TypeVar("Command", bound=Callable[..., Any])


def call(
    method: str,
    url: str,
    path: str,
    *,
    token: str | None,
    params: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> httpx.Response:
    """The answer of the listener at `url` to a request with a JSON body.

    Not reaching it, and what cannot be sent, ends the command with status 1 and one line; a URL
    that is none is bad usage.
    """
    check_url(url)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
            return client.request(
                method, url.rstrip("/") + path, params=params, headers=headers, content=body
            )
    except httpx.LocalProtocolError:
        # It would show the token.
        raise click.ClickException(f"{url}: the token cannot stand in a request") from None
    except httpx.ConnectError as error:
        raise click.ClickException(
            f"{url}: {error}; is the daemon running there? --url says where"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise click.ClickException(f"{url}: {error}") from None


def check_url(url: str) -> None:
    """`UsageError` for what is no http(s)://host[:port], with or without a path."""
    if ADDRESS.fullmatch(url) is None:
        raise click.UsageError(
            f"--url must be of the form http://127.0.0.1:8080, not {printable(url)}"
        )


def explained(answer: httpx.Response, listener: str) -> str:
    """A refusal in one line; `listener` is which one of a tocsin should have answered."""
    try:
        [error] = orjson.loads(answer.content)["requestError"].values()
        text: str = error["text"]
        for number, variable in enumerate(error["variables"], 1):
            text = text.replace(f"%{number}", str(variable))
        if error.get("messageId") == "SVC0004":
            text = f"There is no such {' '.join(error['variables']).removesuffix('Id')}."
        return printable(f"{answer.status_code} {text}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{answer.status_code} {answer.reason_phrase}: not the {listener} of a tocsin?"


def printable(text: str) -> str:
    """A text from afar as it may go to a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def calling_public(*, token_help: str, needs_token: bool) -> Callable[[Command], Command]:
    """Give a command `--url`, `--token` and `--json` of the public listener; it takes `url`,
    `token` and `as_json`."""
    options = (
        click.option(
            "--url",
            envvar="TOCSIN_URL",
            default=PUBLIC_URL,
            show_default=True,
            help="Where the public listener is.",
        ),
        click.option("--token", envvar="TOCSIN_TOKEN", required=needs_token, help=token_help),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    )

    def give(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return give
