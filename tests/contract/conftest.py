"""The stores and the WebSocket engines that the contracts are held to."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from tests.fakes.session import MakeEngine, hang_up
from tests.fakes.stores import OpenStore

from tocsin.server.engine import AnyEngine
from tocsin.server.reactor import Reactor
from tocsin.server.trio_engine import TrioWebSocketEngine
from tocsin.store.interface import Store
from tocsin.store.sqlite import SqliteStore, StoreSettings


@pytest.fixture(params=["inline", "threaded", "sealed"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Opens the same store, as often as the test asks."""
    settings = StoreSettings(
        path=str(tmp_path / "store.db"),
        master_key="5e" * 32 if request.param == "sealed" else None,
    )
    return lambda: SqliteStore(settings, threaded=request.param == "threaded")


@pytest.fixture
async def store(open_store: OpenStore, nursery: trio.Nursery) -> Store:
    """An empty store that runs."""
    opened = open_store()
    await nursery.start(opened.run)
    return opened


@pytest.fixture(params=[Reactor, TrioWebSocketEngine], ids=["reactor", "trio-websocket"])
def make_engine(request: pytest.FixtureRequest) -> Iterator[MakeEngine]:
    """Makes engines that do not run yet; clients the test has left are closed at its end."""
    yield request.param
    hang_up()


@pytest.fixture
async def engine(make_engine: MakeEngine, nursery: trio.Nursery) -> AnyEngine:
    """A running engine."""
    opened = make_engine()
    await nursery.start(opened.run)
    return opened
