"""What all measurements of a run share."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import attrs
from tests.bench.daemon import Daemon
from tests.bench.publisher import Load, Summary, publish

BUSY = 0.9


@attrs.frozen
class Run:
    """How long and how much.

    `seconds` of each measurement, `sockets` in the crowd of one-to-one traffic, `crowd` in that
    of a fan-out, `idle` that just stand there, `many` where the reactor is measured by itself.
    `pushes` is how many are made to see what memory they leave.
    `floor` is the processor time of one bare `send` (microseconds), `syncs` how often in a second
    the disk makes a small write durable, one after the other.
    """

    folder: Path
    tools: Path | None
    seconds: float
    sockets: int
    crowd: int
    many: int
    idle: int
    pushes: int
    floor: float
    syncs: float


@attrs.frozen
class Measured:
    """A load, and the daemon's processor time for one notification (microseconds)."""

    summary: Summary
    cpu: float


def measured(
    daemon: Daemon, load: Load, *, settle: Callable[[int], None] = lambda _sent: None
) -> Measured:
    """Publish and measure; `settle(notifications)` waits for what comes of them later."""
    before = daemon.cpu_seconds()
    summary = publish(load)
    settle(summary.notifications)
    cpu = daemon.cpu_seconds() - before
    return Measured(summary, cpu / summary.notifications * 1e6)


def limited(busy: float) -> str:
    """A note where the load and not the daemon may have been the bottleneck."""
    return f"load busy {busy:.0%}" if busy > BUSY else ""


def syncs_per_second(folder: Path, seconds: float = 1.0) -> float:
    """How often 4 KiB appended to a file there can be made durable, one after the other."""
    descriptor = os.open(folder / "syncs", os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        count, started = 0, time.monotonic()
        while time.monotonic() < started + seconds:
            os.write(descriptor, bytes(4096))
            os.fdatasync(descriptor)
            count += 1
        return count / (time.monotonic() - started)
    finally:
        os.close(descriptor)
