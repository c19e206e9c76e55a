"""The push gateway over a store in memory, with a provider that does what the test says."""

import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio
from tests.fakes.deliveries import T0
from tests.fakes.gatewayapps import APPS, SETTINGS
from tests.fakes.world import EXACT, CountingProgress, memory_store

from tocsin.delivery.devices import Devices
from tocsin.delivery.directory import Directory
from tocsin.delivery.endings import Ending, Endings
from tocsin.delivery.escalation import Escalation
from tocsin.delivery.events import Events
from tocsin.delivery.gateway import Asked, Gateway
from tocsin.delivery.handover import Handover
from tocsin.delivery.ingest import Ingest
from tocsin.delivery.pushapps import PushSettings
from tocsin.delivery.queue import DeliveryQueue
from tocsin.delivery.sessions import Sessions
from tocsin.delivery.settings import ChannelSettings, DeliveryLimits, DeliverySettings
from tocsin.delivery.settler import Settler
from tocsin.delivery.submissions import Submission, Submissions
from tocsin.model.channel import ChannelType
from tocsin.model.delivery import Delivery
from tocsin.model.notification import Notification
from tocsin.model.outcome import Delivered, Gone, Outcome
from tocsin.ops.clock import Clock
from tocsin.ops.metrics import Metrics
from tocsin.store.sqlite import SqliteStore
from tocsin.wire.push.element import parse_element
from tocsin.wire.push.pnm2 import Endpoint, Reply

GONE_ONE, GONE_MANY = Endpoint.SEND.gone, Endpoint.MULTISEND.gone
UNREGISTERED = Gone("unregistered", 410)

Act = Outcome | float | Callable[[], Awaitable[Outcome]]


def settings(**members: Any) -> PushSettings:
    """With the apps there are."""
    return PushSettings(apps=SETTINGS, **members)


@attrs.frozen
class Attempt:
    """One push as the provider got it."""

    at: float
    verb: str
    token: str
    body: bytes


class Provider:
    """`Transport`: acts by device token, one per attempt, then Delivered.

    An act is an outcome, seconds to take before Delivered, or an async function.
    """

    def __init__(self) -> None:
        self.script: defaultdict[str, list[Act]] = defaultdict(list)
        self.attempts: list[Attempt] = []

    async def attempt(self, delivery: Delivery) -> Outcome:
        """Act the next act."""
        await trio.lowlevel.checkpoint()
        one, device = delivery.notification, delivery.channel.device
        assert device is not None
        self.attempts.append(Attempt(trio.current_time(), one.root_key, device.token, one.body))
        acts = self.script[device.token]
        act = acts.pop(0) if acts else Delivered(200)
        if isinstance(act, float | int):
            await trio.sleep(act)
            return Delivered(200)
        return await act() if callable(act) else act

    def verbs(self) -> list[str]:
        """What was pushed, in order."""
        return [one.verb for one in self.attempts]


