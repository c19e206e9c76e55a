"""Everything that pushes to phones, made from the configuration and tied together."""

import random
from collections.abc import Callable, Mapping

from tocsin.config import Config
from tocsin.delivery.devices import Devices
from tocsin.delivery.directory import Directory
from tocsin.delivery.endings import Ending, Endings
from tocsin.delivery.events import Events
from tocsin.delivery.gates import Gates
from tocsin.delivery.gateway import Gateway
from tocsin.delivery.ingest import Ingest
from tocsin.delivery.pushapps import AppRegistry, push_rules
from tocsin.delivery.queue import DeliveryQueue
from tocsin.delivery.reach import Reach
from tocsin.delivery.settler import Settler
from tocsin.model.channel import ChannelType
from tocsin.model.gatewayuser import app_of
from tocsin.model.notification import Notification
from tocsin.ops.metrics import Metrics
from tocsin.store.records import Ended
from tocsin.store.sqlite import SqliteStore
from tocsin.transports.push.attempt import Sender
from tocsin.transports.push.transport import PushTransport
from tocsin.wire.push.attributes import GATEWAY_SERVICE, read

MOST_UNDER_WAY = 2_000

Senders = Mapping[str, Sender | None]


class Pushing:
    """What is pushed, by whom, and what is made of the answers; nothing runs yet.

    `gateway` is there once the entrance of the straight line is, see `open_gateway`.
    """

    def __init__(
        self,
        config: Config,
        store: SqliteStore,
        directory: Directory,
        *,
        events: Events,
        metrics: Metrics,
        clock: Callable[[], int],
        wall: Callable[[], int],
        rng: random.Random,
    ) -> None:
        settings = self._settings = config.push
        self._limits = config.limits.delivery
        self._store = store
        self._directory = directory
        self._events = events
        self._metrics = metrics
        self._clock = clock
        rules = push_rules(settings)
        self.apps = AppRegistry.of(settings)
        self.reach = Reach(self.apps, rules)
        self.gates = Gates(self.apps, events=events, metrics=metrics, clock=clock)
        self.endings = Endings()
        self.endings.unwatched = self._ended_late
        self.devices = Devices(
            store,
            directory,
            self.apps,
            settings,
            self.endings,
            metrics=metrics,
            clock=clock,
            emit=events.emit,
        )
        directory.on_registered = self.devices.registered
        directory.on_ended = self._removed
        self.transport = PushTransport(
            self.apps,
            rules,
            settings.keys,
            memory=store,
            metrics=metrics,
            clock=clock,
            wall=wall,
            on_state=self.gates.note,
            emit=events.emit,
        )
        self.settler = Settler(
            ChannelType.OMAPUSH,
            store,
            directory,
            settings=config.delivery,
            devices=self.devices,
            endings=self.endings,
            metrics=metrics,
            clock=clock,
            rng=rng,
        )
        self.settler.tell = events.emit
        self.queue = DeliveryQueue(
            ChannelType.OMAPUSH,
            store,
            directory,
            self.transport,
            self.settler,
            settings=config.delivery,
            width=_everywhere(settings.lane_width),
            slots=MOST_UNDER_WAY,
            events=events,
            metrics=metrics,
            clock=clock,
            gates=self.gates,
        )

    def reconfigure(self, config: Config, senders: Senders) -> None:
        """Push for other apps, by other credentials, from now on. `senders` are those of the
        credentials that have changed, from `transport.make_senders`."""
        settings, rules = config.push, push_rules(config.push)
        self.apps = AppRegistry.of(settings)
        self.transport.replace_keys(senders)
        self.transport.replace_apps(self.apps, rules)
        self.reach.reconfigure(self.apps, rules)
        self.gates.reload(self.apps, senders)
        self.devices.reconfigure(self.apps, settings)
        self.settler.reconfigure(config.delivery)
        self.queue.reconfigure(_everywhere(settings.lane_width))

    def open_gateway(self, ingest: Ingest) -> Gateway:
        """The gateway behind its face."""
        return Gateway(
            self._store,
            self._directory,
            ingest,
            self.endings,
            settings=self._settings,
            limits=self._limits,
            is_dead=self.devices.is_dead,
            blocked=self.queue.blocked,
            metrics=self._metrics,
            clock=self._clock,
        )

    def _removed(self, ended: Ended) -> None:
        self.endings.tell_all(ended.pushes, Ending("removed"))

    def _ended_late(self, _delivery_id: int, notification: Notification, ending: Ending) -> None:
        """A push of the gateway has ended after its caller was answered (PU-17, PU-56)."""
        if notification.service == GATEWAY_SERVICE:
            self._events.emit(
                "push.outcome",
                notification_id=notification.id,
                app_id=app_of(notification.user),
                verb=notification.root_key,
                id=read(notification).get("id"),
                outcome=ending.result,
                reason=ending.reason,
            )


def _everywhere(width: int) -> Callable[[str], int]:
    """All lanes have one width."""
    return lambda _lane: width
