"""A transport that does what the test says, and remembers what it was asked."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable

import attrs
import trio

from tocsin.model.delivery import Delivery
from tocsin.model.outcome import Delivered, Outcome

Act = Outcome | float | Exception | Callable[[], Awaitable[Outcome]]


@attrs.frozen
class Attempt:
    """One attempt: when it began (Trio seconds), of what, where to."""

    at: float
    id: str
    lane: str
    number: int


class ScriptedTransport:
    """`Transport`: per notification id a list of acts, one per attempt; then Delivered.

    An act is an outcome, seconds to take before Delivered (`math.inf`: for ever), an exception to
    raise, or an async function.
    """

    def __init__(self) -> None:
        self.script: defaultdict[str, list[Act]] = defaultdict(list)
        self.attempts: list[Attempt] = []
        self.delivered: list[str] = []
        self.most_at_once: Counter[str] = Counter()
        self.running: Counter[str] = Counter()

    async def attempt(self, delivery: Delivery) -> Outcome:
        """Act the next act."""
        id_, lane = delivery.notification.id, delivery.channel.lane or ""
        self.attempts.append(Attempt(trio.current_time(), id_, lane, delivery.attempts))
        self.running[lane] += 1
        self.most_at_once[lane] = max(self.most_at_once[lane], self.running[lane])
        try:
            outcome = await self._act(delivery)
        finally:
            self.running[lane] -= 1
        if isinstance(outcome, Delivered):
            self.delivered.append(id_)
        return outcome

    async def _act(self, delivery: Delivery) -> Outcome:
        await trio.lowlevel.checkpoint()
        acts = self.script[delivery.notification.id]
        act = acts.pop(0) if acts else Delivered(200)
        if isinstance(act, Exception):
            raise act
        if isinstance(act, float | int):
            await trio.sleep(act)
            return Delivered(200)
        return await act() if callable(act) else act

    def times(self, id_: str) -> list[float]:
        """When a notification was attempted."""
        return [one.at for one in self.attempts if one.id == id_]

    def order(self) -> list[str]:
        """What was attempted, in order."""
        return [one.id for one in self.attempts]
