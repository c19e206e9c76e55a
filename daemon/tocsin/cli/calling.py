"""How commands call a running daemon, and what they say of its refusals."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
import httpx
import orjson

PUBLIC_URL = "http://127.0.0.1:8080"
TIMEOUT = 60.0
ADDRESS = re.compile(r"https?://[^/?#@\s]+(/[^?#\s]*)?")
CAPITAL = re.compile("[A-Z]")
ANOTHER_LISTENER = "unknown_path"
SENDABLE = re.compile(r"[!-~]+")

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
    """The answer of the listener at `url` to a request with a JSON body, and a token that is
    `sendable`.

    Not reaching it ends the command with status 1 and one line; a URL that is none is bad usage.
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
    except httpx.ConnectError as error:
        raise click.ClickException(
            f"{url}: {error}; is the daemon running there? --url says where"
        ) from None
    except (httpx.HTTPError, ValueError) as error:
        raise click.ClickException(f"{url}: {error}") from None


def check_url(url: str) -> None:
    """`UsageError` for what is no http(s)://host[:port], with or without a path."""
    if ADDRESS.fullmatch(url) is None or not _is_parsed(url):
        raise click.UsageError(
            f"--url must be of the form http://127.0.0.1:8080, not {printable(url)}"
        )


def _is_parsed(url: str) -> bool:
    """Whether it is a URL for all who take it to pieces."""
    try:
        return bool(httpx.URL(url).host and urlsplit(url).hostname)
    except (httpx.InvalidURL, ValueError):
        return False


def sendable(token: str) -> str:
    """A token as it may stand in a request; a usage error, without the token, if it may not."""
    if SENDABLE.fullmatch(token) is None:
        raise click.UsageError(
            "--token must be the token alone: plain characters without spaces and line ends"
        )
    return token


def explained(answer: httpx.Response, listener: str) -> str:
    """A refusal in one line; `listener` is which one of a tocsin should have answered."""
    try:
        [error] = orjson.loads(answer.content)["requestError"].values()
        text: str = error["text"]
        for number, variable in enumerate(error["variables"], 1):
            text = text.replace(f"%{number}", str(variable))
        if error.get("messageId") == "SVC0004":
            named = " ".join(error["variables"]).removesuffix("Id")
            text = f"There is no such {CAPITAL.sub(_as_word, named)}."
        elif error["variables"] == [ANOTHER_LISTENER]:
            text = f"This is not the {listener}; --url says where that is."
        return printable(f"{answer.status_code} {text}")
    except (ValueError, KeyError, TypeError, AttributeError):
        return _somebody_else(answer, listener)


def message_id(answer: httpx.Response) -> str | None:
    """Which refusal of a tocsin it is (`SVC0004`); None if it is none."""
    try:
        [error] = orjson.loads(answer.content)["requestError"].values()
        return str(error["messageId"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def told(answer: httpx.Response, listener: str) -> dict[str, Any]:
    """The JSON object of a success; if it has none, somebody else has answered, and the command
    ends with status 1."""
    try:
        found = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        found = None
    if isinstance(found, dict):
        return found
    raise click.ClickException(_somebody_else(answer, listener))


def _somebody_else(answer: httpx.Response, listener: str) -> str:
    return printable(
        f"{answer.status_code} {answer.reason_phrase}: not the {listener} of a tocsin?"
    )


def _as_word(capital: re.Match[str]) -> str:
    return f" {capital[0].lower()}"


def printable(text: str) -> str:
    """A text from afar as it may go to a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def token_option(text: str, *, required: bool) -> Callable[[Command], Command]:
    """`--token`: one that can be sent."""

    def judge(
        _context: click.Context, _parameter: click.Parameter, token: str | None
    ) -> str | None:
        return None if token is None else sendable(token)

    return click.option(
        "--token",
        envvar="TOCSIN_TOKEN",
        show_envvar=True,
        required=required,
        callback=judge,
        help=text,
    )


def calling_public(*, token_help: str, needs_token: bool) -> Callable[[Command], Command]:
    """Give a command `--url`, `--token` and `--json` of the public listener; it takes `url`,
    `token` and `as_json`."""
    options = (
        click.option(
            "--url",
            envvar="TOCSIN_URL",
            show_envvar=True,
            default=PUBLIC_URL,
            show_default=True,
            help="Where the public listener is.",
        ),
        token_option(token_help, required=needs_token),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    )

    def give(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return give
