"""The push transport over pools that do what the test says."""

import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import hpack
import orjson
import trio
from tests.fakes import pushkeys
from tests.fakes.pushes import gateway

from tocsin.delivery.pushapps import AppRegistry, PushAppSettings, PushKeySettings
from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.model.delivery import Delivery
from tocsin.model.notification import Notification, Priority
from tocsin.ops.clock import Clock
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.transports.push.call import NotSent, Reply, Unknown
from tocsin.transports.push.pool import OnGoaway, PoolStatistics
from tocsin.transports.push.senders import MakePool
from tocsin.transports.push.tls import Origin
from tocsin.transports.push.transport import PushTransport
from tocsin.wire.http2.events import Answer
from tocsin.wire.push.app import PushRules

T0 = 1_700_000_000_000
TOKEN = "ab" * 32
PRODUCTION, SANDBOX = "api.push.apple.com", "api.sandbox.push.apple.com"
FCM = "fcm.googleapis.com"
APPLE_KEY = PushKeySettings("apns", team_id="TEAM", key_id="KID", private_key=pushkeys.p8())
GOOGLE_KEY = PushKeySettings("fcm", service_account=pushkeys.account(), ramp=0)
APPS = {
    "alert": PushAppSettings("apns", key="apple", topic="com.example"),
    "auto": PushAppSettings("apns", key="apple", topic="com.example", environment="auto"),
    "fails": PushAppSettings("apns", key="apple", unknown_outcome="fail"),
    "android": PushAppSettings("fcm", key="google"),
}

Result = Answer | NotSent | Unknown
Act = Result | Callable[[], Awaitable[Result]]


def answer(status: int = 200, reason: str = "", **more: Any) -> Answer:
    """An answer of APNs."""
    body = orjson.dumps({"reason": reason, **more}) if reason else b""
    return Answer(1, status, {}, body)


@attrs.frozen
class Post:
    """One request; `headers` are all of them, in order."""

    host: str
    headers: Mapping[str, str]
    body: bytes
    deadline: float
    priority: Priority
    at: float

    @property
    def authorization(self) -> str:
        return self.headers["authorization"]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@attrs.define(eq=False)
class ScriptedPool:
    """`Pool`: an act per post, then 200."""

    origin: Origin
    connections: int
    on_goaway: OnGoaway
    world: "PushWorld"
    replaced: list[float] = attrs.field(factory=list)
    is_running: bool = False
    is_closed: bool = False

    async def post(
        self,
        fixed: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        deadline: float,
        priority: Priority,
    ) -> Reply | NotSent | Unknown:
        await trio.lowlevel.checkpoint()
        pairs = [*headers[:1], *hpack.Decoder().decode(fixed, raw=True), *headers[1:]]
        named = {name.decode(): value.decode() for name, value in pairs}
        assert len(named) == len(pairs)
        now = trio.current_time()
        self.world.posts.append(Post(self.origin.host, named, body, deadline, priority, now))
        acts = self.world.script[self.origin.host]
        act = acts.pop(0) if acts else answer()
        result = await act() if callable(act) else act
        if not isinstance(result, Answer):
            return result
        over = None  # any connection: here they are all the same
        return Reply(result.stream_id, result.status, result.headers, result.body, over)  # type: ignore[arg-type]

    async def run(self) -> None:
        self.is_running = True
        try:
            await trio.sleep_forever()
        finally:
            self.is_running = False

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(int(self.is_running), 2, 0, 0)

    def replace(self, reply: Reply) -> None:
        self.replaced.append(trio.current_time())

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.is_closed = True


@attrs.define
class Memory:
    """What outlives a transport."""

    kept: dict[str, dict[str, bytes]] = attrs.field(factory=lambda: defaultdict(dict))
    fails_with: Exception | None = None

    async def recall(self, kind: str) -> dict[str, bytes]:
        await trio.lowlevel.checkpoint()
        return dict(self.kept[kind])

    async def remember(self, kind: str, values: Mapping[str, bytes | None]) -> None:
        await trio.lowlevel.checkpoint()
        if self.fails_with is not None:
            raise self.fails_with
        kept = self.kept[kind] | values
        self.kept[kind] = {name: value for name, value in kept.items() if value is not None}


