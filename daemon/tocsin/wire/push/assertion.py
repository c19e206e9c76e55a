"""What we prove ourselves to providers by, made and read without I/O (push.md, PU-41 and PU-42).

To APNs we show a token that we sign ourselves. To Google we show a signed assertion, at the
address the service account names, and get an access token for it (RFC 7523).
"""

import re
from typing import Any

import attrs
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from tocsin.wire.push.keys import ServiceAccount

APNS_SECONDS = 3600
ASSERTION_SECONDS = 3600
LONGEST_SECONDS = 86_400
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"

_TOKEN = re.compile(r"[!-~]{1,8192}")
_WORD = re.compile(r"[a-z_]{1,64}")


def provider_token(key: EllipticCurvePrivateKey, *, team: str, key_id: str, now: int) -> str:
    """A provider token of APNs, issued now (epoch seconds); good for APNS_SECONDS."""
    headers = {"alg": "ES256", "kid": key_id, "typ": None}
    return jwt.encode({"iss": team, "iat": now}, key, algorithm="ES256", headers=headers)


def issued_at(token: str, key: EllipticCurvePrivateKey, *, team: str, key_id: str) -> int | None:
    """When a provider token was issued, epoch seconds; None if it is not one of this key."""
    try:
        parts = jwt.decode_complete(
            token,
            key.public_key(),
            algorithms=["ES256"],
            options={"verify_iat": False},
        )
    except jwt.InvalidTokenError:
        return None
    claims: dict[str, Any] = parts["payload"]
    is_ours = claims.get("iss") == team and parts["header"].get("kid") == key_id
    issued = claims.get("iat")
    return issued if is_ours and type(issued) is int else None


def token_request(account: ServiceAccount, *, now: int) -> dict[str, str]:
    """The form to post to the account's `token_uri`; `now` is epoch seconds.

    Signing takes a millisecond.
    """
    claims = {
        "iss": account.email,
        "scope": SCOPE,
        "aud": account.token_uri,
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
    }
    headers = {"kid": account.key_id} if account.key_id else None
    assertion = jwt.encode(claims, account.key, algorithm="RS256", headers=headers)
    return {"grant_type": GRANT_TYPE, "assertion": assertion}


@attrs.frozen
class Grant:
    """An access token and the seconds it is good for."""

    token: str = attrs.field(repr=False)
    seconds: float


def granted(body: bytes) -> Grant:
    """The access token in an answer; ValueError, which shows nothing of it, if there is none."""
    members = _members(body)
    token, seconds = members.get("access_token"), members.get("expires_in")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise ValueError("the answer has no access_token")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        raise ValueError("the answer has no expires_in")
    return Grant(token, float(min(seconds, LONGEST_SECONDS)))


def refusal(body: bytes) -> str:
    """The error code of a refused request (RFC 6749, section 5.2), "" if there is none."""
    error = _members(body).get("error")
    return error if isinstance(error, str) and _WORD.fullmatch(error) else ""


def _members(body: bytes) -> dict[str, Any]:
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return members if isinstance(members, dict) else {}
