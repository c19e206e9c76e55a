"""Tokens that are void, though nothing in them says so (security.md, SE-3; messaging.md, MS-12).

    revoke --> known here --> connections told to end --> stored --> answered

From the first step on nobody is let in by such a token any more, so what begins meanwhile is
refused or ends at once (`bear`). A revocation of a user, client or subscriber ends every token
issued to it up to then; one issued later is none of its business. It lasts until the token would
have expired, or `lasts` seconds where that is not known; when a token turns up that would live
longer, it lasts as long as that.

Bounds: `most` revocations. Full: another one is refused with 503 and nothing is forgotten before
its time, for that would let somebody in again.
"""

import heapq
import math
import time
from collections.abc import Callable

import attrs
import structlog
import trio

from tocsin.delivery.bearers import Bearer, Bearers, Kind
from tocsin.delivery.firstseen import FirstSeen
from tocsin.delivery.lazymemo import LazyMemo
from tocsin.delivery.revocation import By, Revocation, in_domain
from tocsin.model.errors import unavailable
from tocsin.model.option import option
from tocsin.model.principal import Principal
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.store.interface import Store

__all__ = ["By", "Revocation", "RevocationSettings", "Revocations"]

MEMO = "revoked"
SWEEP = 60.0
FULL_RETRY = 60
MOST_SEEN = 100_000
FOR_EVER = 2**53

log = structlog.get_logger()


@attrs.frozen
class RevocationSettings:
    """`[auth.revocation]`"""

    most: int = option(100_000, "Revocations in force at once; more are answered 503.", minimum=1)
    lasts: float = option(
        86_400,
        "Seconds a revocation lasts where nothing says when the token ends; not less than tokens "
        "live.",
        minimum=60,
    )


