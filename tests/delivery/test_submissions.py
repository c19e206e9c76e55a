"""tocsin.delivery.submissions: what was submitted before is not sent again (CH-114, CH-115)."""

from collections.abc import Iterator, Sequence
from functools import partial

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.deliveries import notification, webhook_channel
from tests.fakes.fault import Fault
from tests.fakes.stores import assert_counts_are_right, claimed_ids
from tests.fakes.world import World
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.settings import DeliveryLimits
from tocsin.delivery.submissions import (
    Accepted,
    Remembered,
    Submission,
    Submissions,
    Verdict,
    identity_of,
)
from tocsin.model.errors import RequestError, StoreError
from tocsin.model.notification import Notification
from tocsin.store.sqlite import SqliteStore, StoreSettings

DAY = 86_400


def named(id_: str = "n", *, user: str = "u", service: str = "sms", by: str = "p") -> Notification:
    """A notification whose producer chose its id."""
    return notification(id_, user=user, service=service, producer=by, is_named=True)


def answer_of(verdicts: Sequence[Verdict]) -> Remembered:
    """The answer to a request for one notification."""
    [verdict] = verdicts
    if isinstance(verdict, RequestError):
        return Remembered(verdict.status, b"refused")
    return Remembered(202, b"channels %d" % verdict.channels, "n")


@attrs.define
class Producer:
    """Submits requests for one notification each, under a key."""

    world: World
    submissions: Submissions
    made: int = 0

    async def submit(
        self,
        one: Notification,
        key: str = "k",
        *,
        body: bytes = b"{}",
        producer: str = "p",
        path: str = "/v1/notifications",
    ) -> Remembered:
        """The answer, as a face gives it."""
        async with self.submissions.claim(producer, path, key, body) as submission:
            if submission.remembered is not None:
                return submission.remembered
            self.made += 1
            return await self._accept(one, submission)

    async def _accept(self, one: Notification, submission: Submission) -> Remembered:
        submission.render = answer_of
        return answer_of(await self.world.ingest.accept([one], submission=submission))


@pytest.fixture
async def world(path: str, nursery: trio.Nursery) -> World:
    """A webhook of `u` over a store with a writer thread."""
    store = SqliteStore(StoreSettings(path=path))
    await nursery.start(store.run)
    made = World(store=store)
    await made.subscribed(webhook_channel())
    return made


@pytest.fixture
def fault(path: str, world: World) -> Iterator[Fault]:
    """Faults of the world's store."""
    made = Fault(path)
    yield made
    made.close()


@pytest.fixture
def producer(world: World) -> Producer:
    """Somebody who submits."""
    return Producer(world, Submissions(world.store))


# -- what a notification is known by -------------------------------------------------------


def test_only_a_name_is_an_identity() -> None:
    """Nobody repeats an id that we have made up."""
    assert identity_of(notification("n")) is None


def test_an_identity_is_its_producer_and_id() -> None:
    """User and service are its subject; nothing else of it matters."""
    first = identity_of(named())
    assert first is not None
    again = identity_of(attrs.evolve(named(), body=b"other", expires_at=0, order_key="k"))
    assert again == first
    for other in (named("m"), named(by="q")):
        found = identity_of(other)
        assert found is not None
        assert (found.key, found.proof) != (first.key, first.proof)
    for other in (named(user="v"), named(service="chat")):
        found = identity_of(other)
        assert found is not None
        assert (found.key, found.proof) == (first.key, first.proof)
        assert found.subject != first.subject


@given(st.text(), st.text(min_size=1), st.text(), st.text(min_size=1))
def test_no_two_names_share_an_identity(by: str, id_: str, by2: str, id2: str) -> None:
    """However they are cut; and both digests fit an SQLite integer."""
    one, other = identity_of(named(id_, by=by)), identity_of(named(id2, by=by2))
    assert one is not None
    assert other is not None
    assert (one == other) is ((by, id_) == (by2, id2))
    assert min(one.key, one.proof, one.subject) >= 0
    assert max(one.key, one.proof, one.subject) < 2**63


# -- repeated ids --------------------------------------------------------------------------


async def test_a_repeat_is_answered_as_the_first_time(world: World) -> None:
    """In one batch, and in the next; others of the batch are new (CH-115)."""
    first = await world.ingest.accept([named(), named("m"), named()])
    assert first == [Accepted(1), Accepted(1), Accepted(1, duplicate=True)]
    second = await world.ingest.accept([named("o"), named()])
    assert second == [Accepted(1), Accepted(1, duplicate=True)]
    assert await claimed_ids(world.store) == ["n", "m", "o"]
    assert world.sample("notifications_repeated_total") == 2
    assert world.sample("notifications_accepted_total", service="sms") == 3
    await assert_counts_are_right(world.store, webhooks=3)


async def test_the_first_answer_holds_though_subscriptions_change(world: World) -> None:
    """Who went nowhere goes nowhere, who went somewhere is not sent again (CH-115)."""
    assert await world.ingest.accept([named(user="v")]) == [Accepted(0)]
    await world.subscribed(webhook_channel("v"))
    assert await world.ingest.accept([named(user="v")]) == [Accepted(0, duplicate=True)]
    await assert_counts_are_right(world.store)


