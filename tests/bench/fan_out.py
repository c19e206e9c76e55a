"""One notification to thousands of sockets: bare, through the reactor, through the whole line."""

from tests.bench import sends
from tests.bench.clients import one_with_many
from tests.bench.daemon import Daemon, running
from tests.bench.processes import Crowd, Received, crowd
from tests.bench.publisher import Load
from tests.bench.report import Figure
from tests.bench.run import Run, measured

PATIENCE = 20.0
WARM_UP = 3


def figures(run: Run) -> list[Figure]:
    """All of them."""
    return [*_reactor(run, run.crowd), *_reactor(run, run.many), *_whole_line(run)]


def _reactor(run: Run, sockets: int) -> list[Figure]:
    costs = sends.measure(sockets, frames=int(run.seconds * 40_000))
    return [
        Figure(
            f"fan-out of 200 B to {sockets:,} sockets, reactor",
            costs.offered,
            "us CPU",
            floor=costs.bare,
            target=2.0,
            stretch=1.4,
            judged="ratio",
            at_most=True,
        )
    ]


def _whole_line(run: Run) -> list[Figure]:
    """One user with many channels: accepted, stored, written, receipted."""
    with running(run.folder / "fan_out") as daemon:
        clients = one_with_many(daemon, "wide", run.crowd)
        with crowd(daemon.port, [one.socket_path for one in clients]) as listeners:
            _together(daemon, listeners, run, count=WARM_UP)
            cpu, quick = _together(daemon, listeners, run, count=int(run.seconds * 8))
            rate = 1000 / quick.p50_ms / 2
            _, half = _together(daemon, listeners, run, count=int(run.seconds * rate), rate=rate)
            return [
                Figure(
                    f"the whole line, one user with {run.crowd:,} channels",
                    cpu,
                    "us CPU",
                    floor=run.floor,
                ),
                Figure("  last client, one at a time, p50", quick.p50_ms, "ms"),
                Figure(
                    f"  last client, half load ({rate:.0f}/s), p50",
                    half.p50_ms,
                    "ms",
                    target=8,
                    stretch=6,
                    at_most=True,
                    note=f"a sync takes {1000 / run.syncs:.1f} ms",
                ),
                Figure("  p99", half.p99_ms, "ms"),
            ]


def _together(
    daemon: Daemon, listeners: Crowd, run: Run, *, count: int, rate: float = 8.0
) -> tuple[float, Received]:
    """Publish to all of them so many times; the CPU of one delivery and what was received."""
    load = Load(
        daemon.port,
        daemon.token("producer", "publish"),
        "wide",
        connections=4,
        count=max(1, count),
        rate=rate,
    )
    listeners.report()
    received: list[Received] = []

    def settle(sent: int) -> None:
        received.append(listeners.expect(sent * run.crowd, seconds=PATIENCE))

    cpu = measured(daemon, load, settle=settle).cpu
    return cpu / run.crowd, received[0]
