"""Webhooks: one signed POST per attempt (channels.md, section 9; push.md, D.2 to D.5)."""

import math
import ssl
from collections.abc import Callable
from functools import partial

import attrs
import structlog
import trio

from tocsin import __version__
from tocsin.model.channel import Channel, Webhook
from tocsin.model.delivery import Delivery
from tocsin.model.errors import TocsinError
from tocsin.model.outcome import Deferred, Outcome, Sign
from tocsin.ops.metrics import Metrics
from tocsin.transports.dial import ConnectionLostError, dial
from tocsin.transports.guard import AddressGuard
from tocsin.transports.notconnected import NotConnectedError, OwnLimitError
from tocsin.transports.notices import Hourly
from tocsin.transports.patience import Patience
from tocsin.transports.pool import ConnectionPool, Dial, Link, PoolStatistics
from tocsin.transports.settings import WebhookSettings
from tocsin.wire.endpoint import Endpoint
from tocsin.wire.http1client import AnswerReader, BadAnswerError
from tocsin.wire.webhook import RequestTemplate, Signer, outcome

USER_AGENT = f"tocsin/{__version__}"
PREPARED = 4_096

log = structlog.get_logger()


class TooLateError(TocsinError):
    """The notification's deadline has come before a byte of it was written."""

    reason = "expired"


@attrs.frozen
class _Prepared:
    """What the requests to one channel have in common, as long as its webhook stays the same and
    no secret's time is over (`until`, epoch milliseconds)."""

    webhook: Webhook
    endpoint: Endpoint
    template: RequestTemplate
    timeout: float
    until: float


@attrs.define(eq=False)
class _Call:
    """One request on its way: how far it has come, also when it is cut off. What stopped it is
    `ours`, if the far side has no part in it."""

    endpoint: Endpoint
    request: bytes
    expires_at: int
    limit: trio.CancelScope
    written: bool = False
    answer: AnswerReader | None = None
    trouble: str | None = None
    ours: bool = False

    def start_again(self) -> None:
        """Nothing has been sent yet, as far as the next connection is concerned."""
        self.written, self.answer, self.trouble = False, None, None


