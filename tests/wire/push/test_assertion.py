"""Tests of what we prove ourselves to providers by, verified without our own code."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from tests.fakes import pushkeys

from tocsin.wire.push.assertion import (
    Grant,
    granted,
    issued_at,
    provider_token,
    refusal,
    token_request,
)
from tocsin.wire.push.keys import apns_key, service_account

NOW = 1_700_000_000
KEY = apns_key(pushkeys.p8())


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header, claims, what is signed, and the signature."""
    signed, _, signature = token.rpartition(".")
    header, claims = (json.loads(decoded(one)) for one in signed.split("."))
    return header, claims, signed.encode(), decoded(signature)


def decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def test_a_provider_token() -> None:
    """PU-41: header alg and kid, claims iss and iat, ES256 over them as raw r||s."""
    token = provider_token(KEY, team="TEAM", key_id="KID", now=NOW)
    header, claims, signed, signature = parts(token)
    assert header == {"alg": "ES256", "kid": "KID"}
    assert claims == {"iss": "TEAM", "iat": NOW}
    assert len(signature) == 64
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    KEY.public_key().verify(encode_dss_signature(r, s), signed, ECDSA(SHA256()))


def test_a_token_of_an_earlier_run() -> None:
    """PU-41: it is known again by its signature, team and key."""
    token = provider_token(KEY, team="TEAM", key_id="KID", now=NOW)
    assert issued_at(token, KEY, team="TEAM", key_id="KID") == NOW
    assert issued_at(token, KEY, team="OTHER", key_id="KID") is None
    assert issued_at(token, KEY, team="TEAM", key_id="OTHER") is None
    other = apns_key(pushkeys.p8.__wrapped__())
    assert issued_at(token, other, team="TEAM", key_id="KID") is None


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\ufffd"])
def test_what_is_no_token(token: str) -> None:
    """PU-41: what the store gave back may be anything."""
    assert issued_at(token, KEY, team="TEAM", key_id="KID") is None


def test_a_request_for_an_access_token() -> None:
    """PU-42: an RS256 assertion with its five claims, in the form of RFC 7523."""
    account = service_account(pushkeys.account(private_key_id="K9"))
    form = token_request(account, now=NOW)
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    header, claims, signed, signature = parts(form["assertion"])
    assert header == {"alg": "RS256", "kid": "K9", "typ": "JWT"}
    assert claims == {
        "iss": "push@p-1.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": NOW,
        "exp": NOW + 3600,
    }
    account.key.public_key().verify(signature, signed, PKCS1v15(), SHA256())


def test_a_grant() -> None:
    """PU-42: token and seconds; what is too long is cut to a day."""
    assert granted(b'{"access_token":"T","expires_in":3599}') == Grant("T", 3599.0)
    assert granted(b'{"access_token":"T","expires_in":1e9}').seconds == 86_400
    assert "T-secret" not in repr(Grant("T-secret", 1.0))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b'{"access_token":"","expires_in":1}', b'{"access_token":"S"}'),
        *(b'{"access_token":"S","expires_in":0}', b'{"access_token":"S","expires_in":true}'),
        *(
            b'{"access_token":"S\\r\\nx: y","expires_in":1}',
            b'{"access_token":"S","expires_in":"1"}',
        ),
    ],
)
def test_answers_without_a_grant(body: bytes) -> None:
    """PU-42, PU-43: refused, and nothing of them is shown."""
    with pytest.raises(ValueError, match="the answer has no") as caught:
        granted(body)
    assert "S" not in str(caught.value)


def test_refusals() -> None:
    """PU-42: the error code of RFC 6749, and nothing that is not one."""
    assert refusal(b'{"error":"invalid_grant","error_description":"x"}') == "invalid_grant"
    assert refusal(b'{"error":"A token: eyJ"}') == refusal(b"<html>") == refusal(b"[]") == ""
