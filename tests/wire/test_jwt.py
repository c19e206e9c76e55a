"""Tokens: what is accepted, what is not, and how claims are read."""

import base64
import hashlib
import hmac
import json
from typing import Any

import attrs
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.tokens import CLAIMS, NOW, SECRET, jwks, private_key, public_jwk, signed

from tocsin.model.gatewayuser import gateway_user
from tocsin.model.principal import Principal
from tocsin.wire.jwk import KeySet, public_keys, shared_secret
from tocsin.wire.jwt import (
    TOKEN_BYTES,
    ExpiredTokenError,
    InvalidTokenError,
    Rules,
    TokenError,
    UnknownKeyError,
    mint,
    named,
    verify,
)

PUBLIC = KeySet(public=public_keys(jwks(*map(public_jwk, ["RS256", "ES256", "EdDSA"]))))
KEYS = attrs.evolve(PUBLIC, secret=shared_secret(SECRET))
ALGORITHMS = ["HS256", "RS256", "ES256", "EdDSA"]
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def check(token: str, keys: KeySet = KEYS, now: float = NOW, **rules: Any) -> Principal:
    return verify(token, keys, now=now, rules=Rules(**rules))


def segment(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def hs256(header: dict[str, object], payload: object, secret: bytes = SECRET.encode()) -> str:
    """A token made by hand, for what no library would sign."""
    text = f"{segment(header)}.{segment(payload)}"
    return f"{text}.{segment(hmac.digest(secret, text.encode(), 'sha256'))}"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_token_of_each_algorithm(algorithm: str) -> None:
    """CH-11: RS256, ES256, EdDSA and HS256 tokens with a key of their kind are accepted."""
    assert check(signed(algorithm)).user == "alice"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_without_kid_tries_the_keys_of_its_kind(algorithm: str) -> None:
    """CH-11: a provider that does not name its keys works too."""
    assert check(signed(algorithm, kid=None)).user == "alice"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_changed_payload_is_invalid(algorithm: str) -> None:
    """CH-11: the signature covers the claims."""
    head, _, tail = signed(algorithm).split(".")
    with pytest.raises(InvalidTokenError, match="bad signature"):
        check(f"{head}.{segment({**CLAIMS, 'sub': 'mallory'})}.{tail}")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_public_key_as_hmac_secret(algorithm: str) -> None:
    """SE-1: signing HS256 with the public key, as PEM, DER or JWK, gets nobody in."""
    public = private_key(algorithm).public_key()
    spki = PublicFormat.SubjectPublicKeyInfo
    jwk = public_jwk(algorithm)
    texts = [public.public_bytes(form, spki) for form in (Encoding.PEM, Encoding.DER)]
    texts += [json.dumps(jwk).encode(), json.dumps(jwk, separators=(",", ":")).encode()]
    for secret in [*texts, b""]:
        token = hs256({"alg": "HS256", "kid": "1"}, CLAIMS, secret)
        for keys in (PUBLIC, KEYS):
            with pytest.raises(InvalidTokenError):
                check(token, keys)


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", None, 5, "HS512", "RS512", "PS256"]
)
def test_other_algorithms_are_invalid(algorithm: object) -> None:
    """CH-11: `none` never, nor any algorithm off the list, with or without a signature."""
    token = hs256({"alg": algorithm, "typ": "JWT"}, CLAIMS)
    for text in (token, token.rsplit(".", 1)[0] + "."):
        with pytest.raises(InvalidTokenError):
            check(text)


def test_algorithm_of_another_kind_of_key() -> None:
    """CH-11: an ES256 token that names an RSA key is invalid, and asks for no other keys."""
    only_rsa = KeySet(public=public_keys(jwks(public_jwk("RS256"))))
    with pytest.raises(InvalidTokenError) as refusal:
        check(signed("ES256"), only_rsa)
    assert not isinstance(refusal.value, UnknownKeyError)


