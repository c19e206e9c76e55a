"""A world that can push: devices with sockets and pushes, under whatever clock Trio has."""

import random
from typing import Any

import attrs
import trio
from tests.fakes.deliveries import device_channel, socket_channel, subscription
from tests.fakes.memory_session import MemorySession
from tests.fakes.transport import ScriptedTransport
from tests.fakes.world import CountingProgress, World

from tocsin.delivery.gates import Gates
from tocsin.delivery.pushapps import AppRegistry
from tocsin.delivery.queue import DeliveryQueue
from tocsin.delivery.settler import Settler
from tocsin.delivery.window import Written
from tocsin.model.channel import Channel, ChannelType

PHONE = "phone"
LANE = "apns/com.example.app"


@attrs.define
class Phones:
    """`world` and a queue of pushes; made inside Trio, `start` runs all of it.

    With a `registry` of apps the lanes have gates.
    """

    world: World = attrs.field(factory=World)
    registry: AppRegistry | None = None
    width: int = 2
    slots: int = 100
    push: ScriptedTransport = attrs.field(factory=ScriptedTransport)
    settler: Settler = attrs.field(init=False)
    queue: DeliveryQueue = attrs.field(init=False)
    gates: Gates | None = None

    def __attrs_post_init__(self) -> None:
        world = self.world
        self.settler = Settler(
            ChannelType.OMAPUSH,
            world.store,
            world.directory,
            settings=world.settings,
            unanswered_retries=2,
            suspend_after=None,
            metrics=world.metrics,
            clock=world.clock,
            rng=random.Random(0),
        )
        common: dict[str, Any] = {
            "events": world.events,
            "metrics": world.metrics,
            "clock": world.clock,
        }
        if self.registry is not None:
            self.gates = Gates(self.registry, **common)
        self.queue = DeliveryQueue(
            ChannelType.OMAPUSH,
            world.store,
            world.directory,
            self.push,
            self.settler,
            settings=world.settings,
            width=lambda _lane: self.width,
            slots=self.slots,
            gates=self.gates,
            **common,
        )
        world.queues.append(self.queue)
        world.ingest.holders.append(self.queue)

    async def start(self, nursery: trio.Nursery) -> None:
        """Run the world, and the pushes."""
        await self.world.start(nursery)
        nursery.start_soon(self.settler.run, CountingProgress())
        nursery.start_soon(self.queue.run, CountingProgress())

    async def subscribed(
        self, channel: Channel, *services: str, policy: str | None = None
    ) -> Channel:
        """The channel, stored and subscribed, to sms where nothing else is said."""
        directory = self.world.directory
        account = await directory.account(channel.user)
        opened = await directory.open_channel(account, channel)
        for service in services or ("sms",):
            wanted = attrs.evolve(subscription(opened, service), policy=policy)
            await directory.subscribe(account, wanted, b"{}")
        return opened

    async def device(
        self,
        correlator: str = PHONE,
        *services: str,
        app: str = "com.example.app",
        policy: str | None = None,
    ) -> Channel:
        """A push channel of a device of the user."""
        wanted = device_channel(token=f"{correlator} {app}", app=app, correlator=correlator)
        return await self.subscribed(wanted, *services, policy=policy)

    async def tab(
        self,
        correlator: str = PHONE,
        *services: str,
        kind: ChannelType = ChannelType.WEBSOCKETS,
    ) -> Channel:
        """A socket channel of a device of the user."""
        wanted = socket_channel(correlator=correlator, kind=kind, now=self.world.clock())
        return await self.subscribed(wanted, *services)

    def connect(self, channel: Channel) -> MemorySession:
        """A client of a channel is here."""
        session = MemorySession(self.world.sessions, channel)
        self.world.sessions.attach(session)
        return session

    def receipt(self, session: MemorySession, *ids: str, flush: bool = True) -> None:
        """A client has these; that is written, if it is to be flushed."""
        written = [
            Written(seq, one.id, one.notification.accepted_at)
            for seq, one in enumerate(session.pushed, 1)
            if one.notification.id in ids
        ]
        assert len(written) == len(ids)
        self.world.sessions.receipted(written, session.channel)
        if flush:
            self.world.sessions.flush()

    def legs(self) -> dict[str, int]:
        """What became of legs that were held back."""
        found = {
            leg: self.world.sample("escalations_total", leg=leg)
            for leg in ("socket", "push", "cancelled")
        }
        return {leg: count for leg, count in found.items() if count}

    def ended(self, kind: str = "OMAPush") -> dict[str, int]:
        """What became of the deliveries of a type."""
        found = {
            outcome: self.world.sample("deliveries_total", type=kind, outcome=outcome)
            for outcome in ("delivered", "cancelled", "expired", "collapsed", "overflow", "refused")
        }
        return {outcome: count for outcome, count in found.items() if count}
