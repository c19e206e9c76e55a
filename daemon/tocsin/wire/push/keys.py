"""The credentials of push providers, from their text to loaded keys (push.md, C.1).

A mistake is told in words that show nothing of the text: it is, or is next to, a secret.
"""

from typing import Any
from urllib.parse import urlsplit

import attrs
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

RSA_BITS = range(2048, 8193)
TEXT_LIMIT = 65_536
VALUE_LIMIT = 1024


@attrs.frozen
class ServiceAccount:
    """A Google service account: who signs (`email`), with what, and who gives tokens for it.

    `key_id` names the key to Google, "" where the file does not. `project_id` is "" where the
    file names none.
    """

    email: str
    key: RSAPrivateKey = attrs.field(repr=False, eq=False)
    token_uri: str
    project_id: str
    key_id: str = ""


def apns_key(pem: str) -> EllipticCurvePrivateKey:
    """The key of a .p8 file (PU-41); ValueError says what is wrong with the text."""
    key = _private_key(pem)
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise ValueError("is not a key for ES256, as the .p8 files of Apple are")


def service_account(text: str) -> ServiceAccount:
    """The service account of a JSON file (PU-42); ValueError says what is wrong with it.

    Checking the RSA key takes about 50 ms: not for the event loop.
    """
    members = _members(text)
    if members.get("type", "service_account") != "service_account":
        raise ValueError("is not a service account: its type is another one")
    key = _rsa_key(_text(members, "private_key", limit=TEXT_LIMIT))
    return ServiceAccount(
        email=_text(members, "client_email"),
        key=key,
        token_uri=_https(_text(members, "token_uri")),
        project_id=_text(members, "project_id") if "project_id" in members else "",
        key_id=_text(members, "private_key_id") if "private_key_id" in members else "",
    )


def project_of(text: str) -> str:
    """The project a service account says it belongs to, "" if it cannot be read; loads no key."""
    try:
        return _text(_members(text), "project_id")
    except ValueError:
        return ""


def _members(text: str) -> dict[str, Any]:
    try:
        members = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError("is not JSON") from None
    if isinstance(members, dict):
        return members
    raise ValueError("is not a JSON object")


def _text(members: dict[str, Any], name: str, *, limit: int = VALUE_LIMIT) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= limit:
        raise ValueError(f"has no {name}")
    return value


def _https(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_right = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right or not url.isascii() or not url.isprintable() or "@" in url or " " in url:
        raise ValueError("has a token_uri that is no https address")
    return url


def _rsa_key(pem: str) -> RSAPrivateKey:
    try:
        key = _private_key(pem)
    except ValueError as error:
        raise ValueError(f"has a private_key that {error}") from None
    if isinstance(key, RSAPrivateKey) and key.key_size in RSA_BITS:
        return key
    raise ValueError("has a private_key that is not an RSA key of 2048 to 8192 bits")


def _private_key(pem: str) -> object:
    """What the library says about a text is not repeated: it may quote it."""
    try:
        return load_pem_private_key(pem.encode(), None)
    except TypeError:
        raise ValueError("is locked with a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is not a private key in PEM form") from None
