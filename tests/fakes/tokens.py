"""An identity provider without a network: one private key of each kind, and what it signs."""

import functools
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

NOW = 1_800_000_000
SECRET = "a shared secret of more than 32 bytes"
CLAIMS = {"sub": "alice", "exp": NOW + 3600}


@functools.cache
def private_key(algorithm: str, name: str = "1") -> Any:
    """A private key for an asymmetric algorithm; the same one for the same name."""
    del name
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(algorithm)


def public_jwk(algorithm: str, name: str = "1", **members: object) -> dict[str, Any]:
    """The public half as a JWK with the key's name as `kid`; `members` are added to it."""
    public = private_key(algorithm, name).public_key()
    jwk = get_default_algorithms()[algorithm].to_jwk(public, as_dict=True)
    jwk.pop("key_ops", None)
    return {**jwk, "kid": name, **members}


def jwks(*keys: dict[str, Any]) -> bytes:
    """A JWK set."""
    return json.dumps({"keys": keys}).encode()


def signed(algorithm: str, name: str = "1", *, kid: str | None = "", **claims: object) -> str:
    """A token by that key. `kid` is the key's name unless given; None leaves it out."""
    key = SECRET if algorithm == "HS256" else private_key(algorithm, name)
    headers = {} if kid is None else {"kid": kid or name}
    return jwt.encode({**CLAIMS, **claims}, key, algorithm=algorithm, headers=headers)
