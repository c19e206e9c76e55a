"""Pushing to Apple's devices, by one credential (push.md, C.1 to C.3)."""

from collections.abc import Callable, Mapping
from typing import assert_never

import attrs
import trio

from tocsin.model.delivery import Delivery
from tocsin.model.outcome import Deferred, Delivered, Outcome, Refused, Sign, Word
from tocsin.transports.push.apns_credential import ApnsCredential
from tocsin.transports.push.attempt import (
    LATE,
    FixedBlock,
    Pool,
    carry_out,
    is_late,
    sum_of,
    without_answer,
)
from tocsin.transports.push.call import Reply
from tocsin.transports.push.environments import Environments
from tocsin.transports.push.pool import PoolStatistics
from tocsin.wire.http2.headers import encode
from tocsin.wire.push.apns import (
    OTHER,
    TOO_MANY_TOKENS,
    fault,
    fixed_headers,
    headers,
    push_id,
    verdict,
)
from tocsin.wire.push.apns_payload import ApnsPush, apns_push
from tocsin.wire.push.app import App, PushRules
from tocsin.wire.push.roots import NotForAppError
from tocsin.wire.push.trimming import PayloadTooLargeError, retry_limit
from tocsin.wire.push.verdict import Cause, Repeat, Verdict

SHUTDOWN_SECONDS = (0.1, 1.0)
ENDS_CONNECTION = frozenset({Cause.CONNECTION, Cause.SHUTDOWN})


class Route:
    """The way to one environment."""

    def __init__(self, pool: Pool, authority: str) -> None:
        self.pool = pool
        self.fixed = FixedBlock(lambda token: encode(fixed_headers(authority, token)))


class ApnsSender:
    """Pushes by one signing key; a `Sender`.

    `routes` by environment. `clock` tells the daemon's epoch milliseconds, `jitter` a number
    between two others.
    """

    provider = "apns"

    def __init__(
        self,
        credential: ApnsCredential,
        routes: Mapping[str, Route],
        *,
        rules: PushRules,
        environments: Environments,
        clock: Callable[[], int],
        jitter: Callable[[float, float], float],
    ) -> None:
        self.credential = credential
        self.routes = routes
        self.rules = rules
        self.environments = environments
        self.clock = clock
        self.jitter = jitter

    @property
    def expires_at(self) -> float:
        """See `Sender`."""
        return self.credential.expires_at

    async def attempt(self, delivery: Delivery, app: App, token: str, deadline: float) -> Outcome:
        """See `Sender`."""
        try:
            push = apns_push(delivery.notification, app, self.rules)
        except PayloadTooLargeError:
            outcome: Outcome = Refused("payload_too_large", sign=Sign.NOTHING)
        except NotForAppError:
            outcome = Refused("not_for_app", sign=Sign.NOTHING)
        else:
            return await carry_out(_Try(self, delivery, app, token, deadline, push))
        await trio.lowlevel.checkpoint()
        return outcome

    async def run(self) -> None:
        """See `Sender`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.credential.run)
            for route in self.routes.values():
                nursery.start_soon(route.pool.run)

    def statistics(self) -> PoolStatistics:
        """See `Sender`."""
        return sum_of([route.pool.statistics() for route in self.routes.values()])

    async def aclose(self) -> None:
        """See `Sender`."""
        async with trio.open_nursery() as nursery:
            for route in self.routes.values():
                nursery.start_soon(route.pool.aclose)


@attrs.define(eq=False)
class _Try:
    """One attempt; `push`, `environment` and `used` are of what is sent next, or was last.

    `before` is what the environment that was tried first made of it.
    """

    sender: ApnsSender
    delivery: Delivery
    app: App
    token: str = attrs.field(repr=False)
    deadline: float
    push: ApnsPush
    environment: str = attrs.field(init=False)
    used: str = attrs.field(default="", repr=False)
    before: Outcome | None = None

    def __attrs_post_init__(self) -> None:
        self.environment = self.sender.environments.of(self.app.environment, self.token)

    async def send(self) -> Verdict:
        """See `attempt.Try`."""
        notification, sender = self.delivery.notification, self.sender
        now = sender.clock()
        if is_late(notification, now):
            await trio.lowlevel.checkpoint()
            return LATE
        self.used = sender.credential.token()
        route = sender.routes[self.environment]
        result = await route.pool.post(
            route.fixed.of(self.used),
            self._headers(now),
            self.push.body,
            deadline=self.deadline,
            priority=notification.priority,
        )
        if not isinstance(result, Reply):
            return without_answer(result, notification, self.app)
        found = self._judge(result)
        if isinstance(found, Repeat) and found.cause in ENDS_CONNECTION:
            # Also when this push is not sent again: others would be sent there.
            route.pool.replace(result)
        return found

    async def mend(self, repeat: Repeat) -> bool:
        """See `attempt.Try`."""
        match repeat.cause:
            case Cause.ENVIRONMENT:
                return self._go_elsewhere(repeat.otherwise)
            case Cause.TOKEN:
                return self.sender.credential.renew(self.used)
            case Cause.TRIM:
                return self._trim()
            case Cause.CONNECTION:
                pass  # Drained when it answered.
            case Cause.SHUTDOWN:
                await trio.sleep(self.sender.jitter(*SHUTDOWN_SECONDS))
            case _:
                assert_never(repeat.cause)
        return True

    def _headers(self, now: int) -> list[tuple[bytes, bytes]]:
        notification = self.delivery.notification
        return headers(
            self.push,
            token=self.token,
            topic=self.app.topic,
            push_id=push_id(notification.id, self.delivery.id),
            expires_at=notification.expires_at,
            now=now,
        )

    def _judge(self, answer: Reply) -> Verdict:
        found = verdict(answer.status, answer.body, priority=self.delivery.notification.priority)
        if isinstance(found, Delivered):
            if self.app.environment == "auto":
                self.sender.environments.note(self.environment, self.token)
        elif answer.status == 429 and fault(answer.body).reason == TOO_MANY_TOKENS:
            self.sender.credential.hold()
        elif self.before is not None and _is_of_key(found):
            # The key is not for this environment, so the token's place is in neither.
            return self.before
        return found

    def _go_elsewhere(self, outcome: Outcome) -> bool:
        if self.app.environment != "auto":
            return False
        self.environment, self.before = OTHER[self.environment], outcome
        return True

    def _trim(self) -> bool:
        notification, limit = self.delivery.notification, retry_limit(self.app)
        try:
            self.push = apns_push(notification, self.app, self.sender.rules, limit=limit)
        except PayloadTooLargeError:
            return False
        return True


def _is_of_key(found: Verdict) -> bool:
    return isinstance(found, Deferred) and Word.PAUSE_KEY in found.words
