"""Many sockets on which nothing happens: how fast they come, what they hold, what beats cost.

The daemon Pings every two seconds here instead of every thirty, so that a beat can be told from
nothing at all within a measurement; what it costs is given for the default interval too.
"""

import time
from collections.abc import Callable

from tests.bench.clients import one_each
from tests.bench.daemon import running
from tests.bench.processes import crowd
from tests.bench.report import Figure
from tests.bench.run import Run

PING_INTERVAL = 2.0
DEFAULT_INTERVAL = 30.0
CHECKS = 10
BEATS = 5


def figures(run: Run) -> list[Figure]:
    """Connects, memory, connChecks and heartbeats of `run.idle` sockets."""
    with running(run.folder / "idle", f"ping_interval = {PING_INTERVAL}") as daemon:
        with crowd(daemon.port, [one.socket_path for one in one_each(daemon, "warm", 64)]) as few:
            few.check(2)
        empty = daemon.resident_bytes()
        clients = one_each(daemon, "user", run.idle)
        known = daemon.resident_bytes()
        before = daemon.cpu_seconds()
        with crowd(daemon.port, [one.socket_path for one in clients]) as listeners:
            connecting = daemon.cpu_seconds() - before
            open_ = daemon.resident_bytes()
            beat = _beat(daemon.cpu_seconds, run.idle)
            before = daemon.cpu_seconds()
            listeners.check(CHECKS)
            checks = (daemon.cpu_seconds() - before) / CHECKS / run.idle
            return [
                Figure(f"{run.idle:,} sockets", run.idle / listeners.connect_seconds, "connects/s"),
                Figure("  daemon CPU", connecting / run.idle * 1e6, "us/connect"),
                _kib("  memory of one", (open_ - known) / run.idle, target=3),
                _kib("  with its account, channel and token", (open_ - empty) / run.idle),
                Figure("  connCheck answered", checks * 1e6, "us CPU", target=20, at_most=True),
                Figure("  Ping and Pong", beat * 1e6, "us CPU"),
                Figure(
                    f"  heartbeats at {DEFAULT_INTERVAL:.0f} s, per socket and second",
                    beat / DEFAULT_INTERVAL * 1e6,
                    "us CPU",
                ),
            ]


def _beat(cpu_seconds: Callable[[], float], sockets: int) -> float:
    """Seconds of processor time of one Ping and its Pong."""
    time.sleep(PING_INTERVAL)
    before = cpu_seconds()
    time.sleep(BEATS * PING_INTERVAL)
    return (cpu_seconds() - before) / BEATS / sockets


def _kib(name: str, held: float, *, target: float | None = None) -> Figure:
    return Figure(name, held / 1024, "KiB", target=target, at_most=True)
