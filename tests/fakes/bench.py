"""Notification sessions in virtual time: real store, directory and window, no sockets.

`async with bench() as it:` under `autojump_clock`. Commits are made inline, heartbeats
come from a real wheel, and a `Peer` stands where the connection would.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import orjson
import trio
from tests.fakes.daemon import chat
from wsproto.frame_protocol import FrameProtocol, Opcode

from tocsin.delivery.directory import Account, Directory
from tocsin.delivery.escalation import Escalation
from tocsin.delivery.handover import Handover
from tocsin.delivery.housekeeping import Housekeeping
from tocsin.delivery.ingest import Ingest
from tocsin.delivery.sessions import Sessions
from tocsin.delivery.settings import ChannelSettings, DeliveryLimits, DeliverySettings
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.ids import new_id
from tocsin.model.subscription import Subscription
from tocsin.ops.clock import Clock
from tocsin.ops.metrics import Metrics
from tocsin.server.heartbeat import SLOT, Wheel
from tocsin.server.resuming import judge_since
from tocsin.server.session import NotificationSession, SessionContext
from tocsin.server.websocket import SPARE_OUTBOX, WsSettings
from tocsin.store.sqlite import SqliteStore, StoreSettings
from tocsin.wire.notification import parse_item
from tocsin.wire.websocket import encode_ping

USER = "alice"


@attrs.define(eq=False)
class Peer:
    """Takes the place of a `Connection`: remembers what was sent, has the bound of an outbox.

    While `blocked` nothing leaves, as with a client that does not read.
    """

    most: int
    last_received: float = attrs.field(factory=trio.current_time)
    blocked_since: float | None = None
    backlog: int = 0
    blocked: bool = False
    pings: int = 0
    ended: int | None = None
    aborted: bool = False
    frames: list[tuple[Opcode, Any]] = attrs.field(factory=list)
    _reader: FrameProtocol = attrs.field(factory=lambda: FrameProtocol(client=True, extensions=[]))

    def offer(self, data: bytes) -> bool:
        """As `Connection.offer`."""
        if self.ended is not None or self.backlog + len(data) > self.most:
            return False
        self._reader.receive_bytes(data)
        self.frames += [(frame.opcode, frame.payload) for frame in self._reader.received_frames()]
        if self.blocked:
            self.backlog += len(data)
            if self.blocked_since is None:
                self.blocked_since = trio.current_time()
        return True

    def ping(self, payload: bytes = b"") -> bool:
        """As `Connection.ping`."""
        return self.offer(encode_ping(payload))

    def note_ping(self) -> None:
        """As `Connection.note_ping`."""
        self.pings += 1

    def close(self, code: int) -> None:
        """As `Connection.close`."""
        self.ended = self.ended or code

    def abort(self, code: int) -> None:
        """As `Connection.abort`."""
        self.ended, self.aborted = self.ended or code, True

    def take(self) -> list[tuple[Opcode, Any]]:
        """What was sent since the last call."""
        frames, self.frames = self.frames, []
        return frames


@attrs.define(eq=False)
class Client:
    """A session and the peer on its other side."""

    session: NotificationSession
    peer: Peer

    def ended(self) -> int | None:
        """The code the server has ended the connection with, if it has."""
        return self.peer.ended

    def messages(self) -> list[Any]:
        """JSON messages since the last call; Pings are dropped."""
        return [orjson.loads(text) for kind, text in self.peer.take() if kind is Opcode.TEXT]

    def ids(self) -> list[str]:
        """Ids of the notifications since the last call; other messages are dropped."""
        messages = [next(iter(message.values())) for message in self.messages()]
        return [message["id"] for message in messages if "id" in message]

    def pings(self) -> list[bytes]:
        """Payloads of the Pings since the last call."""
        return [bytes(payload) for kind, payload in self.peer.take() if kind is Opcode.PING]

    def say(self, message: object) -> None:
        """A text message from the client."""
        self._hear()
        self.session.text(orjson.dumps(message))

    def pong(self, payload: bytes | int) -> None:
        """A Pong from the client."""
        self._hear()
        self.session.pong(b"%d" % payload if isinstance(payload, int) else payload)

    def drain(self) -> None:
        """A client that reads too slowly has read everything so far."""
        self.peer.backlog, self.peer.blocked_since = 0, None
        self.session.drained()

    def vanish(self) -> None:
        """The connection is gone without a word."""
        self.peer.ended = self.peer.ended or 1006
        self.session.closed(self.peer.ended)

    def _hear(self) -> None:
        self.peer.last_received = trio.current_time()


@attrs.define(eq=False)
class Bench:
    """Everything around a session."""

    store: SqliteStore
    directory: Directory
    sessions: Sessions
    ingest: Ingest
    metrics: Metrics
    clock: Clock
    wheel: Wheel
    context: SessionContext

    async def channel(
        self,
        *,
        role: str | None = None,
        lifetime: int = 3600,
        kind: ChannelType = ChannelType.WEBSOCKETS,
    ) -> Channel:
        """A channel of Alice's with a chat subscription."""
        account = await self.account()
        channel = Channel(
            id=Channel.new_id(kind),
            user=USER,
            type=kind,
            created_at=self.clock(),
            client_correlator="tab",
            lifetime=lifetime,
            check_role=role,
        )
        channel.restart_clock(self.clock())
        await self.directory.open_channel(account, channel)
        await self.directory.subscribe(
            account, Subscription(new_id(), USER, "chat", channel), b"{}"
        )
        return channel

    async def account(self) -> Account:
        """Alice's."""
        return await self.directory.account(USER)

    async def open(
        self,
        channel: Channel,
        *,
        blocked: bool = False,
        since: str | None = None,
        cut_at: float | None = None,
    ) -> Client:
        """A client connects, claiming a position or not; `blocked`: it does not read."""
        session = NotificationSession(
            self.context,
            await self.account(),
            channel,
            since=None if since is None else judge_since(since, channel),
            cut_at=cut_at,
        )
        most = self.context.settings.outbox_bytes + SPARE_OUTBOX
        client = Client(session, Peer(most, blocked=blocked))
        session.opened(client.peer)  # type: ignore[arg-type]
        return client

    async def publish(self, *ids: object, **members: Any) -> None:
        """Chat messages for Alice, in one request."""
        items = [chat(str(id_), user=USER, **members) for id_ in ids]
        await self.ingest.accept(
            [parse_item(item, now=self.clock(), producer="p", most_bytes=65_536) for item in items]
        )

    async def pending(self) -> int:
        """How many deliveries are not settled, receipts on their way counted as written."""
        self.sessions.flush_receipts()
        return sum((await self.store.counts()).pending.values())


