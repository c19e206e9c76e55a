"""The rules of `tocsin.store.interface`, for every store: what was submitted before."""

from collections.abc import Mapping

import attrs
import pytest
import trio
from tests.fakes.deliveries import T0, notification, socket_channel, webhook_channel
from tests.fakes.stores import (
    OpenStore,
    Reports,
    add,
    assert_counts_are_right,
    claimed_ids,
    waiting,
)

from tocsin.model.channel import Channel
from tocsin.model.errors import StoreError
from tocsin.store.interface import Store
from tocsin.store.records import CLASH, Acceptance, Identity, StoredAnswer, Submitted

A, B = Identity(1, 2, 3), Identity(4, 5, 6)
CLASHING = Identity(A.key, A.proof, A.subject + 1)
STRANGER = Identity(A.key, A.proof + 1, A.subject)


def batch(*entries: tuple[str, list[Channel], Identity | None], at: int = T0) -> Acceptance:
    """Notifications by id, where they go, and what they are known by."""
    made = Acceptance()
    for id_, channels, identity in entries:
        made.add(notification(id_, accepted_at=at), channels, identity)
    return made


async def repeats(store: Store, *entries: tuple[str, list[Channel], Identity | None]) -> object:
    """What a store finds of a batch."""
    made = batch(*entries)
    await store.accept(made, Reports())
    return made.repeats


def submitted(key: int = 7, proof: int = 8, *, status: int = 202, at: int = T0) -> Submitted:
    """A request that is answered with the repeats it was told of; a refusal is not remembered."""

    def answer(found: Mapping[int, int]) -> StoredAnswer | None:
        return StoredAnswer(99, status, repr(dict(found)).encode(), "n") if status < 300 else None

    return Submitted(key, proof, answer, at)


# -- identities ----------------------------------------------------------------------------


async def test_a_repeat_is_found_and_not_stored(store: Store) -> None:
    """It gets the number of channels of its first time, whatever it goes to now (CH-115)."""
    hook, socket = webhook_channel(), socket_channel()
    await add(store, hook, socket)
    assert await repeats(store, ("a", [hook, socket], A)) == {}
    assert await repeats(store, ("a", [hook], A), ("b", [hook], B)) == {0: 2}
    assert await claimed_ids(store) == ["a", "b"]
    await assert_counts_are_right(store, webhooks=2, websockets=1)


async def test_a_repeat_is_found_within_its_own_batch(store: Store) -> None:
    """The first of them is stored (CH-115)."""
    hook = webhook_channel()
    await add(store, hook)
    found = await repeats(store, ("a", [hook], A), ("b", [hook], None), ("a", [hook], A))
    assert found == {2: 1}
    assert await claimed_ids(store) == ["a", "b"]
    await assert_counts_are_right(store, webhooks=2)


async def test_repeats_at_once_are_stored_once(store: Store) -> None:
    """Requests that share a commit see each other (CH-115)."""
    hook = webhook_channel()
    await add(store, hook)
    found: list[object] = []

    async def submit() -> None:
        found.append(await repeats(store, ("a", [hook], A)))

    async with trio.open_nursery() as callers:
        for _ in range(10):
            callers.start_soon(submit)
    assert found.count({}) == 1
    assert found.count({0: 1}) == 9
    assert await claimed_ids(store) == ["a"]
    await assert_counts_are_right(store, webhooks=1)


async def test_the_same_identity_of_something_else_is_a_clash(store: Store) -> None:
    """Nothing of it is stored, and the first is known as before (CH-115)."""
    hook = webhook_channel()
    await add(store, hook)
    await repeats(store, ("a", [hook], A))
    assert await repeats(store, ("a", [hook], CLASHING), ("a", [hook], A)) == {0: CLASH, 1: 1}
    await assert_counts_are_right(store, webhooks=1)


async def test_a_stranger_with_the_same_key_is_no_repeat(store: Store) -> None:
    """Two digests must agree; the newer one is remembered."""
    hook = webhook_channel()
    await add(store, hook)
    await repeats(store, ("a", [hook], A))
    assert await repeats(store, ("b", [hook], STRANGER)) == {}
    assert await repeats(store, ("b", [hook], STRANGER)) == {0: 1}
    assert await claimed_ids(store) == ["a", "b"]


async def test_what_goes_nowhere_is_known_too(store: Store) -> None:
    """Its first answer was no channel, and stays that (CH-111, CH-115)."""
    hook = webhook_channel()
    await add(store, hook)
    await repeats(store, ("a", [], A))
    assert await repeats(store, ("a", [hook], A)) == {0: 0}
    await assert_counts_are_right(store)


async def test_a_repeat_is_known_after_its_delivery(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    """Delivered, closed and opened again: it is not sent a second time (CH-115)."""
    first = open_store()
    socket = socket_channel()
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, socket)
        made = batch(("a", [socket], A))
        await first.accept(made, Reports())
        first.settle_lazily([made.deliveries[0][0].id], lambda _counts: None, now=T0)
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    assert await repeats(second, ("a", [socket], A)) == {0: 1}
    assert await waiting(second, socket) == []


