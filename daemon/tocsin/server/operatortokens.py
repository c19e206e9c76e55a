"""The operator API: tokens made void before their time (security.md, SE-3). Admin listener only."""

import hashlib
from typing import Any, Final

import orjson
import structlog

from tocsin.delivery.revocations import By, Revocation, Revocations
from tocsin.model.errors import invalid
from tocsin.server.auth import Authenticator
from tocsin.server.http import json_body
from tocsin.server.operator import ADMIN, PREFIX
from tocsin.server.operatorquery import limit_of
from tocsin.server.router import Router
from tocsin.wire.claims import JTI_LENGTH, InvalidTokenError
from tocsin.wire.jwt import TOKEN_BYTES, TokenName
from tocsin.wire.messaging.limits import SHORT_CHARACTERS
from tocsin.wire.request import Request
from tocsin.wire.response import Response

TOKENS: Final = f"{PREFIX}/tokens"
DOMAIN: Final = "domain"
LONGEST: Final = {
    By.TOKEN: TOKEN_BYTES,
    By.JTI: JTI_LENGTH,
    By.USER: 1024,
    By.CLIENT: 1024,
    By.SUBSCRIBER: SHORT_CHARACTERS,
    DOMAIN: SHORT_CHARACTERS,
}
SHOWN: Final = 8

log = structlog.get_logger()


class OperatorTokenFace:
    """Handlers for revoking tokens, and for looking at what was revoked."""

    def __init__(self, revocations: Revocations, tokens: Authenticator) -> None:
        self._revocations = revocations
        self._tokens = tokens

    def add_routes(self, router: Router) -> None:
        """Declare the routes."""
        router.add("POST", f"{TOKENS}/revoke", self.revoke, scope=ADMIN, cors=False)
        router.add("GET", f"{TOKENS}/revoked", self.list_revoked, scope=ADMIN, cors=False)

    async def revoke(self, request: Request) -> Response:
        """POST `{"token"}`, `{"jti"}`, `{"user"}`, `{"client"}` or `{"subscriber", "domain"}`: 204
        once nobody gets in by it and what was open by it is being closed."""
        by, given, domain = _named(json_body(request))
        name = self._name(given) if by is By.TOKEN else TokenName(given, None)
        closed = await self._revocations.revoke(
            by, name.token_id, domain=domain, expires_at=name.expires_at
        )
        log.info("token.revoked", by=by.value, closed=closed, domain=domain, **shown(by, given))
        return Response(204)

    async def list_revoked(self, request: Request) -> Response:
        """GET: what is in force, in the order of its keys."""
        after, limit = request.params.get("after", ""), limit_of(request.params)
        found = self._revocations.page(after=after, limit=limit + 1)
        page = found[:limit]
        following = page[-1].key if len(found) > limit else None
        return Response(
            200, orjson.dumps({"revocations": [_view(one) for one in page], "next": following})
        )

    def _name(self, token: str) -> TokenName:
        """It is looked at, not verified: one that nobody accepts may as well be revoked."""
        try:
            return self._tokens.named(token)
        except InvalidTokenError:
            raise invalid(By.TOKEN) from None


def _named(body: object) -> tuple[By, str, str | None]:
    """What a body names, and in which domain, which a subscriber has and nobody else."""
    if not isinstance(body, dict):
        raise invalid("body")
    if unknown := body.keys() - LONGEST.keys():
        raise invalid(min(unknown))
    if len(named := body.keys() - {DOMAIN}) != 1:
        raise invalid("body")
    for member, name in body.items():
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST[member]:
            raise invalid(member)
    [member] = named
    by, domain = By(member), body.get(DOMAIN)
    if (by is By.SUBSCRIBER) is (domain is None):
        raise invalid(DOMAIN)
    return by, body[member], domain


def shown(by: By, given: str) -> dict[str, str]:
    """What the log may say of it: never the token."""
    if by is By.TOKEN:
        return {"token": hashlib.sha256(given.encode()).hexdigest()[:SHOWN]}
    return {by.value: given}


def _view(one: Revocation) -> dict[str, Any]:
    return {"by": one.by, "name": one.shown_name, "at": one.at, "expires_at": one.until}
