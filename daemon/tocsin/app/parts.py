"""Everything that delivers, made from the configuration and tied together."""

import random
import select
import time
from collections.abc import Callable, Sequence

import structlog
import trio

from tocsin.app.pushing import Pushing, Senders
from tocsin.config import Config
from tocsin.delivery.deadletters import DeadLetters
from tocsin.delivery.deliverylog import DeliveryLog
from tocsin.delivery.directory import Directory
from tocsin.delivery.escalation import Escalation
from tocsin.delivery.eventhook import EventHook
from tocsin.delivery.events import FEEDBACK, OPERATOR, Events
from tocsin.delivery.followers import Key
from tocsin.delivery.handover import Handover
from tocsin.delivery.housekeeping import Housekeeping
from tocsin.delivery.ingest import Ingest
from tocsin.delivery.queue import DeliveryQueue
from tocsin.delivery.revocations import Revocations
from tocsin.delivery.sessions import Sessions
from tocsin.delivery.settler import Settler
from tocsin.delivery.submissions import Submissions
from tocsin.model.channel import Channel, ChannelType, Webhook, type_of_lane
from tocsin.model.errors import StartupError
from tocsin.ops.metrics import Metrics
from tocsin.server.engine import AnyEngine
from tocsin.server.handler import Link
from tocsin.server.heartbeat import Wheel
from tocsin.server.introspection import IntrospectionSettings, Introspector
from tocsin.server.pollsession import PollContext
from tocsin.server.reactor import Reactor
from tocsin.server.services import service_registry
from tocsin.server.session import SessionContext
from tocsin.server.trio_engine import TrioWebSocketEngine
from tocsin.server.websocket import WsSettings
from tocsin.store.sqlite import SqliteStore
from tocsin.transports.guard import AddressGuard
from tocsin.transports.webhook import WebhookTransport
from tocsin.wire.claims import LEEWAY

CLOSING = 2.0
DAY = 86_400_000

log = structlog.get_logger()