class Revocations:
    """What is revoked, and who is to hear of it.

    `slack` is for how many seconds after its `exp` a token still opens anything. `clock` is epoch
    milliseconds and never steps; `wall` is what the issuers of tokens go by, epoch seconds.
    """

    def __init__(
        self,
        store: Store,
        settings: RevocationSettings,
        *,
        slack: float,
        metrics: Metrics,
        clock: Callable[[], int],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._most = settings.most
        self._lasts = settings.lasts
        self._slack = slack
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._kept: dict[str, Revocation] = {}
        self._named: dict[Kind, dict[str, Revocation]] = {kind: {} for kind in Kind}
        self._bearers = Bearers()
        self._seen = FirstSeen(store, most=MOST_SEEN)
        self._memo = LazyMemo(MEMO, store, self._value)

    def __len__(self) -> int:
        return len(self._kept)

    # -- who is asking -----------------------------------------------------------------------

    def dated(self, principal: Principal) -> Principal:
        """The principal with a time of issue: its own, or when its token came here first."""
        now = int(self._wall() * 1000)
        return self._seen.dated(principal, now, self._end_of(principal.expires_at))

    def covers(self, principal: Principal) -> bool:
        """Whether a dated principal's token is void."""
        if not self._kept:
            return False
        found = self._found(principal)
        if found is None:
            return False
        self._prolong(found, principal)
        return True

    def bear(self, bearer: Bearer) -> bool:
        """Have something that lives by a token told of its end, until `let_go`.

        False, and it will not be told: that has come already.
        """
        if self.covers(bearer.principal):
            return False
        self._bearers.add(bearer)
        return True

    def let_go(self, bearer: Bearer) -> None:
        """It has ended; no-op where it was never told to be there."""
        self._bearers.discard(bearer)

    # -- revoking ----------------------------------------------------------------------------

    async def revoke(
        self, by: By, name: str, *, domain: str | None = None, expires_at: float | None = None
    ) -> int:
        """Void these tokens at once and durably; how many connections that has ended.

        `domain` is the subscriber's, or the one whose tokens alone are meant. `expires_at`, epoch
        seconds, is when the token would have expired, if that is known.
        Raises 503 where there is no room, and `StoreError` when it is in force but would not
        outlive the daemon yet; so is it when this is cancelled. To revoke again does no harm.
        """
        began = trio.current_time()
        key = self._begin(by, name if domain is None else in_domain(domain, name), expires_at).key
        self._metrics.revocations[by].inc()
        stored = False
        try:
            closed = await self._bearers.cut(by.kind, name, domain=domain)
            self._metrics.messaging_revoke.observe(trio.current_time() - began)
            await self._store.remember(MEMO, {key: self._value(key)})
            stored = True
        finally:
            if not stored:
                self._memo.note(key)
        return closed

    def _begin(self, by: By, name: str, expires_at: float | None) -> Revocation:
        older = self._named[by.kind].get(name)
        if older is None and len(self._kept) >= self._most:
            self._forget_expired()
            if len(self._kept) >= self._most:
                raise unavailable("revocations", retry_after=FULL_RETRY)
        at, until = int(self._wall() * 1000), self._end_of(expires_at)
        if older is not None:
            at, until = max(at, older.at), max(until, older.until)
        revocation = Revocation(by, name, at, until)
        self._keep(revocation)
        return revocation

    def _end_of(self, expires_at: float | None) -> int:
        """When nobody would take a token any more, whatever is revoked."""
        if expires_at is None or math.isinf(expires_at):
            expires_at = self._wall() + self._lasts
        return int(min(max((expires_at + self._slack) * 1000, 0), FOR_EVER))

    def _found(self, principal: Principal) -> Revocation | None:
        tokens = self._named[Kind.TOKEN]
        for name in _token_names(principal):
            if (found := tokens.get(name)) is not None:
                return found
        issued = int((principal.issued_at or 0) * 1000)
        for kind, name in _owners(principal):
            found = self._named[kind].get(name)
            if found is not None and issued <= found.at:
                return found
        return None

    def _prolong(self, found: Revocation, principal: Principal) -> None:
        until = self._end_of(principal.expires_at)
        if math.isfinite(principal.expires_at) and until > found.until:
            self._keep(attrs.evolve(found, until=until))
            self._memo.note(found.key)

    # -- keeping -----------------------------------------------------------------------------

    async def load(self) -> None:
        """Take up what is in the store; raises `StoreError`."""
        for key, text in (await self._store.recall(MEMO)).items():
            try:
                self._keep(Revocation.from_bytes(text))
            except ValueError:
                log.exception("revocation.unreadable", key=key)
        await self._seen.load()

    def page(self, *, after: str, limit: int) -> list[Revocation]:
        """Those in force, in the order of their keys."""
        keys = heapq.nsmallest(limit, (key for key in self._kept if key > after))
        return [self._kept[key] for key in keys]

    async def run(self, progress: Progress) -> None:
        """Forget what has expired and write what may be written later, until cancelled."""
        progress.ready()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._memo.run)
            nursery.start_soon(self._seen.memo.run)
            while True:
                progress.beat()
                self._forget_expired()
                self._seen.forget(self._clock())
                progress.waiting("the next sweep")
                await trio.sleep(SWEEP)

    async def flush(self) -> None:
        """Write what `run` has left, for a stop; raises `StoreError`."""
        await self._memo.flush()
        await self._seen.memo.flush()

    def _keep(self, revocation: Revocation) -> None:
        self._kept[revocation.key] = revocation
        self._named[revocation.by.kind][revocation.name] = revocation
        self._metrics.revocations_kept.set(len(self._kept))

    def _forget_expired(self) -> None:
        now = self._clock()
        for one in [one for one in self._kept.values() if one.until <= now]:
            del self._kept[one.key]
            del self._named[one.by.kind][one.name]
            self._memo.note(one.key)
        self._metrics.revocations_kept.set(len(self._kept))

    def _value(self, key: str) -> bytes | None:
        found = self._kept.get(key)
        return None if found is None else found.to_bytes()


def _token_names(principal: Principal) -> tuple[str, ...]:
    """What the token itself can be revoked by, anywhere and in its domain."""
    domain, digest, token_id = principal.domain, principal.digest, principal.token_id
    if not domain:
        return (digest, token_id)
    return (digest, token_id, in_domain(domain, digest), in_domain(domain, token_id))


def _owners(principal: Principal) -> tuple[tuple[Kind, str], ...]:
    """Whose tokens may be revoked all at once."""
    return (
        (Kind.USER, principal.user),
        (Kind.CLIENT, principal.producer),
        (Kind.SUBSCRIBER, in_domain(principal.domain, principal.subscriber)),
    )
