"""Setting gauges to what is now: at the start from the store, then before each exposition."""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tocsin.app.parts import Parts
from tocsin.model.channel import ChannelType
from tocsin.ops.metrics import Metrics
from tocsin.server.ledger import Ledger
from tocsin.server.limits import ConnectionGate
from tocsin.server.listener import Listener
from tocsin.store.records import Counts


class Gauges:
    """Reads off the parts what nobody counts as it happens."""

    def __init__(
        self,
        metrics: Metrics,
        parts: Parts,
        *,
        gate: ConnectionGate,
        ledger: Ledger,
        listeners: Sequence[Listener],
        is_ready: Callable[[], bool],
        store_path: str,
    ) -> None:
        self._metrics = metrics
        self._parts = parts
        self._gate = gate
        self._ledger = ledger
        self._listeners = listeners
        self._is_ready = is_ready
        self._store_file = Path(store_path)
        self._refused: dict[str, int] = {}
        self._no_memory: dict[str, int] = {}
        metrics.sample(self._sample)

    def start_from(self, counts: Counts) -> None:
        """What the store had when it was opened."""
        for kind in ChannelType:
            self._metrics.channels[kind].set(counts.channels.get(kind, 0))
        for service, count in counts.subscriptions.items():
            self._metrics.subscriptions[service].set(count)

    def _sample(self) -> None:
        metrics = self._metrics
        metrics.ready.set(self._is_ready())
        statistics = self._parts.reactor.statistics()
        metrics.ws_connections.set(statistics.connections)
        metrics.ws_queue_bytes.set(statistics.backlog_bytes)
        metrics.http_connections.set(self._gate.open)
        metrics.http_bytes.set(self._ledger.in_use)
        metrics.webhook_connections.set(self._parts.webhooks.statistics().open)
        for kind, queue in self._parts.queues.items():
            metrics.lanes_blocked[kind, "full"].set(queue.statistics()["crowded"])
        for kind in ChannelType:
            metrics.queue_depth[kind].set(max(0, self._parts.store.pending[kind]))
            metrics.dead_letters[kind].set(self._parts.store.dead[kind])
        self._measure_store()
        self._count_refused()

    def _measure_store(self) -> None:
        """Both are calls to the kernel that do not wait for a disk."""
        file = self._store_file
        with suppress(OSError):
            log = file.with_name(f"{file.name}-wal")
            size = file.stat().st_size + (log.stat().st_size if log.exists() else 0)
            self._metrics.store_bytes.set(size)
            disk = os.statvfs(file.parent)
            self._metrics.store_free_bytes.set(disk.f_bavail * disk.f_frsize)

    def _count_refused(self) -> None:
        """The gate counts by itself, since it stands before any request, and so does the ledger;
        carry it over."""
        now = {
            "connections": self._gate.refused_full,
            "connections_per_address": self._gate.refused_address,
            "descriptors": sum(listener.paused for listener in self._listeners),
        }
        for reason, count in now.items():
            self._metrics.connections_refused[reason].inc(count - self._refused.get(reason, 0))
        self._refused = now
        for kind, count in self._ledger.refused.items():
            self._metrics.http_bytes_refused[kind].inc(count - self._no_memory.get(kind, 0))
        self._no_memory = dict(self._ledger.refused)
