"""tocsin.messaging.receipts: proofs gathered by device, kept while the store fails."""

from collections.abc import Callable, Sequence

import attrs
import pytest
import trio
from tests.fakes.deliveries import T0
from tests.fakes.messaging_links import MemoryLink, person
from trio.testing import wait_all_tasks_blocked

from tocsin.messaging import receipts as receipts_module
from tocsin.messaging.receipts import Receipts
from tocsin.messaging.refused import Refused
from tocsin.model.errors import RequestError, StoreError
from tocsin.store.mail import Mark, Proof
from tocsin.wire.messaging.clientmessages import Receipt
from tocsin.wire.messaging.refusals import ErrorCode
from tocsin.wire.messaging.words import MessageStatus

Then = Callable[[StoreError | None], None]
ALICE = person(1)
BOB = person(2)


@attrs.define
class ProofStore:
    """As much of a store as takes receipts; `answers` is called for what it was handed."""

    batches: list[list[Proof]] = attrs.field(factory=list)
    waiting: list[Then] = attrs.field(factory=list)
    marks: list[Mark] = attrs.field(factory=list)
    is_known: bool = True
    failing: bool = False

    def prove(self, proofs: Sequence[Proof], *, now: int, then: Then) -> None:
        assert now == T0
        self.batches.append(list(proofs))
        self.waiting.append(then)

    def answer(self, error: StoreError | None = None) -> None:
        """What was handed over is stored, or is not."""
        waiting, self.waiting = self.waiting, []
        for then in waiting:
            then(error)

    async def mark(self, mark: Mark) -> bool:
        if self.failing:
            raise StoreError("disk full")
        self.marks.append(mark)
        return self.is_known

    @property
    def spans(self) -> list[list[tuple[int, int, int]]]:
        """(subscriber, after, upto) of each proof, by batch."""
        return [[(one.subscriber_key, one.after, one.upto) for one in b] for b in self.batches]


@pytest.fixture
def store() -> ProofStore:
    """Remembers what it is handed."""
    return ProofStore()


@pytest.fixture
def receipts(store: ProofStore) -> Receipts:
    """Over that store."""
    return Receipts(store, clock=lambda: T0)


def test_proofs_of_a_device_become_one(store: ProofStore, receipts: Receipts) -> None:
    """From where the first began to where the last came, written in batches (MS-54, MS-55)."""
    link, phone = MemoryLink(ALICE), MemoryLink(ALICE, correlator="phone")
    receipts.proven(link, 12, after=10)
    receipts.proven(link, 15, after=10)
    receipts.proven(phone, 13, after=10)
    receipts.proven(MemoryLink(BOB), 3)
    assert store.batches == []
    receipts.flush()
    receipts.flush()
    assert store.spans == [[(1, 10, 15), (1, 13, 13), (2, 0, 3)]]
    first, second, _ = store.batches[0]
    assert (first.correlator, second.correlator, second.user) == (None, "phone", ALICE.user)


def test_the_next_one_goes_on_where_the_last_one_ended(
    store: ProofStore, receipts: Receipts
) -> None:
    """Also that of another device: what anybody has was received (MS-54)."""
    receipts.proven(MemoryLink(ALICE), 15, after=10)
    receipts.flush()
    store.answer()
    receipts.proven(MemoryLink(ALICE, correlator="phone"), 17)
    receipts.flush()
    assert store.spans[1] == [(1, 15, 17)]


def test_a_resume_proves_what_is_before_it(store: ProofStore, receipts: Receipts) -> None:
    """And a REST read with its device's correlator (MS-54, MS-55)."""
    receipts.resumed(ALICE, 20, correlator="phone")
    receipts.resumed(ALICE, 4, correlator="phone")
    receipts.flush()
    [[proof]] = store.batches
    assert (proof.upto, proof.correlator, proof.is_everywhere) == (20, "phone", False)
    assert proof.after <= 4


@pytest.mark.parametrize("for_all", [True, False])
def test_whom_a_connection_counts_for_that_names_no_device(
    store: ProofStore, for_all: bool
) -> None:
    """For itself, or for all devices where the operator says so (MS-51)."""
    receipts = Receipts(store, clock=lambda: T0, uncorrelated_counts_for_all=for_all)
    receipts.proven(MemoryLink(ALICE), 1)
    receipts.proven(MemoryLink(BOB, correlator="phone"), 1)
    receipts.flush()
    assert [one.is_everywhere for one in store.batches[0]] == [for_all, False]


def test_much_is_not_gathered_for_long(
    store: ProofStore, receipts: Receipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full batch goes at once (MS-55)."""
    monkeypatch.setattr(receipts_module, "MOST_GATHERED", 3)
    for key in range(1, 5):
        receipts.proven(MemoryLink(person(key)), 1)
    assert [len(batch) for batch in store.batches] == [3]


def test_what_a_failing_store_did_not_take_comes_again(
    store: ProofStore, receipts: Receipts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what was proven since, up to a bound; who is left out has it looked for from the
    start the next time (MS-55, MS-68)."""
    monkeypatch.setattr(receipts_module, "MOST_KEPT", 1)
    receipts.proven(MemoryLink(ALICE), 5, after=2)
    receipts.proven(MemoryLink(BOB), 5, after=2)
    receipts.flush()
    store.answer(StoreError("disk full"))
    receipts.proven(MemoryLink(ALICE), 7)
    receipts.proven(MemoryLink(BOB), 7)
    receipts.flush()
    assert store.spans[1] == [(1, 2, 7), (2, 0, 7)]


async def test_a_stop_waits_for_the_store(
    store: ProofStore, receipts: Receipts, nursery: trio.Nursery
) -> None:
    """Until what was gathered is written, or is not (MS-55)."""
    receipts.proven(MemoryLink(ALICE), 1)
    stopped = trio.Event()

    async def stop() -> None:
        await receipts.catch_up()
        stopped.set()

    nursery.start_soon(stop)
    await wait_all_tasks_blocked()
    assert not stopped.is_set()
    store.answer()
    await stopped.wait()
    await receipts.catch_up()
    assert len(store.batches) == 1


async def test_a_client_says_what_became_of_a_message(
    store: ProofStore, receipts: Receipts
) -> None:
    """The store is told who, what and by which connection (MS-56, MS-57, MS-59)."""
    link = MemoryLink(ALICE)
    await receipts.mark(link, Receipt(message_id="m", status=MessageStatus.READ, through=True))
    assert store.marks == [Mark(ALICE, "m", MessageStatus.READ, through=True, at=T0, origin=link)]


async def test_a_message_that_is_not_to_him(store: ProofStore, receipts: Receipts) -> None:
    """`not-found` (MS-56); a store that fails is `unavailable` (MS-17)."""
    said = Receipt(message_id="m", status=MessageStatus.READ)
    store.is_known = False
    with pytest.raises(Refused) as refused:
        await receipts.mark(MemoryLink(ALICE), said)
    assert refused.value.error.code is ErrorCode.NOT_FOUND
    store.failing = True
    with pytest.raises(RequestError) as unavailable:
        await receipts.mark(MemoryLink(ALICE), said)
    assert unavailable.value.status == 503