async def test_an_id_for_somebody_else_is_a_mistake(world: World) -> None:
    """Another user or service: SVC0005 `id` for that item alone (CH-115)."""
    await world.ingest.accept([named()])
    verdicts = await world.ingest.accept([named(user="v"), named(service="chat"), named("m")])
    refusals = [one for one in verdicts if isinstance(one, RequestError)]
    assert [(one.status, one.message_id, one.variables) for one in refusals] == [
        (409, "SVC0005", ("n", "id"))
    ] * 2
    assert verdicts[2] == Accepted(1)
    assert await claimed_ids(world.store) == ["n", "m"]


async def test_another_producer_may_use_the_same_id(world: World) -> None:
    """Ids are a producer's own; and those that we make are nobody's."""
    for one in (named(), named(by="q"), notification("n"), notification("n")):
        assert await world.ingest.accept([one]) == [Accepted(1)]


async def test_a_repeat_straight_to_a_channel_is_one_too(world: World) -> None:
    """A callback after a publication, and the other way round (CH-116)."""
    channel = next(iter((await world.directory.account("u")).channels.values()))
    assert await world.ingest.accept_for(channel, named()) == Accepted(1)
    assert await world.ingest.accept([named()]) == [Accepted(1, duplicate=True)]
    assert await world.ingest.accept_for(channel, named()) == Accepted(1, duplicate=True)


async def test_a_repeat_is_known_after_a_restart(path: str, nursery: trio.Nursery) -> None:
    """Though it was delivered meanwhile (CH-115)."""
    async with trio.open_nursery() as running:
        before = World(store=SqliteStore(StoreSettings(path=path)))
        await running.start(before.store.run)
        hook = await before.subscribed(webhook_channel())
        await before.ingest.accept([named()])
        await before.directory.remove_channel(
            await before.directory.account("u"), hook, outcome="refused"
        )
        running.cancel_scope.cancel()
    after = World(store=SqliteStore(StoreSettings(path=path)))
    await nursery.start(after.store.run)
    await after.subscribed(webhook_channel())
    assert await after.ingest.accept([named()]) == [Accepted(1, duplicate=True)]
    await assert_counts_are_right(after.store)


async def test_what_the_store_refused_is_not_known(world: World, fault: Fault) -> None:
    """The producer tries again, and this time it is sent."""
    fault.begin("delivery")
    with pytest.raises(RequestError):
        await world.ingest.accept([named()])
    fault.end()
    assert await world.ingest.accept([named()]) == [Accepted(1)]


async def test_of_many_at_once_one_is_sent(world: World) -> None:
    """Whichever; all get the same number (CH-115)."""
    found: list[Verdict] = []

    async def submit(id_: str) -> None:
        found.extend(await world.ingest.accept([named(id_)]))

    async with trio.open_nursery() as callers:
        for number in range(100):
            callers.start_soon(submit, str(number % 5))
    assert found.count(Accepted(1)) == 5
    assert found.count(Accepted(1, duplicate=True)) == 95
    assert sorted(await claimed_ids(world.store)) == list("01234")


# -- requests with a key -------------------------------------------------------------------


async def test_the_same_request_gets_the_first_answer(world: World, producer: Producer) -> None:
    """Byte for byte, and nothing is sent again (CH-114)."""
    answers = [await producer.submit(notification("n")) for _ in range(3)]
    assert answers == [Remembered(202, b"channels 1", "n")] * 3
    assert (producer.made, await claimed_ids(world.store)) == (1, ["n"])


async def test_a_key_is_of_a_producer_and_a_path(world: World, producer: Producer) -> None:
    """Another's is another."""
    await producer.submit(notification())
    await producer.submit(notification(), producer="q")
    await producer.submit(notification(), path="/else")
    await producer.submit(notification(), "l")
    assert producer.made == 4


async def test_the_same_key_with_another_body_is_a_mistake(producer: Producer) -> None:
    """409 SVC0005 `Idempotency-Key`; the first answer stays (CH-114)."""
    await producer.submit(notification(), body=b"1")
    with pytest.raises(RequestError) as refused:
        await producer.submit(notification(), body=b"2")
    assert (refused.value.status, refused.value.variables) == (409, ("k", "Idempotency-Key"))
    assert (await producer.submit(notification(), body=b"1")).status == 202
    assert producer.made == 1


async def test_the_second_waits_while_the_first_is_running(
    world: World, producer: Producer, fault: Fault, nursery: trio.Nursery
) -> None:
    """And gets its answer (CH-114)."""
    answers: list[Remembered] = []

    async def submit() -> None:
        answers.append(await producer.submit(notification("n")))

    async with trio.open_nursery() as callers:
        with fault.held_up():
            for _ in range(5):
                callers.start_soon(submit)
            await wait_all_tasks_blocked()
            assert answers == []
    assert answers == [Remembered(202, b"channels 1", "n")] * 5
    assert producer.made == 1


