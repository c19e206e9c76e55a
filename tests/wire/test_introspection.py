"""tocsin.wire.introspection: what is asked of a token's issuer, and what is made of the answer."""

import base64
import math
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.tokens import NOW

from tocsin.model.principal import Principal
from tocsin.wire.claims import ExpiredTokenError, InvalidTokenError, Rules
from tocsin.wire.introspection import (
    answered,
    confirmed,
    credentials,
    described,
    named_opaque,
    question,
    scopes_left,
)

NAME = named_opaque("opaque-1")


def told(**claims: Any) -> Principal:
    rules = Rules(issuer="us", audience="tocsin")
    return described({"active": True, **claims}, NAME, now=NOW, rules=rules)


def test_the_question() -> None:
    """SE-1: the token in a form, and who asks as RFC 6749 wants it written, whatever is in it."""
    assert question("t")["token"] == "t"
    scheme, _, pair = credentials("a:b", "s é+").partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(pair) == b"a%3Ab:s+%C3%A9%2B"


@pytest.mark.parametrize("token", ["", "a b", "a=b", "tökén", "a\r\n", "x" * 8193, "a?b"])
def test_what_nobody_is_asked_about(token: str) -> None:
    """SE-5: what can be no token costs no request."""
    with pytest.raises(InvalidTokenError):
        named_opaque(token)


def test_names_do_not_give_the_token_away() -> None:
    """SE-3: tokens are told apart by a hash."""
    assert named_opaque("opaque-1") == NAME
    assert named_opaque("opaque-2") != NAME
    assert "opaque" not in NAME.token_id


def test_answers() -> None:
    """SE-1: active with claims, or not active; nothing else is an answer."""
    assert answered(b'{"active":true,"sub":"a"}') == {"active": True, "sub": "a"}
    assert answered(b'{"active":false,"sub":"a"}') is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"active":1}', b'{"active":"true"}'])
def test_no_answers(body: bytes) -> None:
    """SE-1: whoever does not say that a token is active has not said so."""
    with pytest.raises(ValueError, match=r".*"):
        answered(body)


@given(st.recursive(st.none() | st.booleans() | st.text(), lambda x: st.dictionaries(st.text(), x)))
def test_any_answer(value: object) -> None:
    """SE-6: whatever JSON comes back is an answer or no answer, and never an active token by
    mistake."""
    try:
        claims = answered(orjson.dumps(value))
    except ValueError:
        return
    assert claims is None or claims["active"] is True


def test_claims_are_read_as_those_of_a_signed_token() -> None:
    """CH-12, SE-1: user, scopes, producer, expiry, id."""
    principal = told(
        sub="s1",
        preferred_username="alice",
        scope="messaging openid",
        client_id="app",
        exp=NOW + 60,
        iat=NOW - 60,
        jti="j1",
        iss="us",
        aud=["x", "tocsin"],
    )
    assert principal == Principal(
        "alice",
        frozenset({"messaging"}),
        "app",
        "s1",
        "j1",
        NOW + 60,
        None,
        NAME.token_id,
        NOW - 60,
        "s1",
        "local",
    )


def test_what_may_be_left_out() -> None:
    """SE-1: only the user is needed, and RFC 7662 has two names for it; without scopes it gets the
    default, and without `exp` it is asked about again and again."""
    principal = told(username="alice")
    assert (principal.user, principal.subject, principal.producer) == ("alice", "alice", "alice")
    assert principal.scopes == {"channels"}
    assert principal.expires_at == math.inf
    assert principal.token_id == principal.digest == NAME.token_id


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": 1},
        {"iss": "them"},
        {"aud": "them"},
        {"nbf": NOW + 31},
        {"iat": NOW + 31},
        {"exp": "tomorrow"},
        {"exp": NOW - 30},
    ],
)
def test_active_and_yet_not_for_us(claims: dict[str, Any]) -> None:
    """CH-11: of another issuer, for others, too early, over, or without a user."""
    given_claims = {"sub": "alice", **claims} if claims else {}
    with pytest.raises((InvalidTokenError, ExpiredTokenError)):
        told(**given_claims)


@pytest.mark.parametrize(
    ("signed", "said", "is_active"),
    [(True, {}, True), (True, {"subscriber_active": False}, False), (False, {}, False)],
)
def test_a_signed_token_confirmed(signed: bool, said: dict[str, Any], is_active: bool) -> None:
    """MS-7: its issuer, asked too, can shut its subscriber out and take scopes away; who he is
    stays what was signed."""
    principal = attrs.evolve(
        told(sub="a"), scopes=frozenset({"channels", "messaging"}), is_active=signed
    )
    found = confirmed(
        principal, {"active": True, "sub": "b", "scope": "messaging", **said}, Rules()
    )
    assert (found.subscriber, found.is_active) == ("a", is_active)
    assert found.scopes == {"messaging"}


@pytest.mark.parametrize(
    ("claims", "left"),
    [
        ({}, {"channels", "publish"}),
        ({"scope": "publish admin"}, {"publish"}),
        ({"scope": "openid"}, {"channels"}),
        ({"scp": ["push"]}, set()),
    ],
)
def test_scopes_of_a_signed_token(claims: dict[str, Any], left: set[str]) -> None:
    """MS-11: its issuer can take scopes away and not add any."""
    principal = attrs.evolve(told(sub="a"), scopes=frozenset({"channels", "publish"}))
    assert scopes_left(principal, claims, frozenset({"channels"})) == left