@asynccontextmanager
async def bench(**settings: Any) -> AsyncIterator[Bench]:
    """`settings` are those of `[ws]`."""
    metrics, clock, wheel = Metrics(), Clock.start(), Wheel()
    store = SqliteStore(StoreSettings(path=":memory:"), threaded=False)
    sessions = Sessions(store, metrics=metrics, clock=clock)
    limits = DeliveryLimits(buffer_count=100_000, buffer_bytes=1 << 30)
    directory = Directory(
        store, settings=ChannelSettings(), limits=limits, metrics=metrics, clock=clock
    )
    handover = Handover(sessions, _no_lane)
    escalation = Escalation(
        store,
        directory,
        sessions,
        settings=DeliverySettings(),
        wake=_no_lane,
        metrics=metrics,
        clock=clock,
    )
    ingest = Ingest(
        store,
        directory,
        handover,
        sessions,
        escalation=escalation,
        limits=limits,
        metrics=metrics,
        clock=clock,
    )
    context = SessionContext(
        store=store,
        sessions=sessions,
        settings=WsSettings(**settings),
        metrics=metrics,
        clock=clock,
        now=trio.current_time,
        schedule=wheel.add,
    )
    housekeeping = Housekeeping(
        store,
        directory,
        settings=DeliverySettings(),
        metrics=metrics,
        clock=clock,
        on_lane=lambda _lane: None,
    )

    def removed(channel: Channel) -> None:
        session = sessions.of(channel)
        if session is not None:
            session.end(1000)

    directory.on_removed = removed
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        nursery.start_soon(_turn, wheel)
        nursery.start_soon(_sweep, housekeeping)
        yield Bench(store, directory, sessions, ingest, metrics, clock, wheel, context)
        nursery.cancel_scope.cancel()


async def _turn(wheel: Wheel) -> None:
    while True:
        await trio.sleep(SLOT)
        wheel.turn(trio.current_time())


async def _sweep(housekeeping: Housekeeping) -> None:
    while True:
        await housekeeping.sweep()
        await trio.sleep(1)


def _no_lane(_lane: str, _urgent: bool, _keys: object = ()) -> None:
    """There are no webhooks here."""