async def test_other_keys_do_not_wait(producer: Producer) -> None:
    """Nobody is held up by a stranger's request."""
    async with (
        producer.submissions.claim("p", "/", "k", b""),
        producer.submissions.claim("p", "/", "l", b"") as other,
    ):
        assert other.remembered is None


async def test_a_caller_who_gave_up_has_submitted_all_the_same(
    world: World, producer: Producer, fault: Fault
) -> None:
    """What had been handed to the store is answered to whoever asks again (CH-114)."""
    async with producer.submissions.claim("p", "/v1/notifications", "k", b"{}") as first:
        first.render = answer_of
        submit = partial(world.ingest.accept, [notification("n")], submission=first)
        with fault.held_up():
            async with trio.open_nursery() as caller:
                caller.start_soon(submit)
                await wait_all_tasks_blocked()
                caller.cancel_scope.cancel()
    assert await producer.submit(notification("m")) == Remembered(202, b"channels 1", "n")
    assert (producer.made, await claimed_ids(world.store)) == (0, ["n"])


async def test_a_caller_who_gave_up_waiting_holds_up_nobody(producer: Producer) -> None:
    """Whether he waited for another or had the right to answer."""
    async with (
        trio.open_nursery() as callers,
        producer.submissions.claim("p", "/v1/notifications", "k", b"{}"),
    ):
        callers.start_soon(producer.submit, notification())
        await wait_all_tasks_blocked()
        callers.cancel_scope.cancel()
    await producer.submit(notification())
    assert producer.made == 1


@pytest.mark.parametrize("reason", ["store", "backlog"])
async def test_a_refused_request_is_not_remembered(
    path: str, nursery: trio.Nursery, reason: str
) -> None:
    """An error is tried again with the same key (CH-114)."""
    store = SqliteStore(StoreSettings(path=path))
    await nursery.start(store.run)
    world = World(store=store, limits=DeliveryLimits(backlog=1))
    producer = Producer(world, Submissions(store))
    hook = await world.subscribed(webhook_channel())
    fault = Fault(path)
    if reason == "store":
        fault.begin("delivery")
    else:
        await world.publish("full")
    with pytest.raises(RequestError) as refused:
        await producer.submit(notification("n"))
    assert (refused.value.status, refused.value.label) == (503, reason)
    fault.end()
    fault.close()
    account = await world.directory.account("u")
    await world.directory.remove_channel(account, hook, outcome="refused")
    assert await producer.submit(notification("n")) == Remembered(202, b"channels 0", "n")


async def test_a_refusal_by_id_is_not_remembered(world: World, producer: Producer) -> None:
    """Though it was found in the commit itself (CH-114, CH-115)."""
    await world.ingest.accept([named()])
    for _ in range(2):
        assert (await producer.submit(named(user="v"))).status == 409
    assert producer.made == 2


async def test_a_store_that_cannot_be_asked_says_so(producer: Producer, world: World) -> None:
    """And the key is free for the next try."""
    ended = World(store=SqliteStore(StoreSettings(path=":memory:")))
    async with trio.open_nursery() as running:
        await running.start(ended.store.run)
        running.cancel_scope.cancel()
    submissions = Submissions(ended.store)
    for _ in range(2):
        with pytest.raises(StoreError):
            async with submissions.claim("p", "/", "k", b""):
                raise AssertionError("nobody may answer")


async def test_a_face_that_forgets_to_answer_fails_alone(world: World, producer: Producer) -> None:
    """A mistake of the caller must not reach the store's thread, and nothing is stored."""
    async with producer.submissions.claim("p", "/", "k", b"") as submission:
        with pytest.raises(ValueError, match="nobody said how to answer"):
            await world.ingest.accept([notification()], submission=submission)
    await assert_counts_are_right(world.store)


async def test_an_answer_survives_a_restart(path: str, nursery: trio.Nursery) -> None:
    """CH-114."""
    async with trio.open_nursery() as running:
        before = World(store=SqliteStore(StoreSettings(path=path)))
        await running.start(before.store.run)
        await Producer(before, Submissions(before.store)).submit(notification())
        running.cancel_scope.cancel()
    after = World(store=SqliteStore(StoreSettings(path=path)))
    await nursery.start(after.store.run)
    producer = Producer(after, Submissions(after.store))
    assert await producer.submit(notification()) == Remembered(202, b"channels 0", "n")
    assert producer.made == 0


async def test_all_is_forgotten_after_a_day(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Not within 24 h, and soon after (CH-114, CH-115)."""
    world = World()
    await nursery.start(world.store.run)
    housekeeping = world.housekeeping()
    producer = Producer(world, Submissions(world.store))
    await producer.submit(named())
    await trio.sleep(DAY)
    await housekeeping.sweep()
    await producer.submit(named())
    assert await world.ingest.accept([named()]) == [Accepted(0, duplicate=True)]
    assert producer.made == 1
    await trio.sleep(1)
    await housekeeping.sweep()
    assert await world.ingest.accept([named()]) == [Accepted(0)]
    await producer.submit(notification())
    assert producer.made == 2
