"""Scripts of what clients, producers, time and operators do, done to a daemon and to the model.

Each step is one call, or something one side does to a socket. After each, everything that can be
seen of the daemon is compared with the model: answers, lists, 404s, close codes, what arrived,
gauges, what is pending.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from tests.fakes import client_frames
from tests.fakes.channel_comparison import PATHS, Comparison
from tests.fakes.channel_model import (
    CHANNELS as QUOTA,
)
from tests.fakes.channel_model import (
    LONGEST,
    POLLED,
    SHORTEST,
    SUBSCRIPTIONS,
    USUAL,
    ModelChannel,
)
from tests.fakes.channel_steps import (
    Connect,
    Create,
    Delete,
    HangUp,
    Leap,
    Leave,
    Poll,
    Prolong,
    Publish,
    Restart,
    Step,
    Subscribe,
    Unsubscribe,
)
from tests.fakes.daemon import CHANNELS, HOOK, PUBLISH, USER, Answer
from tests.fakes.subscriptions import ENVELOPES, PUSH
from tests.fakes.virtual_daemon import VirtualDaemon, VirtualSocket
from trio.testing import MockClock

ROOT_KEYS = {
    "sms": "inboundSMSMessageNotification",
    "chat": "chatMessageNotification",
    "call": "wrtcsEventNotification",
    "presence": "presenceNotification",
    "account": "userStatusNotification",
}
TABLES: dict[str, Any] = {
    "push": PUSH,
    "limits": {"rate": 0, "channels_per_user": QUOTA, "subscriptions_per_user": SUBSCRIPTIONS},
}
CHECK = client_frames.text(b'{"connCheck":{"interval":30}}')
MOMENT = 0.31
T = TypeVar("T")


class Script(Comparison):
    """Does each step to the daemon and to the model, and compares."""

    def __init__(self, folder: Path, clock: MockClock) -> None:
        super().__init__()
        self._folder = folder
        self._clock = clock
        self._published = 0

    async def run(self, steps: Sequence[Step]) -> None:
        """All of them, and in the end everybody comes back for what is left."""
        todo = iter(steps)
        while True:
            async with VirtualDaemon.opened(self._folder, self._clock, **TABLES) as self.it:
                self.model.now = self._clock.current_time()
                await self.compare()
                restart = await self._until_restart(todo)
                if restart is None:
                    return
                await self._stop(restart)
            self._restarted(restart)

    async def _until_restart(self, todo: Iterator[Step]) -> Restart | None:
        for number, step in enumerate(todo):
            await self._speak()
            if isinstance(step, Restart):
                return step
            await self._do(step)
            await self.compare(lists=not number % 4 or isinstance(step, Leap | Delete))
        await self.compare()
        for channel in list(self.model.channels.values()):
            if channel.kind == "websockets":
                await self._connect(channel.id, mute=False)
            elif channel.kind == "LongPolling":
                await self._poll(channel.id, None)
        await self.compare()
        await self._leap(MOMENT)
        await self.compare()
        return None

    async def _do(self, step: Step) -> None:
        match step:
            case Create():
                await self._create(step)
            case Prolong(pick, lifetime):
                await self._prolong(self._picked(pick), lifetime)
            case Delete(pick):
                await self._delete(self._picked(pick))
            case Subscribe(pick, service):
                await self._subscribe(self._picked(pick), service)
            case Unsubscribe(pick):
                await self._unsubscribe(*_of([("ws-none", "chat"), *self.subscriptions], pick))
            case Publish(pick, expires_in):
                live = [one.subscriptions for one in self.model.channels.values()]
                await self._publish(_of(["sms", *chain.from_iterable(live)], pick), expires_in)
            case Leap(seconds):
                await self._leap(seconds)
            case _:
                await self._do_connected(step)

    async def _do_connected(self, step: Step) -> None:
        """What clients do that come to us."""
        match step:
            case Connect(pick, mute):
                await self._connect(self._of_kind("ws", pick), mute=mute)
            case Leave(pick, code) if self.sockets:
                await self._leave(_of(list(self.sockets), pick), code)
            case Poll(pick, claim):
                await self._poll(self._of_kind("lp", pick), claim)
            case HangUp(pick) if self.polls:
                await self._hang_up(_of(list(self.polls), pick))

    # -- steps -------------------------------------------------------------------------------

    async def _create(self, step: Create) -> None:
        model = self.model
        kind, correlator = str(step.kind), step.correlator
        existing = model.existing(kind, correlator)
        if existing is None and not model.make_room(correlator):
            assert (await self._post_channel(step)).refusal == (403, "POL0001", ["quota_channels"])
            return
        answer = await self._post_channel(step)
        assert answer.status == 201, answer
        made = answer.json["notificationChannel"]
        if existing is None:
            assert made["callbackURL"] not in {*model.channels, *model.gone}
            polled = kind in POLLED
            model.create(
                ModelChannel(
                    made["callbackURL"],
                    kind,
                    correlator,
                    model.now,
                    min(max(step.lifetime or USUAL, SHORTEST), LONGEST) if polled else None,
                    role=step.role,
                )
            )
        kept = existing or model.channels[made["callbackURL"]]
        assert made["callbackURL"] == kept.id
        assert made.get("channelLifetime") == kept.lifetime
        if kind == "OMAPush":
            model.register(kept, step.token)

    async def _post_channel(self, step: Create) -> Answer:
        data = {
            "Webhooks": {"x-webhookURL": HOOK},
            "OMAPush": {"appId": "app", "x-provider": "apns", "x-deviceToken": step.token * 32},
        }
        wanted = {
            "channelType": step.kind,
            "clientCorrelator": step.correlator,
            "channelLifetime": step.lifetime,
            "x-connCheckRole": step.role,
            "channelData": data.get(step.kind, {}),
        }
        members = {name: value for name, value in wanted.items() if value is not None}
        return await self.it.ask("POST", CHANNELS, {"notificationChannel": members})

    async def _prolong(self, id_: str, lifetime: int) -> None:
        body = {"notificationChannelLifetime": {"channelLifetime": lifetime}}
        answer = await self.it.ask("PUT", f"{CHANNELS}/{id_}", body)
        channel = self.model.channels.get(id_)
        if channel is None:
            assert answer.refusal == (404, "SVC0004", ["channelId"])
        elif channel.lifetime is None or not lifetime:
            assert answer.refusal == (400, "SVC0002", ["channelLifetime"])
        else:
            channel.lifetime = min(max(lifetime, SHORTEST), LONGEST)
            channel.restart_clock(self.model.now)
            granted = {"channelLifetime": channel.lifetime}
            assert (answer.status, answer.json) == (200, {"notificationChannelLifetime": granted})

    async def _delete(self, id_: str) -> None:
        answer = await self.it.ask("DELETE", f"{CHANNELS}/{id_}")
        channel = self.model.channels.get(id_)
        if channel is None:
            assert answer.refusal == (404, "SVC0004", ["channelId"])
        else:
            assert (answer.status, answer.body) == (204, b"")
            self.model.delete(channel)

    async def _subscribe(self, id_: str, service: str) -> None:
        path = PATHS[service]
        body = {ENVELOPES[path]: {"callbackReference": {"notifyURL": id_}}}
        answer = await self.it.ask("POST", path, body)
        channel = self.model.channels.get(id_)
        if channel is None:
            assert answer.refusal == (400, "SVC0002", ["callbackReference.notifyURL"])
            return
        is_new = service not in channel.subscriptions
        assert answer.status == self.model.subscribe(channel, service), answer
        if answer.status == 201:
            made = answer.json[ENVELOPES[path]]["resourceURL"].rpartition("/")[2]
            if is_new:
                self.subscriptions[id_, service] = made
            assert made == self.subscriptions[id_, service]

    async def _unsubscribe(self, id_: str, service: str) -> None:
        channel = self.model.channels.get(id_)
        subscription = self.subscriptions.get((id_, service), "none")
        answer = await self.it.ask("DELETE", f"{PATHS[service]}/{subscription}")
        if channel is None or service not in channel.subscriptions:
            assert answer.refusal == (404, "SVC0004", ["subscriptionId"])
        else:
            assert (answer.status, answer.body) == (204, b"")
            del channel.subscriptions[service]

    async def _publish(self, service: str, expires_in: int) -> None:
        self._published += 1
        item = {
            "id": f"n{self._published}",
            "user": USER,
            "service": service,
            "notification": {ROOT_KEYS[service]: {}},
            "expires_in": expires_in,
        }
        answer = await self.it.ask("POST", PUBLISH, item)
        assert answer.status == 202, answer
        assert answer.json["channels"] == self.model.publish(item["id"], service, expires_in)

    async def _connect(self, id_: str, *, mute: bool) -> None:
        client = await self.it.connect(f"{CHANNELS}/{id_}/websocket", mute=mute)
        channel = self.model.channels.get(id_)
        if channel is None or channel.kind != "websockets":
            assert isinstance(client, Answer)
            assert client.refusal == (404, "SVC0004", ["channelId"])
            return
        assert isinstance(client, VirtualSocket), client
        older = self.sockets.pop(id_, None)
        if older is not None:
            assert older.closed == 1000
            older.hang_up()
        self.sockets[id_] = client
        self.model.connect(channel, mute=mute)

    async def _leave(self, id_: str, code: int | None) -> None:
        client = self.sockets.pop(id_)
        if code is not None:
            client.send(client_frames.close(code))
            await self.it.settle()
            assert client.closed == code
        client.hang_up()
        await self.it.settle()
        self.model.channels[id_].leave(self.model.now, cleanly=code is not None)

    async def _poll(self, id_: str, claim: int | None) -> None:
        channel = self.model.channels.get(id_)
        told = channel.positions if channel is not None else []
        position = told[claim % len(told)] if told and claim is not None else None
        query = "" if position is None else f"?since={position[0]}"
        poll = await self.it.poll(f"{CHANNELS}/{id_}/notifications{query}")
        if channel is None or channel.kind != "LongPolling":
            answer = await poll.answer()
            assert answer is not None
            assert answer.refusal == (404, "SVC0004", ["channelId"])
            return
        older = self.polls.pop(id_, None)
        if older is not None:
            await self.compare_answer(channel, older, [])
        self.polls[id_] = poll
        self.model.poll(channel, None if position is None else position[1])

    async def _hang_up(self, id_: str) -> None:
        self.polls.pop(id_).raw.close()
        await self.it.settle()
        channel = self.model.channels[id_]
        channel.held_until, channel.heard_at = None, self.model.now

    async def _leap(self, seconds: float) -> None:
        """In small steps where somebody answers, so that he is heard in time."""
        end = self.model.now + seconds
        while self.model.now < end:
            live = any(one.is_connected and not one.mute for one in self.model.channels.values())
            to = min(end, self.model.now + 20.03) if live else end
            while any(abs(to - at) < MOMENT for at in self.model.deadlines()):
                to += MOMENT
            await self.it.leap(to - self._clock.current_time())
            moved = set()
            if any(one.left_cleanly for one in self.model.channels.values()):
                present = await self.listed_subscriptions()
                moved = {key for key, id_ in self.subscriptions.items() if id_ not in present}
            self.model.tick(self._clock.current_time(), moved)
            self.compare_sockets()
            await self.compare_polls()
            await self._speak()

    async def _speak(self) -> None:
        for client in self.sockets.values():
            if not client.mute:
                client.send(CHECK)
        await self.it.settle()
        self.model.speak()

    async def _stop(self, restart: Restart) -> None:
        if restart.crashed:
            self._folder = self.it.image()
            return
        await self.it.drain()
        assert {client.closed for client in self.sockets.values()} <= {1012}

    def _restarted(self, restart: Restart) -> None:
        self.sockets.clear()
        self.polls.clear()
        self._clock.jump(restart.away)
        self.model.restart(self._clock.current_time(), crashed=restart.crashed)

    def _of_kind(self, prefix: str, pick: int) -> str:
        """A channel of this kind; beyond the last of them any."""
        found = [id_ for id_ in self.model.channels if id_.startswith(prefix)]
        return _of([self._picked(pick), *found], pick)

    def _picked(self, pick: int) -> str:
        """A channel, the newest first; beyond the last one that is gone, or that never was."""
        return _of(["ws-none", *self.model.gone[-1:], *self.model.channels], pick)


def _of(known: Sequence[T], pick: int) -> T:
    """One of these, counted from the end."""
    return known[max(-1 - pick, -len(known))]
