"""Token requests as forms."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.grant import FORM_TYPE, GrantError, granted_scope, parse_form, required, with_basic


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_form_is_read() -> None:
    """CH-14: fields are percent-decoded, a plus is a space, empty ones are left out."""
    body = b"grant_type=password&username=a%2Bb%40x&password=p+w&scope="
    assert parse_form(f"{FORM_TYPE}; charset=UTF-8", body) == {
        "grant_type": "password",
        "username": "a+b@x",
        "password": "p w",
    }


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b"a=b"),
        ("application/json", b"{}"),
        (FORM_TYPE, b"a=b&a=c"),
        (FORM_TYPE, b"a=%ff"),
        (FORM_TYPE, b"\xff=b"),
        (FORM_TYPE, b"&".join(b"a%d=b" % n for n in range(40))),
        (FORM_TYPE, b"a=" + b"b" * 9000),
    ],
)
def test_other_bodies_are_invalid_requests(content_type: str | None, body: bytes) -> None:
    """CH-14, SE-6: no form, a repeated field, broken UTF-8, too much of it: 400."""
    with pytest.raises(GrantError) as refusal:
        parse_form(content_type, body)
    assert (refusal.value.status, refusal.value.error) == (400, "invalid_request")


@given(st.binary(max_size=200), st.text(max_size=100))
def test_any_bytes_are_read_or_refused(body: bytes, authorization: str) -> None:
    """SE-6: nothing a caller sends raises anything but the refusal."""
    try:
        form = with_basic(parse_form(FORM_TYPE, body), f"Basic {authorization}")
    except GrantError:
        return
    assert form["client_id"] is not None


def test_basic_credentials_join_the_form() -> None:
    """RFC 6749 section 2.3.1: a client may name itself in the Authorization header instead."""
    form = with_basic({"grant_type": "x"}, basic("my%20app:s%3Acret:more"))
    assert form == {"grant_type": "x", "client_id": "my app", "client_secret": "s:cret:more"}
    assert with_basic({"a": "b"}, None) == {"a": "b"}
    assert with_basic({"a": "b"}, "Bearer x") == {"a": "b"}


@pytest.mark.parametrize(
    ("form", "authorization", "status"),
    [
        ({}, "Basic", 401),
        ({}, "Basic !!", 401),
        ({}, basic("no colon"), 401),
        ({"client_secret": "s"}, basic("app:s"), 400),
        ({"client_id": "other"}, basic("app:s"), 400),
    ],
)
def test_bad_or_double_credentials(form: dict[str, str], authorization: str, status: int) -> None:
    """RFC 6749 section 2.3: one way to authenticate at a time."""
    with pytest.raises(GrantError) as refusal:
        with_basic(form, authorization)
    assert refusal.value.status == status


@pytest.mark.parametrize("form", [{}, {"name": ""}, {"name": "x" * 2000}])
def test_required_fields(form: dict[str, str]) -> None:
    """CH-14: what is missing, empty or endless is an invalid request that names the field."""
    with pytest.raises(GrantError, match="400 invalid_request") as refusal:
        required(form, "name")
    assert "name" in refusal.value.description


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("", "channels publish"),
        ("openid", "openid channels publish"),
        ("openid profile email", "openid channels publish"),
        ("publish", "publish"),
        ("publish openid publish", "openid publish"),
    ],
)
def test_scope_granted(asked: str, granted: str) -> None:
    """CH-14: who asks for openid only gets all that is configured; who asks for less, less."""
    assert granted_scope(asked, ["channels", "publish"]) == granted


@pytest.mark.parametrize("asked", ["admin", "openid admin", "nonsense", "publish  channels"])
def test_scope_beyond_what_is_configured(asked: str) -> None:
    """CH-14: 400 invalid_scope for a scope that is not allowed, unknown or malformed."""
    with pytest.raises(GrantError, match="400 invalid_scope"):
        granted_scope(asked, ["channels", "publish"])
