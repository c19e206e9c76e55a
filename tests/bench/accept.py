"""How fast notifications are accepted, each on disk before it is answered."""

from tests.bench.clients import one_each
from tests.bench.daemon import Daemon, running
from tests.bench.publisher import Load
from tests.bench.report import Figure
from tests.bench.run import Measured, Run, limited, measured

BATCH = 100


def figures(run: Run) -> list[Figure]:
    """One per request and in batches, for users without a channel and with one that stores."""
    with running(run.folder / "accept") as daemon:
        one_each(daemon, "stored", 100)
        return [
            *_single(daemon, run, "nobody", "no channel"),
            *_single(daemon, run, "stored", "stored"),
            *_batches(daemon, run, "nobody", "no channel"),
            *_batches(daemon, run, "stored", "stored"),
        ]


def _single(daemon: Daemon, run: Run, prefix: str, what: str) -> list[Figure]:
    result = _measure(daemon, run, prefix, connections=64, batch=1)
    summary = result.summary
    return [
        Figure(
            f"accept, one per request, {what}",
            summary.requests / summary.seconds,
            "requests/s",
            floor=run.syncs,
            target=4000,
            stretch=10_000,
            note=limited(summary.busy),
        ),
        Figure("  daemon CPU", result.cpu, "us/notification"),
        Figure("  answered, p99", summary.p99_ms, "ms"),
    ]


def _batches(daemon: Daemon, run: Run, prefix: str, what: str) -> list[Figure]:
    result = _measure(daemon, run, prefix, connections=16, batch=BATCH)
    summary = result.summary
    return [
        Figure(
            f"accept, batches of {BATCH}, {what}",
            summary.notifications / summary.seconds,
            "notifications/s",
            floor=run.syncs,
            target=20_000,
            stretch=60_000,
            note=limited(summary.busy),
        ),
        Figure("  daemon CPU", result.cpu, "us/notification"),
        Figure("  answered, p99", summary.p99_ms, "ms"),
    ]


def _measure(daemon: Daemon, run: Run, prefix: str, *, connections: int, batch: int) -> Measured:
    load = Load(
        daemon.port,
        daemon.token("producer", "publish"),
        prefix,
        connections=connections,
        users=100,
        batch=batch,
        seconds=run.seconds,
    )
    return measured(daemon, load)
