"""Pushes through the push transport alone: what one costs, and what is left over of many."""

from tests.bench import attempts, providers
from tests.bench.attempts import Costs, Job
from tests.bench.providers import Certificates
from tests.bench.report import Figure
from tests.bench.run import Run

MIB = 1 << 20
SENT_AWAY = 3000
REQUESTS = 500


def figures(run: Run) -> list[Figure]:
    """Costs, graceful GOAWAYs, and memory (push.md, PU-83 to PU-85)."""
    folder = run.folder / "pushes"
    folder.mkdir()
    certificates = Certificates.write(folder / "certificates")
    count = int(run.seconds * 25_000)
    found: list[Figure] = []
    if providers.has("nghttpd"):
        attempts.prepare(folder / "files")
        with providers.nghttpd(certificates, folder / "files") as port:
            job = Job(port, certificates.authority, count)
            found += _costs("nghttpd", attempts.measure(job), count, run)
    with providers.ours(certificates) as provider:
        job = Job(provider.port, certificates.authority, count)
        found += _costs("answers like APNs'", attempts.measure(job), count, run)
        job = Job(provider.port, certificates.authority, run.pushes)
        found.append(_memory(attempts.measure(job), run.pushes))
    if providers.has("node"):
        found.append(_goaways(certificates))
    return found


def _costs(what: str, costs: Costs, count: int, run: Run) -> list[Figure]:
    _insist(costs)
    return [
        Figure(
            f"push with policy, 100 streams, {what}",
            costs.cpu,
            "us CPU",
            floor=run.floor,
            target=60,
            at_most=True,
        ),
        Figure(
            "  pushes, a core of its own",
            1e6 / costs.cpu,
            "/s",
            target=10_000,
            stretch=20_000,
            note=f"{count / costs.seconds:,.0f}/s beside the others here",
        ),
    ]


def _memory(costs: Costs, pushes: int) -> Figure:
    _insist(costs)
    return Figure(
        f"memory of {pushes:,} pushes, after a tenth",
        costs.grown / MIB,
        "MiB",
        target=2,
        at_most=True,
        note=f"{costs.left} left in the pool",
    )


def _goaways(certificates: Certificates) -> Figure:
    """With 2 ms an answer, so that some are open at each GOAWAY."""
    options = ("--goaway-every", str(REQUESTS), "--delay", "2")
    with providers.node(certificates, *options) as peer:
        costs = attempts.measure(Job(peer.port, certificates.authority, SENT_AWAY))
        report = peer.report()
    _insist(costs)
    sent, distinct = SENT_AWAY + attempts.WARM_UP, report["distinct"]
    return Figure(
        f"pushes lost or doubled, a GOAWAY every {REQUESTS}",
        (sent - distinct) + (report["requests"] - distinct),
        "",
        target=0,
        at_most=True,
        note=f"of {sent:,}, over {report['connections']} connections",
    )


def _insist(costs: Costs) -> None:
    if costs.failures:
        raise SystemExit(f"not delivered: {costs.failures}")
