"""The client of a notification socket that does nothing by itself: no Pong, no Close."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import orjson
import trio
from tests.fakes import client_frames
from tests.fakes.daemon import (
    CHANNELS,
    Answer,
    Daemon,
    Header,
    dial,
    read_answer,
    request_bytes,
    token,
)
from wsproto.frame_protocol import FrameProtocol, Opcode

UPGRADE: tuple[Header, ...] = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
Frame = tuple[Opcode, Any]


@attrs.define(eq=False)
class NotificationSocket:
    """Reads frame by frame, writes raw bytes."""

    stream: trio.SocketStream
    _frames: FrameProtocol = attrs.field(factory=lambda: FrameProtocol(client=True, extensions=[]))
    _waiting: list[Frame] = attrs.field(factory=list)
    _text: str = ""

    async def frame(self) -> Frame:
        """The next frame, its text whole; 10 s are too long."""
        with trio.fail_after(30):
            await trio.lowlevel.checkpoint()
            while not self._waiting:
                data = await self.stream.receive_some(65536)
                assert data, "the connection ended without a frame"
                self.feed(data)
        return self._waiting.pop(0)

    async def message(self) -> Any:
        """The next text message as JSON; Pings before it are dropped."""
        while True:
            kind, payload = await self.frame()
            if kind is Opcode.TEXT:
                return orjson.loads(payload)
            assert kind is Opcode.PING, (kind, payload)

    async def ids(self, count: int) -> list[str]:
        """The ids of the next so many notifications."""
        return [notification_id(await self.message()) for _ in range(count)]

    async def ping(self) -> bytes:
        """The payload of the next frame, which must be a Ping."""
        kind, payload = await self.frame()
        assert kind is Opcode.PING, (kind, payload)
        return bytes(payload)

    async def settle(self) -> None:
        """Answer the Ping that comes next."""
        await self.send(client_frames.pong(await self.ping()))

    async def closed(self) -> int:
        """The code of the Close that comes next, behind whatever else; echoes it."""
        while True:
            kind, payload = await self.frame()
            if kind is Opcode.CLOSE:
                code: int = payload[0]
                # The server may have dropped the connection without waiting for this.
                with contextlib.suppress(trio.BrokenResourceError):
                    await self.send(client_frames.close(code))
                return code

    async def say(self, message: object) -> None:
        """Send one JSON message."""
        await self.send(client_frames.text(orjson.dumps(message)))

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        with trio.fail_after(30):
            await self.stream.send_all(data)

    async def is_alive(self) -> bool:
        """Whether a connCheck is answered; what comes before the answer is dropped."""
        await self.say({"connCheck": {"interval": 60}})
        while await self.message() != {"connAck": {}}:
            pass
        return True

    def feed(self, data: bytes) -> None:
        """Take in bytes from the server."""
        self._frames.receive_bytes(data)
        for frame in self._frames.received_frames():
            if frame.opcode is not Opcode.TEXT:
                self._waiting.append((frame.opcode, frame.payload))
                continue
            self._text += str(frame.payload)
            if frame.frame_finished:
                self._waiting.append((Opcode.TEXT, self._text))
                self._text = ""


def notification_id(message: dict[str, Any]) -> str:
    """The id one level below the only root key."""
    [body] = message.values()
    id_: str = body["id"]
    return id_


async def handshake(
    daemon: Daemon,
    channel_id: str,
    *,
    query: str = "",
    bearer: str | None = "",
    headers: Iterable[Header] = UPGRADE,
) -> NotificationSocket | Answer:
    """Ask for the socket of one of Alice's channels: the socket, or the refusal."""
    auth = [] if bearer is None else [("Authorization", f"Bearer {bearer or token()}")]
    target = f"{CHANNELS}/{channel_id}/websocket{query}"
    stream = await dial(daemon.public)
    await stream.send_all(request_bytes("GET", target, headers=[*auth, *headers]))
    answer, left = await read_answer(stream)
    if answer.status != 101:
        await stream.aclose()
        return answer
    client = NotificationSocket(stream)
    client.feed(left)
    return client


async def refusal(
    daemon: Daemon,
    channel_id: str,
    *,
    query: str = "",
    bearer: str | None = "",
    headers: Iterable[Header] = UPGRADE,
) -> Answer:
    """How the daemon refuses one of them."""
    answer = await handshake(daemon, channel_id, query=query, bearer=bearer, headers=headers)
    assert isinstance(answer, Answer), "it was accepted"
    return answer


@asynccontextmanager
async def connected(daemon: Daemon, channel: dict[str, Any]) -> AsyncIterator[NotificationSocket]:
    """An open socket; the connection is cut at the end."""
    client = await handshake(daemon, channel["callbackURL"])
    assert isinstance(client, NotificationSocket), client
    try:
        yield client
    finally:
        await trio.aclose_forcefully(client.stream)
