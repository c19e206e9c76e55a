"""Sockets: what an idle one costs, how fast they come, and how fast notifications reach them."""

from tests.bench import floor
from tests.bench.clients import Client, one_each
from tests.bench.daemon import Daemon, running
from tests.bench.processes import Crowd, Received, crowd
from tests.bench.publisher import Load
from tests.bench.report import Figure
from tests.bench.run import Measured, Run, limited, measured

BATCH = 100
CHECKS = 20
PATIENCE = 20.0
TARGETS = 1000
LIGHT = 200.0


def figures(run: Run) -> list[Figure]:
    """Idle sockets, connChecks, one to one with its latency."""
    least = _floor(run)
    with running(run.folder / "sockets") as daemon:
        _warm(daemon, one_each(daemon, "warm", 64))
        empty = daemon.resident_bytes()
        clients = one_each(daemon, "user", run.sockets)
        known = daemon.resident_bytes()
        before = daemon.cpu_seconds()
        with crowd(daemon.port, [one.socket_path for one in clients]) as listeners:
            cpu = daemon.cpu_seconds() - before
            rate = len(clients) / listeners.connect_seconds
            resident = daemon.resident_bytes()
            return [
                _memory("an idle socket", (resident - known) / len(clients), target=4, stretch=2),
                _memory("its account, channel and so on", (known - empty) / len(clients)),
                Figure("connects with a token", rate, "/s", target=8000, stretch=15_000),
                Figure("  daemon CPU", cpu / len(clients) * 1e6, "us/connect"),
                _checks(daemon, listeners, len(clients)),
                *_one_to_one(daemon, listeners, run, least),
            ]


def _floor(run: Run) -> float:
    """What one publication to one of so many sockets costs at least (microseconds)."""
    with floor.running() as least, crowd(least.port, ["/"] * TARGETS) as listeners:
        return _publish(least, listeners, run, connections=64)[0].cpu


def _warm(daemon: Daemon, clients: list[Client]) -> None:
    with crowd(daemon.port, [one.socket_path for one in clients]) as listeners:
        listeners.check(2)


def _memory(
    name: str, grown: float, *, target: float | None = None, stretch: float | None = None
) -> Figure:
    return Figure(
        f"memory of {name}", grown / 1024, "KiB", target=target, stretch=stretch, at_most=True
    )


def _checks(daemon: Daemon, listeners: Crowd, count: int) -> Figure:
    before = daemon.cpu_seconds()
    listeners.check(CHECKS)
    cpu = (daemon.cpu_seconds() - before) / CHECKS / count * 1e6
    return Figure("connCheck answered", cpu, "us CPU", target=20, stretch=12, at_most=True)


def _one_to_one(daemon: Daemon, listeners: Crowd, run: Run, least: float) -> list[Figure]:
    single, received = _publish(daemon, listeners, run, connections=64)
    rate = single.summary.notifications / received.seconds
    batches, bulk = _publish(daemon, listeners, run, connections=4, batch=BATCH)
    return [
        Figure(
            "one to one, published one per request",
            single.cpu,
            "us CPU",
            floor=least,
            target=6,
            stretch=4,
            judged="ratio",
            at_most=True,
        ),
        Figure("  delivered", rate, "/s", note=limited(received.busy)),
        Figure(
            f"one to one, published in batches of {BATCH}",
            batches.summary.notifications / bulk.seconds,
            "/s",
            target=25_000,
            stretch=50_000,
            note=limited(bulk.busy),
        ),
        Figure("  daemon CPU", batches.cpu, "us", floor=run.floor),
        *_latency(daemon, listeners, run, LIGHT, "light load"),
        *_latency(daemon, listeners, run, rate / 2, "half load"),
    ]


def _latency(daemon: Daemon, listeners: Crowd, run: Run, rate: float, what: str) -> list[Figure]:
    """From the time a request was due until its client had the notification."""
    _, received = _publish(daemon, listeners, run, connections=64, rate=rate)
    name = f"publish to receipt at {what}, {rate:,.0f}/s"
    return [
        Figure(f"{name}, p50", received.p50_ms, "ms", floor=1000 / run.syncs),
        Figure("  p99", received.p99_ms, "ms", floor=1000 / run.syncs),
    ]


def _publish(
    daemon: Daemon,
    listeners: Crowd,
    run: Run,
    *,
    connections: int,
    batch: int = 1,
    rate: float = 0,
) -> tuple[Measured, Received]:
    """Publish to the clients in turn until the time is over, and wait for the last receipt."""
    load = Load(
        daemon.port,
        daemon.token("producer", "publish"),
        "user",
        connections=connections,
        users=min(TARGETS, run.sockets),
        batch=batch,
        rate=rate,
        seconds=run.seconds,
    )
    listeners.report()
    received: list[Received] = []

    def settle(sent: int) -> None:
        received.append(listeners.expect(sent, seconds=PATIENCE))

    return measured(daemon, load, settle=settle), received[0]
