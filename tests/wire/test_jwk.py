"""Key sets: what is taken from them and what is left out."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from tests.fakes.tokens import SECRET, jwks, private_key, public_jwk

from tocsin.wire.jwk import KEY_LIMIT, KeySet, public_keys, shared_secret

KINDS = ["RS256", "ES256", "EdDSA"]


@pytest.mark.parametrize("algorithm", KINDS)
def test_key_of_each_kind_serves_its_one_algorithm(algorithm: str) -> None:
    """CH-11: RSA, P-256 and Ed25519 keys are read, each for the algorithm of its kind."""
    (key,) = public_keys(jwks(public_jwk(algorithm)))
    assert (key.algorithm, key.kid) == (algorithm, "1")


def unwanted() -> dict[str, object]:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
    ed448_key = ed448.Ed448PrivateKey.generate().public_key()
    return {
        "for encryption": public_jwk("RS256", use="enc"),
        "for another algorithm": public_jwk("RS256", alg="RS512"),
        "for signing only": public_jwk("ES256", key_ops=["sign"]),
        "key_ops no list": public_jwk("ES256", key_ops="verify"),
        "weak": RSAAlgorithm.to_jwk(small, as_dict=True),
        "another curve": ECAlgorithm.to_jwk(p384, as_dict=True),
        "Ed448": OKPAlgorithm.to_jwk(ed448_key, as_dict=True),
        "symmetric": {"kty": "oct", "k": "c2VjcmV0", "kid": "1"},
        "kid a number": public_jwk("ES256", kid=1),
        "not on the curve": public_jwk("ES256", x="A" * 43),
        "a coordinate missing": {"kty": "EC", "crv": "P-256", "x": "A" * 43},
        "a coordinate a number": public_jwk("ES256", x=5),
        "bad base64": public_jwk("EdDSA", x="!"),
        "no members": {},
        "not an object": "key",
    }


@pytest.mark.parametrize("entry", unwanted().values(), ids=unwanted().keys())
def test_what_is_not_for_us_is_left_out(entry: dict[str, object]) -> None:
    """SE-1: keys for other purposes, too weak or broken are ignored, and the rest still serves."""
    assert [key.kid for key in public_keys(jwks(entry, public_jwk("EdDSA", "2")))] == ["2"]


def test_private_members_are_not_read() -> None:
    """A set that gives its private half away still only yields the public one."""
    entry = RSAAlgorithm.to_jwk(private_key("RS256"), as_dict=True)
    entry.pop("key_ops")
    (key,) = public_keys(jwks(entry))
    assert isinstance(key.material, rsa.RSAPublicKey)


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[]}', b"\xff"])
def test_a_document_without_keys_is_refused(document: bytes) -> None:
    """A set without a single usable key is an error, so that it never replaces a good one."""
    with pytest.raises(ValueError, match="JWK set"):
        public_keys(document)


@given(
    st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg"]), st.text())
)
def test_garbage_entries_never_raise(entry: dict[str, str]) -> None:
    """SE-6: whatever a provider puts into its set costs no more than that entry."""
    assert public_keys(json.dumps({"keys": [entry, public_jwk("EdDSA", "2")]}).encode())


def test_number_of_keys_is_bounded() -> None:
    """SE-5: of a set beyond the bound only the first keys are looked at."""
    many = [public_jwk("EdDSA", "1")] * (KEY_LIMIT + 1)
    assert len(public_keys(jwks(*many))) == KEY_LIMIT


def test_candidates_by_name_and_kind() -> None:
    """CH-11: a named key is tried by its name and algorithm only, a nameless one by its kind."""
    keys = KeySet(
        shared_secret(SECRET),
        public_keys(jwks(public_jwk("RS256", "1"), public_jwk("RS256", "2"), public_jwk("EdDSA"))),
    )
    assert [key.kid for key in keys.candidates("RS256", "2")] == ["2"]
    assert [key.kid for key in keys.candidates("RS256", None)] == ["1", "2"]
    assert keys.candidates("ES256", "1") == []
    assert keys.candidates("HS256", "whatever") == (keys.secret,)
    assert keys.knows("1")
    assert not keys.knows("3")


def test_short_secret_is_refused() -> None:
    """CH-11: a shared secret under 32 bytes is no secret."""
    with pytest.raises(ValueError, match="at least 32 bytes"):
        shared_secret("x" * 31)


def test_public_key_is_no_shared_secret() -> None:
    """SE-1: a public key in the place of the secret would let everybody sign."""
    public = private_key("RS256").public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for text in (pem, json.dumps(public_jwk("RS256"))):
        with pytest.raises(ValueError, match="not a secret"):
            shared_secret(text)
