"""What secrets look like in the store: as they are, or sealed by a master key (SE-7).

What is sealed is AES-256-GCM with a random nonce. Where it stands, and whose it is, is sealed
along, so that nothing can be put into another's place. A device token is looked up, too: beside it
stands a digest of it under a key of its own, made of the same master key.

A store is of one kind throughout: the id of the key that everything is sealed by stands in it, and
nothing says of a single value whether it is sealed (see `sealing`).
"""

import base64
import binascii
import hmac
import os
from typing import Final

import apsw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
ID_BYTES: Final = 8


def master_key(text: str) -> bytes:
    """The key that a setting says: 32 bytes in base64 (also of URLs) or hex. ValueError without a
    word of it."""
    try:
        if len(text) == 2 * KEY_BYTES:
            return bytes.fromhex(text)
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        key = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError("must be 32 bytes, in base64 or hex")
    return key


class Vault:
    """Seals and opens texts; without a key it leaves them as they are. Safe in any thread."""

    def __init__(self, key: bytes | None = None) -> None:
        self._cipher = None if key is None else AESGCM(_derived(key, b"values"))
        self._digest_key = b"" if key is None else _derived(key, b"digests")
        self.key_id = "" if key is None else _derived(key, b"id")[:ID_BYTES].hex()

    @property
    def is_sealing(self) -> bool:
        """Whether it has a key."""
        return self._cipher is not None

    def seal_bytes(self, place: str, value: bytes) -> bytes:
        """A value as it is to be stored at a place."""
        if self._cipher is None:
            return value
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, place.encode())

    def open_bytes(self, place: str, stored: bytes) -> bytes:
        """What was sealed at this place by this key; `apsw.CorruptError` for anything else."""
        if self._cipher is None:
            return stored
        try:
            return self._cipher.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], place.encode())
        except (ValueError, InvalidTag):
            raise _not_sealed(place) from None

    def seal(self, place: str, text: str | None) -> str | None:
        """The same for a text, if there is one."""
        if self._cipher is None or text is None:
            return text
        return base64.b64encode(self.seal_bytes(place, text.encode())).decode()

    def open(self, place: str, stored: str | None) -> str | None:
        """The same for a text, if there is one."""
        if self._cipher is None or stored is None:
            return stored
        try:
            raw = base64.b64decode(stored, validate=True)
        except ValueError:
            raise _not_sealed(place) from None
        return self.open_bytes(place, raw).decode()

    def digest(self, text: str) -> str:
        """What a text is found by: always the same, and nothing to learn it from."""
        if self._cipher is None:
            return text
        found = hmac.digest(self._digest_key, text.encode(), "sha256")
        return base64.b64encode(found).decode()


def _not_sealed(place: str) -> apsw.CorruptError:
    return apsw.CorruptError(f"{place}: is not what was sealed there")


def _derived(key: bytes, purpose: bytes) -> bytes:
    """RFC 5869; a key is random already, so that nothing is to be extracted."""
    return HKDFExpand(SHA256(), KEY_BYTES, b"tocsin store " + purpose).derive(key)


PLAIN: Final = Vault()
"""Everything as it is."""
