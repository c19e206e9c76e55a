"""The daemon's real parts in virtual time: HTTP, sockets and store, without threads and ports.

`async with VirtualDaemon.opened(folder, clock)` inside `trio.run(..., clock=MockClock())`. Time
stands still until `leap`; after each call everything that was caused by it has happened.
"""

import contextlib
import random
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import orjson
import trio
from tests.fakes import client_frames
from tests.fakes.daemon import Answer, configured, read_answer, request_bytes, token
from tests.fakes.notification_socket import UPGRADE, notification_id
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.frame_protocol import FrameProtocol, Opcode

from tocsin.app.faces import public_server
from tocsin.app.gauges import Gauges
from tocsin.app.parts import Parts
from tocsin.delivery.drain import close_sockets
from tocsin.ops.clock import Clock
from tocsin.ops.metrics import Metrics
from tocsin.server.auth import key_source
from tocsin.server.http import HttpServer
from tocsin.server.limits import ConnectionGate
from tocsin.server.peers import Networks
from tocsin.store.sqlite import SqliteStore
from tocsin.wire.integers import dumps

EPOCH = 1_800_000_000
STORE = "tocsin.db"


@attrs.define(eq=False)
class VirtualSocket:
    """The client of one notification socket. It answers Pings and checks unless `mute`."""

    raw: socket.socket
    mute: bool = False
    ids: list[str] = attrs.field(factory=list)
    closed: int | None = None
    _frames: FrameProtocol = attrs.field(factory=lambda: FrameProtocol(client=True, extensions=[]))
    _text: str = ""

    def read(self) -> bool:
        """Take in what has arrived, and answer; whether there was anything."""
        try:
            data = self.raw.recv(1 << 20)
        except (BlockingIOError, ConnectionResetError):
            return False
        self.feed(data)
        return bool(data)

    def feed(self, data: bytes) -> None:
        """Take in bytes from the server."""
        self._frames.receive_bytes(data)
        for frame in self._frames.received_frames():
            payload: Any = frame.payload
            if frame.opcode is Opcode.CLOSE:
                self.closed = payload[0]
                self.send(client_frames.close(payload[0]))
            elif frame.opcode is Opcode.PING and not self.mute:
                self.send(client_frames.pong(bytes(payload)))
            elif frame.opcode is Opcode.TEXT:
                self._text += payload
                if frame.frame_finished:
                    text, self._text = self._text, ""
                    self._message(orjson.loads(text))

    def send(self, data: bytes) -> None:
        """Send bytes, if the server still listens."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.raw.sendall(data)

    def hang_up(self) -> None:
        """End the connection without a word."""
        self.raw.close()

    def _message(self, message: dict[str, Any]) -> None:
        if "connCheck" in message:
            if not self.mute:
                self.send(client_frames.text(b'{"connAck":{}}'))
        elif "connAck" not in message:
            self.ids.append(notification_id(message))


@attrs.define(eq=False)
class VirtualPoll:
    """A poll that may still be held."""

    raw: socket.socket

    async def answer(self) -> Answer | None:
        """What it was answered; None while it is held."""
        try:
            self.raw.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        answer, _ = await read_answer(cast("trio.SocketStream", _Heard(self.raw)))
        self.raw.close()
        return answer


@attrs.define(eq=False)
class VirtualDaemon:
    """Everything but the listeners, the supervisor and the queues of webhooks."""

    folder: Path
    clock: MockClock
    parts: Parts
    metrics: Metrics
    _server: HttpServer
    _nursery: trio.Nursery
    _sockets: list[VirtualSocket] = attrs.field(factory=list)
    _ours: list[socket.socket] = attrs.field(factory=list)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, folder: Path, clock: MockClock, **tables: Any
    ) -> AsyncIterator["VirtualDaemon"]:
        """A daemon that runs until the block ends; what is in memory only is lost then."""
        config = configured(folder, **tables)
        metrics, now = Metrics(), Clock.start(wall=lambda: EPOCH + clock.current_time())
        store = SqliteStore(config.store, threaded=False)
        parts = Parts(config, store, metrics=metrics, clock=now, rng=random.Random(0))
        keys = key_source(config.auth)
        server = public_server(
            config,
            parts,
            keys,
            messaging=None,
            metrics=metrics,
            clock=now,
            is_draining=lambda: False,
        )
        gate = ConnectionGate(config.limits.http, Networks([]))
        gauges = Gauges(
            metrics,
            parts,
            gate=gate,
            ledger=server.ledger,
            listeners=[],
            is_ready=lambda: True,
            store_path=config.store.path,
        )
        gauges.start_from(store.at_start)
        async with trio.open_nursery() as storage:
            await storage.start(store.run)
            await store.grant_grace(now() + config.channels.restart_grace * 1000)
            async with trio.open_nursery() as nursery:
                await nursery.start(parts.reactor.run)
                running = cls(folder, clock, parts, metrics, server, nursery)
                try:
                    yield running
                finally:
                    running._hang_up()
                    nursery.cancel_scope.cancel()
            storage.cancel_scope.cancel()

    async def ask(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Answer:
        """One request of Alice's; `body` may be bytes."""
        data = body if isinstance(body, bytes) else b"" if body is None else dumps(body)
        raw = request_bytes(method, target, body=data, headers=[_bearer(), *headers])
        answer, ours, _ = await self._exchange(raw)
        ours.close()
        await self.settle()
        return answer

    async def connect(self, target: str, *, mute: bool = False) -> VirtualSocket | Answer:
        """A socket, or why there is none."""
        raw = request_bytes("GET", target, headers=[_bearer(), *UPGRADE])
        answer, ours, left = await self._exchange(raw)
        if answer.status != 101:
            ours.close()
            return answer
        client = VirtualSocket(ours, mute)
        self._sockets.append(client)
        client.feed(left)
        await self.settle()
        return client

    async def poll(self, target: str) -> VirtualPoll:
        """A poll, answered or held."""
        ours = await self._send(request_bytes("POST", target, headers=[_bearer()]))
        return VirtualPoll(ours)

    async def settle(self) -> None:
        """Let everybody do what there is to do now."""
        busy = True
        while busy:
            await wait_all_tasks_blocked()
            self._sockets = [one for one in self._sockets if one.raw.fileno() >= 0]
            busy = sum(one.read() for one in self._sockets) > 0

    async def leap(self, seconds: float) -> None:
        """Time passes; what goes by the clock is done once, at its end."""
        self.clock.jump(seconds)
        await self.settle()
        self.parts.wheel.turn(trio.current_time())
        await self.settle()
        self.parts.sessions.flush()
        self.parts.sessions.mark()
        await self.parts.housekeeping.sweep()
        await self.settle()

    async def drain(self) -> None:
        """What a stop does before the end: sockets close 1012, memory goes to the store."""
        await close_sockets(self.parts.sessions, window=0, rng=random.Random(0))
        await self.settle()
        self.parts.sessions.flush()
        self.parts.store.extend_channels(self.parts.directory.clocks())
        await self.parts.store.barrier()

    def image(self) -> Path:
        """A copy of the store as it is on disk now: what `kill -9` would leave behind."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        for name in (STORE, f"{STORE}-wal"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, folder / name)
        return folder

    def gauge(self, name: str, **labels: str) -> float:
        """One series of the exposition."""
        value = self.metrics.registry.get_sample_value(f"tocsin_{name}", labels)
        assert value is not None, (name, labels)
        return value

    async def _exchange(self, raw: bytes) -> tuple[Answer, socket.socket, bytes]:
        ours = await self._send(raw)
        answer, left = await read_answer(cast("trio.SocketStream", _Heard(ours)))
        return answer, ours, left

    async def _send(self, raw: bytes) -> socket.socket:
        """A request on a connection of its own."""
        ours, theirs = socket.socketpair()
        for one in (ours, theirs):
            one.setblocking(False)
        self._ours.append(ours)
        self._nursery.start_soon(self._server.serve_connection, theirs, "127.0.0.1")
        ours.sendall(raw)
        await self.settle()
        return ours

    def _hang_up(self) -> None:
        for one in self._ours:
            one.close()


def _bearer(scope: str = "channels publish") -> tuple[str, str]:
    return "Authorization", f"Bearer {token(scope=scope)}"


class _Heard:
    """What has arrived on a socket, as a stream."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def receive_some(self, count: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._sock.recv(count)
