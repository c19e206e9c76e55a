"""Identifiers, all from the system's randomness: 122 unguessable bits each (SE-10, CH-7)."""

import os
import re
from collections.abc import Iterator

CHANNEL_ID = re.compile(r"(ws|ps|wh|lp)-[0-9a-f-]{36}")
BLOCK = 256
VARIANTS = "89ab" * 4


def _uuids() -> Iterator[str]:
    """UUIDs of version 4 without end; the system is asked for randomness once per block."""
    while True:
        block = os.urandom(16 * BLOCK).hex()
        for at in range(0, 32 * BLOCK, 32):
            digits = block[at : at + 32]
            variant = VARIANTS[int(digits[16], 16)]
            yield (
                f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}"
                f"-{digits[20:]}"
            )


_fresh = _uuids()


def new_channel_id(prefix: str) -> str:
    """A channel id, e.g. `ws-6f1e...`; the prefix tells its type."""
    return f"{prefix}-{next(_fresh)}"


def new_id() -> str:
    """A subscription or notification id."""
    return next(_fresh)
