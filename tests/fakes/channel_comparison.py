"""Everything that can be seen of a daemon, held against the model of its channels."""

from collections import Counter

from tests.fakes.channel_model import ChannelModel, Leg, ModelChannel
from tests.fakes.daemon import CHANNELS, CHAT, INBOUND, USER
from tests.fakes.notification_socket import notification_id
from tests.fakes.subscriptions import ACCOUNT, CALL, ENVELOPES, PRESENCE
from tests.fakes.virtual_daemon import EPOCH, VirtualDaemon, VirtualPoll, VirtualSocket

from tocsin.model.channel import ChannelType

PATHS = {"sms": INBOUND, "chat": CHAT, "call": CALL, "presence": PRESENCE, "account": ACCOUNT}


class Comparison:
    """A daemon, which may change, its model, and the sockets and subscriptions that are open.

    `subscriptions` has the ids of all there ever were, by channel and service.
    """

    def __init__(self) -> None:
        self.it: VirtualDaemon
        self.model = ChannelModel()
        self.sockets: dict[str, VirtualSocket] = {}
        self.polls: dict[str, VirtualPoll] = {}
        self.subscriptions: dict[tuple[str, str], str] = {}

    async def compare(self, *, lists: bool = True) -> None:
        """Everything, or without `lists` what needs no request."""
        self.compare_sockets()
        await self.compare_polls()
        if lists:
            await self._compare_channels()
            await self._compare_subscriptions()
        self._compare_gauges()
        self._compare_pending()

    def compare_sockets(self) -> None:
        """Close codes, and what was written: once, in order, in time."""
        for id_, client in list(self.sockets.items()):
            channel = self.model.channels.get(id_)
            got, client.ids = client.ids, []
            if channel is not None and channel.is_connected:
                assert client.closed is None
                _compare_written(channel, self.model.written(channel), got)
                continue
            assert client.closed in ({1001} if channel else {1000, 1001} if client.mute else {1000})
            client.hang_up()
            del self.sockets[id_]

    async def compare_polls(self) -> None:
        """Held until there is something, the time is over, or the channel."""
        for id_, poll in list(self.polls.items()):
            channel = self.model.channels.get(id_)
            is_held = channel is not None and channel.held_until is not None
            legs = self.model.answered(channel) if channel is not None and is_held else []
            if is_held and not legs:
                assert await poll.answer() is None
                continue
            await self.compare_answer(channel, poll, legs)
            del self.polls[id_]

    async def compare_answer(
        self, channel: ModelChannel | None, poll: VirtualPoll, legs: list[Leg]
    ) -> None:
        """What a poll was answered, and where that leaves its client."""
        answer = await poll.answer()
        assert answer is not None
        assert answer.status == 200
        got = [notification_id(one) for one in answer.json["notificationList"]]
        position = answer.headers["x-channel-position"]
        if channel is None:
            assert not got
            return
        if legs:
            _compare_written(channel, legs, got)
        assert bool(legs) == bool(got)
        channel.positions.append((position, int(position.partition(":")[2])))

    async def _compare_channels(self) -> None:
        answer = await self.it.ask("GET", CHANNELS)
        listed = answer.json["notificationChannelList"]["notificationChannel"]
        assert [one["callbackURL"] for one in listed] == list(self.model.channels)
        for id_ in self.model.gone[-2:]:
            answer = await self.it.ask("GET", f"{CHANNELS}/{id_}")
            assert answer.refusal == (404, "SVC0004", ["channelId"])
        for channel in self.model.channels.values():
            answer = await self.it.ask("GET", f"{CHANNELS}/{channel.id}/channelLifetime")
            if channel.expires_at is None:
                assert answer.refusal == (400, "SVC0002", ["channelLifetime"])
                continue
            left = answer.json["notificationChannelLifetime"]["channelLifetime"]
            expected = channel.expires_at - self.model.now
            if channel.unsure_from is not None:
                assert channel.unsure_from - self.model.now <= left + 0.01
                assert left <= expected + 1.01
                channel.expires_at, channel.unsure_from = self._real_end(channel), None
            else:
                assert expected - 0.01 <= left <= expected + 1.01

    def _real_end(self, channel: ModelChannel) -> float:
        account = self.it.parts.directory.cached(USER)
        assert account is not None
        return (account.channels[channel.id].expires_at or 0) / 1000 - EPOCH

    async def _compare_subscriptions(self) -> None:
        expected = {
            self.subscriptions[channel.id, service]
            for channel in self.model.channels.values()
            for service in channel.subscriptions
        }
        assert await self.listed_subscriptions() == expected

    async def listed_subscriptions(self) -> set[str]:
        found = set()
        for path in PATHS.values():
            answer = await self.it.ask("GET", path)
            [members] = answer.json.values()
            found |= {one["resourceURL"].rpartition("/")[2] for one in members[ENVELOPES[path]]}
        return found

    def _compare_gauges(self) -> None:
        channels = Counter(one.kind for one in self.model.channels.values())
        for kind in ChannelType:
            assert self.it.gauge("channels", type=kind) == channels[kind]
        services = Counter(
            service for one in self.model.channels.values() for service in one.subscriptions
        )
        for service in PATHS:
            assert self.it.gauge("subscriptions", service=service) == services[service]

    def _compare_pending(self) -> None:
        """Exact after a leap; before, some receipts are on their way to the store. A device's legs
        end with the receipt of its socket, which the model leaves open (`delivery/escalation`)."""
        most = Counter(channel.kind for channel, _ in self.model.settled)
        least: Counter[str] = Counter()
        for channel in self.model.channels.values():
            most[channel.kind] += len(channel.waiting)
            if channel.kind != ChannelType.OMAPUSH:
                least[channel.kind] += sum(not leg.doubtful for leg in channel.waiting)
        for kind in ChannelType:
            assert least[kind] <= self.it.parts.store.pending[kind] <= most[kind], kind


def _compare_written(channel: ModelChannel, expected: list[Leg], got: list[str]) -> None:
    """What may have been receipted before a crash may be missing; the order of the rest counts
    where nothing has shaken it."""
    places = {id_: place for place, id_ in enumerate(got)}
    lost = [leg for leg in expected if leg.id not in places]
    assert all(leg.doubtful for leg in lost), (lost, got)
    there = [leg for leg in expected if leg.id in places]
    if channel.shuffled and expected:
        there.sort(key=lambda leg: places[leg.id])
        channel.renumber(there)
    assert [leg.id for leg in there] == got
    channel.confirm(there, lost)