@attrs.define(eq=False)
class PushWorld:
    """A transport and all around it; must be made inside Trio. `running` runs it.

    `make` makes other pools than scripted ones. `script` has acts by host; `grants` are what the
    token endpoint does, then a new token each.
    """

    keys: dict[str, PushKeySettings] = attrs.field(
        factory=lambda: {"apple": APPLE_KEY, "google": GOOGLE_KEY}
    )
    memory: Memory = attrs.field(factory=Memory)
    make: MakePool | None = None
    slip: int = 0
    script: dict[str, list[Act]] = attrs.field(factory=lambda: defaultdict(list))
    posts: list[Post] = attrs.field(factory=list)
    pools: list[ScriptedPool] = attrs.field(factory=list)
    states: list[tuple[str, str | None]] = attrs.field(factory=list)
    events: list[tuple[str, dict[str, object]]] = attrs.field(factory=list)
    grants: list[bytes | Exception] = attrs.field(factory=list)
    fetches: list[float] = attrs.field(factory=list)
    metrics: Metrics = attrs.field(factory=Metrics)
    clock: Clock = attrs.field(factory=lambda: Clock.start(lambda: T0 / 1000))
    transport: PushTransport = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.transport = PushTransport(
            AppRegistry(APPS),
            PushRules(),
            self.keys,
            memory=self.memory,
            metrics=self.metrics,
            clock=self.clock,
            wall=self.wall,
            on_state=lambda *state: self.states.append(state),
            emit=lambda name, **fields: self.events.append((name, fields)),
            make_pool=self.make or self.scripted_pool,
            fetch=self.fetch,
        )

    def wall(self) -> int:
        """The time of day, `slip` ms off the daemon's."""
        return self.clock() + self.slip

    def scripted_pool(
        self, origin: Origin, _tls: ssl.SSLContext, connections: int, on_goaway: OnGoaway
    ) -> ScriptedPool:
        self.pools.append(ScriptedPool(origin, connections, on_goaway, self))
        return self.pools[-1]

    async def fetch(self, _url: str, _form: Mapping[str, str]) -> bytes:
        """The token endpoint, which takes a tenth of a second."""
        self.fetches.append(trio.current_time())
        await trio.sleep(0.1)
        grant = self.grants.pop(0) if self.grants else None
        if isinstance(grant, Exception):
            raise grant
        number = len(self.fetches)
        return grant or b'{"access_token":"T%d","expires_in":3600}' % number

    @asynccontextmanager
    async def running(self) -> AsyncIterator["PushWorld"]:
        """The transport runs within the block."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.run)
            yield self
            nursery.cancel_scope.cancel()

    async def run(self, *, task_status: trio.TaskStatus[object]) -> None:
        """The transport, started when its credentials are loaded."""
        await self.transport.run(Progress(task_status.started))

    async def replace_key(self, name: str, settings: PushKeySettings | None) -> None:
        """Another credential from now on, or none, as a reload does it."""
        self.transport.replace_keys(await self.transport.make_senders({name: settings}))

    def pool(self, host: str) -> ScriptedPool:
        """The last pool made for a host."""
        return next(pool for pool in reversed(self.pools) if pool.origin.host == host)

    def delivery(
        self,
        app: str = "alert",
        *,
        token: str = TOKEN,
        seconds: float = 3600,
        priority: Priority = Priority.NORMAL,
        pushed: Notification | None = None,
    ) -> Delivery:
        """A text for a phone that is to be there within so many seconds from now."""
        text = pushed or gateway("NotifyGenericTextMessage", Message="hi", Id="m-1")
        now = self.clock()
        notification = attrs.evolve(
            text, accepted_at=now, expires_at=now + int(seconds * 1000), priority=priority
        )
        provider = "fcm" if app == "android" else "apns"
        channel = Channel(
            "ps-1", "u", ChannelType.OMAPUSH, now, "c", device=Device(provider, app, token)
        )
        return Delivery(7, notification, channel)