@attrs.define
class GatewayWorld:
    """All parts; must be made inside Trio. `start` runs them.

    `blocked` are lanes that are said to be blocked, `late` the endings nobody waited for.
    """

    store: SqliteStore = attrs.field(factory=memory_store)
    push: PushSettings = attrs.field(factory=lambda: PushSettings(apps=SETTINGS))
    limits: DeliveryLimits = attrs.field(factory=DeliveryLimits)
    settings: DeliverySettings = EXACT
    width: int = 200
    slots: int = 2000
    provider: Provider = attrs.field(factory=Provider)
    metrics: Metrics = attrs.field(factory=Metrics)
    clock: Callable[[], int] = attrs.field(factory=lambda: Clock.start(wall=lambda: T0 / 1000))
    blocked: dict[str, str] = attrs.field(factory=dict)
    late: list[tuple[Notification, Ending]] = attrs.field(factory=list)
    directory: Directory = attrs.field(init=False)
    endings: Endings = attrs.field(factory=Endings)
    devices: Devices = attrs.field(init=False)
    settler: Settler = attrs.field(init=False)
    queue: DeliveryQueue = attrs.field(init=False)
    ingest: Ingest = attrs.field(init=False)
    submissions: Submissions = attrs.field(init=False)
    gateway: Gateway = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        common: dict[str, Any] = {"metrics": self.metrics, "clock": self.clock}
        events = Events(**common)
        self.directory = Directory(
            self.store, settings=ChannelSettings(), limits=self.limits, **common
        )
        self.endings.unwatched = lambda _id, one, ending: self.late.append((one, ending))
        self.devices = Devices(
            self.store, self.directory, APPS, self.push, self.endings, emit=events.emit, **common
        )
        self.settler = Settler(
            ChannelType.OMAPUSH,
            self.store,
            self.directory,
            settings=self.settings,
            devices=self.devices,
            endings=self.endings,
            rng=random.Random(0),
            **common,
        )
        self.queue = DeliveryQueue(
            ChannelType.OMAPUSH,
            self.store,
            self.directory,
            self.provider,
            self.settler,
            settings=self.settings,
            width=lambda _lane: self.width,
            slots=self.slots,
            events=events,
            **common,
        )
        sessions = Sessions(self.store, **common)
        escalation = Escalation(
            self.store,
            self.directory,
            sessions,
            settings=self.settings,
            wake=self.queue.wake,
            **common,
        )
        self.ingest = Ingest(
            self.store,
            self.directory,
            Handover(sessions, self.queue.wake),
            sessions,
            escalation=escalation,
            limits=self.limits,
            endings=self.endings,
            **common,
        )
        self.ingest.holders.append(self.queue)
        self.directory.on_resumed = self.queue.wake
        self.directory.on_registered = self.devices.registered
        self.submissions = Submissions(self.store)
        self.gateway = Gateway(
            self.store,
            self.directory,
            self.ingest,
            self.endings,
            settings=self.push,
            limits=self.limits,
            is_dead=self.devices.is_dead,
            blocked=self.blocked.get,
            **common,
        )

    async def start(self, nursery: trio.Nursery) -> None:
        """Run the store, the settler and the queue."""
        await nursery.start(self.store.run)
        await self.devices.load()
        nursery.start_soon(self.settler.run, CountingProgress())
        nursery.start_soon(self.queue.run, CountingProgress())

    async def ask(
        self,
        *elements: object,
        endpoint: Endpoint = Endpoint.MULTISEND,
        submission: Submission | None = None,
    ) -> list[Reply]:
        """What the gateway says of these elements."""
        parsed = [parse_element(one, APPS) for one in elements]
        return await self.gateway.push(Asked(endpoint, parsed, "caller", submission))

    async def send(self, element: object) -> Reply:
        """The same for one, through `/send`."""
        [reply] = await self.ask(element, endpoint=Endpoint.SEND)
        return reply

    async def prove(self, *apps: str) -> None:
        """The provider has taken pushes of these apps before, so what it says is believed."""
        for number, app in enumerate(apps):
            element = {
                "verb": "NotifyReprovision",
                "AppId": app,
                "DeviceToken": f"{number:02x}" * 40,
            }
            assert (await self.send(element)).code == 200

    async def pending(self) -> int:
        """How many deliveries are not settled."""
        return sum((await self.store.counts()).pending.values())

    def sample(self, name: str, **labels: str) -> int:
        """What a metric says."""
        value = self.metrics.registry.get_sample_value(f"tocsin_{name}", labels)
        assert value is not None
        return int(value)


@asynccontextmanager
async def gateway_world(**members: Any) -> AsyncIterator[GatewayWorld]:
    """A world that runs within the block."""
    world = GatewayWorld(**members)
    async with trio.open_nursery() as nursery:
        await world.start(nursery)
        yield world
        nursery.cancel_scope.cancel()
