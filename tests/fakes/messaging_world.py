"""The messaging layer put together on a store in memory, and people connected to it."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import orjson
import pytest
import trio
from tests.fakes.deliveries import T0, socket_channel, subscription
from tests.fakes.messaging_links import MemoryLink
from tests.fakes.world import MEMORY, World

from tocsin.delivery.settings import ChannelSettings
from tocsin.messaging.crier import Crier
from tocsin.messaging.live import Live
from tocsin.messaging.notices import Notices
from tocsin.messaging.post import Post
from tocsin.messaging.presence import Presence
from tocsin.messaging.refused import Refused
from tocsin.messaging.register import Register
from tocsin.messaging.rooms import Reply, Rooms
from tocsin.messaging.settings import MessagingLimits
from tocsin.model.channel import ChannelType
from tocsin.model.conversation import Room, Subscriber
from tocsin.model.errors import StoreError
from tocsin.model.notification import Notification
from tocsin.store.mail import LogPage, LogState, Mail, Posted
from tocsin.store.messages import Load
from tocsin.store.records import Acceptance
from tocsin.store.sqlite import SqliteStore
from tocsin.wire.messaging.clientmessages import (
    Announce,
    CreateRoom,
    DeleteRoom,
    Invite,
    JoinRoom,
    LeaveRoom,
    UpdateMember,
    UpdateRoom,
)
from tocsin.wire.messaging.ids import MessageIds
from tocsin.wire.messaging.words import Availability

DOMAIN = "acme"
TEMPLATE = "{subscriber}@{domain}"


class StagedStore(SqliteStore):
    """A store that works at once, until a test holds it up or has it refuse something.

    What is asked of it has its turn one after the other. `refuses` says of a Mail whether it
    fails; `is_failing` has it fail reads. `reads` counts them by name.
    """

    def __init__(self) -> None:
        super().__init__(MEMORY, threaded=False)
        self._turn = trio.Lock()
        self.refuses: Callable[[Mail], bool] = lambda _mail: False
        self.is_failing = False
        self.reads: dict[str, int] = {}

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Nothing gets on while this lasts."""
        self._turn.acquire_nowait()
        try:
            yield
        finally:
            self._turn.release()

    async def hold_up(self) -> None:
        """From the next turn on nothing gets on until `go_on`."""
        await self._turn.acquire()

    def go_on(self) -> None:
        """See `hold_up`."""
        self._turn.release()

    async def accept(
        self, acceptance: Acceptance, on_done: Callable[[StoreError | None], None]
    ) -> None:
        async with self._turn:
            if acceptance.mail is not None and self.refuses(acceptance.mail):
                error = StoreError("the disk is on fire")
                on_done(error)
                raise error
            await super().accept(acceptance, on_done)

    async def find_subscribers(
        self, domain: str, ids: Sequence[str]
    ) -> dict[str, tuple[int, bool]]:
        await self._read("find_subscribers")
        return await super().find_subscribers(domain, ids)

    async def load_room(self, domain: str, room_id: str, load: Load) -> Room | None:
        await self._read("load_room")
        return await super().load_room(domain, room_id, load)

    async def reload_room(self, room: Room, load: Load) -> None:
        await self._read("reload_room")
        await super().reload_room(room, load)

    async def rooms_of(self, subscriber_key: int) -> list[str]:
        await self._read("rooms_of")
        return await super().rooms_of(subscriber_key)

    async def _read(self, name: str) -> None:
        self.reads[name] = self.reads.get(name, 0) + 1
        async with self._turn:
            if self.is_failing:
                raise StoreError("the disk is on fire")


