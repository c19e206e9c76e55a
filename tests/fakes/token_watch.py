"""A watch over tokens with an issuer, revocations, and connections that only note their end."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

import attrs
import trio
from tests.fakes.introspection_server import IntrospectionServer
from tests.fakes.revocations import revocations
from tests.fakes.tokens import NOW, SECRET, signed

from tocsin.delivery.revocations import Revocations
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.server.auth import Authenticator, AuthSettings, key_source
from tocsin.server.heartbeat import Ticking
from tocsin.server.introspection import IntrospectionSettings, Introspector
from tocsin.server.messaging.admitted import Admitted
from tocsin.server.messaging.guard import MessagingGuard
from tocsin.server.messaging.settings import MessagingSettings
from tocsin.server.messaging.tokens import TokenWatch
from tocsin.store.interface import Store
from tocsin.wire.request import Request

TALKER = {"sub": "12", "domain": "acme", "scope": "messaging"}


@attrs.define(eq=False)
class Line:
    """A connection; `ended` is how it was closed."""

    ended: list[tuple[int, str]] = attrs.field(factory=list)
    on_end: Callable[[], None] = lambda: None

    def end(self, code: int, reason: str) -> None:
        self.ended.append((code, reason))
        self.on_end()


@attrs.define
class Turner:
    """The wheel, and the time of the wall, which is the only one there is here."""

    time: float = NOW
    entries: list[tuple[float, int, Ticking]] = attrs.field(factory=list)
    order: "count[int]" = attrs.field(factory=count)

    def __call__(self) -> float:
        return self.time

    def add(self, one: Ticking, at: float) -> None:
        heapq.heappush(self.entries, (at, next(self.order), one))

    def advance(self, seconds: float) -> None:
        """Let time pass, everything due in its turn."""
        until = self.time + seconds
        while self.entries and self.entries[0][0] <= until:
            at, _, one = heapq.heappop(self.entries)
            self.time = max(self.time, at)
            again = one.tick(self.time)
            if again is not None:
                self.add(one, again)
        self.time = until


@attrs.define
class Watched:
    """A guard and a watch over the connections it lets in."""

    tokens: Authenticator
    guard: MessagingGuard
    watch: TokenWatch
    revocations: Revocations
    clock: Turner

    async def admit(self, token: str, query: str = "") -> Admitted:
        """Whom a token lets in."""
        request = Request(
            "GET", f"/messaging/websocket?{query}", (), {"authorization": f"Bearer {token}"}
        )
        return await self.guard.authorise(request)

    async def connect(self, token: str) -> tuple[Line, Admitted]:
        """A connection that was let in and has begun."""
        line, admitted = Line(), await self.admit(token)
        assert self.watch.begin(line, admitted)
        return line, admitted

    async def recheck(self) -> None:
        """As `run` does every now and then."""
        await self.watch.recheck(Progress(lambda _: None))


async def watched(
    *,
    server: IntrospectionServer | None = None,
    store: Store | None = None,
    keys: bool = True,
    introspect_jwt: bool = False,
    concurrency: int = 16,
    **settings: Any,
) -> Watched:
    """With `server` there is an issuer to ask; `settings` are those of messaging."""
    asking = IntrospectionSettings(url=None if server is None else server.url)
    auth = AuthSettings(shared_secret=SECRET if keys else None, introspection=asking)
    metrics, clock = Metrics(), Turner()
    revoked = revocations(store, now=clock)
    tokens = Authenticator(
        auth,
        key_source(auth),
        revocations=revoked,
        introspector=None if server is None else Introspector(asking, metrics=metrics),
        asks_again=introspect_jwt,
        now=clock,
    )
    watch = TokenWatch(
        tokens,
        revoked,
        MessagingSettings(**settings),
        schedule=clock.add,
        now=clock,
        concurrency=concurrency,
    )
    await trio.lowlevel.checkpoint()
    return Watched(tokens, MessagingGuard(tokens), watch, revoked, clock)


def talker(subscriber: str = "12", **claims: Any) -> str:
    """A signed token of somebody who may use messaging."""
    return signed("HS256", **{**TALKER, "sub": subscriber, **claims})
