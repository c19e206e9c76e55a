"""The stores that the contract is held to."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tocsin.store.interface import Store
from tocsin.store.sqlite import SqliteStore, StoreSettings

OpenStore = Callable[[], SqliteStore]


@pytest.fixture(params=["inline", "threaded"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Opens the same store, as often as the test asks."""
    settings = StoreSettings(path=str(tmp_path / "store.db"))
    return lambda: SqliteStore(settings, threaded=request.param == "threaded")


@pytest.fixture
async def store(open_store: OpenStore, nursery: trio.Nursery) -> Store:
    """An empty store that runs."""
    opened = open_store()
    await nursery.start(opened.run)
    return opened
