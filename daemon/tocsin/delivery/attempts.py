"""One claimed delivery: attempted once, or settled without an attempt."""

import time
from collections.abc import Callable
from typing import Protocol

import structlog
import trio

from tocsin.delivery.directory import Directory
from tocsin.delivery.gates import Gates
from tocsin.delivery.lane import Lane
from tocsin.delivery.settler import Settler
from tocsin.model.channel import Channel, ChannelState, ChannelType
from tocsin.model.delivery import Delivery
from tocsin.model.errors import StoreError
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign
from tocsin.ops.metrics import Metrics
from tocsin.store.records import Claimed

PAUSE_AFTER_FAILURE = 1000
RESULTS = {Delivered: "delivered", Deferred: "deferred", Refused: "refused", Gone: "gone"}

log = structlog.get_logger()


class Transport(Protocol):
    """Tries one delivery once."""

    async def attempt(self, delivery: Delivery) -> Outcome:
        """Exactly one outcome; decides nothing. Cancellation leaves no half-used connection."""


class Attempts:
    """Has a transport try what the lanes of one channel type give out."""

    def __init__(
        self,
        kind: ChannelType,
        directory: Directory,
        transport: Transport,
        settler: Settler,
        *,
        gates: Gates | None,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._transport = transport
        self._settler = settler
        self._gates = gates
        self.log_anew()
        self._results = {
            result: metrics.delivery_attempts[kind, result]
            for result in (*RESULTS.values(), "crashed")
        }
        self._duration = metrics.attempt_duration[kind]
        self._clock = clock

    def log_anew(self) -> None:
        """The level may be another: bound once, a call below it does nothing at all."""
        self._log = log.bind()

    async def handle(self, claimed: Claimed, lane: Lane) -> bool:
        """Attempt one claimed delivery, or settle it without; True if there was an attempt.

        Cancelled, the delivery is put back, its attempt not counted.
        """
        try:
            await self._settler.wait_room()
            account = self._directory.cached(claimed.owner)
            if account is None:
                account = await self._directory.account(claimed.owner)
            channel = account.channels.get(claimed.channel_id)
            now = self._clock()
            if channel is None or channel.state is ChannelState.SUSPENDED or not lane.most(now):
                self._settler.release(claimed)
            elif claimed.notification.expires_at <= now:
                self._settler.expire(claimed)
            elif held_for := channel.held_for(now):
                self._settler.release(claimed, after=held_for)
            else:
                await self._try(claimed, channel, lane)
                return True
        except StoreError:
            self._settler.release(claimed, after=PAUSE_AFTER_FAILURE)
        except trio.Cancelled:
            self._settler.release(claimed)
            raise
        return False

    async def _try(self, claimed: Claimed, channel: Channel, lane: Lane) -> None:
        """Attempt a delivery; settle it, and let the lane learn from it."""
        era, gates = lane.breaker.era, lane.gates
        eras = None if gates is None else gates.eras
        started = time.perf_counter()
        outcome, result = await self._attempt(claimed, channel)
        seconds = time.perf_counter() - started
        self._settler.judge(claimed, channel, outcome, result=result, seconds=seconds)
        lane.learn(outcome, era=era, now=self._clock())
        if self._gates is not None and gates is not None and eras is not None:
            self._gates.learn(gates, outcome, eras)
        self._results[result].inc()
        self._duration.observe(seconds)
        self._log.debug(
            "delivery.attempted",
            notification_id=claimed.notification.id,
            channel_id=claimed.channel_id,
            attempt=claimed.attempts,
            result=result,
            reason=getattr(outcome, "reason", None),
            status=outcome.status,
            seconds=round(seconds, 4),
        )

    async def _attempt(self, claimed: Claimed, channel: Channel) -> tuple[Outcome, str]:
        """Exactly one outcome, whatever the transport does, and the word for it."""
        delivery = Delivery(
            claimed.id, claimed.notification, channel, claimed.attempts, claimed.unanswered
        )
        device = channel.device
        try:
            outcome = await self._transport.attempt(delivery)
        except Exception:  # the fence around one delivery
            log.exception("delivery.crashed", notification_id=claimed.notification.id)
            return Deferred("internal", sign=Sign.NOTHING), "crashed"
        if isinstance(outcome, Gone) and channel.device is not device:
            outcome = _stale(outcome)
        return outcome, RESULTS[type(outcome)]


def _stale(outcome: Gone) -> Outcome:
    """It was said of a token that has been given anew during the attempt, which no comparison of
    times would tell for sure (PU-50)."""
    return Deferred(
        "stale",
        status=outcome.status,
        sign=Sign.CONTACT,
        words=outcome.words,
        excerpt=outcome.excerpt,
    )
