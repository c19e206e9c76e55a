"""Webhooks: one signed POST per attempt (channels.md, section 9; push.md, D.2 to D.5)."""

import math
import ssl
from collections.abc import Callable
from functools import partial

import attrs
import trio

from tocsin import __version__
from tocsin.model.channel import Channel, Webhook
from tocsin.model.delivery import Delivery
from tocsin.model.option import option
from tocsin.model.outcome import Deferred, Outcome
from tocsin.transports.dial import ConnectionLostError, dial
from tocsin.transports.guard import AddressGuard, NotConnectedError
from tocsin.transports.pool import ConnectionPool, Dial, Link, PoolStatistics
from tocsin.wire.addresses import networks_problem
from tocsin.wire.endpoint import Endpoint, hosts_problem
from tocsin.wire.http1client import AnswerReader, BadAnswerError
from tocsin.wire.retryafter import DAY
from tocsin.wire.webhook import RequestTemplate, Signer, outcome, secret_problem

USER_AGENT = f"tocsin/{__version__}"
PREPARED = 4_096


@attrs.frozen
class WebhookSettings:
    """`[webhooks]`"""

    connect_timeout: float = option(
        5, "Seconds for name, connection and TLS together.", minimum=0.1, maximum=30
    )
    total_timeout: float = option(15, "Seconds for a whole attempt.", minimum=1, maximum=30)
    lane_width: int = option(8, "Requests under way to one origin.", minimum=1, maximum=256)
    max_sockets: int = option(
        1024, "Connections in all; beyond it the one idle longest is closed.", minimum=1
    )
    allow_http: list[str] = option([], "Hosts that may be called without TLS.", check=hosts_problem)
    allow_networks: list[str] = option(
        [], "Networks that may be called although they are not public.", check=networks_problem
    )
    deny_networks: list[str] = option(
        [], "Networks that may not be called although they are public.", check=networks_problem
    )
    signing_secret: str | None = option(
        None,
        "Signs for channels without a secret of their own: whsec_ and base64 of 24-64 bytes.",
        check=secret_problem,
        secret=True,
    )
    echo_secrets: bool = option(False, "Answers show x-authorization instead of stars.")
    unanswered_retries: int = option(
        2,
        "Attempts in a row that may go unanswered before another makes a dead letter.",
        minimum=0,
        maximum=100,
    )
    collect_unused_days: int = option(
        30, "Days after which a webhook without any subscription is removed.", minimum=1
    )
    retry_after_max: float = option(
        DAY, "Seconds a Retry-After may ask for.", minimum=0, maximum=DAY
    )


@attrs.frozen
class _Prepared:
    """What the requests to one channel have in common, as long as its webhook stays the same and
    no secret's time is over (`until`, epoch milliseconds)."""

    webhook: Webhook
    endpoint: Endpoint
    template: RequestTemplate
    until: float


@attrs.define(eq=False)
class _Call:
    """One request on its way: how far it has come, also when it is cut off."""

    endpoint: Endpoint
    request: bytes
    written: bool = False
    answer: AnswerReader | None = None
    trouble: str | None = None

    def start_again(self) -> None:
        """Nothing has been sent yet, as far as the next connection is concerned."""
        self.written, self.answer, self.trouble = False, None, None


class WebhookTransport:
    """Tries once and says what came of it; decides nothing else.

    `now` tells epoch milliseconds. `guard` is the one that judged the channels' URLs. Without
    an `ssl_context` the system's trust store is used; `connect` replaces the whole way to a
    connection. `run` and `aclose` belong to the owner.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        guard: AddressGuard,
        now: Callable[[], int],
        ssl_context: ssl.SSLContext | None = None,
        connect: Dial | None = None,
    ) -> None:
        self._settings = settings
        self._guard = guard
        self._now = now
        secret = settings.signing_secret
        self._signer = None if secret is None else Signer(secret)
        if connect is None:
            context = ssl_context or ssl.create_default_context()
            connect = partial(dial, guard=guard, ssl_context=context)
        self._pool = ConnectionPool(connect, max_sockets=settings.max_sockets)
        self._prepared: dict[str, _Prepared] = {}

    async def attempt(self, delivery: Delivery) -> Outcome:
        """One attempt, within total_timeout. Cancelled, it closes the connection it used."""
        now = self._now()
        try:
            prepared = self._prepare(delivery.channel, now)
        except ValueError:
            await trio.lowlevel.checkpoint()
            return Deferred("bad_channel")
        notification = delivery.notification
        request = prepared.template.render(
            notification_id=notification.id,
            timestamp=now // 1000,
            body=notification.body,
        )
        call = _Call(prepared.endpoint, request)
        with trio.move_on_after(self._settings.total_timeout):
            await self._carry_out(call)
        return self._outcome(call)

    async def run(self) -> None:
        """Look after idle connections, until cancelled."""
        await self._pool.run()

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
        prepared = _Prepared(webhook, endpoint, template, _until(webhook, now))
        self._prepared.pop(channel.id, None)
        if len(self._prepared) >= PREPARED:
            del self._prepared[next(iter(self._prepared))]
        self._prepared[channel.id] = prepared
        return prepared

    def _signers(self, webhook: Webhook, now: int) -> list[Signer]:
        """Whose signatures a request bears, the newest secret's first (PU-76, PU-77)."""
        configured = [] if self._signer is None else [self._signer]
        if webhook.secret is None:
            return configured
        signers = [Signer(webhook.secret)]
        if webhook.rotated_until is not None and now < webhook.rotated_until:
            signers += configured if webhook.previous is None else [Signer(webhook.previous)]
        return signers

    async def _carry_out(self, call: _Call) -> None:
        """Send and read, and note in `call` what went wrong."""
        try:
            await self._send(call)
        except (NotConnectedError, BadAnswerError) as error:
            call.trouble = error.reason

    async def _send(self, call: _Call) -> None:
        """Send and read, over a kept connection if there is one that lives."""
        link = self._pool.take(call.endpoint.origin)
        if link is not None:
            await self._exchange(link, call)
            if link.answer.has_begun:
                return
            # The far side gave it up between two requests: once more, on a new one.
            call.start_again()
        await self._exchange(await self._connect(call.endpoint), call)

    async def _connect(self, endpoint: Endpoint) -> Link:
        with trio.move_on_after(self._settings.connect_timeout):
            return await self._pool.connect(endpoint)
        raise NotConnectedError("timeout")

    async def _exchange(self, link: Link, call: _Call) -> None:
        """Write the request and read what comes; a broken connection just ends it."""
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
                now=self._now(),
                retry_after_max=self._settings.retry_after_max,
                excerpt=answer.body,
            )
        if call.trouble is not None:
            return Deferred(call.trouble)
        if call.written:
            return Deferred("unanswered", unanswered=True)
        return Deferred("timeout")


def _until(webhook: Webhook, now: int) -> float:
    """When a webhook's signatures change by themselves."""
    if webhook.rotated_until is None or webhook.rotated_until <= now:
        return math.inf
    return webhook.rotated_until