@attrs.define
class MessagingWorld:
    """All that Rooms need; must be made inside Trio. `at` is the time, in epoch milliseconds."""

    store: StagedStore = attrs.field(factory=StagedStore)
    limits: MessagingLimits = attrs.field(factory=MessagingLimits)
    room_limit: int = 200
    channels: ChannelSettings = attrs.field(factory=ChannelSettings)
    at: int = T0
    message_ids: MessageIds = attrs.field(init=False)
    core: World = attrs.field(init=False)
    live: Live = attrs.field(init=False)
    register: Register = attrs.field(init=False)
    presence: Presence = attrs.field(init=False)
    notices: Notices = attrs.field(init=False)
    crier: Crier = attrs.field(init=False)
    rooms: Rooms = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.core = World(store=self.store, channels=self.channels)
        self.live = Live(most=self.limits.connections, uncorrelated_counts_for_all=False)
        self.presence = Presence(
            self.live, grace=10, room_limit=self.room_limit, now=lambda: self.at / 1000
        )
        self.store.on_posted = self._posted
        self.message_ids = MessageIds(self.now)
        self.restart()

    def restart(self) -> None:
        """Everything in memory is forgotten; connections have to come again."""
        self.store.reads.clear()
        self.register = Register(self.store, user_template=TEMPLATE)
        self.notices = Notices(
            self.core.directory, self.core.ingest, is_silenced=self.presence.is_silenced
        )
        self.crier = Crier(self.live, self.presence)
        self.rooms = Rooms(
            self.register,
            self.crier,
            Post(self.core.ingest, self.notices),
            self.presence,
            notices=self.notices,
            limits=self.limits,
            last_message=lambda: self.message_ids.last,
            now=self.now,
        )

    def now(self) -> int:
        """The time."""
        return self.at

    def _posted(self, entries: Sequence[Posted]) -> None:
        for entry in entries:
            for link in self.live.of(entry.subscriber_key):
                link.posted(entry)

    # -- people ----------------------------------------------------------------------------

    async def connect(self, id_: str, *, domain: str = DOMAIN) -> MemoryLink:
        """A new connection of somebody."""
        subscriber = await self.register.subscriber(domain, id_)
        opened: list[StoreError | None] = []

        def then(_state: LogState | None, error: StoreError | None) -> None:
            opened.append(error)

        await self.store.open_log(subscriber, then)
        assert opened == [None]
        await self.register.hold_rooms(subscriber)
        link = MemoryLink(subscriber, since=self.at)
        self.live.attach(link)
        return link

    async def people(self, *ids: str) -> list[MemoryLink]:
        """A connection of each."""
        return [await self.connect(id_) for id_ in ids]

    def disconnect(self, link: MemoryLink) -> None:
        """It ends."""
        was_last = self.live.detach(link)
        self.presence.left(link)
        if was_last:
            self.register.let_go(link.subscriber)

    def announce(self, link: MemoryLink, availability: Availability, status: str = "") -> None:
        """Somebody is seen."""
        self.presence.announce(link, Announce(availability=availability, status=status))

    async def subscribe_chat(self, user: str) -> None:
        """A core user has a LongPolling channel with a subscription to `chat`."""
        channel = socket_channel(user, kind=ChannelType.LONG_POLLING)
        account = await self.core.directory.account(user)
        await self.core.directory.open_channel(account, channel)
        await self.core.directory.subscribe(account, subscription(channel, "chat"), b"{}")

    # -- acts ------------------------------------------------------------------------------

    async def create(self, link: MemoryLink, name: str = "Day shift", **fields: Any) -> str:
        """A Room, whose token is `s3` unless it is said otherwise; its id."""
        asked = CreateRoom(name=name, **{"invite_token": "s3", **fields})
        reply = await self.rooms.create(link, asked)
        return str(members(reply)["channel-id"])

    async def room_of(self, *links: MemoryLink) -> str:
        """A Room of these, the first its administrator, whose entries have been taken."""
        room_id = await self.create(links[0])
        for link in links[1:]:
            await self.join(link, room_id)
        for link in links:
            link.entries.clear()
            link.notices.clear()
        return room_id

    async def join(self, link: MemoryLink, room_id: str, token: str | None = "s3") -> Reply:
        return await self.rooms.join(link, JoinRoom(room_id=room_id, invite_token=token))

    async def leave(self, link: MemoryLink, room_id: str) -> Reply:
        return await self.rooms.leave(link, LeaveRoom(room_id=room_id))

    async def update(self, link: MemoryLink, room_id: str, **fields: Any) -> None:
        await self.rooms.update(link, UpdateRoom(room_id=room_id, **fields))

    async def delete(self, link: MemoryLink, room_id: str) -> None:
        await self.rooms.delete(link, DeleteRoom(room_id=room_id))

    async def invite(self, link: MemoryLink, room_id: str, *ids: str) -> None:
        await self.rooms.invite(link, Invite(room_id=room_id, subscriber_ids=ids))

    async def appoint(
        self, link: MemoryLink, room_id: str, id_: str, *, administrator: bool = True
    ) -> None:
        asked = UpdateMember(room_id=room_id, subscriber_id=id_, administrator=administrator)
        await self.rooms.change_member(link, asked)

    async def remove(self, link: MemoryLink, room_id: str, id_: str) -> None:
        asked = UpdateMember(room_id=room_id, subscriber_id=id_, administrator=None)
        await self.rooms.change_member(link, asked)

    # -- looking ---------------------------------------------------------------------------

    async def find(self, room_id: str, *, domain: str = DOMAIN) -> Room:
        """A Room that is there."""
        room = await self.register.room(domain, room_id)
        assert room is not None
        return room

    async def log_of(self, subscriber: Subscriber) -> list[dict[str, Any]]:
        """All that is kept for somebody, as he would be sent it, without cursors."""
        pages: list[LogPage] = []

        def then(page: LogPage | None, error: StoreError | None) -> None:
            assert page is not None, error
            pages.append(page)

        self.store.read_entries(subscriber.key, after=0, limit=1000, then=then)
        await self.store.barrier()
        return [orjson.loads(entry.rendered.text()) for entry in pages[0].entries]

    async def notified(self, user: str) -> list[Notification]:
        """What waits for a core user on the channels of `subscribe_chat`."""
        account = await self.core.directory.account(user)
        found: list[Notification] = []
        for channel in account.channels.values():

            def then(waiting: Any, error: StoreError | None) -> None:
                assert error is None
                found.extend(one.notification for one in waiting)

            self.store.fetch_waiting(channel, now=self.at, after=0, limit=100, then=then)
            await self.store.barrier()
        return found


async def refused(code: str, act: Awaitable[object]) -> Refused:
    """How an act is refused, with this code."""
    with pytest.raises(Refused) as caught:
        await act
    assert caught.value.error.code == code
    return caught.value


def members(reply: Reply) -> dict[str, Any]:
    """A reply as the client gets it."""
    return dict(orjson.loads(reply.rendered.text()))


def texts(link: MemoryLink) -> list[dict[str, Any]]:
    """The entries a connection was given, but for those of its own acts that have a reply."""
    return [
        orjson.loads(entry.rendered.text()) for entry in link.entries if entry.origin is not link
    ]


def names(room: Room) -> list[str]:
    """The ids of its members, in order of their standing."""
    return [member.subscriber.id for member in room.members.values()]


def administrators(room: Room) -> set[str]:
    """The ids of those with rights."""
    return {one.subscriber.id for one in room.members.values() if one.administrator}