async def test_fresh_deliveries_are_those_that_were_stored(store: Store) -> None:
    """Only they may be handed over."""
    socket = socket_channel()
    await add(store, socket)
    made = batch(("a", [socket], A), ("a", [socket], A), ("b", [socket], None))
    await store.accept(made, Reports())
    fresh = [one.id for legs in made.fresh() for one in legs]
    assert fresh == [one.id for one in await waiting(store, socket)]
    assert len(fresh) == 2


async def test_a_refused_batch_is_not_remembered(store: Store) -> None:
    """Nothing of a failed call is kept, its identities included."""
    hook = webhook_channel()
    await add(store, hook)
    first = batch(("a", [hook], A))
    await store.accept(first, Reports())
    broken = batch(("b", [hook], B))
    broken.notifications[0] = attrs.evolve(broken.notifications[0], user=None)  # type: ignore[arg-type]
    broken.submitted = submitted()
    reports = Reports()
    with pytest.raises(StoreError):
        await store.accept(broken, reports)
    assert len(reports.errors) == 1
    assert await store.find_submission(7, 8) is None
    assert await repeats(store, ("b", [hook], B)) == {}
    await assert_counts_are_right(store, webhooks=2)


# -- requests ------------------------------------------------------------------------------


async def test_an_answer_is_found_as_it_was_given(
    open_store: OpenStore, nursery: trio.Nursery
) -> None:
    """Byte for byte, across closing and opening; it was told of its repeats (CH-114)."""
    first = open_store()
    hook = webhook_channel()
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, hook)
        made = batch(("a", [hook], A), ("a", [hook], A))
        made.submitted = submitted()
        assert await first.find_submission(7, 8) is None
        await first.accept(made, Reports())
        running.cancel_scope.cancel()
    second = open_store()
    await nursery.start(second.run)
    found = await second.find_submission(7, 8)
    assert found is not None
    assert (found.content, found.status, found.body) == (99, 202, b"{1: 1}")
    assert found.notification_id == "n"
    assert await second.find_submission(7, 9) is None


async def test_an_answer_without_notifications_is_remembered(store: Store) -> None:
    """An empty list has an answer too (CH-110)."""
    await store.accept(Acceptance(submitted=submitted()), Reports())
    assert await store.find_submission(7, 8) is not None
    await assert_counts_are_right(store)


async def test_a_refusal_is_not_remembered(store: Store) -> None:
    """The next one with the key is tried anew (CH-114)."""
    await store.accept(Acceptance(submitted=submitted(status=409)), Reports())
    assert await store.find_submission(7, 8) is None


async def test_what_a_cancelled_caller_submitted_is_remembered(store: Store) -> None:
    """Who comes next sees the answer, since his question is asked later (CH-114)."""
    hook = webhook_channel()
    await add(store, hook)
    made = batch(("a", [hook], A))
    made.submitted = submitted()
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.accept(made, Reports())
    assert await store.find_submission(7, 8) is not None
    assert await repeats(store, ("a", [hook], A)) == {0: 1}


async def test_an_answer_is_taken_back(store: Store) -> None:
    """The next one with the key is tried anew; a stranger's answer stays; what is remembered is
    counted (PU-15, CH-114)."""
    for key in (7, 17):
        await store.accept(Acceptance(submitted=submitted(key)), Reports())
    for key, proof in ((7, 9), (7, 8), (7, 8)):
        await store.forget_submission(key, proof)
    assert await store.find_submission(7, 8) is None
    assert await store.find_submission(17, 8) is not None
    assert store.remembered["submission"] == 1


async def test_a_cancelled_caller_takes_his_answer_back(store: Store) -> None:
    """Who comes next finds none, since his question is asked later (PU-15)."""
    await store.accept(Acceptance(submitted=submitted()), Reports())
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.forget_submission(7, 8)
    assert await store.find_submission(7, 8) is None


async def test_what_is_old_enough_is_forgotten(store: Store) -> None:
    """Identities and answers from before the time, at most so many of each (CH-114, CH-115)."""
    made = [batch((str(n), [], Identity(n, n, n)), at=T0 + n) for n in range(4)]
    for number, one in enumerate(made):
        one.submitted = submitted(number, at=T0 + number)
        await store.accept(one, Reports())
    assert await store.forget_submissions(T0, keep=99, limit=9) == 0
    assert await store.forget_submissions(T0 + 3, keep=99, limit=2) == 4
    assert await store.find_submission(1, 8) is None
    assert await store.find_submission(2, 8) is not None
    assert await store.forget_submissions(T0 + 3, keep=99, limit=2) == 2
    assert await store.forget_submissions(T0 + 3, keep=99, limit=2) == 0
    assert await repeats(store, ("3", [], Identity(3, 3, 3))) == {0: 0}
    assert await repeats(store, ("2", [], Identity(2, 2, 2))) == {}