def test_unknown_kid_is_told_apart() -> None:
    """CH-11: a name that is not in the set is worth a look at a newer set."""
    with pytest.raises(UnknownKeyError) as refusal:
        check(signed("RS256", "2"))
    assert refusal.value.code == "token_invalid"


def test_nameless_token_by_a_new_key_is_told_apart() -> None:
    """CH-11: rotation also works for providers that do not name their keys."""
    with pytest.raises(UnknownKeyError):
        check(signed("EdDSA", "2", kid=None))


def test_hs256_without_a_secret_asks_for_no_keys() -> None:
    """SE-1: no JWK set could make a symmetric token valid."""
    with pytest.raises(InvalidTokenError) as refusal:
        check(signed("HS256"), PUBLIC)
    assert not isinstance(refusal.value, UnknownKeyError)


def test_expiry_has_thirty_seconds_of_leeway() -> None:
    """CH-11: accepted until just before exp + 30 s, expired from then on."""
    token = signed("HS256", exp=NOW)
    assert check(token, now=NOW + 29.999).expires_at == NOW
    with pytest.raises(ExpiredTokenError) as refusal:
        check(token, now=NOW + 30)
    assert refusal.value.code == "token_expired"


def test_expired_token_tells_by_how_much_and_whose() -> None:
    """CH-61: a token that is valid but for `exp` says how long ago it expired and who it was."""
    with pytest.raises(ExpiredTokenError) as refusal:
        check(signed("RS256", exp=NOW - 100))
    assert refusal.value.expired_by == 100
    assert refusal.value.principal.subject == "alice"


@pytest.mark.parametrize("flaw", [{"iss": "evil"}, {"aud": "other"}, {"nbf": NOW + 60}, {"sub": 5}])
def test_expired_and_otherwise_wrong_is_invalid(flaw: dict[str, object]) -> None:
    """CH-61: only a token that is right in all else counts as expired."""
    claims = {"iss": "us", "aud": "tocsin", "exp": NOW - 100, **flaw}
    with pytest.raises(InvalidTokenError):
        check(hs256({"alg": "HS256"}, {**CLAIMS, **claims}), issuer="us", audience="tocsin")


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_times_ahead_have_the_same_leeway(claim: str) -> None:
    """CH-11: nbf and iat may be up to 30 s ahead and no more."""
    assert check(signed("HS256", **{claim: NOW + 30}))
    with pytest.raises(InvalidTokenError, match="not valid yet"):
        check(signed("HS256", **{claim: NOW + 31}))


def test_exp_is_compulsory() -> None:
    """CH-11: a token without an end is invalid."""
    with pytest.raises(InvalidTokenError, match="exp"):
        check(hs256({"alg": "HS256"}, {"sub": "alice"}))


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({}, False),
        ({"iss": "us"}, False),
        ({"iss": "us", "aud": "tocsin"}, True),
        ({"iss": "us", "aud": ["a", "tocsin"]}, True),
        ({"iss": "us", "aud": ["a"]}, False),
        ({"iss": "us", "aud": {"tocsin": 1}}, False),
        ({"iss": "us", "aud": "tocsin2"}, False),
        ({"iss": "us/", "aud": "tocsin"}, False),
        ({"iss": ["us"], "aud": "tocsin"}, False),
    ],
)
def test_issuer_and_audience(claims: dict[str, object], *, accepted: bool) -> None:
    """CH-11: iss equals the issuer, aud is or holds the audience, where these are set."""
    token = hs256({"alg": "HS256"}, {**CLAIMS, **claims})
    assert check(token).user == "alice"
    try:
        verified = check(token, issuer="us", audience="tocsin") is not None
    except InvalidTokenError:
        verified = False
    assert verified is accepted


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": 5},
        {"sub": None},
        {"sub": ""},
        {"preferred_username": ["alice"]},
        {"scope": ["channels"]},
        {"scope": 1},
        {"scp": {"channels": True}},
        {"scp": ["channels", 1]},
        {"exp": "1900000000"},
        {"exp": True},
        {"exp": None},
        {"exp": [NOW]},
        {"nbf": "0"},
        {"iat": None},
        {"client_id": 5},
        {"azp": []},
    ],
)
def test_claims_of_a_wrong_type_are_invalid(claims: dict[str, object]) -> None:
    """CH-12, SE-6: a wrong type never raises anything but the refusal."""
    with pytest.raises(InvalidTokenError):
        check(hs256({"alg": "HS256"}, {**CLAIMS, **claims}))