class Parts:
    """The straight line, assembled; nothing runs yet."""

    def __init__(
        self,
        config: Config,
        store: SqliteStore,
        *,
        metrics: Metrics,
        clock: Callable[[], int],
        rng: random.Random,
    ) -> None:
        self._metrics = metrics
        self.clock = clock
        self.store = store
        self.services = service_registry(config.services)
        self.events = Events(metrics=metrics, clock=clock)
        self.revocations = Revocations(
            store,
            config.auth.revocations,
            slack=LEEWAY + config.ws.expired_token_grace,
            metrics=metrics,
            clock=clock,
        )
        self.introspector = token_introspector(config.auth.introspection, metrics)
        self.sessions = Sessions(store, metrics=metrics, clock=clock)
        self.directory = Directory(
            store,
            settings=config.channels,
            limits=config.limits.delivery,
            metrics=metrics,
            clock=clock,
            services=self.services,
            token_exclusive=config.push.token_exclusive,
            rotation_grace=config.webhooks.rotation_grace,
        )
        self.guard = AddressGuard(config.webhooks)
        self.webhooks = WebhookTransport(
            config.webhooks, guard=self.guard, metrics=metrics, clock=clock, wall=_wall_clock
        )
        self.settler = Settler(
            ChannelType.WEBHOOKS,
            store,
            self.directory,
            settings=config.delivery,
            unanswered_retries=config.webhooks.unanswered_retries,
            suspend_after=config.webhooks.suspend_after_days * DAY,
            metrics=metrics,
            clock=clock,
            rng=rng,
        )
        self.queue = DeliveryQueue(
            ChannelType.WEBHOOKS,
            store,
            self.directory,
            self.webhooks,
            self.settler,
            settings=config.delivery,
            width=config.webhooks.width_of,
            slots=config.webhooks.max_sockets,
            events=self.events,
            metrics=metrics,
            clock=clock,
        )
        self.pushing = Pushing(
            config,
            store,
            self.directory,
            events=self.events,
            metrics=metrics,
            clock=clock,
            wall=_wall_clock,
            rng=rng,
        )
        self.queues = {
            ChannelType.WEBHOOKS: self.queue,
            ChannelType.OMAPUSH: self.pushing.queue,
        }
        self.handover = Handover(self.sessions, self.wake)
        self.escalation = Escalation(
            store,
            self.directory,
            self.sessions,
            settings=config.delivery,
            wake=self.wake,
            metrics=metrics,
            clock=clock,
        )
        self.ingest = Ingest(
            store,
            self.directory,
            self.handover,
            self.sessions,
            escalation=self.escalation,
            limits=config.limits.delivery,
            metrics=metrics,
            clock=clock,
            endings=self.pushing.endings,
            services=self.services,
            reach=self.pushing.reach,
        )
        self.ingest.holders.extend(self.queues.values())
        self.gateway = self.pushing.open_gateway(self.ingest)
        self.submissions = Submissions(store)
        self.housekeeping = Housekeeping(
            store,
            self.directory,
            settings=config.delivery,
            metrics=metrics,
            clock=clock,
            on_lane=self.wake,
            collect_unused_days=config.webhooks.collect_unused_days,
            forget_tokens_days=config.push.collect_unused_days,
            remembered=config.limits.delivery.remembered,
            devices=self.pushing.devices,
            endings=self.pushing.endings,
            signs_all=config.webhooks.signing_secret is not None,
        )
        self.log = DeliveryLog(store, settings=config.delivery, clock=clock)
        self.letters = DeadLetters(
            store, self.directory, self.ingest.store, limits=config.limits.delivery, clock=clock
        )
        self.operator_hook = self._event_hook(
            OPERATOR, self._webhook(config.operator.webhook_url, config.operator.webhook_secret)
        )
        self.feedback_hook = self._event_hook(FEEDBACK, self._webhook(config.push.feedback_url))
        self.events.hook = self.operator_hook
        self.events.feedback = self.feedback_hook
        self.settler.tell = self.housekeeping.tell = self.events.emit
        self.directory.on_switched = self.events.note_channel
        self.directory.on_removed = self._channel_removed
        self.directory.on_resumed = self.wake
        self.directory.on_arrived = self._deliveries_arrived
        self.sessions.on_left = self._client_left
        store.on_cancelled = self.escalation.cancelled
        self.reactor = websocket_engine(config.ws)
        self.wheel = Wheel()
        self.context = SessionContext(
            store=store,
            sessions=self.sessions,
            settings=config.ws,
            metrics=metrics,
            clock=clock,
            now=trio.current_time,
            schedule=self.wheel.add,
        )
        self.polls = PollContext(
            store=store,
            sessions=self.sessions,
            metrics=metrics,
            clock=clock,
            now=trio.current_time,
            schedule=self.wheel.add,
        )

    def wake(self, lane: str, urgent: bool = True, keys: Sequence[Key] = ()) -> None:
        """There is something new in the store for a lane; see `DeliveryQueue.wake`."""
        self.queues[type_of_lane(lane)].wake(lane, urgent, keys)

    async def hasten(self, lane: str) -> None:
        """What waits in a lane for its next attempt is tried at once."""
        await self.store.hasten(lane, self.clock())
        self.wake(lane)

    def reconfigure(self, config: Config, senders: Senders) -> None:
        """Take over what can be taken over while everything runs; nothing here waits. For
        `senders` see `Pushing`."""
        limits, webhooks = config.limits.delivery, config.webhooks
        self.events.log_anew()
        self.guard.reconfigure(webhooks)
        self.webhooks.reconfigure(webhooks)
        self.settler.reconfigure(config.delivery)
        self.queue.reconfigure(webhooks.width_of)
        self.pushing.reconfigure(config, senders)
        self.gateway.reconfigure(config.push)
        self.directory.reconfigure(limits, token_exclusive=config.push.token_exclusive)
        self.ingest.reconfigure(limits)
        self.housekeeping.reconfigure(
            remembered=limits.remembered, signs_all=webhooks.signing_secret is not None
        )

    def _event_hook(self, user: str, webhook: Webhook | None) -> EventHook:
        return EventHook(
            user,
            webhook,
            self.directory,
            self.ingest.store,
            metrics=self._metrics,
            clock=self.clock,
        )

    def _webhook(self, url: str | None, secret: str | None = None) -> Webhook | None:
        return None if url is None else Webhook(url, self.guard.parse(url).origin, None, secret)

    def _deliveries_arrived(self, channel: Channel) -> None:
        """What waited for another channel is in the store for this one."""
        session = self.sessions.of(channel)
        if session is not None:
            session.fall_behind()
            session.flush()

    def _client_left(self, channel: Channel) -> None:
        self.directory.left(channel)
        self.escalation.left(channel)

    def _channel_removed(self, channel: Channel) -> None:
        session = self.sessions.of(channel)
        if session is not None:
            session.end(1000)


def token_introspector(settings: IntrospectionSettings, metrics: Metrics) -> Introspector | None:
    """Who asks about tokens, where there is somebody to be asked."""
    return None if settings.url is None else Introspector(settings, metrics=metrics)


def websocket_engine(settings: WsSettings) -> AnyEngine:
    """What `ws.engine` asks for; `auto` is the reactor wherever it can run.

    Raises `StartupError` where it cannot.
    """
    has_epoll = hasattr(select, "epoll")
    if settings.engine == "reactor" and not has_epoll:
        raise StartupError("ws.engine: the reactor needs epoll, which this system does not have")
    if settings.engine == "trio-websocket" or not has_epoll:
        return TrioWebSocketEngine(close_timeout=CLOSING, on_error=_session_crashed)
    return Reactor(close_timeout=CLOSING, on_error=_session_crashed)


def _wall_clock() -> int:
    """Epoch milliseconds of the wall: receivers compare timestamps with their own clocks."""
    return time.time_ns() // 1_000_000


def _session_crashed(connection: Link, error: Exception) -> None:
    log.error("session.crashed", exc_info=error, connection=connection.fileno())
