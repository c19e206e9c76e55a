"""What all tests of the delivery layer share."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio
from tests.fakes.device_world import DeviceWorld

from tocsin.store.sqlite import SqliteStore, StoreSettings


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """No line per attempt."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where a store is, for faults and restarts."""
    return str(tmp_path / "store.db")


@pytest.fixture
def store(path: str) -> SqliteStore:
    """A store in a file, so that it can fail, and be opened again."""
    return SqliteStore(StoreSettings(path=path), threaded=False)


@pytest.fixture
async def it(store: SqliteStore, nursery: trio.Nursery) -> DeviceWorld:
    """Devices, in a world that runs."""
    made = DeviceWorld(store=store)
    await made.start(nursery)
    return made
