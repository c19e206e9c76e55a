"""Clients of the messaging application in memory: the real desk and store, and no transport.

async with talking() as talk:
    ann = await talk.connect("ann")
    assert await ann.ask(type="list-channels") == [{"type": "channels", ...}, {"type": "ack", ...}]
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import orjson
import trio
from tests.fakes.messaging_desk import EPOCH, DeskWorld
from tests.fakes.messaging_world import DOMAIN, StagedStore
from tests.fakes.sockjs import Clock, Settings
from trio.testing import wait_all_tasks_blocked

from tocsin.messaging.link import Link
from tocsin.messaging.receipts import Receipts
from tocsin.messaging.settings import MessagingLimits
from tocsin.model.errors import StoreError
from tocsin.model.principal import Principal
from tocsin.ops.service import Progress
from tocsin.server.messaging.admitted import Admitted
from tocsin.server.messaging.answer import Answer
from tocsin.server.messaging.application import MessagingApplication
from tocsin.server.messaging.rates import Rates
from tocsin.server.messaging.settings import MessagingSettings
from tocsin.server.messaging.world import World
from tocsin.server.sockjs.inbox import Inbox
from tocsin.store.mail import LogPage
from tocsin.wire.messaging.clientmessages import ClientMessage

Json = dict[str, Any]
Then = Callable[[LogPage | None, StoreError | None], None]


class Client:
    """One client, and the SockJS connection that the application has of it.

    What it is sent it reads at once, unless it `stalls`. `marks` are what its Pings would say,
    `bursts` is how many times it was sent something.
    """

    def __init__(self, talk: "Talk", name: str, correlator: str | None, transport: str) -> None:
        principal = Principal("", frozenset({"messaging"}), "", "", "", 0, subscriber=name)
        self.principal = Admitted(principal, name, DOMAIN, correlator)
        self.transport = transport
        self.talk = talk
        self.is_open = True
        self.sent = self.bursts = 0
        self.stalls = False
        self.marks: list[int] = []
        self.arrived: list[Json] = []
        self.log: list[Json] = []
        self.closing: tuple[int, str] | None = None
        self._unread: list[bytes] = []
        self._inbox = Inbox(Settings(), self._deliver)
        self._code: int | None = None

    # -- for the application -------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        return len(self._unread)

    @property
    def waiting_bytes(self) -> int:
        return sum(map(len, self._unread))

    def send(self, *messages: str | bytes) -> bool:
        if not self.is_open:
            return False
        for message in messages:
            assert isinstance(message, bytes)
            self._unread.append(message)
        self.sent += len(messages)
        self.bursts += 1
        if not self.stalls:
            self._read(len(self._unread))
        return True

    def mark(self, number: int) -> None:
        self.marks.append(number)

    def close(self, code: int = 1000, reason: str = "") -> None:
        if self.is_open:
            self.is_open = False
            self.closing = code, reason
            self._code = code
            self._inbox.drop()

    def pause(self) -> None:
        self._inbox.pause()

    def resume(self) -> None:
        self._inbox.resume()
        self.tell_closed()

    # -- for the test --------------------------------------------------------------------------

    def say(self, text: str | None = None, **members: object) -> None:
        """Send a message with these members (`_` for `-`)."""
        fields = {name.replace("_", "-"): value for name, value in members.items()}
        self._inbox.put([text if text is not None else orjson.dumps(fields).decode()])

    async def ask(self, **members: object) -> list[Json]:
        """The same, and everything that comes of it."""
        self.take()
        self.say(**members)
        await self.talk.settle()
        return self.take()

    def take(self) -> list[Json]:
        """What has arrived since this was called last."""
        arrived, self.arrived = self.arrived, []
        return arrived

    def read(self, count: int) -> None:
        """Read so many messages of those that wait."""
        waited = bool(self._unread)
        self._read(count)
        if waited and not self._unread and self.is_open:
            self.talk.application.drained(self)

    def _read(self, count: int) -> None:
        texts, self._unread = self._unread[:count], self._unread[count:]
        messages = [orjson.loads(text) for text in texts]
        self.arrived += messages
        self.log += messages

    def read_on(self, *, stalls: bool = False) -> None:
        """Read everything there is, and then all that comes, unless it stalls again."""
        self.stalls = stalls
        self.read(len(self._unread))

    def prove(self) -> None:
        """A Pong for what was read."""
        if self._code is None or self._code != 1006:
            self.talk.application.proven(self, self.sent - len(self._unread))

    def leave(self) -> None:
        """The connection breaks."""
        if self._code is None:
            self.is_open = False
            self._code = 1006
            self.tell_closed()

    def tell_closed(self) -> None:
        """As SockJS does when what was sent has been handed over."""
        if self._code is None or self not in self.talk.clients:
            return
        if not self._inbox:
            self.talk.clients.remove(self)
            self.talk.application.closed(self, self._code)
        else:
            self.talk.application.drained(self)

    def _deliver(self, message: str) -> None:
        self.talk.application.received(self, message)


class TalkStore(StagedStore):
    """Pages of Logs wait for `turn_pages` while `is_slow`; so many of them fail (`failures`)."""

    def __init__(self) -> None:
        super().__init__()
        self.is_slow = False
        self.pages: list[Callable[[], None]] = []
        self.page_sizes: list[int] = []
        self.failures = 0

    def read_entries(self, subscriber_key: int, *, after: int, limit: int, then: Then) -> None:
        self.page_sizes.append(limit)
        if self.is_failing or self.failures:
            self.failures = max(0, self.failures - 1)
            then(None, StoreError("the disk is on fire"))
            return
        read = partial(super().read_entries, subscriber_key, after=after, limit=limit, then=then)
        if self.is_slow:
            self.pages.append(read)
        else:
            read()

    def turn_pages(self) -> None:
        """Answer what has been asked for so far."""
        pages, self.pages = self.pages, []
        for read in pages:
            read()


@attrs.define(eq=False)
class WaitingDesk:
    """A desk in front of the real one: `opening`, if there is one, is waited for when the work is
    done; `before` is called first, and what it returns is the answer."""

    desks: DeskWorld
    opening: trio.Event | None = None
    before: Callable[[Link, ClientMessage], Answer | None] = lambda _link, _message: None

    async def handle(self, link: Link, message: ClientMessage) -> Answer:
        self.desks.at += 1
        answer = self.before(link, message) or await self.desks.desk.handle(link, message)
        if self.opening is not None:
            await self.opening.wait()
        return answer


@attrs.define(eq=False)
class Watch:
    """Tokens that are good, unless they are not."""

    is_good: bool = True
    live: set[Link] = attrs.field(factory=set)

    def begin(self, link: Link, _admitted: Admitted) -> bool:
        if self.is_good:
            self.live.add(link)
        return self.is_good

    def ended(self, link: Link, _admitted: Admitted) -> None:
        self.live.discard(link)


@attrs.define(eq=False)
class Talk:
    """The application while it runs. `clock` moves when told; what is held is held until then."""

    settings: MessagingSettings
    store: TalkStore = attrs.field(factory=TalkStore)
    clock: Clock = attrs.field(factory=Clock)
    tokens: Watch = attrs.field(factory=Watch)
    clients: list[Client] = attrs.field(factory=list)
    desks: DeskWorld = attrs.field(init=False)
    desk: WaitingDesk = attrs.field(init=False)
    receipts: Receipts = attrs.field(init=False)
    world: World = attrs.field(init=False)
    application: MessagingApplication = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.desks = DeskWorld(store=self.store, limits=self.settings.limits)
        self.desk = WaitingDesk(self.desks)
        self.receipts = Receipts(self.store, clock=self.desks.now)
        self.world = World(
            store=self.store,
            register=self.desks.register,
            live=self.desks.live,
            presence=self.desks.presence,
            receipts=self.receipts,
            desk=self.desk,
            tokens=self.tokens,
            rates=Rates(self.settings.limits),
            settings=self.settings,
            metrics=self.desks.core.metrics,
            epoch=EPOCH,
            clock=self.desks.now,
            now=self.clock,
            schedule=self.clock.schedule,
        )
        self.application = MessagingApplication(self.world)

    async def run(self, *, task_status: trio.TaskStatus[object]) -> None:
        """The application, until cancelled."""
        await self.application.run(Progress(task_status.started))

    def arrive(
        self, name: str, *, correlator: str | None = None, transport: str = "websocket"
    ) -> Client:
        """A client that is not let in yet."""
        client = Client(self, name, correlator, transport)
        self.clients.append(client)
        self.application.opened(client)
        return client

    async def connect(self, name: str, **more: Any) -> Client:
        """A client that has said nothing yet, its `welcome` taken."""
        client = self.arrive(name, **more)
        await self.settle()
        client.take()
        return client

    async def join(self, name: str, **more: Any) -> Client:
        """A client that is fed, everything so far taken."""
        client = await self.connect(name, **more)
        await client.ask(type="unannounce")
        return client

    async def resume(self, name: str, cursor: str) -> Client:
        """A client that has resumed; what came of it is still to be taken."""
        client = await self.connect(name)
        client.say(type="resume", cursor=cursor)
        await self.settle()
        return client

    async def settle(self) -> None:
        """Let everything happen that can."""
        await wait_all_tasks_blocked()
        for client in [*self.clients]:
            if client.closing is not None:
                client.tell_closed()
        await wait_all_tasks_blocked()

    def links(self, name: str) -> Sequence[Link]:
        """The Links of somebody, the newest last."""
        subscriber = self.world.register.cached(DOMAIN, name)
        return () if subscriber is None else self.world.live.of(subscriber.key)

    def metric(self, name: str, **labels: str) -> float:
        """A sample."""
        registry = self.world.metrics.registry
        return registry.get_sample_value(f"tocsin_messaging_{name}", labels) or 0.0


@asynccontextmanager
async def talking(*, limits: MessagingLimits | None = None, **settings: Any) -> AsyncIterator[Talk]:
    """The application, running."""
    chosen = MessagingSettings(limits=limits or MessagingLimits(), **settings)
    async with trio.open_nursery() as nursery:
        talk = Talk(chosen)
        await nursery.start(talk.store.run)
        await nursery.start(talk.run)
        yield talk
        nursery.cancel_scope.cancel()
