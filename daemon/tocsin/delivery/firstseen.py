"""When tokens were issued that do not say so: when they came here first (messaging.md, MS-12).

It decides whether a token is older than the revocation of its user, so it outlives the daemon;
what was seen in the last moment before a crash is seen anew. A token from a clock ahead of ours
was not issued later than it came here, either.

Bounds: `most` tokens. Full: the one that came longest ago is forgotten, and counts as new when it
comes back.
"""

import contextlib

import attrs
import orjson

from tocsin.delivery.lazymemo import LazyMemo
from tocsin.model.principal import Principal
from tocsin.store.interface import Store

KIND = "seen"


class FirstSeen:
    """Times are epoch milliseconds."""

    def __init__(self, store: Store, *, most: int) -> None:
        self._store = store
        self._most = most
        self._seen: dict[str, tuple[int, int]] = {}
        self.memo = LazyMemo(KIND, store, self._value)

    def __len__(self) -> int:
        return len(self._seen)

    async def load(self) -> None:
        """Take up what an earlier process has seen; raises `StoreError`."""
        for digest, text in (await self._store.recall(KIND)).items():
            with contextlib.suppress(orjson.JSONDecodeError):
                match orjson.loads(text):
                    case [int(at), int(until)]:
                        self._seen[digest] = (at, until)

    def dated(self, principal: Principal, now: int, until: int) -> Principal:
        """The principal with a time of issue, which its token may have been remembered for;
        `until` is when the token is to be forgotten."""
        issued = principal.issued_at
        if issued is not None and issued * 1000 <= now:
            return principal
        at, known_until = self._seen.get(principal.digest, (now, 0))
        if 2 * (until - known_until) > until - now:
            self._note(principal.digest, at, until)
        return attrs.evolve(principal, issued_at=at / 1000)

    def forget(self, now: int) -> None:
        """Drop the tokens that are over."""
        for digest in [digest for digest, (_, until) in self._seen.items() if until <= now]:
            self._drop(digest)

    def _note(self, digest: str, at: int, until: int) -> None:
        self._seen[digest] = (at, until)
        self.memo.note(digest)
        if len(self._seen) > self._most:
            self._drop(next(iter(self._seen)))

    def _drop(self, digest: str) -> None:
        del self._seen[digest]
        self.memo.note(digest)

    def _value(self, digest: str) -> bytes | None:
        seen = self._seen.get(digest)
        return None if seen is None else orjson.dumps(seen)
