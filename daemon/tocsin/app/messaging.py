"""Messages between subscribers, made from the configuration and tied to what delivers."""

import random
from collections.abc import Mapping

import trio

from tocsin.app.parts import Parts
from tocsin.config import Config
from tocsin.messaging.composing import Composing
from tocsin.messaging.crier import Crier
from tocsin.messaging.handover import Handover
from tocsin.messaging.housekeeping import Housekeeping
from tocsin.messaging.live import Live
from tocsin.messaging.notices import Notices
from tocsin.messaging.post import Post
from tocsin.messaging.posting import Posting
from tocsin.messaging.presence import Presence
from tocsin.messaging.receipts import Receipts
from tocsin.messaging.register import Register
from tocsin.messaging.rooms import Rooms
from tocsin.ops.metrics import Metrics
from tocsin.ops.supervisor import Run
from tocsin.server.auth import Authenticator
from tocsin.server.messaging.application import MessagingApplication
from tocsin.server.messaging.desk import MessageDesk, Offices
from tocsin.server.messaging.guard import MessagingGuard
from tocsin.server.messaging.history import Histories
from tocsin.server.messaging.lists import People
from tocsin.server.messaging.oversight import Oversight
from tocsin.server.messaging.rates import Rates
from tocsin.server.messaging.readouts import Readouts
from tocsin.server.messaging.rest import MessagingRestFace
from tocsin.server.messaging.revoke import Revoker
from tocsin.server.messaging.settings import ALL, KEEP
from tocsin.server.messaging.tokens import TokenWatch
from tocsin.server.messaging.world import World
from tocsin.server.router import Router
from tocsin.server.sockjs.service import Service, Surroundings
from tocsin.wire.messaging.ids import MessageIds


class Messaging:
    """Rooms, Logs and presence, and the face that subscribers see; nothing runs yet.

    Made after the parts, whose store, sessions and escalation it listens to from here on.
    """

    def __init__(
        self, config: Config, parts: Parts, tokens: Authenticator, *, metrics: Metrics
    ) -> None:
        settings = config.messaging
        limits = settings.limits
        counts_for_all = settings.uncorrelated == ALL
        store, clock, now = parts.store, parts.clock, trio.current_time
        ids = MessageIds(clock, after=store.greatest_message_id)
        self._parts = parts
        self._settings = settings
        self._live = Live(most=limits.connections, uncorrelated_counts_for_all=counts_for_all)
        self._register = Register(store, user_template=settings.user_template)
        self._presence = Presence(
            self._live,
            grace=settings.sockjs.disconnect_delay + settings.presence_grace,
            room_limit=settings.presence_room_limit,
            now=now,
        )
        composing = Composing(self._live, room_limit=settings.presence_room_limit, now=now)
        notices = Notices(
            parts.directory,
            parts.ingest,
            is_silenced=self._presence.is_silenced,
            enabled=settings.notify,
            prefix=config.netapi.prefix,
        )
        post = Post(parts.ingest, notices)
        self._crier = Crier(self._live, self._presence)
        self._rooms = Rooms(
            self._register,
            self._crier,
            post,
            self._presence,
            notices=notices,
            limits=limits,
            last_message=lambda: ids.last,
            now=clock,
        )
        posting = Posting(
            self._register,
            store,
            notices,
            post,
            message_ids=ids,
            limits=limits,
            keeps_unknown=settings.unknown_recipients == KEEP,
            receipt_room_limit=settings.receipt_room_limit,
            clock=clock,
        )
        self.receipts = Receipts(store, clock=clock, uncorrelated_counts_for_all=counts_for_all)
        self._handover = Handover(self._live.of, metrics=metrics, now=now)
        self._housekeeping = Housekeeping(
            store,
            limits=limits,
            on_lapsed=self._register.lapsed,
            metrics=metrics,
            clock=clock,
        )
        self._histories = Histories(store, self._register, age=limits.history_age, clock=clock)
        history_age = limits.history_age * 1000
        people = People(store, self._register, self._presence, oldest=lambda: clock() - history_age)
        self._rates = Rates(limits)
        self._guard = MessagingGuard(tokens)
        self._watch = TokenWatch(
            tokens, parts.revocations, settings, schedule=parts.wheel.add, now=now
        )
        desk = MessageDesk(
            Offices(
                register=self._register,
                rooms=self._rooms,
                posting=posting,
                receipts=self.receipts,
                presence=self._presence,
                composing=composing,
                people=people,
                histories=self._histories,
            )
        )
        self._application = MessagingApplication(
            World(
                store=store,
                register=self._register,
                live=self._live,
                presence=self._presence,
                receipts=self.receipts,
                desk=desk,
                tokens=self._watch,
                rates=self._rates,
                settings=settings,
                metrics=metrics,
                epoch=store.log_epoch,
                clock=clock,
                now=now,
                schedule=parts.wheel.add,
            )
        )
        self._service = Service(
            settings.prefix,
            self._application,
            settings.sockjs,
            Surroundings(parts.reactor, parts.wheel.add, metrics, clock, now),
            guard=self._guard,
            stalled=limits.stalled,
        )
        store.most_entries = limits.log_entries
        store.on_posted = self._handover.posted
        store.on_trimmed = metrics.messaging_log_trimmed.inc
        parts.escalation.is_device_live = self._live.has_device
        self._live.on_device_left = parts.escalation.device_left

    def __len__(self) -> int:
        """Connections."""
        return len(self._application)

    @property
    def services(self) -> Mapping[str, Run]:
        """What is to be run, by name."""
        return {
            "messaging": self._application.run,
            "messaging_crier": self._crier.run,
            "messaging_handover": self._handover.run,
            "messaging_housekeeping": self._housekeeping.run,
            "messaging_tokens": self._watch.run,
            "presence": self._presence.run,
        }

    def serve(self, router: Router, config: Config, tokens: Authenticator) -> None:
        """Add the routes; from now on `tokens` says who comes in, and `config` from where. The
        rest is as it was at the start."""
        self._guard.tokens = self._watch.tokens = tokens
        origins = self._settings.allowed_origins
        self._service.allowed_origins = tuple(config.cors.origins if origins is None else origins)
        self._service.add_routes(router)
        store, epoch = self._parts.store, self._parts.store.log_epoch
        readouts = Readouts(
            store=store,
            register=self._register,
            rooms=self._rooms,
            histories=self._histories,
            receipts=self.receipts,
            limits=self._settings.limits,
            epoch=epoch,
        )
        oversight = Oversight(
            store=store,
            register=self._register,
            live=self._live,
            presence=self._presence,
            log=self._parts.log,
            revoker=Revoker(self._parts.revocations, tokens),
            epoch=epoch,
            only_domain=None if self._settings.domain_claim else self._settings.default_domain,
        )
        MessagingRestFace(tokens, readouts, oversight, self._rates).add_routes(router)

    async def drain(self, window: float, *, rng: random.Random) -> None:
        """Take no new connection, and close those there are over `window` seconds (MS-69)."""
        self._service.shut()
        await self._application.drain(window, rng=rng)
