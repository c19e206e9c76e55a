"""A messaging client over real sockets, on any transport (messaging.md, 4 to 6).

    async with connected(daemon.public, token("bob", "messaging")) as bob:
        reply = await bob.ask({"type": "direct-message", "subscriber-id": "alice", "content": "hi"})
        assert reply.is_ok and reply.one["status"] == "stored"
        told = await bob.next("delivery")

Everything that comes is read at once, as a browser does, and stands in `log` in its order; what
carries a `reply-to` belongs to its request, the rest to `next` and `until`.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

import attrs
import trio
from tests.fakes.asyncapi import spoken
from tests.fakes.messaging_wires import Closing, RefusedError, SocketWire, Way, Wire, XhrWire

__all__ = ["TRANSPORTS", "Closing", "MessagingClient", "RefusedError", "Reply", "connected"]

RAW, FRAMED = "raw-websocket", "websocket"
STREAMING, POLLING = "xhr-streaming", "xhr-polling"
TRANSPORTS: Final = (RAW, FRAMED, STREAMING, POLLING)
BOUND: Final = 30.0
"""Seconds; far more than anything takes. Only a hang gets there."""

Message = dict[str, Any]


@attrs.define(eq=False)
class Reply:
    """What one request was answered: the messages before its `ack`, and that."""

    messages: list[Message] = attrs.field(factory=list)
    ack: Message | None = None
    done: trio.Event = attrs.field(factory=trio.Event, repr=False)

    @property
    def is_ok(self) -> bool:
        """It was done."""
        return self.ack is not None and self.ack["status"] is True

    @property
    def error(self) -> str:
        """The code of the refusal, which it must be."""
        assert self.ack is not None
        assert self.ack["status"] is False, self
        code: str = self.ack["error"]["code"]
        return code

    @property
    def one(self) -> Message:
        """The only message, and it was done."""
        assert self.is_ok, self
        [message] = self.messages
        return message


class MessagingClient:
    """One connection. `welcome` is there as soon as it came, `closing` when it has ended; `cursor`
    is what it would resume with, "" until it has had anything of its Log."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.log: list[Message] = []
        self.welcome: Message | None = None
        self.cursor = ""
        self.closing: Closing | None = None
        self._has_ended = trio.Event()
        self._ids = (f"q{number}" for number in count(1))
        self._asked: dict[str, Reply] = {}
        self._unsolicited: list[Message] = []
        self._arrivals = trio.Event()

    @property
    def waiting(self) -> list[Message]:
        """What came unasked and nobody has taken with `next` or `until`."""
        return list(self._unsolicited)

    # -- asking --------------------------------------------------------------------------------

    async def send(self, message: Mapping[str, object] | str) -> None:
        """Send a message, or any text, as it is."""
        text = message if isinstance(message, str) else json.dumps(message)
        with trio.fail_after(BOUND):
            await self.wire.send(text)

    async def begin(self, message: Mapping[str, object]) -> Reply:
        """Send a message with an `id`, its own or one of ours; the reply is `done` later."""
        asked = {"id": next(self._ids), **message}
        reply = self._asked[str(asked["id"])] = Reply()
        await self.send(asked)
        if self._has_ended.is_set():  # whatever it was sent on took it in vain
            reply.done.set()
        return reply

    async def ask(self, message: Mapping[str, object]) -> Reply:
        """Send a message, and wait for everything up to its `ack`."""
        reply = await self.begin(message)
        await self._wait(reply.done)
        return reply

    async def resume(self, cursor: str) -> Reply:
        """Have replayed what follows a cursor; the last of `messages` is `resumed`."""
        return await self.ask({"type": "resume", "cursor": cursor})

    # -- what comes by itself ------------------------------------------------------------------

    async def next(self, type_: str | None = None) -> Message:
        """The next message nobody asked for, which must be of this type."""
        message = await self._take()
        assert type_ in {None, message["type"]}, (type_, message)
        return message

    async def until(self, type_: str, **members: object) -> list[Message]:
        """Messages nobody asked for, up to the first of this type that has these members (`_` for
        `-`), which is the last."""
        wanted = {"type": type_, **{name.replace("_", "-"): v for name, v in members.items()}}
        taken: list[Message] = []
        while not taken or not wanted.items() <= taken[-1].items():
            taken.append(await self._take())
        return taken

    async def greeting(self) -> Message:
        """The `welcome`, which is the first of all."""
        message = await self.next("welcome")
        assert self.log[0] is message
        return message

    async def ended(self) -> Closing:
        """Code and reason, once the connection is closed."""
        with trio.fail_after(BOUND):
            await self._has_ended.wait()
        assert self.closing is not None
        return self.closing

    # -- leaving -------------------------------------------------------------------------------

    async def leave(self) -> None:
        """Close it properly, and wait for its end."""
        await self.wire.leave()
        await self.ended()

    async def cut(self) -> None:
        """Hang up without a word."""
        await self.wire.cut()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until the end; whoever waits for more is told then."""
        task_status.started()
        self.closing = await self.wire.run(self._received)
        self._has_ended.set()
        self._arrivals.set()
        for reply in self._asked.values():
            reply.done.set()

    # -- within --------------------------------------------------------------------------------

    def _received(self, text: str) -> None:
        message = json.loads(text)
        spoken().heard(f"server.{message['type']}", text)
        self.log.append(message)
        if message["type"] == "welcome":
            self.welcome = message
        elif "cursor" in message:
            self.cursor = message["cursor"]
        reply = self._asked.get(message.get("reply-to"))
        if reply is None:
            self._unsolicited.append(message)
            self._arrivals.set()
        elif message["type"] == "ack":
            reply.ack = message
            reply.done.set()
            del self._asked[message["reply-to"]]
        else:
            reply.messages.append(message)

    async def _take(self) -> Message:
        while not self._unsolicited:
            assert self.closing is None, f"closed with {self.closing}"
            self._arrivals = trio.Event()
            await self._wait(self._arrivals)
        return self._unsolicited.pop(0)

    async def _wait(self, event: trio.Event) -> None:
        with trio.move_on_after(BOUND) as scope:
            await event.wait()
        assert not scope.cancelled_caught, f"nothing came; the last was {self.log[-5:]}"


@asynccontextmanager
async def connected(
    address: str,
    token: str,
    *,
    transport: str = RAW,
    correlator: str | None = None,
    prefix: str = "/messaging",
    in_header: bool = False,
    greeted: bool = True,
) -> AsyncIterator[MessagingClient]:
    """A connection, cut at the end. Raises RefusedError where it is not let in.

    With `greeted` it has had its `welcome`, which is taken; without, that is yet to come, if any.
    """
    way = Way(
        address=address, token=token, correlator=correlator, prefix=prefix, in_header=in_header
    )
    client = MessagingClient(await _wire(way, transport))
    async with trio.open_nursery() as nursery:
        await nursery.start(client.run)
        try:
            if greeted:
                await client.greeting()
            yield client
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + BOUND):
                await client.cut()
            nursery.cancel_scope.cancel()


async def _wire(way: Way, transport: str) -> Wire:
    with trio.fail_after(BOUND):
        if transport in {RAW, FRAMED}:
            return await SocketWire.open(way, is_framed=transport == FRAMED)
        return await XhrWire.open(way, is_streaming=transport == STREAMING)
