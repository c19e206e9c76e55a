"""Polled channels in virtual time: batches, what settles them, who is connected (section 7)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs
import orjson
import pytest
import trio
from tests.fakes.bench import Bench, bench
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StoreError
from tocsin.server.pollsession import LINGER, MOST_BYTES, Batch, PollContext, PollSession

HOLD = 30.0


@attrs.define
class Poller:
    """One polled channel and its client."""

    it: Bench
    channel: Channel
    context: PollContext
    answers: list[Batch] = attrs.field(factory=list)

    async def poll(self, claim: int | None = None, *, whole: bool | None = True) -> list[str]:
        """The ids of a batch; `whole` None: nothing is known of its answer."""
        batch = await self.raw(claim)
        if whole is not None and batch.receipt is not None:
            batch.receipt(whole)
        return ids(batch)

    async def raw(self, claim: int | None = None) -> Batch:
        """A batch."""
        session = self.it.sessions.of(self.channel)
        if not isinstance(session, PollSession):
            session = PollSession(self.context, await self.it.account(), self.channel)
            session.start()
        batch = await session.poll(claim, hold=HOLD)
        self.answers.append(batch)
        return batch

    async def publish(self, *names: object, **members: object) -> None:
        await self.it.publish(*names, **members)

    @property
    def is_connected(self) -> bool:
        return self.it.sessions.of(self.channel) is not None


def ids(batch: Batch) -> list[str]:
    return [orjson.loads(body)["chatMessageNotification"]["id"] for body in batch.bodies]


@asynccontextmanager
async def polling(*, most: int | None = None, lifetime: int = 3600) -> AsyncIterator[Poller]:
    async with bench() as it:
        channel = await it.channel(kind=ChannelType.LONG_POLLING, lifetime=lifetime)
        channel.max_notifications = most
        context = PollContext(
            store=it.store,
            sessions=it.sessions,
            metrics=it.metrics,
            clock=it.clock,
            now=trio.current_time,
            schedule=it.wheel.add,
        )
        yield Poller(it, channel, context)


async def test_batches(autojump_clock: MockClock) -> None:
    """At most so many, urgent first, and the next poll settles the one before (CH-65, CH-67)."""
    async with polling(most=2) as client:
        await client.publish("low", priority="low", order_key="other")
        await client.publish("a", "b")
        await client.publish("U", priority="urgent", order_key="call")
        assert await client.poll() == ["U", "a"]
        assert await client.it.pending() == 4
        assert await client.poll() == ["b", "low"]
        assert await client.it.pending() == 2
        assert await client.poll() == []
        assert await client.it.pending() == client.it.store.backlog == 0
        assert [one.position for one in client.answers] == [2, 4, 4]


@pytest.mark.parametrize("whole", [False, None])
async def test_an_answer_that_did_not_arrive(autojump_clock: MockClock, whole: bool | None) -> None:
    """The batch comes again, same ids, same order, with what is new behind it (CH-67)."""
    async with polling() as client:
        await client.publish("a", "b")
        assert await client.poll(whole=whole) == ["a", "b"]
        await client.publish("U", priority="urgent", order_key="call")
        assert await client.poll() == ["a", "b", "U"]
        assert await client.poll() == []
        assert await client.it.pending() == 0


async def test_an_answer_whose_connection_was_reset(autojump_clock: MockClock) -> None:
    """What was written whole and then reset comes again too (CH-67)."""
    async with polling() as client:
        await client.publish("a")
        assert await client.poll() == ["a"]
        await client.publish("b")
        batch = await client.raw()
        assert batch.receipt is not None
        batch.receipt(True)
        batch.receipt(False)
        assert await client.poll() == ["b"]


async def test_held(autojump_clock: MockClock) -> None:
    """Until something is deliverable, or the time is over: then the empty list (CH-65)."""
    async with polling() as client, trio.open_nursery() as nursery:
        start = trio.current_time()
        assert await client.poll() == []
        assert trio.current_time() - start == HOLD
        nursery.start_soon(client.poll)
        await trio.sleep(5)
        await client.publish("a")
        await wait_all_tasks_blocked()
        assert ids(client.answers[-1]) == ["a"]


async def test_a_position_settles_up_to_there(autojump_clock: MockClock) -> None:
    """And nothing beyond it, whatever went out whole; none claimed, nothing settled (CH-67)."""
    async with polling() as client:
        await client.publish(*"abcd")
        assert await client.poll() == list("abcd")
        assert await client.poll(0) == list("abcd")
        assert await client.it.pending() == 4
        assert await client.poll(2) == ["c", "d"]
        assert await client.poll(3, whole=False) == ["d"]
        assert await client.it.pending() == 1
        assert await client.poll() == ["d"]
        assert await client.poll(4) == []
        assert await client.it.pending() == client.it.store.backlog == 0


async def test_a_newer_poll(autojump_clock: MockClock) -> None:
    """The held one comes back empty, with the position it knew (CH-66)."""
    async with polling() as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.poll)
        await wait_all_tasks_blocked()
        nursery.start_soon(client.poll)
        await wait_all_tasks_blocked()
        assert [ids(one) for one in client.answers] == [[]]
        await client.publish("a")
        await wait_all_tasks_blocked()
        assert [ids(one) for one in client.answers] == [[], ["a"]]
        assert [one.position for one in client.answers] == [0, 1]


async def test_connected(autojump_clock: MockClock) -> None:
    """While a poll is held and for 30 s after each; then it has been without a poll since the
    last one (CH-45). One place in the wheel at any time (CH-66)."""
    async with polling() as client:
        assert not client.is_connected
        for _ in range(3):
            await client.publish("a")
            await client.poll()
            await trio.sleep(29)
            assert client.is_connected
            assert client.channel.left_at is None
            assert len(client.it.wheel) == 1
        await client.poll()
        await trio.sleep(29.5)
        assert client.is_connected
        await trio.sleep(1)
        assert not client.is_connected
        assert client.channel.left_at is not None
        assert client.it.clock() - client.channel.left_at >= LINGER * 1000
        assert not client.channel.left_cleanly
        assert len(client.it.wheel) == 0


async def test_the_lifetime(autojump_clock: MockClock) -> None:
    """Every poll starts it again; without one it runs down (CH-41, CH-43)."""
    async with polling(lifetime=60) as client:
        for _ in range(5):
            assert await client.poll() == []
            await trio.sleep(25)
        assert (await client.it.account()).channels
        await trio.sleep(40)
        assert not (await client.it.account()).channels


async def test_the_channel_ends_while_held(autojump_clock: MockClock) -> None:
    """The poll comes back empty at once (CH-21, CH-43)."""
    async with polling() as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.poll)
        await wait_all_tasks_blocked()
        account = await client.it.account()
        await client.it.directory.remove_channel(account, client.channel, outcome="refused")
        await wait_all_tasks_blocked()
        assert [ids(one) for one in client.answers] == [[]]
        assert not client.is_connected


async def test_a_client_that_hangs_up(autojump_clock: MockClock) -> None:
    """It takes nothing with it, and is connected for a while yet (CH-66, CH-68)."""
    async with polling() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.poll)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await client.publish("a")
        assert client.is_connected
        assert await client.it.pending() == 1
        assert await client.poll() == ["a"]
        await trio.sleep(61)
        assert not client.is_connected


async def test_after_a_pause_or_a_restart(autojump_clock: MockClock) -> None:
    """What was answered is settled by a later session too; its position is good (CH-67)."""
    async with polling() as client:
        await client.publish("a", "b")
        assert await client.poll() == ["a", "b"]
        await trio.sleep(40)
        assert not client.is_connected
        assert await client.poll() == []
        await client.publish("c", "d")
        assert await client.poll() == ["c", "d"]
        await trio.sleep(40)
        client.channel.answered_seq = 0
        [record] = await client.it.store.load_accounts(["alice"])
        assert record.channels[0].last_seq == 4
        assert await client.poll(3) == ["d"]
        assert await client.it.pending() == client.it.store.backlog == 1


async def test_large_ones(autojump_clock: MockClock) -> None:
    """An answer is bounded in bytes too; the rest follows."""
    async with polling(most=100) as client:
        size = MOST_BYTES // 20
        await client.publish(*range(30), text="x" * size)
        received: list[str] = []
        for _ in range(2):
            received += await client.poll()
            assert len(received) in {19, 30}
        assert received == [str(number) for number in range(30)]


async def test_expired_ones_are_not_answered(autojump_clock: MockClock) -> None:
    """Also such as were answered before and got lost (delivery.md, Promises)."""
    async with polling() as client:
        await client.publish("brief", expires_in=5)
        await client.publish("long")
        assert await client.poll(whole=False) == ["brief", "long"]
        await trio.sleep(7)
        assert await client.poll() == ["long"]


@pytest.mark.parametrize("method", ["fetch_waiting", "place"])
async def test_a_failing_store(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The poll fails; the next one gets all of it, under numbers never told before."""

    def refuse(*_args: object, then: Callable[[None, StoreError], None], **_more: object) -> None:
        then(None, StoreError("full"))

    async def raise_(*_args: object) -> None:
        await trio.lowlevel.checkpoint()
        raise StoreError("full")

    async with polling() as client:
        await client.publish("a")
        with monkeypatch.context() as patched:
            patched.setattr(client.it.store, method, raise_ if method == "place" else refuse)
            with pytest.raises(StoreError):
                await client.poll()
        assert await client.poll() == ["a"]
        assert await client.poll() == []


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_the_client_has_is_not_sent_again_by_a_store_that_did_not_settle_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    """CH-67: a position counts from the moment it is told; the store follows when it can."""

    def lose(_ids: object, then: Callable[[None], None], **_more: object) -> None:
        then(None)

    def refuse(*_args: object, then: Callable[[None, StoreError], None], **_more: object) -> None:
        then(None, StoreError("full"))

    async with polling() as client:
        await client.publish("a")
        assert await client.poll() == ["a"]
        has = client.answers[-1].position
        if restarted:
            await trio.sleep(LINGER + 1)
            assert not client.is_connected
        await client.publish("b")
        with monkeypatch.context() as patched:
            patched.setattr(client.it.store, "settle_lazily", lose)
            patched.setattr(client.it.store, "resume", refuse)
            assert await client.poll(has) == ["b"]
            assert client.it.store.backlog == 2
        assert await client.poll(client.answers[-1].position) == []
        client.it.sessions.flush()
        assert client.it.store.backlog == 0
