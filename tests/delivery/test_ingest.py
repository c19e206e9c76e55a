"""tocsin.delivery.ingest: stored whole or not at all, answered after the commit, handed over."""

from collections.abc import Iterator

import pytest
import trio
from tests.fakes.deliveries import notification, socket_channel, subscription, webhook_channel
from tests.fakes.fault import Fault
from tests.fakes.memory_session import MemorySession
from tests.fakes.stores import assert_counts_are_right
from tests.fakes.world import World
from trio.testing import wait_all_tasks_blocked

from tocsin.delivery.settings import DeliveryLimits
from tocsin.delivery.submissions import Accepted
from tocsin.model.errors import RequestError
from tocsin.store.sqlite import SqliteStore, StoreSettings


@pytest.fixture
async def world(path: str, nursery: trio.Nursery) -> World:
    """A delivery layer over a store with a writer thread, for four deliveries at most."""
    store = SqliteStore(StoreSettings(path=path))
    await nursery.start(store.run)
    return World(store=store, limits=DeliveryLimits(backlog=4))


@pytest.fixture
def fault(path: str, world: World) -> Iterator[Fault]:
    """Faults of the world's store."""
    made = Fault(path)
    yield made
    made.close()


@pytest.fixture
async def session(world: World) -> MemorySession:
    """The live session of a subscribed channel of `u`."""
    made = MemorySession(world.sessions, await world.subscribed(socket_channel()))
    world.sessions.attach(made)
    return made


async def test_each_is_answered_with_the_number_of_its_channels(world: World) -> None:
    """In the order given, nobody's included (CH-110, CH-111)."""
    account = await world.directory.account("u")
    for channel in (webhook_channel(), socket_channel()):
        opened = await world.directory.open_channel(account, channel)
        await world.directory.subscribe(account, subscription(opened), b"{}")
    counts = await world.ingest.accept(
        [
            notification(user="nobody"),
            notification(user="u"),
            notification(user="u", service="chat"),
        ]
    )
    assert counts == [Accepted(0), Accepted(2), Accepted(0)]
    await assert_counts_are_right(world.store, webhooks=1, websockets=1)


async def test_it_is_stored_before_it_is_handed_over(
    world: World, session: MemorySession, fault: Fault, nursery: trio.Nursery
) -> None:
    """Nothing is pushed while the commit is under way (delivery.md, 3 and 4)."""
    with fault.held_up():
        nursery.start_soon(world.publish, "a")
        await wait_all_tasks_blocked()
        assert session.ids == []
    await world.store.barrier()
    assert session.told == ["a", "flush"]
    assert session.pushed[0].id > 0


async def test_a_full_backlog_is_refused(world: World, session: MemorySession) -> None:
    """503 with `Retry-After`, nothing of the request stored, and room again later (CH-117)."""
    await world.publish("a", "b", "c")
    with pytest.raises(RequestError) as refused:
        await world.publish("d", "e")
    assert (refused.value.status, refused.value.label) == (503, "backlog")
    assert dict(refused.value.headers)["Retry-After"].isdigit()
    assert world.store.backlog == 3
    await world.publish("d")
    assert session.ids == ["a", "b", "c", "d"]


async def test_the_backlog_holds_under_concurrency(world: World, fault: Fault) -> None:
    """Requests whose commits are under way count already."""
    await world.subscribed(webhook_channel())
    refused: list[RequestError] = []

    async def publish(id_: str) -> None:
        try:
            await world.publish(id_)
        except RequestError as error:
            refused.append(error)

    with fault.held_up():
        async with trio.open_nursery() as callers:
            for number in range(10):
                callers.start_soon(publish, str(number))
            await wait_all_tasks_blocked()
            assert (world.store.backlog, len(refused)) == (4, 6)
            callers.cancel_scope.cancel()
    await assert_counts_are_right(world.store, webhooks=4)


async def test_a_failing_store_is_a_503(world: World, session: MemorySession, fault: Fault) -> None:
    """Nothing stored, nothing handed over, nothing counted."""
    fault.begin("notification")
    with pytest.raises(RequestError) as refused:
        await world.publish("a")
    assert (refused.value.status, refused.value.label) == (503, "store")
    assert (session.told, world.store.backlog) == ([], 0)
    fault.end()
    await world.publish("b")
    assert session.ids == ["b"]


async def test_a_cancelled_caller_is_served_all_the_same(
    world: World, session: MemorySession, fault: Fault
) -> None:
    """What was handed to the store is delivered, though nobody waits for the answer."""
    with fault.held_up():
        async with trio.open_nursery() as caller:
            caller.start_soon(world.publish, "a")
            await wait_all_tasks_blocked()
            caller.cancel_scope.cancel()
        assert session.ids == []
    await world.store.barrier()
    assert session.told == ["a", "flush"]


async def test_what_goes_to_nobody_is_counted_and_not_stored(world: World) -> None:
    """`no_channel` costs no commit (CH-111)."""
    assert await world.ingest.accept([notification(user="nobody")]) == [Accepted(0)]
    assert world.store.backlog == 0
    accepted = world.metrics.registry.get_sample_value(
        "tocsin_notifications_accepted_total", {"service": "sms"}
    )
    assert accepted == 1
