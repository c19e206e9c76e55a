"""tocsin.store.sqlite: what is special about this store; the rest is the contract suite's."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
import trio
from tests.fakes.deliveries import T0, notification, socket_channel, webhook_channel
from tests.fakes.fault import Fault
from tests.fakes.stores import Reports, accept, add, assert_counts_are_right, claimed_ids
from trio.testing import wait_all_tasks_blocked

from tocsin.model.channel import ChannelType
from tocsin.model.errors import StoreError
from tocsin.store import writer
from tocsin.store.records import Acceptance
from tocsin.store.sqlite import SqliteStore, StoreSettings

if TYPE_CHECKING:
    from tocsin.store.batches import Commit
    from tocsin.store.mail import LogPage


@pytest.fixture
def settings(tmp_path: Path) -> StoreSettings:
    """A store in a file of its own."""
    return StoreSettings(path=str(tmp_path / "store.db"))


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[apsw.Connection]]:
    """The connections that are opened, in order."""
    opened: list[apsw.Connection] = []
    monkeypatch.setattr(apsw, "connection_hooks", [opened.append])
    yield opened
    for connection in opened:
        connection.close()


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_full_disk_refuses_and_keeps_nothing(
    settings: StoreSettings, connections: list[apsw.Connection], threaded: bool
) -> None:
    """`StoreError` while there is no room, counts unchanged; room again, and all is well."""
    store = SqliteStore(settings, threaded=threaded)
    channel = webhook_channel()
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        await add(store, channel)
        await accept(store, (notification("a"), [channel]))
        limit = connections[-1].pragma("max_page_count", 1)
        reports = Reports()
        acceptance = Acceptance()
        for _ in range(500):
            acceptance.add(notification(), [channel])
        with pytest.raises(StoreError, match="full"):
            await store.accept(acceptance, reports)
        assert len(reports.errors) == 1
        assert store.failing is not None
        await assert_counts_are_right(store, webhooks=1)
        connections[-1].pragma("max_page_count", limit * 1000)
        await accept(store, (notification("b"), [channel]))
        assert store.failing is None
        assert await claimed_ids(store) == ["a", "b"]
        nursery.cancel_scope.cancel()


async def test_many_callers_share_a_commit(settings: StoreSettings, nursery: trio.Nursery) -> None:
    """While one commit is under way the others gather for the next (delivery.md, 2)."""
    commits: list[Commit] = []
    store = SqliteStore(settings, on_commit=commits.append)
    await nursery.start(store.run)
    channel = webhook_channel()
    await add(store, channel)
    fault = Fault(settings.path)
    async with trio.open_nursery() as callers:
        with fault.held_up():
            for _ in range(50):
                callers.start_soon(accept, store, (notification(), [channel]))
            await wait_all_tasks_blocked()
            assert store.backlog == 50
    fault.close()
    assert sum(commit.jobs for commit in commits) == 51
    assert len(commits) <= 3
    await assert_counts_are_right(store, webhooks=50)


async def test_nothing_is_read_for_who_has_gone(
    settings: StoreSettings, nursery: trio.Nursery
) -> None:
    """A page of a Log that waits for its turn is not read once its caller is cancelled, and others
    get theirs (SE-5)."""
    commits: list[Commit] = []
    store = SqliteStore(settings, on_commit=commits.append)
    await nursery.start(store.run)
    fault = Fault(settings.path)
    pages: list[LogPage] = []

    async def look() -> None:
        pages.append(await store.log_page(1, after=0, limit=9))

    async with trio.open_nursery() as staying, trio.open_nursery() as leaving:
        with fault.held_up():
            staying.start_soon(look)
            await wait_all_tasks_blocked()
            for _ in range(20):
                leaving.start_soon(look)
            await wait_all_tasks_blocked()
            staying.start_soon(look)
            await wait_all_tasks_blocked()
            leaving.cancel_scope.cancel()
            await wait_all_tasks_blocked()
    fault.close()
    assert len(pages) == len(commits) == 2


async def test_a_failed_accept_gives_its_place_in_the_backlog_back(
    settings: StoreSettings, nursery: trio.Nursery
) -> None:
    """Counted while it is being stored, not after it was refused."""
    store = SqliteStore(settings)
    await nursery.start(store.run)
    channel = socket_channel()
    await add(store, channel)
    fault = Fault(settings.path)
    fault.begin("delivery")
    with pytest.raises(StoreError, match="fire"):
        await accept(store, (notification(), [channel]))
    assert store.backlog == 0
    fault.end()
    await accept(store, (notification(), [channel]))
    fault.close()
    await assert_counts_are_right(store, websockets=1)


async def test_lazy_writes_of_a_store_far_behind_are_dropped_in_silence(
    settings: StoreSettings, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt that is lost costs a duplicate; raising it would cost the session."""
    store = SqliteStore(settings)
    await nursery.start(store.run)
    channel = socket_channel()
    await add(store, channel)
    [id_] = await accept(store, (notification(), [channel]))
    counted: list[int | None] = []
    with monkeypatch.context() as patch:
        patch.setattr(writer, "MOST_WAITING", 0)
        store.settle_lazily([id_], counted.append, now=T0)
        store.mark_written(channel, [(id_, 1)])
        store.extend_channels([channel])
        reports = Reports()
        store.fetch_waiting(channel, now=T0, after=0, limit=1, then=reports.both)
        assert isinstance(reports.errors[0], StoreError)
    await assert_counts_are_right(store, websockets=1)
    assert counted == [None]


async def test_counts_at_the_start_are_those_of_the_file(
    settings: StoreSettings, nursery: trio.Nursery
) -> None:
    """The backlog is known before anything is asked."""
    first = SqliteStore(settings)
    channels = [webhook_channel(), socket_channel()]
    async with trio.open_nursery() as running:
        await running.start(first.run)
        await add(first, *channels)
        await accept(first, (notification(), channels))
        running.cancel_scope.cancel()
    second = SqliteStore(settings)
    await nursery.start(second.run)
    assert second.backlog == 2
    assert second.at_start.channels == {ChannelType.WEBHOOKS: 1, ChannelType.WEBSOCKETS: 1}
