"""Accepting notifications: routed, stored in one transaction, then handed over."""

from collections.abc import Callable, Sequence

from tocsin.delivery.directory import Directory
from tocsin.delivery.handover import Handover
from tocsin.delivery.router import fan_out
from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.errors import StoreError, unavailable
from tocsin.model.notification import Notification
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Acceptance, Store


class Ingest:
    """The entrance of the straight line, the same for every face."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        handover: Handover,
        *,
        limits: DeliveryLimits,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._directory = directory
        self._handover = handover
        self._limits = limits
        self._metrics = metrics
        self._clock = clock

    async def accept(self, notifications: Sequence[Notification]) -> list[int]:
        """Store notifications and say how many channels each goes to, in the same order.

        Durable on return; delivery has begun. Raises 503 with nothing stored when the backlog is
        full or the store cannot take it. Cancellation ends the waiting: what was handed to the
        store is delivered all the same.
        """
        accounts = await self._directory.accounts([one.user for one in notifications])
        now = self._clock()
        acceptance = Acceptance()
        counts: list[int] = []
        legs = 0
        for notification, account in zip(notifications, accounts, strict=True):
            channels = fan_out(notification, account.subscriptions.values(), now)
            counts.append(len(channels))
            legs += len(channels)
            if channels:
                acceptance.add(notification, channels)
        if legs:
            await self._store_all(acceptance, legs)
        accepted: dict[str, int] = {}
        for notification in notifications:
            accepted[notification.service] = accepted.get(notification.service, 0) + 1
        for service, count in accepted.items():
            self._metrics.notifications_accepted[service].inc(count)
        return counts

    async def _store_all(self, acceptance: Acceptance, legs: int) -> None:
        if self._store.backlog + legs > self._limits.backlog:
            raise unavailable("backlog", retry_after=5)

        def done(error: StoreError | None) -> None:
            if error is None:
                self._handover.committed(acceptance)

        try:
            await self._store.accept(acceptance, done)
        except StoreError as error:
            raise unavailable("store", retry_after=1) from error
