"""What clients are known to have (messaging.md, MS-53 to MS-57).

Proofs come with every Pong; they are gathered for a moment and written together. Losing the last
of them leads to a repeat.

Whatever one client of a subscriber has was received, whoever else has not. So how far his Log has
been proven is remembered, and the store looks at what is beyond.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import trio

from tocsin.messaging.link import Link
from tocsin.messaging.refused import not_found
from tocsin.model.conversation import Subscriber
from tocsin.model.errors import StoreError, unavailable
from tocsin.store.mail import Mark, Proof
from tocsin.store.messages import Messages
from tocsin.wire.messaging.clientmessages import Receipt

MOST_GATHERED = 512
MOST_KEPT = 100_000
MOST_KNOWN = 100_000

Device = tuple[int, str | None]


class Receipts:
    """Gathers proofs by subscriber and device, and hands them to the store."""

    def __init__(
        self,
        store: Messages,
        *,
        clock: Callable[[], int],
        uncorrelated_counts_for_all: bool = False,
    ) -> None:
        """`flush` is to be called every moment; `clock` gives epoch milliseconds."""
        self._store = store
        self._clock = clock
        self._counts_for_all = uncorrelated_counts_for_all
        self._gathered: dict[Device, Proof] = {}
        self._fresh = 0
        self._known: OrderedDict[int, int] = OrderedDict()

    def proven(self, link: Link, seq: int, *, after: int = 0) -> None:
        """A connection's client has everything up to `seq`; up to `after` his Log had been proven
        when it came (`LogState.proven`)."""
        self._note(link.subscriber, link.correlator, after, seq)

    def resumed(
        self, subscriber: Subscriber, upto: int, *, correlator: str | None, after: int = 0
    ) -> None:
        """A client says by its cursor, one that is within the Log, that it has everything up to
        there (MS-54): with a `resume`, or by reading the Log over REST. `after` as above."""
        self._note(subscriber, correlator, after, upto)

    def flush(self) -> None:
        """Hand everything gathered to the store."""
        self._hand_over(lambda: None)

    async def catch_up(self) -> None:
        """The same, and wait until the store has dealt with it: before a stop."""
        done = trio.Event()
        self._hand_over(done.set)
        await done.wait()

    async def mark(self, link: Link, message: Receipt) -> None:
        """What a client says of a message. Durable on return; raises `Refused` where there is no
        such message to him (MS-56), 503 where the store fails."""
        mark = Mark(
            link.subscriber,
            message.message_id,
            message.status,
            message.through,
            self._clock(),
            origin=link,
        )
        try:
            is_known = await self._store.mark(mark)
        except StoreError as error:
            raise unavailable("store", retry_after=1) from error
        if not is_known:
            raise not_found("no such message to you")

    def _note(self, subscriber: Subscriber, correlator: str | None, after: int, upto: int) -> None:
        known = max(after, self._known.get(subscriber.key, 0))
        self._remember(subscriber.key, max(known, upto))
        proof = Proof(
            subscriber.key,
            subscriber.user,
            after=min(known, upto),
            upto=upto,
            correlator=correlator,
            is_everywhere=correlator is None and self._counts_for_all,
        )
        self._merge(proof)
        self._fresh += 1
        if self._fresh >= MOST_GATHERED:
            self.flush()

    def _remember(self, key: int, known: int) -> None:
        """Who had none for the longest time is forgotten first; his next one looks further."""
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    def _merge(self, proof: Proof) -> None:
        """Together with what is there already of that device."""
        device = (proof.subscriber_key, proof.correlator)
        known = self._gathered.get(device)
        self._gathered[device] = proof if known is None else _both(known, proof)

    def _hand_over(self, then: Callable[[], None]) -> None:
        self._fresh = 0
        if not self._gathered:
            then()
            return
        gathered, self._gathered = self._gathered, {}
        proofs = list(gathered.values())
        self._store.prove(proofs, now=self._clock(), then=partial(self._proved, proofs, then))

    def _proved(
        self, proofs: Sequence[Proof], then: Callable[[], None], error: StoreError | None
    ) -> None:
        """Keep for later what a failing store did not take, up to a bound."""
        if error is not None:
            for proof in proofs:
                if len(self._gathered) < MOST_KEPT:
                    self._merge(proof)
                else:
                    self._known.pop(proof.subscriber_key, None)
        then()


def _both(one: Proof, other: Proof) -> Proof:
    """Who has what is later has what is before it, too."""
    return Proof(
        one.subscriber_key,
        one.user,
        after=min(one.after, other.after),
        upto=max(one.upto, other.upto),
        correlator=one.correlator,
        is_everywhere=one.is_everywhere,
    )
