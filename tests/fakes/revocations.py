"""Revocations on a store in memory, for whoever judges tokens."""

from collections.abc import Callable
from typing import Any

from tests.fakes.tokens import NOW

from tocsin.delivery.revocations import Revocations, RevocationSettings
from tocsin.ops.metrics import Metrics
from tocsin.store.interface import Store
from tocsin.store.sqlite import SqliteStore, StoreSettings


def revocations(
    store: Store | None = None,
    *,
    now: Callable[[], float] = lambda: NOW,
    metrics: Metrics | None = None,
    **settings: Any,
) -> Revocations:
    """None yet, unless the store has some; `now` is the only time there is, epoch seconds."""
    return Revocations(
        store or SqliteStore(StoreSettings(path=":memory:"), threaded=False),
        RevocationSettings(**settings),
        slack=30,
        metrics=metrics or Metrics(),
        clock=lambda: int(now() * 1000),
        wall=now,
    )
