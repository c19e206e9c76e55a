"""A desk with everybody behind it, on a store in memory: asked with messages as clients write them.

world = DeskWorld()
alice, bob = await world.people("alice", "bob")
reply = await world.ask(alice, type="direct-message", subscriber_id="bob", content="hi")
assert reply.one["status"] == "stored"
"""

from typing import Any

import attrs
import orjson
from tests.fakes.messaging_links import MemoryLink
from tests.fakes.messaging_world import MessagingWorld

from tocsin.messaging.composing import Composing
from tocsin.messaging.post import Post
from tocsin.messaging.posting import Posting
from tocsin.messaging.receipts import Receipts
from tocsin.server.messaging.answer import Own
from tocsin.server.messaging.desk import MessageDesk, Offices
from tocsin.server.messaging.history import Histories
from tocsin.server.messaging.lists import People
from tocsin.wire.messaging.cursor import cursor
from tocsin.wire.messaging.envelope import parse
from tocsin.wire.messaging.refusals import MessageError

EPOCH = "e1"


@attrs.frozen
class Reply:
    """What a desk answered, as the connection would write it."""

    messages: list[dict[str, Any]]
    error: MessageError | None

    @property
    def one(self) -> dict[str, Any]:
        """The only message, and nothing was refused."""
        assert self.error is None, self.error
        [message] = self.messages
        return message

    @property
    def code(self) -> str:
        """Why it was refused, and so has no message (MS-20)."""
        assert self.error is not None, self.messages
        assert self.messages == []
        return self.error.code.value


@attrs.define
class DeskWorld(MessagingWorld):
    """All that a desk needs. Each request comes a millisecond after the one before."""

    desk: MessageDesk = attrs.field(init=False)
    composing: Composing = attrs.field(init=False)
    histories: Histories = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self.composing = Composing(
            self.live, room_limit=self.room_limit, now=lambda: self.at / 1000
        )
        self.histories = Histories(
            self.store, self.register, age=self.limits.history_age, clock=self.now
        )
        self.desk = MessageDesk(
            Offices(
                register=self.register,
                rooms=self.rooms,
                posting=self._posting(),
                receipts=Receipts(self.store, clock=self.now),
                presence=self.presence,
                composing=self.composing,
                people=People(
                    self.store, self.register, self.presence, oldest=lambda: self.histories.oldest
                ),
                histories=self.histories,
            )
        )

    def _posting(self) -> Posting:
        return Posting(
            self.register,
            self.store,
            self.notices,
            Post(self.core.ingest, self.notices),
            message_ids=self._next_id,
            limits=self.limits,
            keeps_unknown=True,
            receipt_room_limit=32,
            clock=self.now,
        )

    def _next_id(self) -> str:
        return self.message_ids()

    async def ask(self, link: MemoryLink, **fields: object) -> Reply:
        """A message with these fields (`_` for `-`), its `id` being `1`."""
        self.at += 1
        members = {name.replace("_", "-"): value for name, value in fields.items()}
        message = parse(orjson.dumps({"id": "1", **members}))
        answer = await self.desk.handle(link, message)  # type: ignore[arg-type] # a good one
        texts = [
            reply
            if isinstance(reply, bytes)
            else reply.rendered.text(reply_to="1", cursor=_cursor_of(reply))
            for reply in answer.replies
        ]
        return Reply([orjson.loads(text) for text in texts], answer.error)

    async def say(self, sender: MemoryLink, to: str, content: str = "hi") -> str:
        """A direct message; its id."""
        reply = await self.ask(sender, type="direct-message", subscriber_id=to, content=content)
        return str(reply.one["message-id"])

    async def say_in(self, sender: MemoryLink, room_id: str, content: str = "hi") -> str:
        """A message to a Room; its id."""
        reply = await self.ask(sender, type="channel-message", channel_id=room_id, content=content)
        return str(reply.one["message-id"])


def _cursor_of(reply: Own) -> str:
    assert reply.entry.seq > 0
    return cursor(EPOCH, reply.entry.seq)
