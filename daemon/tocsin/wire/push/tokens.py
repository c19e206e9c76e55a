"""Device tokens as they may be shown: never themselves (push.md, PU-43)."""

import hashlib


def fingerprint(token: str) -> str:
    """What stands for a token in logs: the first 8 hex digits of its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()[:8]
