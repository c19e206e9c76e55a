"""Subscribers who write to each other, and their devices, over a store in memory."""

from collections.abc import Callable, Sequence

import attrs
import trio
from tests.fakes.deliveries import device_channel, socket_channel, webhook_channel
from tests.fakes.messaging_links import MemoryLink
from tests.fakes.phones import PHONE, Phones

from tocsin.messaging.handover import Handover
from tocsin.messaging.live import Live
from tocsin.messaging.notices import Notices
from tocsin.messaging.post import Post
from tocsin.messaging.posting import Posting, Sent
from tocsin.messaging.receipts import Receipts
from tocsin.messaging.register import Register
from tocsin.messaging.settings import MessagingLimits
from tocsin.model.channel import Channel
from tocsin.model.conversation import Member, Room, Subscriber
from tocsin.store.mail import LogPage, Mail, Posted, PutMember, PutRoom
from tocsin.store.sqlite import SqliteStore
from tocsin.wire.messaging.clientmessages import SendDirect, SendToRoom, Text
from tocsin.wire.messaging.ids import MessageIds

DOMAIN = "acme"


@attrs.define(eq=False)
class WritingLink(MemoryLink):
    """A connection that writes at once; `crash` is called before and may raise."""

    crash: Callable[[], None] = lambda: None

    def posted(self, entry: Posted) -> None:
        self.crash()
        super().posted(entry)
        self.position = entry.seq

    @property
    def seqs(self) -> list[int]:
        """The numbers of what it was given."""
        return [entry.seq for entry in self.entries]


@attrs.define
class PostingWorld:
    """What sends messages, put together; made inside Trio, `start` runs it.

    `silenced` are keys of subscribers who want no pushes.
    """

    phones: Phones = attrs.field(factory=Phones)
    limits: MessagingLimits = attrs.field(factory=MessagingLimits)
    keeps_unknown: bool = True
    notifies: bool = True
    counts_for_all: bool = False
    receipt_room_limit: int = 32
    silenced: set[int] = attrs.field(factory=set)
    live: Live = attrs.field(init=False)
    register: Register = attrs.field(init=False)
    notices: Notices = attrs.field(init=False)
    post: Post = attrs.field(init=False)
    posting: Posting = attrs.field(init=False)
    receipts: Receipts = attrs.field(init=False)
    handover: Handover = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        world, store = self.phones.world, self.store
        self.live = Live(most=10, uncorrelated_counts_for_all=self.counts_for_all)
        self.register = Register(store, user_template="{subscriber}@{domain}")
        self.notices = Notices(
            world.directory,
            world.ingest,
            is_silenced=self.silenced.__contains__,
            enabled=self.notifies,
        )
        self.post = Post(world.ingest, self.notices)
        self.posting = Posting(
            self.register,
            store,
            self.notices,
            self.post,
            message_ids=MessageIds(world.clock, after=store.greatest_message_id),
            limits=self.limits,
            keeps_unknown=self.keeps_unknown,
            receipt_room_limit=self.receipt_room_limit,
            clock=world.clock,
        )
        self.receipts = Receipts(
            store, clock=world.clock, uncorrelated_counts_for_all=self.counts_for_all
        )
        self.handover = Handover(self.live.of, metrics=world.metrics, now=trio.current_time)
        store.on_posted = self.handover.posted
        world.escalation.is_device_live = self.live.has_device
        self.live.on_device_left = world.escalation.device_left

    @property
    def store(self) -> SqliteStore:
        """The one object of it."""
        return self.phones.world.store

    async def start(self, nursery: trio.Nursery) -> None:
        """Run what delivers."""
        await self.phones.start(nursery)

    async def person(self, id_: str) -> Subscriber:
        """Somebody who has connected before."""
        one = await self.register.subscriber(DOMAIN, id_)
        await self.store.open_log(one, lambda _state, _error: None)
        return one

    async def connect(self, id_: str, correlator: str | None = None) -> WritingLink:
        """A connection that has all of its subscriber's Log so far."""
        link = WritingLink(await self.person(id_), correlator)
        log = await self.log(id_)
        link.position = log[-1].seq if log else 0
        self.live.attach(link)
        return link

    async def room(self, *ids: str) -> Room:
        """A Room of these, stored."""
        at = self.phones.world.clock()
        room = self.register.make_room(DOMAIN, "Room", at=at, invite_token=None, attributes=None)
        members = [Member(await self.person(id_), administrator=False, joined_at=at) for id_ in ids]
        for member in members:
            self.register.enter(room, member)
        changes = [PutRoom(room), *(PutMember(room, member) for member in members)]
        await self.post.send(Mail(at, changes=changes))
        return room

    async def subscribed(self, channel: Channel) -> Channel:
        """A channel that gets what tells of messages."""
        return await self.phones.subscribed(channel, "chat")

    async def device(self, id_: str, correlator: str = PHONE) -> Channel:
        """A phone of somebody that is pushed to."""
        user = f"{id_}@{DOMAIN}"
        return await self.subscribed(
            device_channel(user, f"{id_} {correlator}", correlator=correlator)
        )

    async def tab(self, id_: str, correlator: str = PHONE) -> Channel:
        """A notification socket of somebody."""
        return await self.subscribed(
            socket_channel(f"{id_}@{DOMAIN}", correlator=correlator, now=self.phones.world.clock())
        )

    async def hook(self, id_: str) -> Channel:
        """A webhook of somebody, called for the same device as his phone."""
        return await self.subscribed(webhook_channel(f"{id_}@{DOMAIN}", correlator=PHONE))

    async def write(
        self, link: WritingLink, to: str, content: str = "hi", *, dedupe_id: str | None = None
    ) -> Sent:
        """A direct message."""
        text = Text(content, dedupe_id=dedupe_id)
        return await self.posting.send_direct(link, SendDirect(subscriber_id=to, text=text))

    async def write_to_room(self, link: WritingLink, room_id: str, content: str = "hi") -> Sent:
        """A message to a Room."""
        wanted = SendToRoom(room_id=room_id, text=Text(content))
        return await self.posting.send_to_room(link, wanted)

    async def log(self, id_: str) -> Sequence[Posted]:
        """What is in somebody's Log."""
        one = await self.register.subscriber(DOMAIN, id_)
        pages: list[LogPage] = []

        def then(page: LogPage | None, error: Exception | None) -> None:
            assert page is not None, error
            pages.append(page)

        self.store.read_entries(one.key, after=0, limit=1000, then=then)
        await self.store.barrier()
        return pages[0].entries
