"""What a phone app reports: its device tokens, for an account on the device (push.md, A.8).

A report may say less than everything: a pair of app and token that is not whole says nothing.
What the request calls a thing is the operator's choice, so errors name it that way.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote

import attrs

from tocsin.model.errors import invalid, service_error
from tocsin.wire import strictjson
from tocsin.wire.content import is_json
from tocsin.wire.grant import FORM_TYPE
from tocsin.wire.notification import user_of
from tocsin.wire.request import Request

CALLS: Final = "calls"
OTHER: Final = "other"
ROLES: Final = ((CALLS, "calls"), (OTHER, "other"), (OTHER, "any"))
"""Roles, and what their fields end in; where there is one token it is for everything."""
FORM_FIELDS: Final = 64

Fields = Mapping[str, str]
"""What we call a field -> what the request calls it."""


@attrs.frozen
class Pair:
    """An app and a token as they were sent; `app_field` and `token_field` say in which fields."""

    role: str
    app_id: str
    token: str = attrs.field(repr=False)
    app_field: str = attrs.field(default="", eq=False)
    token_field: str = attrs.field(default="", eq=False)


@attrs.frozen
class Report:
    """The tokens of an account on a device, one for each role at most."""

    account: str
    selector: str
    pairs: tuple[Pair, ...]


def members_of(request: Request) -> dict[str, str]:
    """The fields of a request: of its query, or of the form or JSON object that is posted.

    Raises 415 for another type of body, 400 for one that cannot be read or says a thing twice.
    """
    if request.method != "POST":
        return _unique("query", _pairs_of(request.target.partition("?")[2]))
    content_type = request.headers.get("content-type")
    if content_type is None or is_json(content_type):
        return _from_json(request.body)
    if not is_json(content_type, FORM_TYPE):
        raise service_error(415, "media_type")
    try:
        fields = parse_qsl(
            request.body.decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FORM_FIELDS,
        )
    except ValueError:
        raise invalid("body") from None
    return _unique("body", fields)


def parse_report(members: Mapping[str, str], fields: Fields) -> Report:
    """A report; 400 naming the first thing that is missing (PU-24)."""
    account = user_of(members.get(fields["account"]), fields["account"])
    selector = user_of(members.get(fields["selector"]), fields["selector"])
    found: dict[str, Pair] = {}
    for role, ending in ROLES:
        app_field, token_field = fields[f"app_{ending}"], fields[f"token_{ending}"]
        app_id, token = members.get(app_field), members.get(token_field)
        if app_id and token and role not in found:
            found[role] = Pair(role, app_id, token, app_field, token_field)
    if not found:
        raise invalid(fields["token_any"])
    return Report(account, selector, _without_repeats(found))


def parse_removal(members: Mapping[str, str], fields: Fields) -> tuple[str, str | None]:
    """Account and selector; no selector means all of the account's (PU-26)."""
    account = user_of(members.get(fields["account"]), fields["account"])
    selector = members.get(fields["selector"])
    return account, user_of(selector, fields["selector"]) if selector else None


def _without_repeats(found: dict[str, Pair]) -> tuple[Pair, ...]:
    """A token that is reported for calls and for the rest is one for everything."""
    named = {(pair.app_id, pair.token): pair for pair in found.values()}
    return tuple(named.values())


def _pairs_of(query: str) -> list[tuple[str, str]]:
    """`+` is a plus sign, as in every query (CH-3)."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    try:
        return [
            (unquote(name, errors="strict"), unquote(value, errors="strict"))
            for name, _, value in pairs
        ]
    except ValueError:
        raise invalid("query") from None


def _unique(where: str, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise invalid(where)
        found[name] = value
    return found


def _from_json(body: bytes) -> dict[str, str]:
    """Numbers are taken by their digits, null is as good as absent."""
    try:
        document = strictjson.loads(body)
    except ValueError:
        raise invalid("body") from None
    if not isinstance(document, dict):
        raise invalid("body")
    return {name: _text(name, value) for name, value in document.items() if value is not None}


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise invalid(name)
