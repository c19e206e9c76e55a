"""Asking the issuer of a token about it: request and answer (RFC 7662, section 2; SE-1)."""

import base64
import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import attrs
import orjson

from tocsin.model.principal import Principal
from tocsin.wire.claims import (
    DIGEST_LENGTH,
    InvalidTokenError,
    Rules,
    check_addressee,
    check_times,
    expiry,
    is_active,
    principal_of,
    scopes_of,
)
from tocsin.wire.jwt import TOKEN_BYTES, TokenName

BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def named_opaque(token: str) -> TokenName:
    """The name of a token that says nothing itself; `InvalidTokenError` for what can be none
    (RFC 6750, section 2.1)."""
    if len(token) > TOKEN_BYTES or not BEARER.fullmatch(token):
        raise InvalidTokenError("not a token")
    return TokenName(hashlib.sha256(token.encode()).hexdigest()[:DIGEST_LENGTH], None)


def question(token: str) -> dict[str, str]:
    """The form."""
    return {"token": token, "token_type_hint": "access_token"}


def credentials(client_id: str, client_secret: str) -> str:
    """The `Authorization` of who asks (RFC 6749, section 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def answered(body: bytes) -> dict[str, Any] | None:
    """What the issuer says of an active token, None of one that is not; ValueError for what is no
    answer."""
    answer = orjson.loads(body)
    match answer:
        case {"active": True}:
            return dict(answer)
        case {"active": False}:
            return None
    raise ValueError("the answer does not say whether it is active")


def described(claims: Mapping[str, Any], name: TokenName, *, now: float, rules: Rules) -> Principal:
    """Who an active token speaks for; else a `TokenError`.

    Read as the claims of a signed token are, but that `sub` may be `username`, and that times,
    issuer and audience only count where they are told: whoever was asked has judged them.
    """
    said = {**claims, "sub": claims.get("sub") or claims.get("username", "")}
    ends = expiry(said)
    principal = principal_of(
        said, name.token_id, rules, expires_at=math.inf if ends is None else ends
    )
    told = Rules(
        issuer=rules.issuer if "iss" in said else None,
        audience=rules.audience if "aud" in said else None,
    )
    check_addressee(said, told)
    check_times(said, principal, now, rules.leeway)
    return principal


def confirmed(principal: Principal, claims: Mapping[str, Any], rules: Rules) -> Principal:
    """Who a signed token speaks for after its issuer was asked, too: with the scopes that are
    left of its own, and no more active than the issuer says."""
    return attrs.evolve(
        principal,
        scopes=scopes_left(principal, claims, rules.default_scopes),
        is_active=principal.is_active and is_active(claims),
    )


def scopes_left(
    principal: Principal, claims: Mapping[str, Any], default: frozenset[str]
) -> frozenset[str]:
    """Of a signed token's scopes those that its issuer still grants; all, if it does not say."""
    if "scope" not in claims and "scp" not in claims:
        return principal.scopes
    return principal.scopes & (scopes_of(claims) or default)
