"""A server on a socket pair, and a client that lets h11 judge what comes back."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import attrs
import h11
import orjson
import trio

from tocsin.model.errors import unauthorized
from tocsin.model.principal import Principal
from tocsin.server.http import HttpPolicy, HttpServer, Request
from tocsin.server.limits import Lease
from tocsin.server.router import Route, Router
from tocsin.server.settings import CorsSettings, HttpLimits

ALICE = Principal("alice", frozenset({"channels"}), "app", "s", "t1", 2e9)


@attrs.define
class Answer:
    """One answer as h11 read it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """The other end of a served connection."""

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self.sock = sock
        self._h11 = h11.Connection(h11.CLIENT)
        self.informational: list[int] = []
        self.patience = 30.0

    async def send(self, data: bytes) -> None:
        """Send raw bytes."""
        stream = trio.SocketStream(self.sock)
        await stream.send_all(data)

    def reset(self) -> None:
        """End a TCP connection as the kernel does for a process that dies with bytes unread."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer; `method` is what the request was, as far as framing goes."""
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        fields = [("host", "x")]
        if method == "UPGRADE":
            fields += [("connection", "upgrade"), ("upgrade", "websocket")]
        self._h11.send(
            h11.Request(method=method.replace("UPGRADE", "GET"), target="/", headers=fields)
        )
        self._h11.send(h11.EndOfMessage())
        head, body = None, b""
        while True:
            event = await self._event()
            match event:
                case h11.InformationalResponse() if event.status_code != 101:
                    self.informational.append(event.status_code)
                case h11.Response() | h11.InformationalResponse():
                    head = event
                    if event.status_code == 101:
                        break
                case h11.Data():
                    body += event.data
                case _:
                    assert isinstance(event, h11.EndOfMessage), event
                    break
        assert head is not None
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return Answer(head.status_code, headers, body)

    async def ended(self) -> bool:
        """Whether the server ends the connection without sending more, within `patience`."""
        with trio.fail_after(self.patience):
            return await self.sock.recv(1) == b""

    async def _event(self) -> object:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            self._h11.receive_data(await self.sock.recv(65536))
        return event


@attrs.define
class Front:
    """A server under test, what it reported, and ways to connect to it."""

    server: HttpServer
    reported: list[tuple[int, str]]
    errors: list[Exception]
    nursery: trio.Nursery
    clients: list[Client] = attrs.field(factory=list)

    def connect(self, *, peer: str = "192.0.2.1", lease: Lease | None = None) -> Client:
        """A new connection, served by a task of its own."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.nursery.start_soon(self.server.serve_connection, theirs, peer, lease)
        return self.client(trio.socket.from_stdlib_socket(ours))

    async def connect_tcp(self) -> Client:
        """A new connection that can be reset."""
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        ours = trio.socket.socket()
        await ours.connect(listener.socket.getsockname())
        theirs, _ = await listener.socket.accept()
        await listener.aclose()
        raw = socket.socket(fileno=theirs.detach())
        raw.setblocking(False)
        self.nursery.start_soon(self.server.serve_connection, raw, "127.0.0.1")
        return self.client(ours)

    def client(self, sock: trio.socket.SocketType) -> Client:
        """A client on this socket, closed at the end."""
        self.clients.append(Client(sock))
        return self.clients[-1]


async def authorize(request: Request, _route: Route) -> Principal | None:
    """`Bearer alice` is Alice, `Bearer <scope>` a user of that scope, anything else a 401."""
    await trio.lowlevel.checkpoint()
    match request.headers.get("authorization", "").removeprefix("Bearer "):
        case "":
            raise unauthorized("token_missing")
        case "alice":
            return ALICE
        case "publish" | "admin" as scope:
            return attrs.evolve(ALICE, user="bob", scopes=frozenset({scope}))
        case _:
            raise unauthorized("token_invalid")


@asynccontextmanager
async def serving(
    router: Router,
    *,
    limits: HttpLimits | None = None,
    cors: CorsSettings | None = None,
    trusted_proxies: tuple[str, ...] = (),
    authorize: Callable[[Request, Route], Awaitable[Principal | None]] = authorize,
) -> AsyncIterator[Front]:
    """A server for these routes; everything it serves is cancelled at the end."""
    reported: list[tuple[int, str]] = []
    errors: list[Exception] = []
    server = HttpServer(
        router,
        authorize=authorize,
        policy=HttpPolicy.of(
            limits or HttpLimits(), cors=cors or CorsSettings(), trusted_proxies=trusted_proxies
        ),
        on_request=lambda _request, status, label, _seconds: reported.append((status, label)),
        on_error=lambda _request, error: errors.append(error),
    )
    async with trio.open_nursery() as nursery:
        front = Front(server, reported, errors, nursery)
        try:
            yield front
        finally:
            nursery.cancel_scope.cancel()
            for client in front.clients:
                client.sock.close()


def error_code(answer: Answer) -> str:
    """The first variable of an error answer."""
    (exception,) = orjson.loads(answer.body)["requestError"].values()
    return str(exception["variables"][0])
