"""Who is in the demo: alice's three channels, the platform, and what is expected of each."""

import time
from collections.abc import Callable
from typing import Any

import attrs
import orjson
import trio

from tocsin.demo.child import Daemon
from tocsin.demo.events import PREFIX, SUBSCRIPTIONS, USER, Event
from tocsin.demo.ledger import Expected, Ledger
from tocsin.demo.phone import APP, DEVICE_TOKEN
from tocsin.demo.report import Json
from tocsin.demo.rest import Rest

SOCKET, WEBHOOK, PHONE = "socket", "webhook", "phone"
SERVICES = ("sms", "chat", "call", "presence")
# Presence is never pushed (channels.md, CH-93).
HEARS = {SOCKET: SERVICES, WEBHOOK: SERVICES, PHONE: ("sms", "chat", "call")}
LOOK_EVERY = 0.05
CHANNELS = f"{PREFIX}/notificationchannel/v1/{USER}/channels"


@attrs.define(eq=False)
class Stage:
    """The daemon with alice's channels; `ids` are those of the channels by receiver."""

    daemon: Daemon
    ledger: Ledger
    ids: dict[str, str] = attrs.field(factory=dict)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.ledger.on_change = self._look_again

    async def open_channels(self, webhook_port: int) -> None:
        """A channel of each type, subscribed to what it `HEARS`."""
        url = f"http://127.0.0.1:{webhook_port}/hook"
        device = {"appId": APP, "x-provider": "apns", "x-deviceToken": DEVICE_TOKEN}
        await self._open(SOCKET, "websockets")
        await self._open(WEBHOOK, "Webhooks", {"x-webhookURL": url})
        await self._open(PHONE, "OMAPush", device)

    @property
    def alice(self) -> Rest:
        """Who has the channels."""
        return self.daemon.as_user(USER, "channels")

    @property
    def socket_path(self) -> str:
        """Where the WebSocket of alice's channel is."""
        return f"{CHANNELS}/{self.ids[SOCKET]}/websocket"

    async def publish(self, *events: Event) -> None:
        """Hand these in, in one request, to be expected at whoever hears them."""
        at = time.time()
        for event in events:
            for receiver, services in HEARS.items():
                if event.service in services:
                    self.ledger.expect(
                        Expected(receiver, event.id, event.key, event.service, event.text, at)
                    )
        platform = self.daemon.as_user("platform", "publish")
        await platform.post("/v1/notifications", [event.item for event in events])

    async def have(self, *receivers: str) -> None:
        """Wait until nothing is missing, only at these receivers if any are named."""
        while not self.ledger.is_complete(*receivers):
            await self._changed.wait()

    async def attempts(self) -> list[Json]:
        """The delivery log, the oldest first, with the receiver for the channel."""
        page = await self.daemon.as_operator().get("/admin/v1/deliveries", user=USER, limit="500")
        receivers = {id_: receiver for receiver, id_ in self.ids.items()}
        return [{**one, "receiver": receivers[one["channel"]]} for one in page["attempts"][::-1]]

    async def see_failure(self) -> None:
        """Wait until the delivery log tells of an attempt at the webhook that failed."""
        await self._log_has(
            lambda attempts: any(
                one["receiver"] == WEBHOOK and one["result"] != "delivered" for one in attempts
            )
        )

    async def see_settled(self) -> None:
        """Wait until the delivery log has every arrival: it is written a moment later."""
        due = sum(b.arrived for b in self.ledger.balances() if b.receiver in self.ids)
        await self._log_has(
            lambda attempts: sum(one["result"] == "delivered" for one in attempts) >= due
        )

    async def _log_has(self, wanted: Callable[[list[Json]], bool]) -> None:
        """Nobody tells when the log has grown, so it is asked."""
        while True:
            if wanted(await self.attempts()):
                return
            await trio.sleep(LOOK_EVERY)

    def _look_again(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _open(self, receiver: str, type_: str, data: dict[str, str] | None = None) -> None:
        wanted: dict[str, Any] = {"channelType": type_, "clientCorrelator": f"demo-{receiver}"}
        if data is not None:
            wanted["channelData"] = data
        answer = await self.alice.post(CHANNELS, {"notificationChannel": wanted})
        id_ = self.ids[receiver] = answer["notificationChannel"]["callbackURL"]
        for service in HEARS[receiver]:
            path, envelope = SUBSCRIPTIONS[service]
            callback = {"callbackReference": {"notifyURL": id_}}
            await self.alice.post(PREFIX + path, {envelope: callback})


def took(ledger: Ledger, receiver: str, text: str | bytes) -> None:
    """A notification came here: its id is one level below its root key. In a push, what is for the
    phone itself stands beside it."""
    for body in orjson.loads(text).values():
        if isinstance(body, dict) and "id" in body:
            ledger.arrived(receiver, body["id"], time.time())
