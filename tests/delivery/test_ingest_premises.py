"""tocsin.delivery.ingest: what is published while subscriptions change shares their fate.

The store stands still while a change is asked for and something is published, so that both wait
for it. Then one of them may be refused and the other may fit, as on a disk that is almost full.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
from tests.fakes.deliveries import socket_channel, subscription
from tests.fakes.fault import Fault
from tests.fakes.stores import assert_counts_are_right, waiting
from tests.fakes.world import World
from trio.testing import wait_all_tasks_blocked

from tocsin.delivery.directory import Account
from tocsin.model.channel import Channel
from tocsin.model.errors import RequestError, StoreError
from tocsin.store.records import Acceptance
from tocsin.store.sqlite import SqliteStore, StoreSettings


@attrs.define
class Scene:
    """A user over a store with a writer thread."""

    world: World
    fault: Fault
    account: Account

    async def open(self) -> Channel:
        """A channel that gets nothing yet."""
        return await self.world.directory.open_channel(self.account, socket_channel())

    async def subscribe(self, channel: Channel) -> None:
        """Have it get what is published."""
        await self.world.directory.subscribe(self.account, subscription(channel), b"{}")

    async def unsubscribe(self) -> None:
        """Remove the only subscription."""
        [one] = self.account.subscriptions.values()
        await self.world.directory.unsubscribe(self.account, one)

    async def remove(self, channel: Channel) -> None:
        """Remove a channel."""
        await self.world.directory.remove_channel(self.account, channel, outcome="refused")

    async def publish_during(self, change: Callable[[], Awaitable[None]]) -> list[str]:
        """Publish while this change waits for the store; what the publisher is refused for."""
        refused: list[str] = []

        async def begin() -> None:
            with suppress(StoreError):
                await change()

        async def publish() -> None:
            try:
                await self.world.publish("a")
            except RequestError as error:
                refused.append(error.label)

        async with trio.open_nursery() as both:
            with self.fault.held_up():
                both.start_soon(begin)
                await wait_all_tasks_blocked()
                both.start_soon(publish)
                await wait_all_tasks_blocked()
                assert self.account.undecided
        assert not self.account.undecided
        return refused

    async def waiting(self, channel: Channel) -> list[str]:
        """What waits for the client of a channel."""
        found = await waiting(self.world.store, channel, now=self.world.clock())
        return [one.notification.id for one in found]


@pytest.fixture
async def scene(tmp_path: Path, nursery: trio.Nursery) -> Scene:
    """The user `u`, whom nobody has heard of."""
    store = SqliteStore(StoreSettings(path=str(tmp_path / "store.db")))
    await nursery.start(store.run)
    world = World(store=store)
    fault = Fault(tmp_path / "store.db")
    return Scene(world, fault, await world.directory.account("u"))


@pytest.fixture(autouse=True)
def let_go(scene: Scene) -> Iterator[None]:
    """Close the other connection to the store's file."""
    yield
    scene.fault.close()


async def test_nothing_waits_where_a_subscription_was_refused(scene: Scene) -> None:
    """CH-117: nobody would come to fetch it, and no newer channel would take it over."""
    channel = await scene.open()
    scene.fault.begin("subscription")
    assert await scene.publish_during(partial(scene.subscribe, channel)) == ["store"]
    await assert_counts_are_right(scene.world.store)
    scene.fault.end()
    await scene.subscribe(channel)
    await scene.world.publish("a")
    assert await scene.waiting(channel) == ["a"]


async def test_a_refused_successor_costs_the_older_channel_nothing(scene: Scene) -> None:
    """CH-45: what is answered 202 reaches the channel that keeps its subscription after all."""
    old, new = await scene.open(), await scene.open()
    await scene.subscribe(old)
    old.left_cleanly = True
    scene.fault.begin("subscription")
    assert await scene.publish_during(partial(scene.subscribe, new)) == ["store"]
    await scene.world.publish("a")
    assert (await scene.waiting(old), await scene.waiting(new)) == (["a"], [])


async def test_a_refused_removal_costs_the_channel_nothing(scene: Scene) -> None:
    """CH-21: the same where a subscription or its channel was to go and stays."""
    channel = await scene.open()
    await scene.subscribe(channel)
    scene.fault.begin("subscription")
    assert await scene.publish_during(scene.unsubscribe) == ["store"]
    assert await scene.publish_during(partial(scene.remove, channel)) == ["store"]
    await scene.world.publish("a")
    assert await scene.waiting(channel) == ["a"]


async def test_a_change_that_is_stored_counts_at_once(scene: Scene) -> None:
    """What is published meanwhile is for whoever is subscribed then."""
    channel = await scene.open()
    assert await scene.publish_during(partial(scene.subscribe, channel)) == []
    assert await scene.waiting(channel) == ["a"]
    assert await scene.publish_during(scene.unsubscribe) == []
    assert await scene.waiting(channel) == ["a"]


async def test_what_tells_of_a_message_relies_on_it_too(scene: Scene) -> None:
    """Whether it goes to anybody or not: nothing of the message is stored either."""
    channel = await scene.open()
    acceptances = [Acceptance(), Acceptance()]
    for acceptance, change in zip(
        acceptances, (partial(scene.subscribe, channel), scene.unsubscribe), strict=True
    ):
        async with trio.open_nursery() as both:
            with scene.fault.held_up():
                both.start_soon(change)
                await wait_all_tasks_blocked()
                [id_] = scene.account.undecided
                told = scene.world.note("a", user="u")
                scene.world.ingest.add_message(acceptance, told, scene.account, pushes=False)
    assert [one.premises for one in acceptances] == [{id_: True}, {id_: False}]
