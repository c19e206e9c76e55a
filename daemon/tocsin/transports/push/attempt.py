"""What attempts at both providers have in common (push.md, PU-31, PU-52, PU-54, PU-62).

An attempt sends a push, judges the answer, and sends again where something could be mended: at
most once for each cause, and within the one deadline. It returns one outcome and decides nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import attrs
import trio

from tocsin.model.delivery import Delivery
from tocsin.model.notification import Notification, Priority
from tocsin.model.outcome import Deferred, Outcome, Refused, Sign
from tocsin.transports.push.call import NotSent, Reply, Result, Unknown
from tocsin.transports.push.pool import PoolStatistics
from tocsin.wire.push.app import App, PushRules
from tocsin.wire.push.verdict import Cause, Repeat, Verdict

ATTEMPT_SECONDS = 10.0
LEAST_TO_LIVE = 1_000
LATE = Deferred("expired", sign=Sign.NOTHING)


class Pool(Protocol):
    """Connections to one provider, see `Http2Pool`."""

    async def post(
        self,
        fixed: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        deadline: float,
        priority: Priority,
    ) -> Result: ...

    async def run(self) -> None: ...

    def statistics(self) -> PoolStatistics: ...

    def replace(self, reply: Reply) -> None: ...

    async def aclose(self) -> None: ...


class Sender(Protocol):
    """Pushes by one credential; `run` and `aclose` belong to its owner.

    `rules` may be replaced; attempts that begin afterwards follow them.
    """

    provider: str
    rules: PushRules

    @property
    def expires_at(self) -> float:
        """When what it proves itself by runs out, epoch seconds; 0 while it has nothing."""

    async def attempt(self, delivery: Delivery, app: App, token: str, deadline: float) -> Outcome:
        """One attempt, over at Trio's `deadline`. Cancelled, it leaves nothing behind."""

    async def run(self) -> None:
        """Look after connections and credential, until cancelled."""

    def statistics(self) -> PoolStatistics:
        """Its connections."""

    async def aclose(self) -> None:
        """Take no more pushes, and wait for those under way, 10 s at most."""


def deadline_of(notification: Notification, now: int) -> float:
    """When an attempt that begins now is over, in Trio's time; `now` is epoch milliseconds.

    What is urgent is worth nothing after its own deadline (PU-66).
    """
    seconds = ATTEMPT_SECONDS
    if notification.priority is Priority.URGENT:
        seconds = min(seconds, (notification.expires_at - now) / 1000)
    return trio.current_time() + seconds


def is_late(notification: Notification, now: int) -> bool:
    """Whether so little is left of its time that it is not sent (PU-31)."""
    return notification.expires_at - now < LEAST_TO_LIVE


def without_answer(result: NotSent | Unknown, notification: Notification, app: App) -> Outcome:
    """What it comes to that there is no complete answer."""
    if isinstance(result, NotSent):
        # A server that sends us elsewhere, or has no stream free, does not fail (PU-52).
        is_failure = result.reason == "connect"
        return Deferred(result.reason, sign=Sign.FAILURE if is_failure else Sign.NOTHING)
    if app.fails_unknown(notification.root_key):
        return Refused("unknown_outcome", sign=Sign.FAILURE)
    return Deferred("unknown")


class Try(Protocol):
    """One attempt of a provider's, as `carry_out` drives it."""

    async def send(self) -> Verdict:
        """Send the push as it is now."""

    async def mend(self, repeat: Repeat) -> bool:
        """Mend the cause; False if that cannot be."""


async def carry_out(push: Try) -> Outcome:
    """Send, and send again for each cause that could be mended."""
    mended: set[Cause] = set()
    while True:
        verdict = await push.send()
        if not isinstance(verdict, Repeat):
            return verdict
        if verdict.cause in mended or not await push.mend(verdict):
            return verdict.otherwise
        mended.add(verdict.cause)


def sum_of(parts: Iterable[PoolStatistics]) -> PoolStatistics:
    """The statistics of several pools as one."""
    none = PoolStatistics(0, 0, 0, 0)
    columns = zip(*map(attrs.astuple, (none, *parts)), strict=True)
    return PoolStatistics(*map(sum, columns))


@attrs.define
class FixedBlock:
    """A header block that is the same for many pushes, encoded once per proof of who we are."""

    encode: Callable[[str], bytes]
    _proof: str = attrs.field(default="", init=False, repr=False)
    _block: bytes = attrs.field(default=b"", init=False, repr=False)

    def of(self, proof: str) -> bytes:
        """The block with this one."""
        if proof != self._proof:
            self._proof, self._block = proof, self.encode(proof)
        return self._block