@pytest.mark.parametrize(
    "payload", [[], "text", 5, None, b"{", b"\xff", b"[" * 3000, b'{"exp":1e999}']
)
def test_payload_must_be_a_json_object(payload: object) -> None:
    """SE-6: a signed payload that is no object of JSON is invalid."""
    with pytest.raises(InvalidTokenError):
        check(hs256({"alg": "HS256"}, payload))


@pytest.mark.parametrize(
    "header", [{"kid": 5}, {"kid": ["1"]}, {"crit": ["b64"], "b64": True}, {"crit": []}]
)
def test_headers_we_do_not_understand(header: dict[str, object]) -> None:
    """RFC 7515 section 4.1.11: critical extensions that are unknown here refuse the token."""
    with pytest.raises(InvalidTokenError):
        check(hs256({"alg": "HS256", **header}, CLAIMS))


@pytest.mark.parametrize("claim", ["sub", "preferred_username", "client_id", "azp"])
def test_names_kept_for_the_gateway(claim: str) -> None:
    """No token may speak for a user that stands for an app and a device (PU-23)."""
    with pytest.raises(InvalidTokenError):
        check(signed("HS256", **{claim: gateway_user("com.example.app", "ab" * 32)}))


def test_user_and_producer() -> None:
    """CH-12: the user is the user claim, else sub; the producer client_id, else azp, else sub."""
    both = signed("HS256", preferred_username="al@x", client_id="crm", azp="app")
    assert [(p.user, p.producer, p.subject) for p in [check(both)]] == [("al@x", "crm", "alice")]
    assert check(both, user_claim="client_id").user == "crm"
    assert check(signed("HS256", azp="app")).producer == "app"
    assert [(p.user, p.producer) for p in [check(signed("HS256"))]] == [("alice", "alice")]


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, {"channels"}),
        ({"scope": "openid"}, {"channels"}),
        ({"scope": ""}, {"channels"}),
        ({"scope": "openid publish"}, {"publish"}),
        ({"scope": "push messaging admin x"}, {"push", "messaging", "admin"}),
        ({"scp": ["openid", "publish"]}, {"publish"}),
        ({"scp": "publish push"}, {"publish", "push"}),
        ({"scope": "push", "scp": ["admin"]}, {"push"}),
        ({"scope": "channels,admin"}, {"channels"}),
    ],
)
def test_scopes(claims: dict[str, object], scopes: set[str]) -> None:
    """CH-12: scopes are `scope` or `scp`; a token with none of ours gets the default ones."""
    assert check(signed("HS256", **claims)).scopes == scopes


def test_default_scopes_are_configurable() -> None:
    """CH-12: auth.default_scopes decides what a token without scopes may do."""
    rules = {"default_scopes": frozenset({"push"})}
    assert check(signed("HS256", scope="openid"), **rules).scopes == {"push"}


def test_token_id_is_jti_or_a_hash() -> None:
    """SE-3: a token has a name that can be logged and revoked."""
    assert check(signed("HS256", jti="t1")).token_id == "t1"
    for jti in ("", 5, "x" * 200):
        token = signed("HS256", jti=jti)
        expected = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()[:32]
        assert check(token).token_id == expected


def test_a_second_signature_is_the_same_token() -> None:
    """SE-3: negating an ECDSA signature, which anybody can, does not make another token id."""
    token = signed("ES256")
    text, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
    assert decode_dss_signature(encode_dss_signature(r, s)) == (r, s)
    other = raw[:32] + (P256_ORDER - s).to_bytes(32, "big")
    twin = f"{text}.{segment(other)}"
    assert twin != token
    assert check(twin).token_id == check(token).token_id


