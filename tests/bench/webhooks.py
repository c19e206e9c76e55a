"""Webhooks to a receiver on this machine: signed, with an Authorization, over kept connections."""

import time

from tests.bench.clients import with_webhook
from tests.bench.daemon import running
from tests.bench.processes import Sink, sink
from tests.bench.publisher import Load
from tests.bench.report import Figure
from tests.bench.run import Run, limited, measured

BATCH = 100
PATIENCE = 60.0
LOOK = 0.02


def figures(run: Run) -> list[Figure]:
    """Published in batches faster than they can be sent, until the last one has arrived."""
    with sink(run.tools) as receiver, running(run.folder / "webhooks") as daemon:
        with_webhook(daemon, "hook", f"http://127.0.0.1:{receiver.port}/hook")
        load = Load(
            daemon.port,
            daemon.token("producer", "publish"),
            "hook",
            connections=2,
            batch=BATCH,
            count=max(1, int(run.seconds * 40)),
            spread=True,
        )
        started = time.monotonic()
        busy: list[float] = []
        result = measured(daemon, load, settle=lambda sent: busy.append(_arrived(receiver, sent)))
        elapsed = time.monotonic() - started
    sent = result.summary.notifications
    return [
        Figure(
            "webhooks, 64 connections, signed",
            sent / elapsed,
            "/s",
            target=8000,
            stretch=20_000,
            note=limited(busy[0]) or f"{sent:,} accepted and called",
        ),
        Figure("  daemon CPU, with acceptance", result.cpu, "us", floor=run.floor),
    ]


def _arrived(receiver: Sink, number: int) -> float:
    """Wait for so many requests; how busy the receiver was."""
    deadline = time.monotonic() + PATIENCE
    before, _ = receiver.count()
    while time.monotonic() < deadline:
        received, busy = receiver.count()
        if received >= number:
            return busy
        time.sleep(LOOK)
    raise SystemExit(f"{received} of {number} webhooks arrived, {before} while publishing")
