"""A store with very much in it: how soon the daemon serves, and what it holds in memory; without
a master key, when it gets one, and with it."""

import secrets
import time
from pathlib import Path

from tests.bench.daemon import Daemon, running
from tests.bench.fullstore import PER_CHANNEL, fill
from tests.bench.processes import sink
from tests.bench.report import Figure
from tests.bench.run import Run

DELIVERING = 6
SEALING = 600.0
MIB = 1 << 20


def figures(run: Run) -> list[Figure]:
    """Start-up and memory with a hundred times as many deliveries as there are idle sockets."""
    folder, count = run.folder / "pending", run.idle * 100
    key = f'master_key = "{secrets.token_hex(32)}"'
    with sink(run.tools) as receiver:
        folder.mkdir()
        fill(folder / "tocsin.db", count, f"http://127.0.0.1:{receiver.port}")
        started = time.monotonic()
        with running(folder) as daemon:
            ready = time.monotonic() - started
            resident = daemon.resident_bytes()
            seconds = DELIVERING * run.seconds
            most = _most_resident(daemon, seconds)
            delivered, _ = receiver.count()
        sealed = _started(folder, key)
        again = _started(folder, key)
    return [
        _start(f"start with {count:,} pending", ready, f"in {count // PER_CHANNEL:,} channels"),
        _memory("  memory when ready", resident),
        _memory(f"  memory in {seconds:.0f} s of delivering", most),
        Figure("  webhooks called meanwhile", delivered / seconds, "/s"),
        Figure("  first start with a master key", sealed[0], "s"),
        _memory("  memory when ready", sealed[1]),
        _start("  start with a master key", again[0]),
        _memory("  memory when ready", again[1]),
    ]


def _started(folder: Path, store: str) -> tuple[float, int]:
    """How long it took, and what it holds."""
    started = time.monotonic()
    with running(folder, store=store, patience=SEALING) as daemon:
        return time.monotonic() - started, daemon.resident_bytes()


def _start(name: str, seconds: float, note: str = "") -> Figure:
    return Figure(name, seconds, "s", target=2, stretch=1, at_most=True, note=note)


def _memory(name: str, held: int) -> Figure:
    return Figure(name, held / MIB, "MiB", target=300, at_most=True)


def _most_resident(daemon: Daemon, seconds: float) -> int:
    """The most memory it is seen with in this time."""
    deadline, most = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        most = max(most, daemon.resident_bytes())
        time.sleep(0.1)
    return most
