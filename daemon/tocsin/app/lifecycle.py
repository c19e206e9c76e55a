"""Starting, serving, draining.

The nurseries nest, outermost first: the store; what delivers; connections being served; the
listeners. Stopping ends them from the inside out, each within a time; what the deliverers leave
behind is written before the store goes.
"""

import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
import trio

from tocsin import __version__
from tocsin.app.faces import admin_server, authenticator, public_server
from tocsin.app.gauges import Gauges
from tocsin.app.messaging import Messaging
from tocsin.app.parts import CLOSING, Parts
from tocsin.app.reload import Reloader
from tocsin.config import Config
from tocsin.delivery.drain import close_sockets
from tocsin.model.errors import StartupError, StoreError
from tocsin.ops.clock import Clock
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.ops.supervisor import Run, Supervisor
from tocsin.ops.systemd import Notifier
from tocsin.server.auth import key_source
from tocsin.server.heartbeat import SLOT
from tocsin.server.http import HttpServer
from tocsin.server.inherited import unclaimed
from tocsin.server.jwks import KeySource, RemoteKeys
from tocsin.server.limits import ConnectionGate
from tocsin.server.listener import Handler, Listener, open_listeners, serve, write_addresses
from tocsin.server.peers import Networks
from tocsin.server.services import service_registry
from tocsin.server.tls import TlsFront, tls_context, validity
from tocsin.store.batches import Commit
from tocsin.store.lock import lock_store
from tocsin.store.sqlite import SqliteStore

FLUSHING = 10.0
STUCK_AFTER = 30.0
WATCHDOG = 10.0
MARKING = 0.25
STORE_WATCH = 1.0

log = structlog.get_logger()


