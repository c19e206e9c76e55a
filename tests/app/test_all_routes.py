"""A walk over all that both listeners answer: nobody gets in who may not (security.md, SE-2)."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from tests.fakes.daemon import (
    Answer,
    Daemon,
    daemon,
    dial,
    read_answer,
    request_bytes,
    token,
)
from tests.fakes.routes import Door, doors

from tocsin.model.principal import SCOPES

CALLBACK = "/notificationchannel/v1/{user}/channels/{channelId}/callback"
PROJECT = "/portal/v1/accounts/{acct}/projects/{proj}/subscriptions"
NEEDS_NO_TOKEN = {
    # Where tokens come from, and the descriptions of what is served.
    "public POST /cpaas/auth/v1/token",
    "public GET /openapi.json",
    "public GET /asyncapi.json",
    "admin GET /openapi.json",
    # They prove themselves by the secret in the report (PU-24).
    "public GET /push/report/secret",
    "public POST /push/report/secret",
    "public POST /push/report/secret/remove",
    # What answers another method than POST, and nothing else (PU-4).
    "public PATCH /pnm2",
    "public PATCH /pnm2/send",
    "public PATCH /pnm2/multisend",
    # Pages and preflights without anything of anybody (SJ-4).
    "public GET /messaging",
    "public HEAD /messaging",
    "public GET /messaging/iframe.html",
    "public HEAD /messaging/iframe.html",
    "public OPTIONS /messaging/info",
    "public OPTIONS /messaging/000/session-xhr/xhr",
    "public OPTIONS /messaging/000/session-xhr_streaming/xhr_streaming",
    "public OPTIONS /messaging/000/session-xhr_send/xhr_send",
    # Loopback by default; the page asks its reader for a token.
    "admin GET /metrics",
    "admin GET /livez",
    "admin GET /readyz",
    "admin GET /chat",
}
"""All that may be asked without a token; a route that is to be added here needs a reason."""
SPEAKS_FOR_ANYBODY = {f"public POST {prefix}{CALLBACK}" for prefix in ("/cpaas", "")}
"""Paths with a user in them that are open to every token of the scope: producers of events."""
REVOKED = "revoked"
MISSING = "Bearer"
INVALID = 'Bearer error="invalid_token"'
NO_SCOPE = 'Bearer error="insufficient_scope"'
REPORTER = "a reporter's secret"
SETTINGS: dict[str, Any] = {
    "public_base_url": "https://tocsin.example",
    "auth": {"builtin": {"enabled": True}},
    "push": {
        "trusted_networks": [],
        "reporters": {
            "secret": {"auth": "secret", "secret": REPORTER},
            "bearer": {"auth": "bearer"},
            "network": {"auth": "network"},
        },
    },
    "messaging": {
        "chat_page": True,
        "sockjs": {
            "sockjs_url": "https://tocsin.example/sockjs.js",
            "transports": [
                *("websocket", "xhr-streaming", "xhr-polling", "eventsource", "htmlfile"),
                *("jsonp-polling", "iframe"),
            ],
        },
    },
}
"""Everything there is, and no network whose callers need no token."""


@attrs.frozen
class Case:
    """Somebody at a door: with which token, and what he is told."""

    bearer: str | None
    status: int
    code: str
    challenge: str


@asynccontextmanager
async def everything(folder: Path) -> AsyncIterator[Daemon]:
    """A daemon that serves all it can, and has revoked one token."""
    async with daemon(folder, **SETTINGS) as running:
        answer = await running.ask(
            "POST",
            "/admin/v1/tokens/revoke",
            {"jti": REVOKED},
            scope="admin",
            address=running.app.admin_addresses[0],
        )
        assert answer.status == 204
        yield running


def not_good() -> list[Case]:
    """Tokens that open nothing anywhere."""
    everywhere = " ".join(SCOPES)
    good = token(scope=everywhere)
    return [
        Case(None, 401, "token_missing", MISSING),
        Case("x", 401, "token_invalid", INVALID),
        Case(f"{good}A", 401, "token_invalid", INVALID),
        Case(token(scope=everywhere, jti=REVOKED), 401, "token_invalid", INVALID),
        Case(token(scope=everywhere, expires_in=-31), 401, "token_expired", INVALID),
    ]


def not_for(door: Door) -> list[Case]:
    """Good tokens that do not open this one: of every other scope, and of another user."""
    enough = {door.scope, "admin"} if door.scope == "channels" else {door.scope}
    cases = [
        Case(token(scope=scope), 403, "scope_missing", NO_SCOPE)
        for scope in SCOPES
        if scope not in enough
    ]
    if door.own_user:
        cases.append(Case(token("bob", door.scope), 403, "user_mismatch", ""))
    if PROJECT in door.pattern:
        other = token(scope=door.scope, project="another")
        cases.append(Case(other, 403, "project_mismatch", ""))
    return cases


async def ask(running: Daemon, door: Door, bearer: str | None, *, in_query: bool = False) -> Answer:
    """Knock; everything else about the request is wrong, too."""
    target = f"{door.path}?access_token={bearer}" if in_query else door.path
    shown = [] if in_query or bearer is None else [("Authorization", f"Bearer {bearer}")]
    raw = request_bytes(door.method, target, body=b"[", headers=[*shown, ("Content-Type", "x/y")])
    async with await dial(door.address(running)) as stream:
        await stream.send_all(raw)
        return (await read_answer(stream))[0]


def assert_refused(door: Door, case: Case, answer: Answer) -> None:
    """The catalogued refusal in the words of its face, and nothing more."""
    assert answer.status == case.status, (door.name, case, answer)
    assert answer.headers.get("www-authenticate", "").startswith(case.challenge), door.name
    if "/pnm2" in door.path:
        refused = {"code": 400, "status": 400, "response": "Not authorized"}
        assert answer.json == refused, door.name
    elif door.scope == "messaging" or door.path.startswith("/v1/messaging"):
        word = "unauthorized" if case.status == 401 else "forbidden"
        assert answer.json["error"]["code"] == word, door.name
        assert set(answer.json) == {"error"}
    else:
        assert answer.refusal == (case.status, "POL0001", [case.code]), door.name


async def status_of(running: Daemon, door: Door, bearer: str) -> int:
    """The status alone, since some answers have no end."""
    raw = request_bytes(door.method, door.path, headers=[("Authorization", f"Bearer {bearer}")])
    with trio.fail_after(30):
        async with await dial(door.address(running)) as stream:
            await stream.send_all(raw)
            received = b""
            while b"\r\n" not in received:
                received += await stream.receive_some()
    return int(received.split(b" ", 2)[1])


def guarded(running: Daemon) -> list[Door]:
    """All that need a token; there are many."""
    found = [door for door in doors(running) if door.scope]
    assert len(found) > 100
    assert {door.scope for door in found} == set(SCOPES)
    return found


def names(found: Iterable[Door]) -> set[str]:
    """Theirs."""
    return {door.name for door in found}


async def test_what_needs_no_token_is_listed(tmp_path: Path) -> None:
    """Every path and method of both listeners asks for a token, but for a short list; and for its
    user where it names one, but for where producers speak to anybody (SE-2, CH-12)."""
    async with everything(tmp_path) as running:
        everywhere = doors(running)
        assert len(names(everywhere)) == len(everywhere)
        assert names(one for one in everywhere if not one.scope) <= NEEDS_NO_TOKEN
        others = names(one for one in everywhere if one.names_user and not one.own_user)
        assert others == SPEAKS_FOR_ANYBODY


async def test_no_token_that_is_not_good_opens_anything(tmp_path: Path) -> None:
    """No token, one that is none, a forged, a revoked and an expired one are refused by every
    route of both listeners, whatever else is wrong with the request, and nothing is stored (SE-1
    to SE-3, CH-13, MS-5)."""
    async with everything(tmp_path) as running:
        before = await running.stored()
        for door in guarded(running):
            for case in not_good():
                assert_refused(door, case, await ask(running, door, case.bearer))
        assert await running.stored() == before


async def test_no_token_opens_what_is_not_its_own(tmp_path: Path) -> None:
    """Every other scope and, where a path names one, every other user and project are refused by
    every route, and nothing is stored (SE-2, CH-12, CH-96)."""
    async with everything(tmp_path) as running:
        before = await running.stored()
        for door in guarded(running):
            for case in not_for(door):
                assert_refused(door, case, await ask(running, door, case.bearer))
        assert await running.stored() == before


async def test_a_token_in_the_query(tmp_path: Path) -> None:
    """Where it counts there it is judged like any other; everywhere else it is as if it was not
    there, however good it is (CH-10, MS-4, SE-2)."""
    async with everything(tmp_path) as running:
        for door in guarded(running):
            if door.takes_query:
                bad = [case for case in [*not_good(), *not_for(door)] if case.bearer is not None]
                for case in bad:
                    assert_refused(door, case, await ask(running, door, case.bearer, in_query=True))
            else:
                good = token(scope=door.scope)
                case = Case(good, 401, "token_missing", MISSING)
                assert_refused(door, case, await ask(running, door, good, in_query=True))


async def test_the_right_token_opens_all(tmp_path: Path) -> None:
    """None of these refusals stands whoever asks: the token that a route wants gets further."""
    async with everything(tmp_path) as running:
        for door in guarded(running):
            status = await status_of(running, door, token(scope=door.scope, project="proj"))
            assert status not in {401, 403}, door.name


async def test_reports_without_their_secret(tmp_path: Path) -> None:
    """Where a secret stands for a token, none and a wrong one are refused like a token (PU-24)."""
    async with everything(tmp_path) as running:
        reporting = [one for one in doors(running) if "/push/report/secret" in one.pattern]
        assert len(reporting) == 3
        for door in reporting:
            for given, code in ((None, "token_missing"), (f"{REPORTER}x", "token_invalid")):
                fields = {} if given is None else {"key": given}
                query = "".join(f"?key={value.replace(' ', '%20')}" for value in fields.values())
                is_posted = door.method == "POST"
                answer = await running.ask(
                    door.method,
                    door.path if is_posted else door.path + query,
                    json.dumps(fields).encode() if is_posted else None,
                    bearer=token(scope=" ".join(SCOPES)),
                )
                assert answer.refusal == (401, "POL0001", [code]), door.name
