"""What an operator is told: as a log event, in a metric, and, if wanted, by a webhook (PU-56).

The webhook is a channel like any other, of a user no token can name, so what goes there is
durable, retried, signed and guarded like everything else. Between `emit` and the store an event is
in memory: while the store fails, `MOST_WAITING` are kept; then the oldest goes and is counted.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

import attrs
import structlog
import trio

from tocsin.delivery.directory import Directory
from tocsin.model.channel import Channel, ChannelType, Webhook
from tocsin.model.errors import RequestError, StoreError
from tocsin.model.ids import new_id
from tocsin.model.notification import Notification, Priority
from tocsin.model.option import option
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.store.records import Acceptance
from tocsin.wire.operatorevent import event_body
from tocsin.wire.webhook import secret_problem

if TYPE_CHECKING:
    from tocsin.delivery.account import Account

OPERATOR = ""
SERVICE = "operator"
MOST_WAITING = 1_000
BATCH = 100
LIFETIME = 7 * 86_400_000
PAUSE_AFTER_FAILURE = 1.0
ALARMING = frozenset(
    {"channel.suspended", "delivery.dead", "lane.blocked", "store.failing", "push.token.removed"}
)

log = structlog.get_logger()


@attrs.frozen
class OperatorSettings:
    """`[operator]`"""

    webhook_url: str | None = option(
        None, "Where operator events are POSTed; not set, they are only logged and counted."
    )
    webhook_secret: str | None = option(
        None,
        "Signs them, instead of webhooks.signing_secret: whsec_ and base64 of 24-64 bytes.",
        check=secret_problem,
        secret=True,
    )


class Events:
    """Where everybody says what an operator may want to know."""

    def __init__(self, *, metrics: Metrics, clock: Callable[[], int]) -> None:
        self._metrics = metrics
        self._clock = clock
        self._store_failing = False
        self.hook: OperatorHook | None = None

    def emit(self, name: str, **fields: object) -> None:
        """Tell an operator. `name` is one of `ops.metrics.EVENTS`; `fields` are fit for a log: ids
        and words, no tokens, no bodies. Never waits, never raises."""
        (log.warning if name in ALARMING else log.info)(name, **fields)
        self._metrics.operator_events[name].inc()
        if self.hook is not None:
            self.hook.offer(name, self._clock(), fields)

    def note_store(self, failing: str | None) -> None:
        """Tell whether the store fails, when that has changed."""
        if (failing is not None) is self._store_failing:
            return
        self._store_failing = failing is not None
        if failing is not None:
            self.emit("store.failing", reason=failing)
        else:
            self.emit("store.working")

    def note_channel(self, channel: Channel) -> None:
        """Tell that a channel was suspended or resumed."""
        name = "channel.suspended" if channel.state else "channel.resumed"
        self.emit(
            name,
            channel_id=channel.id,
            user=channel.user,
            channel_type=channel.type.value,
            lane=channel.lane,
        )


class OperatorHook:
    """The operator's webhook. Nothing is sent about the channel it is itself."""

    def __init__(
        self,
        webhook: Webhook | None,
        directory: Directory,
        store: Callable[[Acceptance], Awaitable[None]],
        *,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        """Without a `webhook` it only removes the channel an earlier configuration left.
        `store` takes what was routed and hands it over (`Ingest.store`)."""
        self._webhook = webhook
        self._directory = directory
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._waiting: deque[Notification] = deque()
        self._arrived = trio.Event()
        self._account: Account | None = None
        self._channel: Channel | None = None

    def offer(self, name: str, at: int, fields: dict[str, object]) -> None:
        """Have an event sent; full, the oldest that waits gives way."""
        if self._webhook is None or self._is_about_itself(fields):
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._metrics.operator_events_dropped.inc()
        self._waiting.append(
            Notification(
                new_id(),
                OPERATOR,
                SERVICE,
                name,
                event_body(name, at, fields),
                Priority.NORMAL,
                at,
                at + LIFETIME,
                SERVICE,
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
        account = self._account = await self._directory.account(OPERATOR)
        for one in list(account.channels.values()):
            if self._webhook is None or one.webhook is None or one.webhook.url != self._webhook.url:
                await self._directory.remove_channel(account, one, outcome="refused")
        if self._webhook is not None:
            self._channel = await self._directory.open_channel(
                account,
                Channel(
                    Channel.new_id(ChannelType.WEBHOOKS),
                    OPERATOR,
                    ChannelType.WEBHOOKS,
                    self._clock(),
                    SERVICE,
                    webhook=self._webhook,
                ),
            )

    def _is_about_itself(self, fields: dict[str, object]) -> bool:
        return self._channel is not None and fields.get("channel_id") == self._channel.id
