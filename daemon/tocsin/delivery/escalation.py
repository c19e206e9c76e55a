"""Escalation per device: its socket first, its push where no receipt comes (delivery.md, CH-70).

A device is a user and a clientCorrelator. Where one of its sockets (or polls) is connected when a
notification is accepted, legs of the same device under the policy `escalate` are held back:

    held --receipt of any socket of the device--> cancelled
      |--time is up--------------------------> due
      '--last connected socket gone----------> due at once

For what tells of a message (messaging.md) a messaging connection of the device counts as a socket,
too: the message itself comes over that, and its proof cancels what is held (MS-50, MS-55).

The store keeps what is held; a start finds it as it was, and it is due when its time is up.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from tocsin.delivery.directory import Directory
from tocsin.delivery.router import lets_through
from tocsin.delivery.sessions import Sessions
from tocsin.delivery.settings import DeliverySettings
from tocsin.model.channel import Channel
from tocsin.model.delivery import Delivery
from tocsin.model.errors import StoreError
from tocsin.model.notification import Notification
from tocsin.model.subscription import Subscription
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store
from tocsin.store.records import Acceptance, Ended, Held

ALL, ESCALATE = "all", "escalate"
CALLS = "call"
NO_POLICIES: Mapping[str, str] = {}


class Escalation:
    """Holds legs back at accept, and lets them go when nobody is left to wait for."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        sessions: Sessions,
        *,
        settings: DeliverySettings,
        wake: Callable[[str, bool], None],
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        """`wake(lane, urgent)` nudges the queue that serves a lane. To be told of what happens:
        `left` by the sessions, `device_left` by those of messaging, `cancelled` by the store.
        `is_device_live(user, correlator)` says whether a device has a messaging connection."""
        self.is_device_live: Callable[[str, str], bool] = lambda _user, _correlator: False
        self._store = store
        self._directory = directory
        self._sessions = sessions
        self._wake = wake
        self._metrics = metrics
        self._clock = clock
        self._after = int(settings.escalate_after * 1000)
        self._after_call = int(settings.escalate_after_call * 1000)
        self._policies = settings.policies

    def hold(
        self,
        acceptance: Acceptance,
        subscriptions: Collection[Subscription],
        now: int,
        *,
        is_message: bool = False,
    ) -> None:
        """Decide about the notification that was added last, routed by these subscriptions.
        `is_message`: it tells of a message to its user.

        To be stored before anything else happens: what leaves later is looked up in the store.
        """
        notification = acceptance.notifications[-1]
        after = self._after_call if notification.service == CALLS else self._after
        held = held_back(
            notification,
            acceptance.deliveries[-1],
            subscriptions,
            now,
            after=after,
            is_connected=self._is_connected,
            policies=self._policies,
            is_device_live=partial(self._is_messaging, notification.user if is_message else None),
        )
        acceptance.held += held
        for one in held:
            for leg in one.later:
                leg.channel.escalates_at = max(leg.channel.escalates_at, one.not_before)

    def committed(self, acceptance: Acceptance) -> None:
        """Count what went to a socket first, now that it is stored."""
        if acceptance.held:
            stored = {leg.id for legs in acceptance.fresh() for leg in legs}
            held = sum(leg.id in stored for one in acceptance.held for leg in one.later)
            self._metrics.escalations["socket"].inc(held)

    def left(self, channel: Channel) -> None:
        """A client is gone: what waits for it, and for no other socket of its device, is due; not
        what tells of messages while these come to the device."""
        account = self._directory.cached(channel.user)
        if account is None:
            return
        now = self._clock()
        device = device_of(channel)
        kin = [one for one in account.channels.values() if device_of(one) == device]
        holding = [one for one in kin if one.escalates_at > now]
        if holding:
            connected = [one for one in kin if self._is_connected(one)]
            messages = False if self.is_device_live(*device) else None
            self._store.escalate(holding, connected, now=now, then=self._due, messages=messages)

    def device_left(self, user: str, correlator: str | None) -> None:
        """The last messaging connection of a device is gone, or, with None, the last that counted
        for all of the user's: what tells of messages and waits for no socket is due (MS-50). Of a
        user who is not in memory any more it is when its time is up."""
        account = self._directory.cached(user)
        if account is None:
            return
        now = self._clock()
        holding = [
            one
            for one in account.channels.values()
            if one.escalates_at > now
            and correlator in {None, one.client_correlator}
            and not self.is_device_live(user, one.client_correlator)
        ]
        if holding:
            connected = [one for one in account.channels.values() if self._is_connected(one)]
            self._store.escalate(holding, connected, now=now, then=self._due, messages=True)

    def cancelled(self, ended: Ended) -> None:
        """Receipts came first; what stood behind the cancelled may be due."""
        for kind, count in ended.counts.items():
            self._metrics.deliveries[kind, "cancelled"].inc(count)
            self._metrics.escalations["cancelled"].inc(count)
        for lane in ended.lanes:
            self._wake(lane, True)

    def _due(self, lanes: Mapping[str, bool] | None, error: StoreError | None) -> None:
        """On a failing store, what is held is due when its time is up."""
        if lanes is not None and error is None:
            for lane, urgent in lanes.items():
                self._wake(lane, urgent)

    def _is_connected(self, channel: Channel) -> bool:
        return self._sessions.of(channel) is not None

    def _is_messaging(self, user: str | None, device: tuple[str, str]) -> bool:
        """Whether messages to a user come to a device as such; a device of somebody else has
        other messages."""
        return device[0] == user and self.is_device_live(*device)


def device_of(channel: Channel) -> tuple[str, str]:
    """What a socket and a push of the same device have in common."""
    return channel.user, channel.client_correlator


def held_back(
    notification: Notification,
    legs: Sequence[Delivery],
    subscriptions: Collection[Subscription],
    now: int,
    *,
    after: int,
    is_connected: Callable[[Channel], bool],
    policies: Mapping[str, str] = NO_POLICIES,
    is_device_live: Callable[[tuple[str, str]], bool] = lambda _device: False,
) -> list[Held]:
    """Which legs wait for the receipt of which others of their device, `after` ms at most.

    `policies` are the operator's by service; a subscription's own goes before. Where
    `is_device_live` they wait though no leg is connected, for what comes to the device otherwise.

    No longer than half of what the notification has left to live: the other half is for the push.
    """
    devices: dict[tuple[str, str], list[Delivery]] = {}
    for leg in legs:
        if leg.channel.lane is not None:
            devices.setdefault(device_of(leg.channel), []).append(leg)
    left = max(0, notification.expires_at - now)
    held: list[Held] = []
    for device, pushes in devices.items():
        first = [
            leg for leg in legs if leg.channel.lane is None and device_of(leg.channel) == device
        ]
        if is_device_live(device) or any(is_connected(leg.channel) for leg in first):
            later = [leg for leg in pushes if _escalates(leg, subscriptions, policies, now)]
            if later:
                held.append(Held(first, later, now + min(after, left // 2)))
    return held


def _escalates(
    leg: Delivery, subscriptions: Collection[Subscription], policies: Mapping[str, str], now: int
) -> bool:
    """Where subscriptions of one channel differ, `all` wins (CH-98)."""
    channel, notification = leg.channel, leg.notification
    of_type = ESCALATE if channel.device is not None else ALL
    default = policies.get(notification.service, of_type)
    return all(
        (one.policy or default) == ESCALATE
        for one in subscriptions
        if one.channel is channel
        and one.service == notification.service
        and lets_through(one, notification, now)
    )
