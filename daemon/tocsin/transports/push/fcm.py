"""Pushing by Firebase Cloud Messaging, to one project (push.md, C.1, C.2, C.4)."""

from collections.abc import Callable
from typing import assert_never

import attrs
import trio

from tocsin.model.delivery import Delivery
from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Outcome, Refused, Sign, Word
from tocsin.transports.push.attempt import (
    LATE,
    FixedBlock,
    Pool,
    carry_out,
    is_late,
    without_answer,
)
from tocsin.transports.push.call import Reply
from tocsin.transports.push.fcm_credential import FcmCredential
from tocsin.transports.push.pool import PoolStatistics
from tocsin.transports.push.quota import Quota
from tocsin.wire.http2.headers import encode
from tocsin.wire.push.app import App, PushRules
from tocsin.wire.push.assertion import Grant
from tocsin.wire.push.fcm import PAUSE_SECONDS, fixed_headers, path, verdict
from tocsin.wire.push.fcm_payload import FcmPush, fcm_push
from tocsin.wire.push.roots import NotForAppError
from tocsin.wire.push.trimming import PayloadTooLargeError, retry_limit
from tocsin.wire.push.verdict import Cause, Repeat, Verdict

_NO_TOKEN = Deferred("oauth", sign=Sign.NOTHING)
_NO_SLOT = Deferred("rate", sign=Sign.NOTHING)


class FcmSender:
    """Pushes by one service account; a `Sender`.

    Both clocks tell epoch milliseconds: `clock` the daemon's, which deadlines go by, `wall` the
    one that dates in answers are compared with.
    """

    provider = "fcm"

    def __init__(
        self,
        credential: FcmCredential,
        pool: Pool,
        *,
        authority: str,
        project: str,
        quota: Quota,
        rules: PushRules,
        clock: Callable[[], int],
        wall: Callable[[], int],
    ) -> None:
        self.credential = credential
        self.pool = pool
        self.quota = quota
        self.rules = rules
        self.clock = clock
        self.wall = wall
        self.path = [path(project)]
        self.fixed = FixedBlock(lambda token: encode(fixed_headers(authority, token)))

    @property
    def expires_at(self) -> float:
        """See `Sender`."""
        return self.credential.expires_at

    async def attempt(self, delivery: Delivery, app: App, token: str, deadline: float) -> Outcome:
        """See `Sender`."""
        try:
            push = fcm_push(delivery.notification, app, self.rules)
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
            nursery.start_soon(self.pool.run)

    def statistics(self) -> PoolStatistics:
        """See `Sender`."""
        return self.pool.statistics()

    async def aclose(self) -> None:
        """See `Sender`."""
        self.credential.retire()
        await self.pool.aclose()


@attrs.define(eq=False)
class _Try:
    """One attempt; `push` is what is sent next, `used` the grant it was last sent with."""

    sender: FcmSender
    delivery: Delivery
    app: App
    token: str = attrs.field(repr=False)
    deadline: float
    push: FcmPush
    used: Grant | None = None

    async def send(self) -> Verdict:
        """See `attempt.Try`."""
        notification, sender = self.delivery.notification, self.sender
        grant = await sender.credential.current(deadline=self.deadline)
        if grant is None:
            await trio.lowlevel.checkpoint()
            return _NO_TOKEN
        is_urgent = notification.priority is Priority.URGENT
        if not await sender.quota.acquire(deadline=self.deadline, urgent=is_urgent):
            return _NO_SLOT
        now = sender.clock()
        if is_late(notification, now):
            return LATE
        self.used = grant
        result = await sender.pool.post(
            sender.fixed.of(grant.token),
            sender.path,
            self._body(now),
            deadline=self.deadline,
            priority=notification.priority,
        )
        if isinstance(result, Reply):
            return self._judge(result)
        return without_answer(result, notification, self.app)

    async def mend(self, repeat: Repeat) -> bool:
        """See `attempt.Try`."""
        match repeat.cause:
            case Cause.TOKEN:
                return self.used is not None and await self.sender.credential.renew(
                    self.used, deadline=self.deadline
                )
            case Cause.TRIM:
                return self._trim()
            case Cause.ENVIRONMENT | Cause.CONNECTION | Cause.SHUTDOWN:
                return False
            case _:
                assert_never(repeat.cause)

    def _body(self, now: int) -> bytes:
        expires_at = self.delivery.notification.expires_at
        return self.push.request(
            self.app,
            self.token,
            seconds=(expires_at - now) // 1000,
            expires_at=expires_at // 1000,
        )

    def _judge(self, answer: Reply) -> Verdict:
        found = verdict(
            answer.status,
            answer.headers,
            answer.body,
            priority=self.delivery.notification.priority,
            now=self.sender.wall(),
        )
        if isinstance(found, Deferred) and Word.PAUSE_QUOTA in found.words:
            self.sender.quota.pause(found.retry_after or PAUSE_SECONDS)
        return found

    def _trim(self) -> bool:
        notification, limit = self.delivery.notification, retry_limit(self.app)
        try:
            self.push = fcm_push(notification, self.app, self.sender.rules, limit=limit)
        except PayloadTooLargeError:
            return False
        return True
