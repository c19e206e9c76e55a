"""Bearer tokens: verifying what somebody shows, minting our own (channels.md section 2; SE-1).

    TokenError
     +-- InvalidTokenError        not a token, or not for us: `token_invalid`
     |    +-- UnknownKeyError     nothing wrong with it that newer keys could not put right
     +-- ExpiredTokenError        valid but for its age: `token_expired`, with the principal

Signed tokens in the compact form (RFC 7515 section 7.1) with JSON claims (RFC 7519). The reading
is stricter than the RFC where that costs no honest client anything: base64url in its only
canonical spelling, so that a token has one text; no critical header extensions, since none are
known here; claims of a wrong type make the token invalid.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import attrs
import jwt
import orjson

from tocsin.model.errors import TocsinError
from tocsin.model.gatewayuser import is_reserved
from tocsin.model.principal import SCOPES, Principal
from tocsin.wire.jwk import Key, KeySet

TOKEN_BYTES = 8192
JTI_LENGTH = 128


class TokenError(TocsinError):
    """A token that is not accepted; `code` is what the caller is told (CH-13)."""

    code: str


class InvalidTokenError(TokenError):
    """Not a token of ours. The message says why, for the log; it never quotes the token."""

    code = "token_invalid"


class UnknownKeyError(InvalidTokenError):
    """No key at hand has signed it, and a newer set of keys may hold one that has."""


class ExpiredTokenError(TokenError):
    """Everything about it is right but for `exp`, past by `expired_by` seconds (CH-61).

    The 30 s of leeway are not taken off: they are part of `expired_by`.
    """

    code = "token_expired"

    def __init__(self, principal: Principal, expired_by: float) -> None:
        super().__init__("expired")
        self.principal = principal
        self.expired_by = expired_by


@attrs.frozen
class Rules:
    """What a token must say to be accepted, and how it is read (CH-11, CH-12)."""

    issuer: str | None = None
    audience: str | None = None
    user_claim: str = "preferred_username"
    project_claim: str = "project"
    default_scopes: frozenset[str] = frozenset({"channels"})
    leeway: float = 30


def verify(token: str, keys: KeySet, *, now: float, rules: Rules) -> Principal:
    """Who a token speaks for, `now` being epoch seconds; else a `TokenError`, nothing else."""
    signed, header, payload, signature = _taken_apart(token)
    _check_signature(signed, signature, _object(header), keys)
    claims = _object(payload)
    principal = _principal(claims, signed, rules)
    _check_addressee(claims, rules)
    _check_times(claims, principal, now, rules.leeway)
    return principal


def mint(claims: Mapping[str, object], secret: Key, *, now: float, lifetime: int) -> str:
    """An HS256 token with these claims, `iat` now and `exp` after `lifetime` seconds."""
    issued = int(now)
    payload = {**claims, "iat": issued, "exp": issued + lifetime}
    return jwt.encode(payload, secret.material, algorithm=secret.algorithm)


def _taken_apart(token: str) -> tuple[bytes, bytes, bytes, bytes]:
    """The signed text, and the three segments decoded."""
    if len(token) > TOKEN_BYTES:
        raise InvalidTokenError("too long")
    try:
        text = token.encode("ascii")
        signed, encoded_signature = text.rsplit(b".", 1)
        encoded_header, encoded_payload = signed.split(b".")
    except ValueError:
        raise InvalidTokenError("not three segments") from None
    return signed, _decoded(encoded_header), _decoded(encoded_payload), _decoded(encoded_signature)


def _decoded(segment: bytes) -> bytes:
    """base64url without padding; any other spelling of the same bytes is refused."""
    try:
        data = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except binascii.Error:
        raise InvalidTokenError("not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=") != segment:
        raise InvalidTokenError("not base64url")
    return data


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidTokenError("not JSON") from None
    if not isinstance(value, dict):
        raise InvalidTokenError("not a JSON object")
    return value


def _check_signature(signed: bytes, signature: bytes, header: dict[str, Any], keys: KeySet) -> None:
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ("HS256", "RS256", "ES256", "EdDSA") or "crit" in header:
        raise InvalidTokenError("algorithm or extension not allowed")
    if kid is not None and not isinstance(kid, str):
        raise InvalidTokenError("kid is not a string")
    if any(key.verifies(signed, signature) for key in keys.candidates(algorithm, kid)):
        return
    if algorithm == "HS256" or (kid is not None and keys.knows(kid)):
        raise InvalidTokenError("bad signature")
    raise UnknownKeyError("signed with a key not at hand")


def _principal(claims: dict[str, Any], signed: bytes, rules: Rules) -> Principal:
    """The claims as CH-12 reads them."""
    subject = _text(claims, "sub")
    user = _text(claims, rules.user_claim) or subject
    if not user:
        raise InvalidTokenError("names no user")
    subject = subject or user
    producer = _text(claims, "client_id") or _text(claims, "azp") or subject
    if is_reserved(user) or is_reserved(producer):
        raise InvalidTokenError("a name kept for the gateway")
    project = claims.get(rules.project_claim)
    return Principal(
        user=user,
        scopes=_scopes(claims) or rules.default_scopes,
        producer=producer,
        subject=subject,
        token_id=_token_id(claims, signed),
        expires_at=_expiry(claims),
        project=project if isinstance(project, str) else None,
    )


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise InvalidTokenError(f"{name} is not a string")
    return value


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Those of our scopes that a token names, in `scope` or, without that, in `scp`."""
    if "scope" in claims:
        words = _text(claims, "scope").split(" ")
    elif isinstance(listed := claims.get("scp", ""), list):
        words = [word for word in listed if isinstance(word, str)]
        if len(words) != len(listed):
            raise InvalidTokenError("scp is not a list of strings")
    else:
        words = _text(claims, "scp").split(" ")
    return _shared(frozenset(words).intersection(SCOPES))


@lru_cache(maxsize=1 << len(SCOPES))
def _shared(scopes: frozenset[str]) -> frozenset[str]:
    """The one object of all tokens with these scopes: principals are kept by the thousand."""
    return scopes


def _token_id(claims: dict[str, Any], signed: bytes) -> str:
    """`jti`, else a hash of what is signed.

    Of what is signed, not of the whole text: anybody can turn an ECDSA signature into a second
    valid one, and the token must not become another one by that when the first is revoked.
    """
    jti = claims.get("jti")
    if isinstance(jti, str) and 0 < len(jti) <= JTI_LENGTH:
        return jti
    return hashlib.sha256(signed).hexdigest()[:32]


def _check_addressee(claims: dict[str, Any], rules: Rules) -> None:
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        raise InvalidTokenError("another issuer")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if rules.audience is not None and rules.audience not in audiences:
        raise InvalidTokenError("another audience")


def _check_times(claims: dict[str, Any], principal: Principal, now: float, leeway: float) -> None:
    if any(_number(claims, name) > now + leeway for name in ("nbf", "iat") if name in claims):
        raise InvalidTokenError("not valid yet")
    expired_by = now - principal.expires_at
    if expired_by >= leeway:
        raise ExpiredTokenError(principal, expired_by)


def _expiry(claims: dict[str, Any]) -> float:
    return float(_number(claims, "exp"))


def _number(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTokenError(f"{name} is not a number")
    return value
