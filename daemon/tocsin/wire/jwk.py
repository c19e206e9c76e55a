"""The keys that tokens are verified with: a shared secret, public keys from a JWK set, or both.

Each key serves exactly one algorithm, the one of its kind, so that a token never chooses how its
own signature is checked (CH-11, SE-1; RFC 7517, RFC 8725 section 3.1):

    shared secret   HS256        EC P-256      ES256
    RSA             RS256        OKP Ed25519   EdDSA

Of a JWK set, what is not for verifying signatures with one of these is left out, and so are RSA
keys too weak or too large to be worth their time. Only public members are read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import Algorithm, HMACAlgorithm, get_default_algorithms
from jwt.exceptions import InvalidKeyError

ALGORITHMS: Mapping[str, Algorithm] = {
    name: algorithm
    for name, algorithm in get_default_algorithms().items()
    if name in {"HS256", "RS256", "ES256", "EdDSA"}
}
KINDS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
PUBLIC_MEMBERS = ("kty", "crv", "n", "e", "x", "y")

SECRET_MINIMUM = 32
RSA_BITS = range(2048, 8193)
KEY_LIMIT = 100


@attrs.frozen
class Key:
    """One loaded key, the only algorithm it may be used with, and its name in the set."""

    algorithm: str
    material: Any = attrs.field(repr=False, hash=False)
    kid: str | None = None

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `signed`; 2 us (HS256) to 65 us (EdDSA)."""
        return ALGORITHMS[self.algorithm].verify(signed, self.material, signature)


@attrs.frozen
class KeySet:
    """All keys in use at one moment."""

    secret: Key | None = None
    public: tuple[Key, ...] = ()

    def candidates(self, algorithm: str, kid: str | None) -> Sequence[Key]:
        """The keys that may have signed: those of this name, or of any name without one.

        Names are for public keys only; there is one shared secret, whatever a token calls it.
        """
        if algorithm == "HS256":
            return () if self.secret is None else (self.secret,)
        return [key for key in self._named(kid) if key.algorithm == algorithm]

    def has_lost(self, older: "KeySet") -> bool:
        """Whether a key of an older set is not among these, by whatever name."""
        return self.secret != older.secret or any(key not in self.public for key in older.public)

    def knows(self, kid: str) -> bool:
        """Whether some public key has this name."""
        return any(key.kid == kid for key in self.public)

    def _named(self, kid: str | None) -> Sequence[Key]:
        return self.public if kid is None else [key for key in self.public if key.kid == kid]


def shared_secret(secret: str) -> Key:
    """The key of HS256. `ValueError` if it is short, or a public key put in the wrong option."""
    material = secret.encode()
    if len(material) < SECRET_MINIMUM:
        raise ValueError(f"must be at least {SECRET_MINIMUM} bytes")
    try:
        return Key("HS256", HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(material))
    except InvalidKeyError:
        raise ValueError("is a key file, not a secret") from None


def public_keys(document: bytes) -> tuple[Key, ...]:
    """The usable keys of a JWK set, in its order; `ValueError` if there is none."""
    entries = _entries(document)[:KEY_LIMIT]
    keys = tuple(key for entry in entries if (key := _public_key(entry)) is not None)
    if not keys:
        raise ValueError("not a JWK set with a key for RS256, ES256 or EdDSA")
    return keys


def _entries(document: bytes) -> list[object]:
    try:
        entries = orjson.loads(document)["keys"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []
    return entries if isinstance(entries, list) else []


def _public_key(entry: object) -> Key | None:
    """One entry of a set as a loaded key, or None if it is not for us."""
    if not isinstance(entry, dict) or not _is_for_signatures(entry):
        return None
    members = {name: entry[name] for name in PUBLIC_MEMBERS if name in entry}
    kid = entry.get("kid")
    if not all(isinstance(value, str) for value in members.values()) or not _is_name(kid):
        return None
    algorithm = KINDS.get((members.get("kty", ""), members.get("crv")))
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        return None
    material = _load(algorithm, members)
    return None if material is None else Key(algorithm, material, kid)


def _is_for_signatures(entry: dict[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and ("verify" in operations)
    )


def _is_name(kid: object) -> bool:
    return kid is None or isinstance(kid, str)


def _load(algorithm: str, members: dict[str, str]) -> object | None:
    try:
        material = ALGORITHMS[algorithm].from_jwk(members)
    except (InvalidKeyError, UnsupportedAlgorithm, KeyError, ValueError):
        return None
    if isinstance(material, RSAPublicKey) and material.key_size not in RSA_BITS:
        return None
    return material  # type: ignore[no-any-return]
