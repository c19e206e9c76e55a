"""The test services of sockjs.md, section 9, on the daemon's own listener, HTTP server and engine.

async with running(Options(port=0)) as services:
    services.address   # "127.0.0.1:40123"
"""

import hmac
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager

import attrs
import structlog
import trio

from tocsin.model.errors import unauthorized
from tocsin.ops.clock import Clock
from tocsin.ops.metrics import Metrics
from tocsin.server.engine import AnyEngine
from tocsin.server.handler import Link
from tocsin.server.heartbeat import SLOT, Wheel
from tocsin.server.http import HttpPolicy, HttpServer
from tocsin.server.limits import ConnectionGate
from tocsin.server.listener import Listener, open_listeners, serve
from tocsin.server.peers import Networks
from tocsin.server.reactor import Reactor
from tocsin.server.requestlog import RequestLog
from tocsin.server.router import Route, Router
from tocsin.server.settings import HttpLimits
from tocsin.server.sockjs.application import Application, Connection
from tocsin.server.sockjs.guard import token_key, wanted_token
from tocsin.server.sockjs.service import Service, Surroundings
from tocsin.server.sockjs.settings import SockJsSettings
from tocsin.server.trio_engine import TrioWebSocketEngine
from tocsin.wire.request import Request
from tocsin.wire.sockjs.urls import TRANSPORTS

# An echo that finds nobody to read it takes no more until somebody does.
WAITING_MESSAGES = 500
WAITING_BYTES = 500_000
GOODBYE = 1.0

log = structlog.get_logger()


@attrs.frozen
class Options:
    """What the services are started with; delays in seconds."""

    host: str = "127.0.0.1"
    port: int = 8081
    heartbeat: float = 25
    disconnect: float = 5
    limit: int = 4096
    token: str | None = None
    sockjs_url: str = "/sockjs.js"
    engine: str = "reactor"
    allowed_origins: tuple[str, ...] = ("*",)
    max_sessions: int = 100_000
    prove_within: float = 0
    base_url: str = ""
    stalled: float = 30


class Echo:
    """Sends back every message."""

    def opened(self, connection: Connection) -> None: ...

    def received(self, connection: Connection, message: str) -> None:
        connection.send(message)
        if (
            connection.waiting > WAITING_MESSAGES or connection.waiting_bytes > WAITING_BYTES
        ) and connection.is_open:
            connection.pause()

    def proven(self, connection: Connection, count: int) -> None: ...

    def drained(self, connection: Connection) -> None:
        connection.resume()

    def closed(self, connection: Connection, code: int) -> None: ...


class GoAway(Echo):
    """Closes whoever comes."""

    def opened(self, connection: Connection) -> None:
        connection.close(3000, "Go away!")


class TokenGuard:
    """One token, and whoever has it (SJ-42)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def key(self, request: Request) -> Hashable:
        return token_key(request)

    async def authorise(self, request: Request) -> object:
        await trio.lowlevel.checkpoint()
        token = wanted_token(request)
        if not hmac.compare_digest(token.encode(errors="replace"), self._token.encode()):
            raise unauthorized("token_invalid")
        return token


@attrs.define(eq=False)
class Services:
    """The services while they run."""

    address: str
    server: HttpServer
    engine: AnyEngine
    metrics: Metrics
    services: Sequence[Service]

    def __getitem__(self, prefix: str) -> Service:
        [found] = [one for one in self.services if one.prefix == prefix]
        return found

    async def say_goodbye(self) -> None:
        """Close every session as a restart does, and give it a moment."""
        self.server.close_idle()
        for service in self.services:
            service.drain()
        with trio.move_on_after(GOODBYE):
            while self.engine.connections:  # noqa: ASYNC110 - it has no event, and this ends
                await trio.sleep(0.02)


def settings(options: Options, **more: object) -> SockJsSettings:
    """Everything is on."""
    changes: dict[str, object] = {
        "transports": list(TRANSPORTS),
        "heartbeat_delay": options.heartbeat,
        "disconnect_delay": options.disconnect,
        "response_limit": options.limit,
        "sockjs_url": options.sockjs_url,
        "prove_within": options.prove_within,
        "max_sessions": options.max_sessions,
        "base_url": options.base_url,
        **more,
    }
    return SockJsSettings(**changes)  # type: ignore[arg-type]


def make_services(options: Options, surroundings: Surroundings) -> list[Service]:
    """The four of SJ-40."""
    without_websocket = [one for one in TRANSPORTS if one != "websocket"]
    kinds: list[tuple[str, Application, SockJsSettings]] = [
        ("/echo", Echo(), settings(options)),
        ("/close", GoAway(), settings(options)),
        (
            "/disabled_websocket_echo",
            Echo(),
            settings(options, transports=without_websocket),
        ),
        ("/cookie_needed_echo", Echo(), settings(options, jsessionid=True)),
    ]
    return [
        Service(
            prefix,
            application,
            chosen,
            surroundings,
            guard=None if options.token is None else TokenGuard(options.token),
            allowed_origins=options.allowed_origins,
            stalled=options.stalled,
        )
        for prefix, application, chosen in kinds
    ]


@asynccontextmanager
async def running(
    options: Options, *, more: Sequence[tuple[str, Application]] = ()
) -> AsyncIterator[Services]:
    """The services, listening; `more` are further ones, with the settings of `/echo`.

    OSError or StartupError where it cannot listen. When the block ends everything is cut.
    """
    metrics = Metrics()
    engine = _engine(options.engine)
    wheel = Wheel()
    surroundings = Surroundings(
        engine=engine, schedule=wheel.add, metrics=metrics, clock=Clock.start()
    )
    services = make_services(options, surroundings)
    services += [
        Service(path, one, settings(options), surroundings, stalled=options.stalled)
        for path, one in more
    ]
    router = Router()
    for service in services:
        service.add_routes(router)
    requests = RequestLog(metrics)
    server = HttpServer(
        router,
        authorize=_nobody,
        policy=HttpPolicy.of(HttpLimits(), cors=None),
        on_request=requests.answered,
        on_error=requests.crashed,
    )
    host = f"[{options.host}]" if ":" in options.host else options.host
    listeners = open_listeners(f"{host}:{options.port}")
    gate = ConnectionGate(HttpLimits(), Networks(["0.0.0.0/0", "::/0"]))
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        nursery.start_soon(_turn, wheel)
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                await accepting.start(_accept, listeners, server, gate, connections)
                yield Services(listeners[0].address, server, engine, metrics, services)
                accepting.cancel_scope.cancel()
            connections.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def _accept(
    listeners: Sequence[Listener],
    server: HttpServer,
    gate: ConnectionGate,
    connections: trio.Nursery,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    await serve(
        listeners,
        server.serve_connection,
        gate=gate,
        handler_nursery=connections,
        task_status=task_status,
    )


async def _turn(wheel: Wheel) -> None:
    while True:
        await trio.sleep(SLOT)
        wheel.turn(trio.current_time())


async def _nobody(_request: Request, _route: Route) -> None:
    """No route of a service asks."""


def _engine(name: str) -> AnyEngine:
    if name == "reactor":
        return Reactor(on_error=_crashed)
    return TrioWebSocketEngine(on_error=_crashed)


def _crashed(_link: Link, error: Exception) -> None:
    log.error("session.crashed", exc_info=error)