class App:
    """One daemon. Opens its listeners and its store when made; `run` serves until `stop`.
    `reloads` is to be asked for another configuration while it does.

    Raises `StartupError` with one line when something it needs is not to be had.
    """

    def __init__(self, config: Config) -> None:
        """Must be called inside Trio."""
        self.config = config
        self.metrics = Metrics(service_registry(config.services).names)
        self._clock = Clock.start()
        self._rng = random.Random()  # noqa: S311 - jitter
        self._stopping = trio.Event()
        self._ready = False
        self._notifier = Notifier.from_environ(os.environ)
        self._lock = lock_store(config.store.path)
        unix_mode = config.listen.unix_permissions
        self._public = open_listeners(config.listen.public, unix_mode=unix_mode)
        self._admin = open_listeners(config.listen.admin, unix_mode=unix_mode)
        self._gate = ConnectionGate(config.limits.http, _unlimited(config))
        self.store = SqliteStore(
            config.store, on_commit=self._note_commit, announce=self._notifier.starting
        )
        self._supervisor = Supervisor(config.supervisor, metrics=self.metrics, now=self._clock)
        self._parts = Parts(
            config, self.store, metrics=self.metrics, clock=self._clock, rng=self._rng
        )
        self._keys = key_source(config.auth, self.metrics)
        self._messaging = self._open_messaging(config, self._keys)
        self._server, self._admin_server = self._servers(config, self._keys)
        self._front = TlsFront(
            self._server.serve_connection,
            tls_context(config.tls),
            timeout=config.limits.http.header_timeout,
            on_failure=lambda reason: self.metrics.tls_handshakes_failed[reason].inc(),
        )
        self._note_certificate(config)
        self.reloads = Reloader(
            config,
            self._parts,
            keys=self._keys,
            renew=self._renew_servers,
            metrics=self.metrics,
            notifier=self._notifier,
        )
        Gauges(
            self.metrics,
            self._parts,
            gate=self._gate,
            ledger=self._server.ledger,
            listeners=[*self._public, *self._admin],
            is_ready=lambda: not self.failing(),
            store_path=config.store.path,
        ).start_from(self.store.at_start)

    @property
    def public_addresses(self) -> list[str]:
        """What the public listener is bound to."""
        return [listener.address for listener in self._public]

    @property
    def admin_addresses(self) -> list[str]:
        """What the admin listener is bound to."""
        return [listener.address for listener in self._admin]

    def failing(self) -> dict[str, str]:
        """What keeps the daemon from being ready, by part; empty when it is (OP-11)."""
        if self._stopping.is_set():
            return {"daemon": "draining"}
        if not self._ready:
            return {"daemon": "starting"}
        status = self._supervisor.status()
        failing = {name: status[name] for name in self._supervisor.failing()}
        if self.store.failing is not None:
            failing["store"] = self.store.failing
        return failing

    def stop(self) -> None:
        """Begin to drain; `run` returns when that is done."""
        self._stopping.set()

    async def run(self, *, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`, then drain. Cancelled, it ends at once and still loses nothing
        that was answered 2xx."""
        try:
            async with trio.open_nursery() as storage:
                await storage.start(self.store.run)
                await self._take_up()
                async with trio.open_nursery() as settling:
                    settling.start_soon(self._supervise, "settler", self._parts.settler.run)
                    settling.start_soon(
                        self._supervise, "push_settler", self._parts.pushing.settler.run
                    )
                    async with trio.open_nursery() as deliverers:
                        await self._start_delivering(deliverers)
                        async with trio.open_nursery() as connections:
                            await self._serve(connections, on_ready)
                            self._finish_requests(connections)
                        deliverers.cancel_scope.cancel()
                    await self._flush()
                    settling.cancel_scope.cancel()
                storage.cancel_scope.cancel()
        finally:
            os.close(self._lock)
        log.info("daemon.stopped")

    async def _take_up(self) -> None:
        """Clocks that ran out while the daemon was down get a moment more (CH-44); what was known
        of device tokens and of revoked ones is known again."""
        grace = self.config.channels.restart_grace * 1000
        try:
            await self.store.grant_grace(self._clock() + grace)
            await self._parts.pushing.devices.load()
            await self._parts.revocations.load()
        except StoreError as error:
            raise StartupError(f"store {self.config.store.path}: {error}") from error

    # -- starting ----------------------------------------------------------------------------

    async def _start_delivering(self, nursery: trio.Nursery) -> None:
        parts = self._parts
        services: dict[str, Run] = {
            "queue": parts.queue.run,
            "push_queue": parts.pushing.queue.run,
            "push_transport": parts.pushing.transport.run,
            "handover": parts.handover.run,
            "housekeeping": parts.housekeeping.run,
            "revocations": parts.revocations.run,
            "deliverylog": parts.log.run,
            "operator_hook": parts.operator_hook.run,
            "feedback_hook": parts.feedback_hook.run,
            "webhook_pool": self._run_webhooks,
        }
        if self._messaging is not None:
            services |= self._messaging.services
        if isinstance(self._keys, RemoteKeys):
            services["keys"] = self._keys.run
        for name, run in services.items():
            nursery.start_soon(self._supervise, name, run)
        await nursery.start(self._supervise, "reactor", self._run_reactor)
        every = self._supervisor.every
        every(SLOT, lambda: parts.wheel.turn(trio.current_time()), name="wheel")
        every(self.config.delivery.settle_interval, parts.sessions.flush, name="receipts")
        if self._messaging is not None:
            receipts = self._messaging.receipts
            every(self.config.delivery.settle_interval, receipts.flush, name="message_receipts")
        every(MARKING, parts.sessions.mark, name="marks")
        every(STORE_WATCH, lambda: parts.events.note_store(self.store.failing), name="store_watch")
        every(self._notifier.watchdog_interval or WATCHDOG, self._feed_watchdog, name="watchdog")
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
            await nursery.start(self._turn_reactor, progress)
            progress.ready()

    async def _turn_reactor(
        self,
        progress: Progress,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await self._parts.reactor.run(progress=progress.beat, task_status=task_status)

    async def _run_webhooks(self, progress: Progress) -> None:
        progress.waiting("idle connections")
        try:
            await self._parts.webhooks.run()
        finally:
            self._parts.webhooks.close_idle()

    def _servers(self, config: Config, keys: KeySource) -> tuple[HttpServer, HttpServer]:
        public = public_server(
            config,
            self._parts,
            keys,
            messaging=self._messaging,
            metrics=self.metrics,
            clock=self._clock,
            is_draining=self._stopping.is_set,
        )
        admin = admin_server(
            config,
            self._parts,
            keys,
            metrics=self.metrics,
            failing=self.failing,
            status=self._supervisor.status,
            public_address=self._public_url,
        )
        return public, admin

    def _open_messaging(self, config: Config, keys: KeySource) -> Messaging | None:
        if not config.messaging.enabled:
            return None
        tokens = authenticator(
            config, self._parts, keys, asks_again=config.messaging.introspect_jwt
        )
        return Messaging(config, self._parts, tokens, metrics=self.metrics)

    def _public_url(self) -> str:
        """What a browser on this machine reaches the public listener by."""
        scheme = "http" if self._front.context is None else "https"
        return self.reloads.config.public_base_url or f"{scheme}://{self.public_addresses[0]}"

    def _renew_servers(self, config: Config, keys: KeySource) -> None:
        """Answer as another configuration says, on the listeners and connections there are."""
        public, admin = self._servers(config, keys)
        self._server.take_over(public)
        self._admin_server.take_over(admin)
        self._gate.reconfigure(config.limits.http, _unlimited(config))
        self._front.context = tls_context(config.tls)
        self._note_certificate(config)

    def _note_certificate(self, config: Config) -> None:
        valid = validity(config.tls)
        self.metrics.tls_certificate_expiry.set(0 if valid is None else valid[1])

    def _feed_watchdog(self) -> None:
        if self._supervisor.healthy:
            self._notifier.watchdog()

    def _note_commit(self, commit: Commit) -> None:
        self.metrics.store_commit.observe(commit.seconds)
        self.metrics.store_commit_batch_size.observe(commit.jobs)

    # -- serving -----------------------------------------------------------------------------

    async def _serve(self, connections: trio.Nursery, on_ready: Callable[[], None]) -> None:
        """Accept on both listeners until told to stop, then drain with the admin one open."""
        async with trio.open_nursery() as admin:
            await admin.start(
                self._accept, self._admin, self._admin_server.serve_connection, connections
            )
            async with trio.open_nursery() as public:
                await public.start(
                    self._accept, self._public, self._front.serve_connection, connections
                )
                self._announce()
                public.start_soon(self._supervise, "reload", self.reloads.run)
                on_ready()
                await self._stopping.wait()
                self._ready = False
                self._notifier.stopping()
                self._parts.events.emit("daemon.draining", sockets=self._parts.sessions.sockets)
                public.cancel_scope.cancel()
            await self._drain()
            admin.cancel_scope.cancel()

    async def _accept(
        self,
        listeners: list[Listener],
        handler: Handler,
        connections: trio.Nursery,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await serve(
            listeners,
            handler,
            gate=self._gate,
            handler_nursery=connections,
            task_status=task_status,
        )

    def _announce(self) -> None:
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
        for name in unclaimed(self.config.listen, os.environ):
            log.warning("listener.unclaimed", name=name, wanted=f"systemd:{name}")
        self._ready = True
        self.metrics.config_last_reload.set_to_current_time()
        self._notifier.ready()
        self._parts.events.emit("daemon.ready", version=__version__, pending=self.store.backlog)

    # -- stopping ----------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Sockets closed 1012 over the window; attempts under way finished or put back."""
        window = self.reloads.config.drain.window
        parts = self._parts
        self._server.drain()
        for queue in parts.queues.values():
            queue.stop()
        with trio.move_on_after(window + CLOSING):
            async with trio.open_nursery() as nursery:
                for queue in parts.queues.values():
                    nursery.start_soon(queue.wait_idle)
                if self._messaging is not None:
                    nursery.start_soon(partial(self._messaging.drain, window, rng=self._rng))
                await close_sockets(parts.sessions, window=window, rng=self._rng)
                await parts.reactor.wait_empty()

    def _finish_requests(self, connections: trio.Nursery) -> None:
        """Requests in hand get a moment, connections without one none. What a caller of the gateway
        still waits for is put back when what delivers ends."""
        self._parts.gateway.stop_waiting()
        self._server.close_idle()
        self._admin_server.close_idle()
        connections.cancel_scope.deadline = trio.current_time() + CLOSING

    async def _flush(self) -> None:
        """What is gathered in memory goes to the store."""
        with trio.move_on_after(FLUSHING):
            try:
                await self._parts.settler.flush()
                await self._parts.pushing.settler.flush()
                await self._parts.pushing.devices.catch_up()
                await self._parts.revocations.flush()
                if self._messaging is not None:
                    await self._messaging.receipts.catch_up()
                self._parts.sessions.flush()
                self.store.extend_channels(self._parts.directory.clocks())
                await self.store.barrier()
            except StoreError as error:
                # Duplicates after the next start, no loss: receipts and outcomes are lazy.
                log.warning("store.flush_failed", reason=str(error))


def _unlimited(config: Config) -> Networks:
    return Networks([*config.limits.http.unlimited_networks, *config.trusted_proxies])
