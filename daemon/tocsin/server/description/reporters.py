"""`/push/report/{name}`: device tokens, as phone apps report them (push.md, A.8)."""

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from tocsin.delivery.pushsettings import ReporterFields, ReporterSettings
from tocsin.server.description.operation import (
    ALWAYS,
    BEARER,
    FORM,
    JSON,
    Operation,
    answer,
    query,
)
from tocsin.server.description.schema import OPTIONAL, Schema, request, said, text
from tocsin.server.description.served import Served
from tocsin.server.reporter import SCOPE

TAG: Final = "Reporters"
SECRET: Final = "secret"  # noqa: S105 - a way to prove oneself
WORDS: Final[Mapping[str, str]] = {
    "account": "Whose the device is.",
    "selector": "The account on the device.",
    "token_calls": "The token for calls.",
    "app_calls": "The app it belongs to.",
    "token_other": "The token for everything else.",
    "app_other": "The app it belongs to.",
    "token_any": "The only token, on platforms with one.",
    "app_any": "The app it belongs to.",
    "secret": "What all apps of this reporter know.",
}


def operations(served: Served) -> Iterator[Operation]:
    """Those of every reporter."""
    for name, settings in served.reporters.items():
        yield from _operations(name, settings)


def _operations(name: str, settings: ReporterSettings) -> Iterator[Operation]:
    path = f"/push/report/{name}"
    report, removal = _members(settings), _members(settings, is_removal=True)
    by_secret = settings.auth == SECRET
    done = {200: answer("It is stored, also for the same again.")}
    parameters = [
        query(said_as.removesuffix(OPTIONAL), schema["description"], schema, required=required)
        for said_as, schema in report.items()
        for required in [not said_as.endswith(OPTIONAL)]
    ]
    security: list[Mapping[str, list[str]]] = [] if by_secret else [{BEARER: [SCOPE]}]
    if settings.auth == "network":
        security.append({})
    refusals = (*ALWAYS, 401, 429, 503, *(() if by_secret else (403,)))
    for method, at, id_, summary, members in (
        ("GET", path, f"report.{name}", "Report a device's tokens", None),
        ("POST", path, f"reportByPost.{name}", "Report a device's tokens", report),
        ("POST", f"{path}/remove", f"removeReported.{name}", "Forget what was reported", removal),
    ):
        yield Operation(
            method=method,
            path=at,
            name=id_,
            tag=TAG,
            summary=summary,
            scope=None if by_secret else SCOPE,
            security=security,
            parameters=parameters if members is None else (),
            body=None if members is None else _body(members),
            answers=done,
            refusals=refusals if members is None else (*refusals, 415),
        )


def _members(settings: ReporterSettings, *, is_removal: bool = False) -> dict[str, Schema]:
    """By what this reporter's apps call them. A report needs a pair of app and token."""
    needed = {"account"} if is_removal else {"account", "selector"}
    if settings.auth == SECRET:
        needed.add(SECRET)
    known = {"account", "selector", SECRET} if is_removal else set(WORDS)
    if settings.auth != SECRET:
        known.discard(SECRET)
    fields: ReporterFields = settings.fields
    return {
        f"{said_as}{'' if field in needed else OPTIONAL}": said(text(), WORDS[field])
        for field, said_as in attrs.asdict(fields).items()
        if field in known
    }


def _body(members: Mapping[str, Schema]) -> Schema:
    schema = request(members)
    return {"required": True, "content": {JSON: {"schema": schema}, FORM: {"schema": schema}}}
