"""tocsin.wire.claims: who a token speaks for in messaging; the rest is in `test_jwt`."""

from typing import Any

import pytest

from tocsin.model.principal import Principal
from tocsin.wire.claims import Rules, SubscriberClaims, principal_of


def read(claims: dict[str, Any], messaging: SubscriberClaims | None = None) -> Principal:
    rules = Rules(messaging=messaging or SubscriberClaims())
    claims = {"preferred_username": "alice", **claims}
    return principal_of(claims, "d", rules, expires_at=2e9)


@pytest.mark.parametrize(
    ("claims", "subscriber", "domain", "names_domain"),
    [
        ({"sub": "12"}, "12", "local", False),
        ({"sub": "12", "domain": "acme"}, "12", "acme", True),
        ({"sub": "12", "domain": None}, "12", "local", False),
        ({"sub": "x" * 128, "domain": "d" * 128}, "x" * 128, "d" * 128, True),
        ({}, "", "local", False),
        ({"sub": ""}, "", "local", False),
        ({"sub": "a\nb", "domain": "acme"}, "", "acme", True),
        ({"sub": "x" * 129}, "", "local", False),
        ({"sub": "12", "domain": ""}, "", "", True),
        ({"sub": "12", "domain": 5}, "", "", True),
        ({"sub": "12", "domain": "a\tb"}, "", "", True),
        ({"sub": "12", "domain": "d" * 129}, "", "", True),
    ],
)
def test_who_it_is(
    claims: dict[str, Any], subscriber: str, domain: str, names_domain: bool
) -> None:
    """MS-2, MS-7: subscriber and domain by their claims; what can be none is nobody, and never
    taken for one of the default domain."""
    found = read(claims)
    assert (found.subscriber, found.domain) == (subscriber, domain)
    assert found.names_domain is names_domain


def test_other_claims() -> None:
    """MS-7: the claims have the names an operator gives them; without one for the domain there is
    one domain, whatever a token says."""
    claims = {"sub": "s", "domain": "acme", "tel": "12", "org": "umbrella"}
    found = read(claims, SubscriberClaims("tel", "org", "home"))
    assert (found.subscriber, found.domain) == ("12", "umbrella")
    found = read(claims, SubscriberClaims("tel", "", "home"))
    assert (found.subscriber, found.domain, found.names_domain) == ("12", "home", False)
    assert read(claims, SubscriberClaims("none")).subscriber == ""


@pytest.mark.parametrize(
    ("claims", "is_active"),
    [
        ({}, True),
        ({"active": True, "subscriber_active": True}, True),
        ({"active": "since 2026"}, True),
        ({"active": False}, False),
        ({"subscriber_active": False}, False),
        ({"subscriber_active": "false"}, False),
        ({"subscriber_active": None}, False),
    ],
)
def test_who_is_shut_out(claims: dict[str, Any], is_active: bool) -> None:
    """MS-7: a token may say that its subscriber is inactive; where it speaks of that at all,
    nothing but a clear yes lets him in."""
    assert read({"sub": "12", **claims}).is_active is is_active
