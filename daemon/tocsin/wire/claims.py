"""What a token says: claims read into a `Principal` (channels.md, CH-11 and CH-12; RFC 7519).

    TokenError
     +-- InvalidTokenError        not a token, or not for us: `token_invalid`
     |    +-- UnknownKeyError     nothing wrong with it that newer keys could not put right
     +-- ExpiredTokenError        valid but for its age: `token_expired`, with the principal

The claims come from a signed token, or from whoever issued one that says nothing itself. Claims of
a wrong type make it invalid.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import attrs

from tocsin.model.errors import TocsinError
from tocsin.model.gatewayuser import is_reserved
from tocsin.model.principal import SCOPES, Principal
from tocsin.wire.messaging.ids import is_subscriber_id
from tocsin.wire.messaging.limits import SHORT_CHARACTERS

DIGEST_LENGTH = 32
JTI_LENGTH = 128
LEEWAY = 30.0


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
class SubscriberClaims:
    """What tells who somebody is in messaging (MS-7); `domain` "": no token names its domain."""

    subscriber: str = "sub"
    domain: str = "domain"
    default_domain: str = "local"


@attrs.frozen
class Rules:
    """What a token must say to be accepted, and how it is read (CH-11, CH-12)."""

    issuer: str | None = None
    audience: str | None = None
    user_claim: str = "preferred_username"
    project_claim: str = "project"
    default_scopes: frozenset[str] = frozenset({"channels"})
    leeway: float = LEEWAY
    messaging: SubscriberClaims = SubscriberClaims()


def principal_of(
    claims: Mapping[str, Any], digest: str, rules: Rules, *, expires_at: float
) -> Principal:
    """The claims as CH-12 reads them; `digest` names the token, whatever it says of itself."""
    subject = _text(claims, "sub")
    user = _text(claims, rules.user_claim) or subject
    if not user:
        raise InvalidTokenError("names no user")
    subject = subject or user
    producer = _text(claims, "client_id") or _text(claims, "azp") or subject
    if is_reserved(user) or is_reserved(producer):
        raise InvalidTokenError("a name kept for the gateway")
    project = claims.get(rules.project_claim)
    named = claims.get(rules.messaging.domain) if rules.messaging.domain else None
    domain = _domain(rules.messaging.default_domain if named is None else named)
    return Principal(
        user=user,
        scopes=scopes_of(claims) or rules.default_scopes,
        producer=producer,
        subject=subject,
        token_id=jti_of(claims) or digest,
        expires_at=expires_at,
        project=project if isinstance(project, str) else None,
        digest=digest,
        issued_at=_number(claims, "iat"),
        subscriber=_subscriber(claims.get(rules.messaging.subscriber)) if domain else "",
        domain=domain,
        names_domain=named is not None,
        is_active=is_active(claims),
    )


def is_active(claims: Mapping[str, Any]) -> bool:
    """Whether the subscriber may use messaging (messaging.md, 3), by what a signed token says or
    its issuer when asked: not with `"active": false`, nor with a `subscriber_active` that is
    anything but true."""
    return claims.get("active") is not False and claims.get("subscriber_active", True) is True


def check_addressee(claims: Mapping[str, Any], rules: Rules) -> None:
    """Raises `InvalidTokenError` if it comes from another issuer or is meant for others."""
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        raise InvalidTokenError("another issuer")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if rules.audience is not None and rules.audience not in audiences:
        raise InvalidTokenError("another audience")


def check_times(claims: Mapping[str, Any], principal: Principal, now: float, leeway: float) -> None:
    """Raises `InvalidTokenError` if it is for later, `ExpiredTokenError` if it is over."""
    starts = (_number(claims, "nbf"), _number(claims, "iat"))
    if any(start is not None and start > now + leeway for start in starts):
        raise InvalidTokenError("not valid yet")
    expired_by = now - principal.expires_at
    if expired_by >= leeway:
        raise ExpiredTokenError(principal, expired_by)


def jti_of(claims: Mapping[str, Any]) -> str | None:
    """What it calls itself, unless that is too long to be remembered."""
    jti = claims.get("jti")
    return jti if isinstance(jti, str) and 0 < len(jti) <= JTI_LENGTH else None


def expiry(claims: Mapping[str, Any]) -> float | None:
    """`exp`, epoch seconds."""
    return _number(claims, "exp")


def _subscriber(claim: object) -> str:
    """ "" for what can be no id: other faces take such a token all the same."""
    return claim if isinstance(claim, str) and is_subscriber_id(claim) else ""


def _domain(claim: object) -> str:
    """The same for a domain."""
    if not isinstance(claim, str) or len(claim) > SHORT_CHARACTERS or not claim.isprintable():
        return ""
    return claim


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise InvalidTokenError(f"{name} is not a string")
    return value


def scopes_of(claims: Mapping[str, Any]) -> frozenset[str]:
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


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTokenError(f"{name} is not a number")
    return float(value)