class WebhookTransport:
    """Tries once and says what came of it; decides nothing else.

    Both clocks tell epoch milliseconds: deadlines go by the daemon's own `clock`, timestamps and
    dates that receivers compare with theirs by the `wall`. `guard` is the one that judged the
    channels' URLs. Without an `ssl_context` the system's trust store is used; `connect` replaces
    the whole way to a connection. `run` and `aclose` belong to the owner.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        guard: AddressGuard,
        metrics: Metrics,
        clock: Callable[[], int],
        wall: Callable[[], int],
        ssl_context: ssl.SSLContext | None = None,
        connect: Dial | None = None,
    ) -> None:
        self._guard = guard
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._blocked = Hourly(trio.current_time)
        self._previous: Signer | None = None
        self._previous_until = 0
        self._take_up(settings)
        if connect is None:
            context = ssl_context or ssl.create_default_context()
            connect = partial(dial, guard=guard, ssl_context=context)
        self._pool = ConnectionPool(connect, max_sockets=settings.max_sockets)

    def reconfigure(self, settings: WebhookSettings) -> None:
        """Requests that begin from now on are made by these, over connections that are judged by
        the guard as it is now; `max_sockets` stays. The configured secret before this one signs
        beside it for `rotation_grace` (PU-77)."""
        before, signer = self._settings.signing_secret, self._signer
        self._take_up(settings)
        if signer is not None and settings.signing_secret not in {None, before}:
            self._previous = signer
            self._previous_until = self._wall() + int(settings.rotation_grace * 1000)
        self._pool.close_idle()

    def _take_up(self, settings: WebhookSettings) -> None:
        self._settings = settings
        secret = settings.signing_secret
        self._signer = None if secret is None else Signer(secret)
        self._prepared: dict[str, _Prepared] = {}

    async def attempt(self, delivery: Delivery) -> Outcome:
        """One attempt, within total_timeout. Cancelled, it closes the connection it used.

        While it is us who let it wait, for a socket or a thread that looks the name up, the time
        stands still; if that lasts, nothing is held against the far side. What has expired is not
        written, however long it took to connect.
        """
        now = self._wall()
        try:
            prepared = self._prepare(delivery.channel, now)
        except ValueError:
            await trio.lowlevel.checkpoint()
            return Deferred("bad_channel", sign=Sign.NOTHING)
        notification = delivery.notification
        request = prepared.template.render(
            notification_id=notification.id,
            timestamp=now // 1000,
            body=notification.body,
        )
        with trio.move_on_after(prepared.timeout) as limit:
            call = _Call(prepared.endpoint, request, notification.expires_at, limit)
            await self._carry_out(call)
        if call.trouble == "blocked_address":
            self._note_blocked(delivery.channel, call.endpoint)
        return self._outcome(call)

    async def run(self) -> None:
        """Look after idle connections, until cancelled."""
        await self._pool.run()

    def close_idle(self) -> None:
        """Close the connections nobody uses."""
        self._pool.close_idle()

    async def aclose(self) -> None:
        """Close idle connections now, and the others as their attempts end."""
        await self._pool.aclose()

    def statistics(self) -> PoolStatistics:
        """Its connections."""
        return self._pool.statistics()

    def _prepare(self, channel: Channel, now: int) -> _Prepared:
        """What is the same for every request of this channel; ValueError if it has become bad.

        Kept for the 4,096 channels that came last; for others it is made again.
        """
        prepared = self._prepared.get(channel.id)
        webhook = channel.webhook
        if prepared is not None and prepared.webhook is webhook and now < prepared.until:
            return prepared
        if webhook is None:
            raise ValueError("not a webhook channel")
        endpoint = self._guard.parse(webhook.url)
        template = RequestTemplate.of(
            endpoint,
            user_agent=USER_AGENT,
            authorization=webhook.authorization,
            signers=self._signers(webhook, now),
        )
        prepared = _Prepared(
            webhook,
            endpoint,
            template,
            timeout=self._settings.timeout_of(endpoint.host),
            until=self._until(webhook, now),
        )
        self._prepared.pop(channel.id, None)
        if len(self._prepared) >= PREPARED:
            del self._prepared[next(iter(self._prepared))]
        self._prepared[channel.id] = prepared
        return prepared

    def _signers(self, webhook: Webhook, now: int) -> list[Signer]:
        """Whose signatures a request bears, the newest secret's first (PU-76, PU-77)."""
        configured = [] if self._signer is None else [self._signer]
        if webhook.secret is None:
            if self._previous is not None and now < self._previous_until:
                return [*configured, self._previous]
            return configured
        signers = [Signer(webhook.secret)]
        if webhook.rotated_until is not None and now < webhook.rotated_until:
            signers += configured if webhook.previous is None else [Signer(webhook.previous)]
        return signers

    def _until(self, webhook: Webhook, now: int) -> float:
        """When a webhook's signatures change by themselves."""
        ends = self._previous_until if webhook.secret is None else webhook.rotated_until
        return math.inf if ends is None or ends <= now else ends

    def _note_blocked(self, channel: Channel, endpoint: Endpoint) -> None:
        """Somebody's name leads where it may not (PU-72): once an hour is enough for a log."""
        self._metrics.webhook_blocked_addresses.inc()
        if self._blocked.is_due(channel.id):
            log.warning("webhook.blocked_address", channel_id=channel.id, origin=endpoint.origin)

    async def _carry_out(self, call: _Call) -> None:
        """Send and read, and note in `call` what went wrong."""
        try:
            await self._send(call)
        except (NotConnectedError, BadAnswerError, TooLateError) as error:
            call.trouble = error.reason
            call.ours = isinstance(error, OwnLimitError | TooLateError)

    async def _send(self, call: _Call) -> None:
        """Send and read, over a kept connection if there is one that lives."""
        link = self._pool.take(call.endpoint.origin)
        if link is not None:
            await self._exchange(link, call)
            if link.answer.has_begun:
                return
            # The far side gave it up between two requests: once more, on a new one.
            call.start_again()
        await self._exchange(await self._connect(call), call)

    async def _connect(self, call: _Call) -> Link:
        with trio.move_on_after(self._settings.connect_timeout) as limit:
            return await self._pool.connect(call.endpoint, Patience(call.limit, limit))
        raise NotConnectedError("timeout")

    async def _exchange(self, link: Link, call: _Call) -> None:
        """Write the request and read what comes; a broken connection just ends it."""
        if self._clock() >= call.expires_at:
            self._pool.keep(link)
            raise TooLateError
        answer = call.answer = link.answer
        try:
            await link.connection.send_all(call.request)
            call.written = True
            while not answer.finished:
                answer.feed(await link.connection.receive_some())
        except ConnectionLostError:
            call.trouble = None if call.written else "broken"
        finally:
            if answer.reusable:
                self._pool.keep(link)
            else:
                self._pool.discard(link)

    def _outcome(self, call: _Call) -> Outcome:
        """What became of it. A whole head is an answer, whatever happened to the body.

        Called before anything can wait: the next user of a kept connection resets its reader.
        """
        answer = call.answer
        if answer is not None and answer.status is not None:
            return outcome(
                answer.status,
                answer.headers,
                now=self._wall(),
                retry_after_max=self._settings.retry_after_max,
                excerpt=answer.body,
            )
        if call.trouble is not None:
            sign = Sign.NOTHING if call.ours else Sign.FAILURE
            return Deferred(call.trouble, sign=sign)
        if call.written:
            return Deferred("unanswered", unanswered=True)
        return Deferred("timeout")
