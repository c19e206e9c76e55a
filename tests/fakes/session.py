"""A session that remembers what its engine told it, and the client at the other end."""

import socket
from collections.abc import Callable
from typing import Any, Protocol

import trio
from wsproto.frame_protocol import FrameProtocol, Opcode

from tocsin.server.engine import AnyEngine
from tocsin.server.handler import ConnectionLimits, Link

LIMITS = ConnectionLimits(max_message=4096, frames_per_second=50, outbox_bytes=1 << 20)


class MakeEngine(Protocol):
    """Makes the engine a test is about."""

    def __call__(self, **options: Any) -> AnyEngine: ...


Told = tuple[str, bytes | int | None]


class Recorder:
    """Implements `Handler`: a list of what it was told, and a hook per kind of event."""

    def __init__(self, **reactions: Callable[["Recorder"], object]) -> None:
        self.told: list[Told] = []
        self.connection: Link | None = None
        self._reactions = reactions
        self._news = trio.Event()

    def opened(self, connection: Link) -> None:
        self.connection = connection
        self._tell("opened", None)

    def text(self, payload: bytes) -> None:
        self._tell("text", payload)

    def binary(self, payload: bytes) -> None:
        self._tell("binary", payload)

    def pong(self, payload: bytes) -> None:
        self._tell("pong", payload)

    def drained(self) -> None:
        self._tell("drained", None)

    def closed(self, code: int) -> None:
        self._tell("closed", code)

    @property
    def texts(self) -> list[bytes | int | None]:
        """The payloads of the text messages."""
        return [value for kind, value in self.told if kind == "text"]

    @property
    def closings(self) -> list[bytes | int | None]:
        """The codes `closed` was called with; one, in the end."""
        return [value for kind, value in self.told if kind == "closed"]

    async def until(self, reached: Callable[["Recorder"], object]) -> None:
        """Wait until what was told satisfies the condition."""
        with trio.fail_after(30):
            await trio.lowlevel.checkpoint()
            while not reached(self):
                self._news = trio.Event()
                await self._news.wait()

    async def until_closed(self) -> int:
        """Wait for `closed` and return its code."""
        await self.until(lambda recorder: recorder.closings)
        code = self.closings[0]
        assert isinstance(code, int)
        return code

    def _tell(self, kind: str, value: bytes | int | None) -> None:
        self.told.append((kind, value))
        self._news.set()
        if kind in self._reactions:
            self._reactions[kind](self)


_clients: list["Client"] = []


def hang_up() -> None:
    """Close the clients a test left open."""
    while _clients:
        _clients.pop().raw.close()


class Client:
    """The peer, over a Trio stream: writes raw bytes, reads frames with wsproto."""

    def __init__(self, sock: socket.socket) -> None:
        _clients.append(self)
        self.raw = sock
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._frames = FrameProtocol(client=True, extensions=[])
        self._waiting: list[tuple[Opcode, object]] = []
        self._text = ""

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        with trio.fail_after(30):
            await self._stream.send_all(data)

    async def frame(self) -> tuple[Opcode, object]:
        """The next whole frame."""
        with trio.fail_after(30):
            await trio.lowlevel.checkpoint()
            while not self._waiting:
                data = await self._stream.receive_some()
                assert data, "the server closed without a frame"
                self._read(data)
        return self._waiting.pop(0)

    async def rest(self) -> bytes:
        """All raw bytes up to the end of the stream."""
        data = b""
        with trio.fail_after(30):
            async for chunk in self._stream:
                data += chunk
        return data

    async def end(self) -> None:
        """Wait for the end of the stream, and nothing else may come."""
        assert not self._waiting
        assert await self.rest() == b""

    def _read(self, data: bytes) -> None:
        self._frames.receive_bytes(data)
        for frame in self._frames.received_frames():
            payload = frame.payload
            if frame.opcode is Opcode.TEXT:
                assert isinstance(payload, str)
                self._text += payload
                if not frame.frame_finished:
                    continue
                payload, self._text = self._text, ""
            self._waiting.append((frame.opcode, payload))

    async def aclose(self) -> None:
        """Close the client's side."""
        await self._stream.aclose()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that do not block."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def connect(
    engine: AnyEngine,
    handler: Recorder,
    limits: ConnectionLimits = LIMITS,
    *,
    received: bytes = b"",
) -> Client:
    """A client connected to the engine through a socket pair."""
    ours, theirs = pair()
    engine.adopt(ours, handler, limits, received=received)
    return Client(theirs)
