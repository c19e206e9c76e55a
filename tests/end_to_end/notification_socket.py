"""A notification socket whose every frame is in the test's hands: wsproto over a Trio stream.

Nothing is answered unless the test says so, so that receipts can be withheld.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import trio
from tests.end_to_end.clients import User
from tests.end_to_end.daemon import BOUND
from tests.fakes.asyncapi import heard_on_socket
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

ABNORMAL = 1006


class SocketClosedError(Exception):
    """The daemon's Close, or the end of the stream without one (1006)."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class HandshakeRefusedError(Exception):
    """Anything but 101."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class NotificationSocket:
    """An open socket. With `ponging`, each Ping is answered when `receive` comes to it."""

    def __init__(self, stream: trio.SocketStream, *, ponging: bool) -> None:
        self.ponging = ponging
        self.pings: list[bytes] = []
        self._last_ping: Ping | None = None
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._waiting: list[Event] = []

    async def shake_hands(self, url: str, bearer: str) -> None:
        """Upgrade; HandshakeRefusedError if the daemon does not want to."""
        target = urlsplit(url)
        await self._send(
            Request(
                host=target.netloc,
                target=f"{target.path}?{target.query}" if target.query else target.path,
                extra_headers=[(b"Authorization", f"Bearer {bearer}".encode())],
            )
        )
        match await self._event():
            case AcceptConnection():
                return
            case RejectConnection(status_code=status):
                raise HandshakeRefusedError(status)
            case unexpected:
                raise AssertionError(f"{unexpected} is no answer to a handshake")

    async def receive(self) -> str:
        """The next text; SocketClosedError when there is none to come. May be cancelled."""
        text = ""
        while True:
            match await self._event():
                case TextMessage(data=data, message_finished=finished):
                    text += data
                    if finished:
                        heard_on_socket(text)
                        return text
                case Ping() as ping:
                    self._last_ping = ping
                    self.pings.append(bytes(ping.payload))
                    if self.ponging:
                        await self.pong()
                case CloseConnection() as close:
                    await self._send(close.response())
                    raise SocketClosedError(close.code)

    async def texts(self, count: int) -> list[str]:
        """So many texts."""
        received: list[str] = []
        with trio.fail_after(BOUND):
            while len(received) < count:
                received.append(await self.receive())
        return received

    async def ping(self) -> bytes:
        """The payload of the next Ping; no text may come before it."""
        seen = len(self.pings)
        with trio.fail_after(BOUND):
            while len(self.pings) == seen:
                event = await self._event()
                assert isinstance(event, Ping), event
                self._last_ping = event
                self.pings.append(bytes(event.payload))
        return self.pings[-1]

    async def pong(self) -> None:
        """Answer the last Ping."""
        assert self._last_ping is not None
        await self._send(self._last_ping.response())

    async def check(self) -> None:
        """A connCheck and its connAck: the daemon has read all we sent before."""
        await self._send(TextMessage('{"connCheck":{"interval":600}}'))
        assert await self.texts(1) == ['{"connAck":{}}']

    async def closed(self) -> int:
        """Wait for the daemon's Close, and nothing else may come before it; its code."""
        with trio.fail_after(BOUND):
            try:
                raise AssertionError(f"unexpected: {await self.receive()}")
            except SocketClosedError as closed:
                return closed.code

    async def close(self) -> None:
        """Say goodbye (1000), without waiting for the answer."""
        await self._send(CloseConnection(code=1000))

    async def _send(self, event: Event) -> None:
        try:
            await self._stream.send_all(self._protocol.send(event))
        except trio.BrokenResourceError:
            raise SocketClosedError(ABNORMAL) from None

    async def _event(self) -> Event:
        while not self._waiting:
            try:
                data = await self._stream.receive_some()
            except trio.BrokenResourceError:
                data = b""
            if not data:
                raise SocketClosedError(ABNORMAL)
            self._protocol.receive_data(bytes(data))
            self._waiting.extend(self._protocol.events())
        return self._waiting.pop(0)


@asynccontextmanager
async def open_socket(
    user: User, channel: str, *, ponging: bool = True, since: str | None = None
) -> AsyncIterator[NotificationSocket]:
    """A socket of the user's channel; the connection is dropped at the end of the block."""
    url = user.socket_url(channel) + (f"?since={since}" if since is not None else "")
    host, _, port = urlsplit(url).netloc.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        socket = NotificationSocket(stream, ponging=ponging)
        await socket.shake_hands(url, user.bearer)
        yield socket