def test_one_text_per_token() -> None:
    """SE-3: padding, line ends and stray bits do not yield further spellings of a token."""
    token = signed("HS256")
    head, payload, signature = token.split(".")
    last = chr(ord(signature[-1]) + 1)
    for text in (
        token + "=",
        token + "\n",
        f"{head}.{payload}.{signature[:-1]}{last}",
        f" {token}",
    ):
        with pytest.raises(InvalidTokenError):
            check(text)


def test_size_is_bounded() -> None:
    """SE-5: a token over 8 KiB is not even looked at."""
    padded = "x" * (TOKEN_BYTES * 3 // 4)
    with pytest.raises(InvalidTokenError, match="too long"):
        check(signed("HS256", padding=padded))


@given(
    st.text() | st.lists(st.binary().map(segment) | st.text(), min_size=2, max_size=5).map(".".join)
)
def test_any_text_is_refused_cleanly(text: str) -> None:
    """SE-6: whatever a caller shows as a token yields one of the two codes, nothing else."""
    with pytest.raises(TokenError) as refusal:
        check(text)
    assert refusal.value.code in {"token_invalid", "token_expired"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = [
    "sub",
    "exp",
    "nbf",
    "iat",
    "iss",
    "aud",
    "scope",
    "scp",
    "jti",
    "azp",
    "preferred_username",
]


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit"]), json_values),
    st.dictionaries(st.sampled_from(NAMES), json_values),
)
def test_any_signed_claims_are_read_or_refused(
    header: dict[str, object], claims: dict[str, object]
) -> None:
    """SE-6: an issuer's strangest claims yield a principal of the right types or a refusal."""
    for extra in ({}, {"alg": "HS256", "kid": "1", "crit": None}):
        head = {name: value for name, value in {**header, **extra}.items() if value is not None}
        try:
            principal = check(hs256(head, claims), issuer="us")
        except TokenError:
            continue
        assert isinstance(principal.user, str)
        assert isinstance(principal.expires_at, float)
        assert isinstance(principal.producer, str)


def test_minted_token_is_decodable_and_verifies() -> None:
    """CH-14: what is minted has iat and exp, verifies here, and for any other JWT library."""
    key = shared_secret(SECRET)
    token = mint({"sub": "alice", "scope": "publish"}, key, now=NOW + 0.7, lifetime=60)
    assert check(token).scopes == {"publish"}
    claims = jwt.decode(
        token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False}
    )
    assert claims == {"sub": "alice", "scope": "publish", "iat": NOW, "exp": NOW + 60}


def test_what_a_token_is_revoked_by() -> None:
    """SE-3: its id, and without one a hash of what is signed, the same for whoever verifies it and
    for whoever does not; its expiry as far as it tells."""
    for token in (signed("HS256", jti="t1"), signed("ES256"), signed("HS256", jti="x" * 200)):
        principal, name = check(token), named(token)
        assert (name.token_id, name.expires_at) == (principal.token_id, NOW + 3600)
        assert (
            principal.digest == hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()[:32]
        )
    assert named(hs256({"alg": "HS256"}, {})).expires_at is None


@pytest.mark.parametrize(
    "token", ["", "opaque", "a.b.c", "x" * (TOKEN_BYTES + 1), hs256({"alg": "HS256"}, {"exp": "x"})]
)
def test_what_has_no_name(token: str) -> None:
    """SE-3: what can be no signed token has none to be revoked by."""
    with pytest.raises(InvalidTokenError):
        named(token)


def test_when_a_token_was_issued() -> None:
    """MS-12: as it says, if it does."""
    assert check(signed("HS256", iat=NOW - 5)).issued_at == NOW - 5
    assert check(signed("HS256")).issued_at is None
