"""The delivery layer for devices, without a queue: what was claimed is judged as a test says."""

import random
from collections.abc import Callable
from typing import Any

import attrs
import trio
from tests.fakes.deliveries import T0, device_channel, subscription
from tests.fakes.world import CountingProgress, World, memory_store

from tocsin.delivery.devices import Devices
from tocsin.delivery.endings import Ending, Endings
from tocsin.delivery.ingest import Ingest
from tocsin.delivery.pushapps import AppRegistry, PushAppSettings, PushKeySettings, PushSettings
from tocsin.delivery.settler import Settler
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.notification import Notification
from tocsin.model.outcome import Delivered, Gone, Outcome
from tocsin.ops.clock import Clock
from tocsin.store.archive import LogQuery
from tocsin.store.records import Acceptance, Claimed, PushIdentity
from tocsin.store.sqlite import SqliteStore

APP = "com.example.app"
LANE = f"apns/{APP}"
OK = Delivered(200)
BAD = Gone("bad_token", 400, is_guarded=True)
UNREGISTERED = Gone("unregistered", 410)
GATEWAY = "\x01gateway"


def push_settings(**members: Any) -> PushSettings:
    """Two apps with one key; `members` are of the first one."""
    apps = {
        APP: PushAppSettings("apns", key="main", **({"topic": APP} | members)),
        "com.example.other": PushAppSettings("apns", key="main", topic="com.example.other"),
    }
    return PushSettings(keys={"main": PushKeySettings("apns", team_id="T", key_id="K")}, apps=apps)


@attrs.define(eq=False)
class DeviceWorld:
    """Must be made inside Trio; `start` runs the store and the settler."""

    store: SqliteStore = attrs.field(factory=memory_store)
    settings: PushSettings = attrs.field(factory=push_settings)
    clock: Callable[[], int] = attrs.field(factory=lambda: Clock.start(wall=lambda: T0 / 1000))
    world: World = attrs.field(init=False)
    endings: Endings = attrs.field(factory=Endings)
    devices: Devices = attrs.field(init=False)
    settler: Settler = attrs.field(init=False)
    ingest: Ingest = attrs.field(init=False)
    emitted: list[tuple[str, dict[str, object]]] = attrs.field(factory=list)
    told: list[tuple[str, Ending]] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        world = self.world = World(store=self.store, clock=self.clock)
        common: dict[str, Any] = {"metrics": world.metrics, "clock": world.clock}
        self.devices = Devices(
            self.store,
            world.directory,
            AppRegistry(self.settings.apps),
            self.settings,
            self.endings,
            emit=self._emit,
            **common,
        )
        self.settler = Settler(
            ChannelType.OMAPUSH,
            self.store,
            world.directory,
            settings=world.settings,
            devices=self.devices,
            endings=self.endings,
            rng=random.Random(0),
            **common,
        )
        self.ingest = Ingest(
            self.store,
            world.directory,
            world.handover,
            world.sessions,
            escalation=world.escalation,
            limits=world.limits,
            endings=self.endings,
            **common,
        )
        self.endings.unwatched = self._tell
        self.settler.tell = self._emit
        world.directory.on_registered = self.devices.registered
        world.directory.on_ended = lambda ended: self.endings.tell_all(
            ended.pushes, Ending("removed")
        )

    async def start(self, nursery: trio.Nursery) -> None:
        """Run what runs."""
        await nursery.start(self.store.run)
        await self.devices.load()
        nursery.start_soon(self.settler.run, CountingProgress())

    async def restarted(self, settings: PushSettings | None = None) -> "DeviceWorld":
        """Another process on the same store, which knows what this one has written."""
        made = DeviceWorld(self.store, settings or self.settings, self.world.clock)
        await made.devices.load()
        return made

    def _emit(self, name: str, **fields: object) -> None:
        self.emitted.append((name, fields))

    def _tell(self, _id: int, notification: Notification, ending: Ending) -> None:
        self.told.append((notification.id, ending))

    def events(self, name: str) -> list[dict[str, object]]:
        """What was told under a name."""
        return [fields for one, fields in self.emitted if one == name]

    async def registered(self, user: str = "u", token: str = "token", **members: Any) -> Channel:
        """A channel that somebody has registered now, subscribed to sms."""
        account = await self.world.directory.account(user)
        wanted = device_channel(user, token, now=self.world.clock(), **members)
        channel = await self.world.directory.open_channel(account, wanted)
        await self.world.directory.subscribe(account, subscription(channel), b"{}")
        return channel

    async def opened(self, token: str = "token", user: str = GATEWAY) -> Channel:
        """A channel of the gateway, as its first push opens it."""
        account = await self.world.directory.account(user)
        channel = device_channel(user, token, now=0)
        channel.used_at = self.world.clock()
        account.channels[channel.id] = channel
        acceptance = Acceptance(opening=[channel])
        await self.ingest.store(acceptance)
        self.world.metrics.channels[ChannelType.OMAPUSH].inc(len(acceptance.opened))
        return channel

    async def push(
        self,
        channel: Channel,
        *ids: str,
        service: str = "push",
        identity: PushIdentity | None = None,
        **members: Any,
    ) -> list[Claimed]:
        """Accept these, and claim them as a queue would."""
        acceptance = Acceptance()
        for id_ in ids:
            note = self.world.note(id_, service=service, **members)
            acceptance.add(note, [channel])
        if identity is not None:
            acceptance.pushes[0] = identity
        await self.ingest.store(acceptance)
        return await self.claim()

    async def claim(self) -> list[Claimed]:
        """What is due."""
        claim = await self.store.claim(LANE, now=self.world.clock(), limit=9999, provisional=0)
        return claim.deliveries

    def judge(
        self, one: Claimed, channel: Channel, outcome: Outcome, *, seconds: float = 0.0
    ) -> None:
        """As the queue would."""
        self.settler.judge(
            one, channel, outcome, result=type(outcome).__name__.lower(), seconds=seconds
        )

    async def attempt(
        self, channel: Channel, *outcomes: Outcome, service: str = "push", seconds: float = 0.0
    ) -> None:
        """Push so often, with these outcomes, and have that written."""
        for outcome in outcomes:
            [one] = await self.push(channel, "n", service=service)
            self.judge(one, channel, outcome, seconds=seconds)
            await self.settler.flush()

    async def results(self) -> list[tuple[str, str | None]]:
        """The delivery log: results with their reasons, the oldest first."""
        page = await self.store.read_log(LogQuery(), before=None, limit=99, look=9999)
        return [(one.result, one.reason) for one in reversed(page.items)]

    async def channels(self, user: str = "u") -> list[Channel]:
        """What a user has in memory, which is the same as in the store."""
        account = await self.world.directory.account(user)
        [record] = await self.store.load_accounts([user])
        assert {one.id for one in record.channels} == account.channels.keys()
        assert {one.id for one in record.subscriptions} == account.subscriptions.keys()
        return list(account.channels.values())
