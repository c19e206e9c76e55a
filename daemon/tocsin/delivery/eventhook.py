"""Events sent to a webhook: the operator's, or the one that hears what became of pushes (PU-56).

The webhook is a channel like any other, of a user no token can name, so what goes there is
durable, retried, signed and guarded like everything else. Between `offer` and the store an event is
in memory: while the store fails, `MOST_WAITING` are kept; then the oldest goes and is counted.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import structlog
import trio

from tocsin.delivery.directory import Directory
from tocsin.model.channel import Channel, ChannelType, Webhook
from tocsin.model.errors import RequestError, StoreError
from tocsin.model.ids import new_id
from tocsin.model.notification import Notification, Priority
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.store.records import Acceptance
from tocsin.wire.operatorevent import event_body

if TYPE_CHECKING:
    from tocsin.delivery.account import Account

SERVICE = "operator"
MOST_WAITING = 1_000
BATCH = 100
LIFETIME = 7 * 86_400_000
PAUSE_AFTER_FAILURE = 1.0

log = structlog.get_logger()


class EventHook:
    """A webhook that is told of events. Nothing is sent about the channel it is itself."""

    def __init__(
        self,
        user: str,
        webhook: Webhook | None,
        directory: Directory,
        store: Callable[[Acceptance], Awaitable[None]],
        *,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        """Its channel is the only one of `user`, whom no token may be able to name. Without a
        `webhook` it only removes the channel an earlier configuration left. `store` takes what was
        routed and hands it over (`Ingest.store`)."""
        self._user = user
        self._webhook = webhook
        self._directory = directory
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._waiting: deque[Notification] = deque()
        self._arrived = trio.Event()
        self._account: Account | None = None
        self._channel: Channel | None = None

    def offer(self, name: str, at: int, fields: Mapping[str, object]) -> None:
        """Have an event sent; full, the oldest that waits gives way. What is about one notification
        goes beside the rest: there may be as many as pushes, and they have no order."""
        if self._webhook is None or self._is_about_itself(fields):
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._metrics.operator_events_dropped.inc()
        self._waiting.append(
            Notification(
                new_id(),
                self._user,
                SERVICE,
                name,
                event_body(name, at, fields),
                Priority.NORMAL,
                at,
                at + LIFETIME,
                str(fields.get("notification_id", SERVICE)),
            )
        )
        self._arrived.set()

    async def run(self, progress: Progress) -> None:
        """Hand events to the store until cancelled; while it fails, try again."""
        while True:
            try:
                if self._channel is None:
                    progress.waiting("the store")
                    await self._open()
                await self._pass_on(progress)
            except (StoreError, RequestError) as error:
                log.debug("operator.webhook_waits", reason=str(error))
                progress.waiting("the store")
                await trio.sleep(PAUSE_AFTER_FAILURE)
                continue
            progress.waiting("events")
            await self._arrived.wait()
            progress.beat()
            self._arrived = trio.Event()

    async def _pass_on(self, progress: Progress) -> None:
        """Store what waits, in batches; what was not stored waits on."""
        while self._waiting:
            channel = await self._current()
            batch = list(self._waiting)[:BATCH]
            acceptance = Acceptance()
            for notification in batch:
                acceptance.add(notification, [channel])
            await self._store(acceptance)
            self._forget(batch)
            progress.beat()

    def _forget(self, batch: Iterable[Notification]) -> None:
        """Some may have given way to newer ones meanwhile."""
        for notification in batch:
            if self._waiting and self._waiting[0] is notification:
                self._waiting.popleft()

    async def _current(self) -> Channel:
        """The channel; made anew if an operator has deleted it."""
        account, channel = self._account, self._channel
        if account is None or channel is None or channel.id not in account.channels:
            await self._open()
            channel = self._channel
        if channel is None:
            raise StoreError("there is no operator channel")
        return channel

    async def _open(self) -> None:
        """The one channel the configuration asks for, and no other."""
        account = self._account = await self._directory.account(self._user)
        for one in list(account.channels.values()):
            if self._webhook is None or one.webhook is None or one.webhook.url != self._webhook.url:
                await self._directory.remove_channel(account, one, outcome="refused")
        if self._webhook is not None:
            self._channel = await self._directory.open_channel(
                account,
                Channel(
                    Channel.new_id(ChannelType.WEBHOOKS),
                    self._user,
                    ChannelType.WEBHOOKS,
                    self._clock(),
                    SERVICE,
                    webhook=self._webhook,
                ),
            )

    def _is_about_itself(self, fields: Mapping[str, object]) -> bool:
        return self._channel is not None and fields.get("channel_id") == self._channel.id
