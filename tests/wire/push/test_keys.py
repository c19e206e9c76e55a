"""tocsin.wire.push.keys: credentials of providers, and what is wrong with them."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from tests.fakes.pushkeys import account, p8, pem

from tocsin.wire.push.keys import apns_key, project_of, service_account

LOCKED = pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x"))
WRONG_CURVE = pem(ec.generate_private_key(ec.SECP384R1()))
WEAK = pem(rsa.generate_private_key(65_537, 1024))


def test_apns_key() -> None:
    """The text of a .p8 file becomes a key that signs with ES256 (PU-41)."""
    assert isinstance(apns_key(p8()).curve, ec.SECP256R1)


def test_service_account() -> None:
    """Who signs, with what, for which project, and where tokens come from (PU-42)."""
    found = service_account(account(project_id="p-1", private_key_id="k1"))
    assert found.email == "push@p-1.iam.gserviceaccount.com"
    assert found.token_uri == "https://oauth2.googleapis.com/token"
    assert (found.project_id, found.key_id, found.key.key_size) == ("p-1", "k1", 2048)


def test_a_service_account_without_a_project() -> None:
    """Its key then has to say which project it is for (A.7)."""
    members = orjson.loads(account())
    del members["project_id"]
    assert service_account(orjson.dumps(members).decode()).project_id == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a private key in PEM form"),
        ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----", "is not a private"),
        (p8()[:100], "is not a private key in PEM form"),
        ("\x00\ud7ff", "is not a private key in PEM form"),
        (LOCKED, "is locked with a password"),
        (WRONG_CURVE, "is not a key for ES256"),
        (WEAK, "is not a key for ES256"),
    ],
    ids=["nothing", "no key", "a part", "no text", "locked", "wrong curve", "weak"],
)
def test_what_is_no_p8(text: str, problem: str) -> None:
    """Told in words that quote nothing of it (PU-20, PU-43)."""
    assert_told(apns_key, text, problem)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"type": "authorized_user"}, "is not a service account"),
        ({"client_email": ""}, "has no client_email"),
        ({"client_email": 3}, "has no client_email"),
        ({"private_key": None}, "has no private_key"),
        ({"private_key": "c2VjcmV0"}, "has a private_key that is not a private key in PEM form"),
        ({"private_key": p8()}, "has a private_key that is not an RSA key of 2048"),
        ({"private_key": WEAK}, "has a private_key that is not an RSA key of 2048"),
        ({"token_uri": "http://oauth2.googleapis.com/token"}, "has a token_uri that is no https"),
        ({"token_uri": "https://u@h/token"}, "has a token_uri that is no https address"),
        ({"token_uri": "https://h:x/"}, "has a token_uri that is no https address"),
        ({"token_uri": "https:///token"}, "has a token_uri that is no https address"),
        ({"project_id": []}, "has no project_id"),
    ],
)
def test_what_is_no_service_account(changed: dict[str, Any], problem: str) -> None:
    """Each member that is missing or wrong is named, none is quoted (PU-20, PU-43)."""
    assert_told(service_account, account(**changed), problem)


@pytest.mark.parametrize(("text", "problem"), [("{", "is not JSON"), ("[]", "is not a JSON obj")])
def test_what_is_no_object(text: str, problem: str) -> None:
    """A file of another kind is told as such."""
    assert_told(service_account, text, problem)


def test_the_project_without_the_key() -> None:
    """The project is known without the cost of loading the key, and is empty if unknown."""
    assert project_of(account(project_id="p-1", private_key="x")) == "p-1"
    assert project_of("{") == project_of('{"project_id": 3}') == ""


def assert_told(parse: Callable[[str], object], text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        parse(text)
    assert "c2VjcmV0" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
