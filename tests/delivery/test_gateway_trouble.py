"""tocsin.delivery.gateway: full, failing, stopped in the middle."""

from pathlib import Path

import pytest
import trio
import trio.testing
from tests.fakes.fault import Fault
from tests.fakes.gatewayapps import APP, OTHER_TOKEN, TOKEN, text
from tests.fakes.gatewayworld import (
    GONE_MANY,
    UNREGISTERED,
    gateway_world,
)

from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.errors import RequestError
from tocsin.model.gatewayuser import gateway_user
from tocsin.model.outcome import Deferred
from tocsin.store.sqlite import SqliteStore, StoreSettings
from tocsin.wire.push.pnm2 import (
    QUEUED,
    SENT,
    Reply,
)


async def test_a_full_backlog(autojump_clock: trio.testing.MockClock) -> None:
    """503, nothing stored, and no channel is left behind in memory (PU-5, PU-23)."""
    async with gateway_world(limits=DeliveryLimits(backlog=1)) as world:
        with pytest.raises(RequestError) as caught:
            await world.ask(text(), text(OTHER_TOKEN))
        assert (caught.value.status, caught.value.label) == (503, "backlog")
        assert await world.send(text()) == SENT
        assert world.sample("channels", type="OMAPush") == 1


async def test_a_failing_store(tmp_path: Path) -> None:
    """503; the channels that were to be opened are taken back, and made anew later (PU-23)."""
    path = str(tmp_path / "store.db")
    async with gateway_world(store=SqliteStore(StoreSettings(path=path))) as world:
        fault = Fault(path)
        fault.begin("delivery")
        with pytest.raises(RequestError) as caught:
            await world.ask(text(), text(OTHER_TOKEN), text())
        assert (caught.value.status, caught.value.label) == (503, "store")
        assert (await world.directory.account(gateway_user(APP, TOKEN))).channels == {}
        fault.end()
        fault.close()
        assert await world.ask(text(), text(OTHER_TOKEN)) == [SENT, SENT]
        assert world.sample("channels", type="OMAPush") == 2


async def test_requests_that_open_a_channel_together(tmp_path: Path) -> None:
    """Whichever of them the store takes first, all go to the one channel (PU-23)."""
    path = str(tmp_path / "store.db")
    async with gateway_world(store=SqliteStore(StoreSettings(path=path))) as world:
        fault = Fault(path)
        async with trio.open_nursery() as nursery:
            with fault.held_up():
                for number in range(5):
                    nursery.start_soon(world.ask, text(Id=number), text(OTHER_TOKEN, Id=number))
                await trio.testing.wait_all_tasks_blocked()
        fault.close()
        assert world.sample("channels", type="OMAPush") == 2
        assert sum((await world.store.counts()).channels.values()) == 2
        assert len(world.provider.attempts) == 10


async def test_the_end_of_the_daemon(autojump_clock: trio.testing.MockClock) -> None:
    """Who waits for what is not attempted any more is told at once that it is queued, which it is;
    later ones are not waited for at all (PU-14, PU-8)."""
    async with gateway_world() as world, trio.open_nursery() as nursery:
        world.provider.script[TOKEN] = [Deferred("unavailable", 30, 503)]
        answers: list[Reply] = []

        async def ask() -> None:
            answers.append(await world.send(text()))

        nursery.start_soon(ask)
        await trio.sleep(1)
        world.queue.stop()
        await world.queue.wait_idle()
        world.gateway.stop_waiting()
        await ask()
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [QUEUED, QUEUED]
        assert trio.current_time() == pytest.approx(1)
        assert world.gateway.waiting == 0
        assert await world.pending() == 2


async def test_cancelled_while_it_waits(autojump_clock: trio.testing.MockClock) -> None:
    """The push goes on, and what becomes of it is told as feedback (PU-8, PU-17)."""
    async with gateway_world() as world:
        world.provider.script[TOKEN] = [2.0]
        with trio.move_on_after(1):
            await world.ask(text())
        assert (world.gateway.waiting, len(world.endings)) == (0, 0)
        await trio.sleep(2)
        assert [ending.result for _, ending in world.late] == ["delivered"]


async def test_cancelled_while_it_is_stored(tmp_path: Path) -> None:
    """What was handed to the store is pushed all the same, and nobody waits for it (PU-8)."""
    path = str(tmp_path / "store.db")
    async with gateway_world(store=SqliteStore(StoreSettings(path=path))) as world:
        await world.send(text(OTHER_TOKEN))
        await world.directory.account(gateway_user(APP, TOKEN))
        fault = Fault(path)
        told = trio.Event()
        world.endings.unwatched = lambda _id, _one, _ending: told.set()
        with fault.held_up():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world.ask, text())
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        fault.close()
        await told.wait()
        assert world.gateway.waiting == 0
        assert world.sample("channels", type="OMAPush") == 2


async def test_restarts(tmp_path: Path) -> None:
    """Repeats are found, tokens stay dead and pushes go on after a restart (PU-18, PU-48)."""
    settings = StoreSettings(path=str(tmp_path / "store.db"))
    async with gateway_world(store=SqliteStore(settings)) as world:
        await world.prove(APP)
        world.provider.script[OTHER_TOKEN] = [UNREGISTERED]
        asked = [text(Id="m"), text(OTHER_TOKEN), text("ef" * 32, AppId="durable.app")]
        world.provider.script["ef" * 32] = [Deferred("unavailable", 1, 503)]
        assert await world.ask(*asked) == [SENT, GONE_MANY, QUEUED]
    async with gateway_world(store=SqliteStore(settings)) as world:
        assert await world.ask(text(Id="m"), text(OTHER_TOKEN)) == [SENT, GONE_MANY]
        assert world.provider.attempts == []
        assert await world.pending() == 1
