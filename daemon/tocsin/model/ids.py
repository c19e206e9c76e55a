"""Identifiers, all from the system's randomness: 122 unguessable bits each (SE-10, CH-7)."""

import re
import uuid

CHANNEL_ID = re.compile(r"(ws|ps|wh|lp)-[0-9a-f-]{36}")
SUBSCRIPTION_ID = re.compile(r"[0-9a-f-]{36}")


def new_channel_id(prefix: str) -> str:
    """A channel id, e.g. `ws-6f1e...`; the prefix tells its type."""
    return f"{prefix}-{uuid.uuid4()}"


def new_id() -> str:
    """A subscription or notification id."""
    return str(uuid.uuid4())
