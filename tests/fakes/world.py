"""The delivery layer put together on a store in memory, under whatever clock Trio has."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import trio
from tests.fakes.deliveries import HOOK, T0, WEEK, notification, subscription, webhook_channel
from tests.fakes.transport import ScriptedTransport

from tocsin.delivery.directory import Directory
from tocsin.delivery.escalation import Escalation
from tocsin.delivery.eventhook import EventHook
from tocsin.delivery.events import Events
from tocsin.delivery.expiry import Expiry
from tocsin.delivery.followers import Key
from tocsin.delivery.handover import Handover
from tocsin.delivery.housekeeping import Housekeeping
from tocsin.delivery.ingest import Ingest
from tocsin.delivery.queue import DeliveryQueue
from tocsin.delivery.sessions import Sessions
from tocsin.delivery.settings import ChannelSettings, DeliveryLimits, DeliverySettings
from tocsin.delivery.settler import Settler
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.notification import Notification
from tocsin.model.services import SERVICES
from tocsin.ops.clock import Clock
from tocsin.ops.metrics import OUTCOMES, Metrics
from tocsin.ops.service import Progress
from tocsin.store.sqlite import SqliteStore, StoreSettings

MEMORY = StoreSettings(path=":memory:")
EXACT = DeliverySettings(jitter=0)


def memory_store() -> SqliteStore:
    """A store that commits at once and forgets at the end."""
    return SqliteStore(MEMORY, threaded=False)


class CountingProgress(Progress):
    """Counts how often a service says that it moves."""

    __slots__ = ("beats",)

    def __init__(self) -> None:
        super().__init__(lambda _value: None)
        self.beats = 0

    def beat(self) -> None:
        self.beats += 1
        super().beat()


@attrs.define
class World:
    """All parts; must be made inside Trio. `start` runs them."""

    store: SqliteStore = attrs.field(factory=memory_store)
    settings: DeliverySettings = EXACT
    channels: ChannelSettings = attrs.field(factory=ChannelSettings)
    limits: DeliveryLimits = attrs.field(factory=DeliveryLimits)
    token_exclusive: bool = False
    width: int = 2
    slots: int = 100
    transport: ScriptedTransport = attrs.field(factory=ScriptedTransport)
    metrics: Metrics = attrs.field(factory=Metrics)
    clock: Callable[[], int] = attrs.field(factory=lambda: Clock.start(wall=lambda: T0 / 1000))
    progress: CountingProgress = attrs.field(factory=CountingProgress)
    events: Events = attrs.field(init=False)
    directory: Directory = attrs.field(init=False)
    expiry: Expiry = attrs.field(init=False)
    sessions: Sessions = attrs.field(init=False)
    settler: Settler = attrs.field(init=False)
    queue: DeliveryQueue = attrs.field(init=False)
    queues: list[DeliveryQueue] = attrs.field(init=False)
    handover: Handover = attrs.field(init=False)
    escalation: Escalation = attrs.field(init=False)
    ingest: Ingest = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        common: dict[str, Any] = {"metrics": self.metrics, "clock": self.clock}
        self.events = Events(**common)
        self.directory = Directory(
            self.store,
            settings=self.channels,
            limits=self.limits,
            token_exclusive=self.token_exclusive,
            **common,
        )
        self.expiry = Expiry(self.store, self.directory, clock=self.clock)
        self.sessions = Sessions(self.store, **common)
        self.sessions.on_left = self._left
        self.directory.on_arrived = self._arrived
        self.settler = Settler(
            ChannelType.WEBHOOKS,
            self.store,
            self.directory,
            settings=self.settings,
            unanswered_retries=2,
            suspend_after=5 * 86_400_000,
            rng=random.Random(0),
            **common,
        )
        self.queue = DeliveryQueue(
            ChannelType.WEBHOOKS,
            self.store,
            self.directory,
            self.transport,
            self.settler,
            settings=self.settings,
            width=lambda _lane: self.width,
            slots=self.slots,
            events=self.events,
            **common,
        )
        self.queues = [self.queue]
        self.handover = Handover(self.sessions, self.wake)
        self.directory.on_resumed = self.wake
        self.escalation = Escalation(
            self.store,
            self.directory,
            self.sessions,
            settings=self.settings,
            wake=self.wake,
            **common,
        )
        self.store.on_cancelled = self.escalation.cancelled
        self.directory.on_switched = self.events.note_channel
        self.ingest = Ingest(
            self.store,
            self.directory,
            self.handover,
            self.sessions,
            escalation=self.escalation,
            limits=self.limits,
            **common,
        )
        self.ingest.holders.append(self.queue)
        self._count_from_the_start()

    async def start(self, nursery: trio.Nursery) -> None:
        """Run the store, the settler and the queue."""
        await nursery.start(self.store.run)
        nursery.start_soon(self.settler.run, CountingProgress())
        nursery.start_soon(self.queue.run, self.progress)

    def housekeeping(self, **more: Any) -> Housekeeping:
        """It looks after this world when it runs, or is told to sweep."""
        return Housekeeping(
            self.store,
            self.directory,
            settings=self.settings,
            metrics=self.metrics,
            clock=self.clock,
            **{"on_lane": lambda _lane: None, **more},
        )

    def blocked(self, reason: str) -> float | None:
        """The gauge of lanes blocked for this reason."""
        labels = {"type": "Webhooks", "reason": reason}
        return self.metrics.registry.get_sample_value("tocsin_lanes_blocked", labels)

    def wake(self, lane: str, urgent: bool = True, keys: Sequence[Key] = ()) -> None:
        """There is something new in the store for a lane."""
        for queue in self.queues:
            queue.wake(lane, urgent, keys)

    def _left(self, channel: Channel) -> None:
        self.directory.left(channel)
        self.escalation.left(channel)

    def _arrived(self, channel: Channel) -> None:
        session = self.sessions.of(channel)
        if session is not None:
            session.fall_behind()
            session.flush()

    async def subscribed(self, channel: Channel, service: str = "sms") -> Channel:
        """The channel, stored and subscribed."""
        account = await self.directory.account(channel.user)
        opened = await self.directory.open_channel(account, channel)
        await self.directory.subscribe(account, subscription(opened, service), b"{}")
        return opened

    async def hook(self, user: str = "u", origin: str = HOOK) -> Channel:
        """A webhook channel that gets the user's sms notifications."""
        return await self.subscribed(webhook_channel(user, origin))

    def note(self, id_: str, *, expires_in: int = WEEK, **members: Any) -> Notification:
        """A notification accepted now."""
        return notification(id_, accepted_at=self.clock(), expires_in=expires_in, **members)

    async def publish(self, *ids: str, **members: Any) -> None:
        """Accept plain notifications, in one go."""
        await self.ingest.accept([self.note(id_, **members) for id_ in ids])

    def _count_from_the_start(self) -> None:
        found = self.store.at_start
        for kind in ChannelType:
            self.metrics.channels[kind].set(found.channels.get(kind, 0))
        for service in SERVICES:
            self.metrics.subscriptions[service].set(found.subscriptions.get(service, 0))

    async def assert_gauges_are_right(self) -> None:
        """The gauges, the running count and what the store finds by walking are the same."""
        counts = await self.store.counts()
        for kind in ChannelType:
            assert self.sample("channels", type=kind) == counts.channels.get(kind, 0)
        for service in SERVICES:
            assert self.sample("subscriptions", service=service) == counts.subscriptions.get(
                service, 0
            )
        assert +self.store.pending == counts.pending

    def sample(self, name: str, **labels: str) -> int:
        """What a metric says."""
        value = self.metrics.registry.get_sample_value(f"tocsin_{name}", labels)
        assert value is not None
        return int(value)

    async def dead(self) -> int:
        """How many dead letters there are, of which the running count is right."""
        counts = await self.store.counts()
        assert +self.store.dead == counts.dead
        return sum(counts.dead.values())

    def outcomes(self) -> dict[str, int]:
        """Webhook deliveries settled so far, by outcome."""
        found = {name: self.count("deliveries", outcome=name) for name in OUTCOMES}
        return {outcome: count for outcome, count in found.items() if count}

    def count(self, counter: str, **labels: str) -> int:
        """A counter of the Webhooks type."""
        return self.sample(f"{counter}_total", type="Webhooks", **labels)


class Told(EventHook):
    """Remembers what an operator is told: the event and its reason."""

    def __init__(self, world: World) -> None:
        self.events: list[tuple[str, object]] = []
        world.events.hook = self

    def offer(self, name: str, at: int, fields: dict[str, object]) -> None:
        """See EventHook."""
        self.events.append((name, fields.get("reason")))
