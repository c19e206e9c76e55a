"""A messaging subscriber: writes, and comes back with the cursor of what he had (messaging.md)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import orjson
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from tocsin.demo.child import Daemon
from tocsin.demo.errors import DemoError
from tocsin.demo.link import attached

PATH = "/messaging/websocket"
REPLY_SECONDS = 10.0

Message = dict[str, Any]


class Talker:
    """One subscriber; connected only within `connected`. `arrived` gets id and text of each
    message to him, replayed ones included."""

    def __init__(self, name: str, daemon: Daemon, arrived: Callable[[str, str], None]) -> None:
        self.name = name
        self.cursor = ""
        self._daemon = daemon
        self._arrived = arrived
        self._numbers = count(1)
        self._replies: dict[str, list[Message]] = {}
        self._acknowledged = trio.Event()
        self._socket: WebSocketConnection

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Connect and resume; at the end the connection is just gone."""
        token = self._daemon.token(self.name, "messaging")
        async with attached(self._daemon.public, PATH, token, self._heard) as self._socket:
            await self._ask(type="resume", cursor=self.cursor)
            yield

    async def write(self, to: str, content: str) -> str:
        """Send a direct message; its id, when it is stored."""
        reply = await self._ask(type="direct-message", **{"subscriber-id": to, "content": content})
        return str(reply[0]["message-id"])

    async def _ask(self, **message: str) -> list[Message]:
        """What is answered before the `ack`; DemoError if that is none, or does not come."""
        number = str(next(self._numbers))
        self._replies[number] = []
        try:
            with trio.fail_after(REPLY_SECONDS):
                await self._socket.send_message(orjson.dumps({"id": number, **message}).decode())
                *messages, ack = await self._reply(number)
        except (trio.TooSlowError, ConnectionClosed) as error:
            raise DemoError(f"{self.name}: {message['type']}: {error!r}") from None
        if not ack["status"]:
            raise DemoError(f"{self.name}: {message['type']}: {ack['error']}")
        return messages

    async def _reply(self, number: str) -> list[Message]:
        while not self._replies[number] or self._replies[number][-1]["type"] != "ack":
            self._acknowledged = trio.Event()
            await self._acknowledged.wait()
        return self._replies.pop(number)

    def _heard(self, text: str) -> None:
        message: Message = orjson.loads(text)
        if message["type"] != "welcome":
            self.cursor = message.get("cursor", self.cursor)
        if message["type"] == "direct-message" and message["from"] != self.name:
            self._arrived(message["message-id"], message["content"])
        if message.get("reply-to") in self._replies:
            self._replies[message["reply-to"]].append(message)
            self._acknowledged.set()
