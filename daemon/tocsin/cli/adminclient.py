"""How commands ask a running daemon: its operator API, with a token of scope `admin`."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import attrs
import click
import orjson

from tocsin.cli.calling import call, explained, message_id, sendable, told
from tocsin.wire.rfc3339 import epoch_ms

DEFAULT_URL = "http://127.0.0.1:9464"
LISTENER = "admin listener"
MOST_PER_PAGE = 500
NO_CONTENT = 204
INVALID, MISSING = "SVC0002", "SVC0004"
DURATION = re.compile(r"([0-9]{1,9})([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Command = TypeVar("Command", bound=Callable[..., Any])


class RefusedError(click.ClickException):
    """The answer is no success; `id` says which refusal of a daemon it is, None that it is no
    daemon's."""

    def __init__(self, id_: str | None, message: str) -> None:
        super().__init__(message)
        self.id = id_


@attrs.frozen
class AdminClient:
    """One daemon's operator API. What it refuses, and not reaching it, ends the command with
    status 1 and one line."""

    url: str
    token: str = attrs.field(repr=False)

    def get(self, path: str, **params: object) -> dict[str, Any]:
        """GET; parameters that are None are left out."""
        return self._ask("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """POST."""
        return self._ask("POST", path, body=body)

    def delete(self, path: str) -> None:
        """DELETE."""
        self._ask("DELETE", path)

    def pages(
        self, path: str, name: str, *, limit: int, cursor: str = "before", **params: object
    ) -> Iterator[dict[str, Any]]:
        """The items of as many pages as it takes, `limit` in all."""
        place = None
        while limit > 0:
            size = min(limit, MOST_PER_PAGE)
            page = self.get(path, limit=size, **params, **{cursor: place})
            items = page[name]
            yield from items[:limit]
            limit -= len(items)
            place = page.get("next")
            if place is None:
                return

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        given = {name: str(value) for name, value in (params or {}).items() if value is not None}
        answer = call(
            method,
            self.url,
            f"/admin/v1{path}",
            token=self.token,
            params=given,
            body=b"" if body is None else orjson.dumps(body),
        )
        if answer.is_success:
            return {} if answer.status_code == NO_CONTENT else told(answer, LISTENER)
        raise RefusedError(message_id(answer), explained(answer, LISTENER))


def segment(text: str) -> str:
    """A name as one segment of a path; a usage error for what is none."""
    if text.strip(".") == "":
        raise click.UsageError(f'"{text}" is no name or id')
    return quote(text, safe="")


def asking(command: Command) -> Command:
    """Give a command `--url`, `--token` and `--json`; it takes `client` and `as_json`."""

    def connect(context: click.Context, _parameter: click.Parameter, token: str) -> AdminClient:
        return AdminClient(context.params.pop("url"), sendable(token))

    options = (
        click.option(
            "--url",
            envvar=["TOCSIN_ADMIN_URL", "TOCSIN_URL"],
            show_envvar=True,
            default=DEFAULT_URL,
            show_default=True,
            is_eager=True,
            expose_value=True,
            help="Where the admin listener is.",
        ),
        click.option(
            "--token",
            "client",
            envvar=["TOCSIN_ADMIN_TOKEN", "TOCSIN_TOKEN"],
            show_envvar=True,
            required=True,
            callback=connect,
            help="A token with scope admin.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def since_option(text: str) -> Callable[[Command], Command]:
    """`--since`: a point in time, or how long ago."""
    return click.option("--since", metavar="TIME", callback=_instant, help=text)


def _instant(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | int | None:
    """A duration becomes epoch milliseconds, a time stays as it is."""
    match = DURATION.fullmatch(value) if value is not None else None
    if match is not None:
        return max(0, int((time.time() - int(match[1]) * SECONDS[match[2]]) * 1000))
    if value is None or value.isdecimal() or epoch_ms(value) is not None:
        return value
    raise click.BadParameter("write 90s, 15m, 2h or 3d, or a time such as 2026-11-22T10:00:00Z")
