"""Tokens that were accepted lately (SE-1)."""

import hashlib
from collections import OrderedDict

from tocsin.model.principal import Principal
from tocsin.wire.jwk import KeySet


class TokenCache:
    """Verified tokens by a digest: at most `size`, none older than `seconds` or expired.

    Full: the least recently used one goes; it costs a verification when it comes back. An entry
    from the future, seen after the clock was set back, does not count either. Where a key has been
    withdrawn, all is forgotten: that is seldom, and whose token it had signed is not known here.
    """

    def __init__(self, size: int, seconds: float) -> None:
        self._size = size
        self._seconds = seconds
        self._entries: OrderedDict[bytes, tuple[float, float, Principal]] = OrderedDict()
        self._keys = KeySet()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, token: str, now: float) -> Principal | None:
        """The principal, if it is still good."""
        key = _digest(token)
        entry = self._entries.get(key)
        if entry is None:
            return None
        since, until, principal = entry
        if not since <= now < until:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return principal

    def put(self, token: str, principal: Principal, now: float, *, expires_at: float) -> None:
        """Keeps a principal, no longer than until `expires_at`."""
        key = _digest(token)
        self._entries[key] = (now, min(expires_at, now + self._seconds), principal)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def judge_by(self, keys: KeySet) -> None:
        """Tokens are verified with these from now on."""
        if keys is self._keys:
            return
        if keys.has_lost(self._keys):
            self._entries.clear()
        self._keys = keys

    def drop(self, token: str) -> None:
        """Forget a token; no-op if it is not there."""
        self._entries.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    """A tenth of the token's size, and nothing that could be used."""
    return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=20).digest()
