"""Accepting notifications: routed, stored in one transaction, then handed over."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from tocsin.delivery.bounds import Bounds
from tocsin.delivery.directory import Account, Directory
from tocsin.delivery.endings import Ending, Endings
from tocsin.delivery.escalation import Escalation
from tocsin.delivery.handover import Handover
from tocsin.delivery.reach import STANDARD as STANDARD_REACH
from tocsin.delivery.reach import Reach
from tocsin.delivery.router import fan_out
from tocsin.delivery.sessions import Sessions
from tocsin.delivery.settings import DeliveryLimits
from tocsin.delivery.submissions import (
    Submission,
    Verdict,
    identity_of,
    stored_answer,
    verdict_on,
)
from tocsin.model.channel import Channel
from tocsin.model.errors import StoreError, unavailable
from tocsin.model.notification import Notification
from tocsin.model.services import STANDARD, Services
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store
from tocsin.store.records import CLASH, Acceptance, StoredAnswer, Submitted

Routed = Sequence[tuple[Notification, list[Channel]]]


class Ingest:
    """The entrance of the straight line, the same for every face."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        handover: Handover,
        sessions: Sessions,
        *,
        escalation: Escalation,
        limits: DeliveryLimits,
        metrics: Metrics,
        clock: Callable[[], int],
        endings: Endings | None = None,
        services: Services = STANDARD,
        reach: Reach = STANDARD_REACH,
    ) -> None:
        self._store = store
        self._directory = directory
        self._handover = handover
        self._escalation = escalation
        self._endings = Endings() if endings is None else endings
        self._limits = limits
        self._bounds = Bounds(sessions, limits, metrics)
        self.holders = self._bounds.holders
        self._metrics = metrics
        self._clock = clock
        self._services = services
        self._reach = reach

    def reconfigure(self, limits: DeliveryLimits) -> None:
        """Another backlog from now on; the bounds of a channel stay what they are."""
        self._limits = limits

    async def accept(
        self, notifications: Sequence[Notification], *, submission: Submission | None = None
    ) -> list[Verdict]:
        """Store notifications and say what becomes of each, in the same order.

        Durable on return; delivery has begun. Nothing of a repeat is stored (CH-115): it gets the
        number of channels of its first time, or a refusal where it names another user or service.
        The answer to a `submission` is stored along (CH-114). Raises 503 with nothing stored when
        the backlog is full or the store cannot take it. Cancellation ends the waiting: what was
        handed to the store is delivered all the same.
        """
        accounts = await self._directory.accounts([one.user for one in notifications])
        now = self._clock()
        routed = [
            (notification, self._route(notification, account, now))
            for notification, account in zip(notifications, accounts, strict=True)
        ]
        return await self._accept(routed, submission, now, accounts)

    def _route(self, notification: Notification, account: Account, now: int) -> list[Channel]:
        channels = fan_out(
            notification, account.subscriptions.values(), now, services=self._services
        )
        if any(one.device is not None for one in channels):
            found, channels = len(channels), self._reach.keep(channels, notification)
            self._metrics.push_skipped.inc(found - len(channels))
        return channels

    async def accept_for(
        self, channel: Channel, notification: Notification, *, submission: Submission | None = None
    ) -> Verdict:
        """The same for one notification straight to one channel, subscribed or not (CH-116)."""
        [verdict] = await self._accept(
            [(notification, [channel])], submission, self._clock(), [None]
        )
        return verdict

    async def store(
        self,
        acceptance: Acceptance,
        on_done: Callable[[StoreError | None], None] = lambda _error: None,
    ) -> None:
        """Store and hand over what was routed elsewhere: dead letters to be tried again, events
        for an operator, pushes of the gateway. Durable on return; raises 503 as `accept` does.

        `on_done` is called right after the commit, before anything is handed over or told of its
        end, cancelled or not; never where a full backlog kept it from the store."""
        await self._store_all(acceptance, sum(map(len, acceptance.deliveries)), on_done)

    def add_message(
        self, acceptance: Acceptance, notification: Notification, account: Account, *, pushes: bool
    ) -> int | None:
        """Route what tells of a message, to be stored with it by `post`: its place in the
        acceptance, or None where it goes to nobody. To no device unless `pushes` (MS-45).

        Nothing may be awaited before it is posted."""
        now = self._clock()
        channels = self._route(notification, account, now)
        acceptance.premises |= account.premises()
        if not pushes:
            channels = [one for one in channels if one.device is None]
        if not channels:
            return None
        acceptance.add(notification, channels)
        subscriptions = account.subscriptions.values()
        self._escalation.hold(acceptance, subscriptions, now, is_message=True)
        return len(acceptance.notifications) - 1

    async def post(
        self,
        acceptance: Acceptance,
        *,
        on_done: Callable[[StoreError | None], None] = lambda _error: None,
    ) -> None:
        """Store an act of messaging (`Acceptance.mail`), and hand over what tells of it; of the
        repeat of a message nothing. Durable on return; raises 503 as `accept` does, for messages
        whenever the backlog is full (MS-69).

        The store is asked before anything is awaited. `on_done` is called exactly once, cancelled
        or not: right after the commit, or with why nothing was stored."""
        mail = acceptance.mail
        is_message = mail is not None and mail.letter is not None
        legs = sum(map(len, acceptance.deliveries))
        if self._is_full(max(legs, 1) if is_message else legs):
            on_done(StoreError("the backlog is full"))
            raise unavailable("backlog", retry_after=5)

        def done(error: StoreError | None) -> None:
            on_done(error)
            if error is None and (mail is None or mail.repeat is None):
                self._count_accepted(one.service for one in acceptance.notifications)

        await self._store_all(acceptance, legs, done)

    async def _accept(
        self,
        routed: Routed,
        submission: Submission | None,
        now: int,
        accounts: Sequence[Account | None],
    ) -> list[Verdict]:
        acceptance = Acceptance()
        legs = 0
        places: list[int | None] = []
        for (notification, channels), account in zip(routed, accounts, strict=True):
            identity = identity_of(notification) if notification.is_named else None
            if channels or identity is not None:
                places.append(len(acceptance.notifications))
                acceptance.add(notification, channels, identity)
                legs += len(channels)
                if len(channels) > 1 and account is not None:
                    self._escalation.hold(acceptance, account.subscriptions.values(), now)
            else:
                places.append(None)
            if account is not None and account.undecided:
                acceptance.premises |= account.premises()

        def verdicts(repeats: Mapping[int, int]) -> list[Verdict]:
            return [
                verdict_on(
                    notification, len(channels), repeats.get(place) if place is not None else None
                )
                for (notification, channels), place in zip(routed, places, strict=True)
            ]

        if submission is not None:
            acceptance.submitted = _submitted(submission, verdicts, now)
        if acceptance.notifications or submission is not None or acceptance.premises:
            await self._store_all(acceptance, legs)
        self._count(routed, acceptance.repeats, places)
        return verdicts(acceptance.repeats)

    async def _store_all(
        self,
        acceptance: Acceptance,
        legs: int,
        on_done: Callable[[StoreError | None], None] = lambda _error: None,
    ) -> None:
        if self._is_full(legs):
            raise unavailable("backlog", retry_after=5)

        def done(error: StoreError | None) -> None:
            self._bounds.applied(acceptance)
            on_done(error)
            if error is None:
                self._tell(acceptance)
                self._escalation.committed(acceptance)
                self._handover.committed(acceptance)

        self._bounds.apply(acceptance)
        try:
            await self._store.accept(acceptance, done)
        except StoreError as error:
            raise unavailable("store", retry_after=1) from error

    def _is_full(self, legs: int) -> bool:
        """Whether the backlog has no room for so many deliveries."""
        return legs > 0 and self._store.backlog + legs > self._limits.backlog

    def _tell(self, acceptance: Acceptance) -> None:
        """How pushes ended that made way; the caller knows of those he has just brought."""
        trimmed = acceptance.trimmed
        if trimmed.pushes:
            own = {leg.id for legs in acceptance.deliveries for leg in legs}
            for id_ in trimmed.pushes.keys() - own:
                self._endings.tell(id_, trimmed.pushes[id_], Ending(trimmed.ids[id_]))

    def _count(
        self, routed: Routed, repeats: Mapping[int, int], places: Sequence[int | None]
    ) -> None:
        if again := sum(channels != CLASH for channels in repeats.values()):
            self._metrics.notifications_repeated.inc(again)
        self._count_accepted(
            notification.service
            for (notification, _), place in zip(routed, places, strict=True)
            if _at(repeats, place) is None
        )

    def _count_accepted(self, services: Iterable[str]) -> None:
        for service, count in Counter(services).items():
            self._metrics.notifications_accepted[service].inc(count)


def _at(repeats: Mapping[int, int], place: int | None) -> int | None:
    return None if place is None else repeats.get(place)


def _submitted(
    submission: Submission, verdicts: Callable[[Mapping[int, int]], list[Verdict]], now: int
) -> Submitted:
    render = submission.render
    if render is None:
        raise ValueError("nobody said how to answer")

    def answer(repeats: Mapping[int, int]) -> StoredAnswer | None:
        return stored_answer(submission.content, render(verdicts(repeats)))

    return Submitted(submission.key, submission.proof, answer, now)
