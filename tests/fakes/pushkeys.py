"""Credentials of push providers, made once for a whole run: an RSA key takes its time."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)


def pem(key: PrivateKeyTypes, encryption: KeySerializationEncryption | None = None) -> str:
    """A private key as text."""
    lock = encryption or NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()


@cache
def p8() -> str:
    """The text of a .p8 file, as Apple gives it."""
    return pem(ec.generate_private_key(ec.SECP256R1()))


@cache
def _rsa() -> str:
    return pem(rsa.generate_private_key(65_537, 2048))


def account(**changed: Any) -> str:
    """The text of a service account's JSON file, with some members as given."""
    project = changed.get("project_id", "p-1")
    members = {
        "type": "service_account",
        "project_id": "p-1",
        "private_key": _rsa(),
        "client_email": f"push@{project}.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return orjson.dumps({**members, **changed}).decode()


def push_section(apps: Mapping[str, Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """`[push]` of a configuration with these apps, which share a credential of each provider;
    nobody answers for either."""
    keys = {
        "apns": {
            "provider": "apns",
            "team_id": "ABCDE12345",
            "key_id": "F6G7H8J9K0",
            "private_key": p8(),
            "endpoint": "https://127.0.0.1:1",
        },
        "fcm": {
            "provider": "fcm",
            "service_account": account(token_uri="https://127.0.0.1:1/token"),
            "endpoint": "https://127.0.0.1:1",
        },
    }
    named = {id_: {"key": app["provider"], **app} for id_, app in apps.items()}
    return {"keys": keys, "apps": named, **more}
