"""What the parts of the load of the tests that kill have in common; and receivers that fail."""

import random
from collections.abc import Callable

import attrs
import trio
from tests.end_to_end.accounting import Ledger
from tests.end_to_end.daemon import Daemon
from tests.fakes.receiver import Answer, Received, Receiver, ok, raw, reply

PAUSE = 0.01


@attrs.define
class Load:
    """While `calm` is unset clients misbehave and producers produce."""

    daemon: Daemon
    ledger: Ledger
    rng: random.Random
    calm: trio.Event = attrs.field(factory=trio.Event)

    def happens(self, chance: float) -> bool:
        """Whether something of this probability happens now; never once it is calm."""
        return not self.calm.is_set() and self.rng.random() < chance

    def keep_books(self, receiver: Receiver, mailbox_of: Callable[[str], str]) -> None:
        """Have a receiver fail now and then; what it answers 200 has arrived."""

        def decide(request: Received) -> None:
            receiver.answers.append(self._answer(mailbox_of(request.target), request))

        receiver.on_request = decide

    def _answer(self, mailbox: str, request: Received) -> Answer:
        luck = 1.0 if self.calm.is_set() else self.rng.random()
        if luck < 0.1:
            return reply(500)
        if luck < 0.15:
            return reply(503, "Retry-After: 0")
        if luck < 0.2:
            return raw(keep=False)
        self.ledger.arrive(mailbox, request.body)
        return ok
