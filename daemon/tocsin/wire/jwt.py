"""Bearer tokens: verifying what somebody shows, minting our own (channels.md section 2; SE-1).

Signed tokens in the compact form (RFC 7515 section 7.1) with JSON claims (RFC 7519). The reading
is stricter than the RFC where that costs no honest client anything: base64url in its only
canonical spelling, so that a token has one text; no critical header extensions, since none are
known here.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

import attrs
import jwt
import orjson

from tocsin.model.principal import Principal
from tocsin.wire.claims import (
    DIGEST_LENGTH,
    ExpiredTokenError,
    InvalidTokenError,
    Rules,
    TokenError,
    UnknownKeyError,
    check_addressee,
    check_times,
    expiry,
    jti_of,
    principal_of,
)
from tocsin.wire.jwk import Key, KeySet

__all__ = [
    "TOKEN_BYTES",
    "ExpiredTokenError",
    "InvalidTokenError",
    "Rules",
    "TokenError",
    "TokenName",
    "UnknownKeyError",
    "mint",
    "named",
    "verify",
]

TOKEN_BYTES = 8192


@attrs.frozen
class TokenName:
    """What a token is known by, its `Principal.token_id`, and until when it says that it is valid,
    epoch seconds; nothing of it is verified."""

    token_id: str
    expires_at: float | None


def named(token: str) -> TokenName:
    """The name of a signed token, whoever has signed it; `InvalidTokenError` if it is none."""
    signed, header, payload, _ = _taken_apart(token)
    _object(header)
    claims = _object(payload)
    return TokenName(jti_of(claims) or _digest(signed), expiry(claims))


def verify(token: str, keys: KeySet, *, now: float, rules: Rules) -> Principal:
    """Who a token speaks for, `now` being epoch seconds; else a `TokenError`, nothing else."""
    signed, header, payload, signature = _taken_apart(token)
    _check_signature(signed, signature, _object(header), keys)
    claims = _object(payload)
    expires_at = expiry(claims)
    if expires_at is None:
        raise InvalidTokenError("exp is not a number")
    principal = principal_of(claims, _digest(signed), rules, expires_at=expires_at)
    check_addressee(claims, rules)
    check_times(claims, principal, now, rules.leeway)
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


def _digest(signed: bytes) -> str:
    """Of what is signed, not of the whole text: anybody can turn an ECDSA signature into a second
    valid one, and the token must not become another one by that when the first is revoked."""
    return hashlib.sha256(signed).hexdigest()[:DIGEST_LENGTH]
