"""The composition root: configuration in, a running daemon out. The only file that knows all.

The nurseries nest, outermost first: the store; what delivers; connections being served; the
listeners. Stopping ends them from the inside out, each within a time.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from tocsin import __version__
from tocsin.config import Config
from tocsin.delivery.directory import Directory
from tocsin.delivery.drain import close_sockets
from tocsin.delivery.handover import Handover
from tocsin.delivery.housekeeping import Housekeeping
from tocsin.delivery.ingest import Ingest
from tocsin.delivery.queue import DeliveryQueue
from tocsin.delivery.sessions import Sessions
from tocsin.delivery.settler import Settler
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StartupError
from tocsin.model.principal import Principal
from tocsin.ops.clock import Clock
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.ops.supervisor import Run, Supervisor
from tocsin.ops.systemd import Notifier
from tocsin.server.admin import AdminFace
from tocsin.server.auth import Authenticator, builtin_issuer, key_source
from tocsin.server.channels import ChannelFace
from tocsin.server.connection import Connection
from tocsin.server.cors import Cors
from tocsin.server.heartbeat import SLOT, Wheel
from tocsin.server.http import HttpPolicy, HttpServer
from tocsin.server.jwks import RemoteKeys
from tocsin.server.limits import ConnectionGate
from tocsin.server.listener import Listener, open_listeners, serve, write_addresses
from tocsin.server.peers import Networks
from tocsin.server.publish import PublishFace
from tocsin.server.reactor import Reactor
from tocsin.server.requestlog import RequestLog
from tocsin.server.router import Route, Router
from tocsin.server.session import SessionContext
from tocsin.server.subscriptions import SubscriptionFace
from tocsin.server.websocket import WebSocketFace
from tocsin.store.lock import lock_store
from tocsin.store.sqlite import SqliteStore
from tocsin.store.writer import Commit
from tocsin.transports.guard import AddressGuard
from tocsin.transports.webhook import WebhookTransport
from tocsin.wire.netapi import NetApi
from tocsin.wire.request import Request
from tocsin.wire.webhook import Signer

CLOSING = 2.0
FLUSHING = 10.0
STUCK_AFTER = 30.0

log = structlog.get_logger()


class App:
    """One daemon. Opens its listeners and its store when made; `run` serves until `stop`.

    Raises `StartupError` with one line when something it needs is not to be had.
    """

    def __init__(self, config: Config) -> None:
        """Must be called inside Trio."""
        self.config = config
        self.metrics = Metrics()
        self._clock = Clock.start()
        self._rng = random.Random()  # noqa: S311 - jitter
        self._stopping = trio.Event()
        self._ready = False
        self._refused: dict[str, int] = {}
        self._notifier = Notifier.from_environ(os.environ)
        self._lock = lock_store(config.store.path)
        self._public = open_listeners(config.listen.public)
        self._admin = open_listeners(config.listen.admin)
        self.store = SqliteStore(config.store, on_commit=self._note_commit)
        self._supervisor = Supervisor(config.supervisor, metrics=self.metrics, now=self._clock)
        self._gate = ConnectionGate(
            config.limits.http,
            Networks([*config.limits.http.unlimited_networks, *config.trusted_proxies]),
        )
        self._build_delivery()
        self._build_sockets()
        self._build_faces()
        self._measure()

    @property
    def public_addresses(self) -> list[str]:
        """What the public listener is bound to."""
        return [listener.address for listener in self._public]

    @property
    def admin_addresses(self) -> list[str]:
        """What the admin listener is bound to."""
        return [listener.address for listener in self._admin]

    # -- building ----------------------------------------------------------------------------

    def _build_delivery(self) -> None:
        config, metrics, clock = self.config, self.metrics, self._clock
        self._sessions = Sessions(self.store, metrics=metrics, clock=clock)
        self._directory = Directory(
            self.store,
            settings=config.channels,
            limits=config.limits.delivery,
            metrics=metrics,
            clock=clock,
        )
        self._guard = AddressGuard(config.webhooks)
        self._webhooks = WebhookTransport(config.webhooks, guard=self._guard, now=clock)
        self._settler = Settler(
            ChannelType.WEBHOOKS,
            self.store,
            self._directory,
            settings=config.delivery,
            unanswered_retries=config.webhooks.unanswered_retries,
            metrics=metrics,
            clock=clock,
            rng=self._rng,
        )
        self._queue = DeliveryQueue(
            ChannelType.WEBHOOKS,
            self.store,
            self._directory,
            self._webhooks,
            self._settler,
            settings=config.delivery,
            width=config.webhooks.lane_width,
            slots=config.webhooks.max_sockets,
            metrics=metrics,
            clock=clock,
        )
        self._handover = Handover(self._sessions, self._queue.wake)
        self._housekeeping = Housekeeping(
            self.store,
            self._directory,
            settings=config.delivery,
            metrics=metrics,
            clock=clock,
            on_lane=self._queue.wake,
        )
        self._directory.on_removed = self._channel_removed
        self._directory.on_resumed = self._queue.wake

    def _build_sockets(self) -> None:
        self._reactor = Reactor(close_timeout=CLOSING, on_error=_session_crashed)
        self._wheel = Wheel()
        self._context = SessionContext(
            store=self.store,
            sessions=self._sessions,
            settings=self.config.ws,
            metrics=self.metrics,
            clock=self._clock,
            now=trio.current_time,
            schedule=self._wheel.add,
        )

    def _build_faces(self) -> None:
        config, clock = self.config, self._clock
        self._keys = key_source(config.auth)
        self._authenticator = Authenticator(config.auth, self._keys)
        netapi = NetApi(config.netapi.prefix, echo_secrets=config.webhooks.echo_secrets)
        router = Router()
        ChannelFace(
            self._directory,
            netapi,
            judge_url=self._judge_url,
            check_secret=_check_secret,
            clock=clock,
        ).add_routes(router)
        SubscriptionFace(self._directory, prefix=netapi.prefix, clock=clock).add_routes(router)
        PublishFace(
            Ingest(
                self.store,
                self._directory,
                self._handover,
                limits=config.limits.delivery,
                metrics=self.metrics,
                clock=clock,
            ),
            config.publish,
            most_bytes=config.limits.delivery.notification,
            metrics=self.metrics,
            clock=clock,
        ).add_routes(router)
        WebSocketFace(
            self._directory,
            self._reactor,
            self._context,
            cors=Cors(config.cors),
            is_draining=self._stopping.is_set,
        ).add_routes(router, netapi.prefix)
        if config.auth.builtin.enabled:
            issuer = builtin_issuer(config.auth)
            router.add("POST", f"{netapi.prefix}/auth/v1/token", issuer.token_endpoint, scope=None)
        self._server = self._http_server(router, public=True)
        admin = Router()
        AdminFace(
            self.metrics,
            failing=self._failing,
            status=self._supervisor.status,
            version=__version__,
        ).add_routes(admin)
        self._admin_server = self._http_server(admin, public=False)

    def _http_server(self, router: Router, *, public: bool) -> HttpServer:
        config = self.config
        requests = RequestLog(self.metrics)
        return HttpServer(
            router,
            authorize=self._authorize,
            policy=HttpPolicy.of(
                config.limits.http,
                cors=config.cors if public else None,
                trusted_proxies=config.trusted_proxies,
                publish_rate=config.publish.rate,
            ),
            on_request=requests.answered,
            on_error=requests.crashed,
        )

    async def _authorize(self, request: Request, route: Route) -> Principal:
        """The token in the header; on the socket also in the query (CH-10)."""
        in_query = route.pattern.endswith("/websocket")
        return await self._authenticator.authenticate(
            authorization=request.headers.get("authorization"),
            query_token=request.params.get("access_token") if in_query else None,
        )

    async def _judge_url(self, url: str) -> str:
        return (await self._guard.judge(url)).origin

    # -- running -----------------------------------------------------------------------------

    def stop(self) -> None:
        """Begin to drain; `run` returns when that is done."""
        self._stopping.set()

    async def run(self, *, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`, then drain. Cancelled, it ends at once and still loses nothing
        that was answered 2xx."""
        try:
            async with trio.open_nursery() as storage:
                await storage.start(self.store.run)
                await self.store.grant_grace(
                    self._clock() + self.config.channels.restart_grace * 1000
                )
                async with trio.open_nursery() as deliverers:
                    await self._start_delivering(deliverers)
                    async with trio.open_nursery() as connections:
                        await self._serve(connections, on_ready)
                        await self._finish_requests(connections)
                    await self._flush()
                    deliverers.cancel_scope.cancel()
                storage.cancel_scope.cancel()
        finally:
            os.close(self._lock)
        log.info("daemon.stopped")

    async def _start_delivering(self, nursery: trio.Nursery) -> None:
        services: dict[str, Run] = {
            "settler": self._settler.run,
            "queue": self._queue.run,
            "handover": self._handover.run,
            "housekeeping": self._housekeeping.run,
            "webhook_pool": self._run_webhooks,
        }
        if isinstance(self._keys, RemoteKeys):
            services["keys"] = self._keys.run
        for name, run in services.items():
            nursery.start_soon(self._supervise, name, run)
        await nursery.start(self._supervise, "reactor", self._run_reactor)
        self._supervisor.every(SLOT, lambda: self._wheel.turn(trio.current_time()), name="wheel")
        self._supervisor.every(
            self.config.delivery.settle_interval, self._sessions.flush_receipts, name="receipts"
        )
        self._supervisor.every(self._watchdog_interval(), self._feed_watchdog, name="watchdog")
        await nursery.start(self._supervisor.run)

    async def _supervise(
        self,
        name: str,
        run: Run,
        task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await self._supervisor.supervise(name, run, bound=STUCK_AFTER, task_status=task_status)

    async def _run_reactor(self, progress: Progress) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(_with_progress, self._reactor, progress)
            progress.ready()

    async def _run_webhooks(self, progress: Progress) -> None:
        progress.waiting("idle connections")
        await self._webhooks.run()

    async def _serve(self, connections: trio.Nursery, on_ready: Callable[[], None]) -> None:
        """Accept on both listeners until told to stop, then drain with the admin one open."""
        async with trio.open_nursery() as admin:
            await admin.start(self._accept, self._admin, self._admin_server, connections)
            async with trio.open_nursery() as public:
                await public.start(self._accept, self._public, self._server, connections)
                self._started()
                on_ready()
                await self._stopping.wait()
                self._ready = False
                self._notifier.stopping()
                log.info("daemon.draining", sockets=len(self._sessions))
                public.cancel_scope.cancel()
            await self._drain()
            admin.cancel_scope.cancel()

    async def _accept(
        self,
        listeners: list[Listener],
        server: HttpServer,
        connections: trio.Nursery,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await serve(
            listeners,
            server.serve_connection,
            gate=self._gate,
            handler_nursery=connections,
            task_status=task_status,
        )

    def _started(self) -> None:
        addresses = {"public": self.public_addresses, "admin": self.admin_addresses}
        state_dir = Path(self.config.state_dir)
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            write_addresses(state_dir / "listen.json", addresses)
        except OSError as error:
            raise StartupError(f"state_dir {state_dir}: {error.strerror}") from error
        for name, bound in addresses.items():
            for address in bound:
                log.info("listener.started", listener=name, address=address)
        self._ready = True
        self._notifier.ready()
        log.info("daemon.ready", version=__version__, pending=self.store.backlog)

    # -- stopping ----------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Sockets closed 1012 over the window; attempts under way finished or put back."""
        window = self.config.drain.window
        self._server.drain()
        self._queue.stop()
        with trio.move_on_after(window + CLOSING):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._queue.wait_idle)
                await close_sockets(self._sessions, window=window, rng=self._rng)
                while self._reactor.connections:  # noqa: ASYNC110
                    await trio.sleep(0.02)

    async def _finish_requests(self, connections: trio.Nursery) -> None:
        """Requests in hand get a moment; idle connections are closed already."""
        self._admin_server.drain()
        connections.cancel_scope.deadline = trio.current_time() + CLOSING

    async def _flush(self) -> None:
        with trio.move_on_after(FLUSHING):
            await self._settler.flush()
            self._sessions.flush_receipts()
            self.store.extend_channels(self._directory.clocks())
            await self.store.barrier()

    # -- health ------------------------------------------------------------------------------

    def _failing(self) -> dict[str, str]:
        if self._stopping.is_set():
            return {"daemon": "draining"}
        if not self._ready:
            return {"daemon": "starting"}
        status = self._supervisor.status()
        failing = {name: status[name] for name in self._supervisor.failing()}
        if self.store.failing is not None:
            failing["store"] = self.store.failing
        return failing

    def _watchdog_interval(self) -> float:
        return self._notifier.watchdog_interval or 10.0

    def _feed_watchdog(self) -> None:
        if self._supervisor.healthy:
            self._notifier.watchdog()

    # -- odds and ends that tie parts together -------------------------------------------------

    def _channel_removed(self, channel: Channel) -> None:
        session = self._sessions.of(channel)
        if session is not None:
            session.end(1000)

    def _note_commit(self, commit: Commit) -> None:
        self.metrics.store_commit.observe(commit.seconds)
        self.metrics.store_commit_batch_size.observe(commit.jobs)

    def _measure(self) -> None:
        counts = self.store.at_start
        for kind in ChannelType:
            self.metrics.channels[kind].set(counts.channels.get(kind, 0))
            self.metrics.dead_letters[kind].set(counts.dead.get(kind, 0))
        for service, count in counts.subscriptions.items():
            self.metrics.subscriptions[service].set(count)
        self.metrics.sample(self._sample)

    def _sample(self) -> None:
        metrics = self.metrics
        metrics.ready.set(not self._failing())
        statistics = self._reactor.statistics()
        metrics.ws_connections.set(statistics.connections)
        metrics.ws_queue_bytes.set(statistics.backlog_bytes)
        metrics.http_connections.set(self._gate.open)
        self._count_refused()
        for kind in ChannelType:
            metrics.queue_depth[kind].set(max(0, self.store.pending[kind]))

    def _count_refused(self) -> None:
        """The gate counts by itself, since it stands before any request; carry it over."""
        gate = self._gate
        now = {
            "connections": gate.refused_full,
            "connections_per_address": gate.refused_address,
            "descriptors": sum(listener.paused for listener in [*self._public, *self._admin]),
        }
        for reason, count in now.items():
            self.metrics.connections_refused[reason].inc(count - self._refused.get(reason, 0))
        self._refused = now


async def _with_progress(
    reactor: Reactor,
    progress: Progress,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    await reactor.run(progress=progress.beat, task_status=task_status)


def _session_crashed(connection: Connection, error: Exception) -> None:
    log.error("session.crashed", exc_info=error, connection=connection.fileno())


def _check_secret(secret: str) -> None:
    Signer(secret)
