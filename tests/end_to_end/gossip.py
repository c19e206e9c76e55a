"""People who write to each other while the daemon is killed, and the books of it (MS-70).

Every content is written once, under a `dedupe-id` that is the same, and again until it is acked.
Each device notes what it is given of its subscriber's Log and resumes behind that. At the end the
books say what is missing and what must not have been.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import attrs
import trio
from tests.end_to_end.load import PAUSE, Load
from tests.end_to_end.talkers import talk
from tests.fakes.messaging_client import (
    FRAMED,
    POLLING,
    RAW,
    STREAMING,
    Message,
    MessagingClient,
    RefusedError,
)

LETTERS = {"direct-message", "channel-message"}
RANKS = ("stored", "received", "displayed", "read")
FAILURES = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, RefusedError)


@attrs.define
class Books:
    """`room` is the one that everybody is in. A conversation is its name, or both names."""

    people: Sequence[str]
    room: str = ""
    promised: dict[str, str] = attrs.field(factory=dict)
    mistakes: list[str] = attrs.field(factory=list)
    devices: "list[Device]" = attrs.field(factory=list)
    conversations: dict[str, str] = attrs.field(factory=dict)
    refused: int = 0
    _ids: dict[str, str] = attrs.field(factory=dict)
    _contents: dict[str, str] = attrs.field(factory=dict)

    def named(self, content: str, message_id: str) -> None:
        """Somebody was told the id of a content; there is only one for each."""
        if self._ids.setdefault(content, message_id) != message_id:
            self.mistakes.append(f"{content} is {message_id} and {self._ids[content]}")
        self._contents[message_id] = content

    def promise(self, content: str, message_id: str) -> None:
        """It was acked."""
        self.named(content, message_id)
        self.promised[content] = message_id

    def conversation_of(self, message_id: str) -> str:
        """Where it was said; empty while nobody knows what it says."""
        return self.conversations.get(self._contents.get(message_id, ""), "")

    def missing(self) -> list[str]:
        """What was promised and has not come to all devices of everybody it concerns."""
        return [
            f"{device.mailbox} misses {content}"
            for content, message_id in self.promised.items()
            for device in self.devices
            if device.concerns(self.conversations[content]) and not device.has(message_id)
        ]

    def judge(self) -> list[str]:
        """What must not have been, once nothing is missing and nobody writes any more."""
        found = [
            f"{one.mailbox} was given {one.seqs}"
            for one in self.devices
            if one.seqs != list(range(1, len(one.seqs) + 1))
        ]
        found += self.mistakes
        orders: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
        for device in self.devices:
            for conversation, ids in device.by_conversation().items():
                if not conversation:
                    found.append(f"{device.mailbox} was given what nobody wrote: {ids}")
                orders[conversation].add(tuple(ids))
                if ids != sorted(set(ids)):
                    found.append(f"{device.mailbox} had {conversation} out of order: {ids}")
        found += [f"{name} is not the same to all" for name, one in orders.items() if len(one) > 1]
        if set(self._ids) != set(self.promised):
            found.append(f"never promised: {set(self._ids) - set(self.promised)}")
        return found


@attrs.define(eq=False)
class Device:
    """One client of somebody, which loses its connection now and then; it writes if it is a
    `writer`."""

    load: Load
    books: Books
    name: str
    transport: str
    is_writer: bool = False
    cursor: str = ""
    seqs: list[int] = attrs.field(factory=list)
    order: list[str] = attrs.field(factory=list)
    connections: int = 0
    _filed: int = 0
    _count: int = 0
    _open: Message | None = None
    _come: set[str] = attrs.field(factory=set)
    _ranks: dict[tuple[str, str], int] = attrs.field(factory=dict)

    @property
    def mailbox(self) -> str:
        """What it is called in the books."""
        return f"{self.name}'s {self.transport}{' (writing)' if self.is_writer else ''}"

    @property
    def is_done(self) -> bool:
        """Nothing is written that was not acked."""
        return self._open is None

    def concerns(self, conversation: str) -> bool:
        """Whether it is told of this conversation."""
        return conversation == self.books.room or self.name in conversation.split(" ")

    def has(self, message_id: str) -> bool:
        """Whether it was given it."""
        return message_id in self._come

    def by_conversation(self) -> dict[str, list[str]]:
        """The ids it has been told, in that order."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for message_id in self.order:
            found[self.books.conversation_of(message_id)].append(message_id)
        return found

    async def run(self) -> None:
        """Connect, resume, stay for a while, again and again."""
        while True:
            try:
                connecting = talk(
                    self.load.daemon, self.name, transport=self.transport, greeted=False
                )
                async with connecting as client:
                    self._filed = 0
                    try:
                        await self._stay(client)
                    finally:
                        self._file(client)
            except* FAILURES:
                pass
            await trio.sleep(PAUSE)

    async def _stay(self, client: MessagingClient) -> None:
        self.connections += 1
        client.wire.answers_pings = not self.load.happens(0.3)
        resumed = await client.resume(self.cursor)
        if resumed.ack is None:
            return
        if not resumed.is_ok:
            self.books.refused += 1
            return
        if not resumed.messages[-1]["complete"]:
            self.books.mistakes.append(f"{self.mailbox} cannot resume {self.cursor}")
        leaves = self.load.happens(0.5)
        with trio.move_on_after(self.load.rng.uniform(0.05, 0.7) if leaves else float("inf")):
            while client.closing is None:
                if self.is_writer and not (self.load.calm.is_set() and self.is_done):
                    await self._write(client)
                else:
                    await trio.sleep(PAUSE)
                self._file(client)

    # -- writing -------------------------------------------------------------------------------

    async def _write(self, client: MessagingClient) -> None:
        """The next message, or once more the one that was not acked."""
        if self._open is None:
            self._open = self._next()
        content = self._open["content"]
        reply = await client.ask(self._open)
        for message in reply.messages:
            self.books.named(content, message["message-id"])
        if reply.ack is None:
            return
        if not reply.is_ok:
            self.books.refused += 1
            await trio.sleep(PAUSE)
            return
        self.books.promise(content, reply.messages[-1]["message-id"])
        self._open = None

    def _next(self) -> Message:
        self._count += 1
        content = f"{self.name} {self._count}"
        others = [one for one in self.books.people if one != self.name]
        to = self.load.rng.choice([*others, self.books.room])
        letter: Message = {"content": content, "dedupe-id": content}
        if to == self.books.room:
            self.books.conversations[content] = to
            return {"type": "channel-message", "channel-id": to, **letter}
        self.books.conversations[content] = " ".join(sorted((self.name, to)))
        return {"type": "direct-message", "subscriber-id": to, **letter}

    # -- what comes ----------------------------------------------------------------------------

    def _file(self, client: MessagingClient) -> None:
        """Note what has come since it was looked last."""
        news, self._filed = client.log[self._filed :], len(client.log)
        for message in news:
            if message["type"] not in {"welcome", "resumed"} and "cursor" in message:
                self._note(message)

    def _note(self, message: Message) -> None:
        self.cursor = message["cursor"]
        self.seqs.append(int(self.cursor.rpartition(":")[2]))
        if message["type"] in LETTERS:
            self.books.named(message["content"], message["message-id"])
            self._came(message["message-id"])
        elif message["type"] == "delivery" and message["status"] == "stored":
            self._came(message["message-id"])
        elif message["type"] == "delivery":
            self._rise(message)

    def _came(self, message_id: str) -> None:
        if message_id in self._come:
            self.books.mistakes.append(f"{self.mailbox} was given {message_id} twice")
        self._come.add(message_id)
        self.order.append(message_id)

    def _rise(self, message: Message) -> None:
        about = (message["message-id"], message["subscriber-id"])
        rank = RANKS.index(message["status"])
        if rank <= self._ranks.get(about, 0):
            self.books.mistakes.append(f"{self.mailbox} was told {message} late")
        self._ranks[about] = rank


def cast(load: Load, books: Books) -> list[Device]:
    """Everybody writes on one device and reads on two."""
    for number, name in enumerate(books.people):
        make = partial(Device, load, books, name)
        transports = (RAW, FRAMED, STREAMING, POLLING)
        books.devices += [
            make(transports[number % 4], is_writer=True),
            make(RAW),
            make(transports[(number + 2) % 4]),
        ]
    return books.devices
