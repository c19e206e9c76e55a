"""Hashes of secrets as they stand in the configuration (CH-14; RFC 7914).

    $scrypt$ln=14,r=8,p=1$<salt>$<hash>

ln is the binary logarithm of the cost; salt and hash are base64 without padding. Hashing takes
milliseconds and megabytes on purpose (16 MiB and about 25 ms for the above): call `matches` and
`hashed` in a worker thread.
"""

import base64
import binascii
import hashlib
import hmac
import re

import attrs

FORM = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)
COSTS, BLOCKS, LANES = range(10, 21), range(1, 33), range(1, 17)
MEMORY = 256 * 1024 * 1024
SALT_BYTES, DIGEST_BYTES = range(8, 65), range(16, 65)


@attrs.frozen
class ScryptHash:
    """A hash with everything needed to compare a secret with it."""

    salt: bytes
    digest: bytes = attrs.field(repr=False)
    ln: int = 14
    r: int = 8
    p: int = 1

    def matches(self, secret: str) -> bool:
        """Whether `secret` is the one; the time taken does not depend on the answer (SE-10)."""
        return hmac.compare_digest(_derived(secret, self, len(self.digest)), self.digest)

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(part).rstrip(b"=").decode() for part in self._parts)
        return f"$scrypt$ln={self.ln},r={self.r},p={self.p}${salt}${digest}"

    @property
    def _parts(self) -> tuple[bytes, bytes]:
        return self.salt, self.digest


def parsed(text: str) -> ScryptHash:
    """The hash that `text` spells; `ValueError` in words for the operator."""
    match = FORM.fullmatch(text)
    if match is None:
        raise ValueError("is not a hash made by `tocsin token hash`")
    ln, r, p = (int(number) for number in match.groups()[:3])
    if ln not in COSTS or r not in BLOCKS or p not in LANES or _memory(ln, r) > MEMORY:
        raise ValueError("asks for impossible costs (ln 10 to 20, r to 32, p to 16, 256 MiB)")
    salt, digest = _unpadded(match[4]), _unpadded(match[5])
    if len(salt) not in SALT_BYTES or len(digest) not in DIGEST_BYTES:
        raise ValueError("has a salt or hash of the wrong length")
    return ScryptHash(salt, digest, ln, r, p)


def hashed(secret: str, salt: bytes) -> ScryptHash:
    """A new hash of `secret` at the default costs; `salt` is 16 random bytes."""
    unfinished = ScryptHash(salt, b"")
    return attrs.evolve(unfinished, digest=_derived(secret, unfinished, 32))


def _derived(secret: str, costs: ScryptHash, length: int) -> bytes:
    return hashlib.scrypt(
        secret.encode(),
        salt=costs.salt,
        n=1 << costs.ln,
        r=costs.r,
        p=costs.p,
        maxmem=_memory(costs.ln, costs.r) + 1024 * 1024,
        dklen=length,
    )


def _memory(ln: int, r: int) -> int:
    return 128 * r << ln


def _unpadded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("is not base64") from None
