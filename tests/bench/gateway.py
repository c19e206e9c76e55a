"""Pushes through the whole daemon, from the gateway to the provider (push.md, PU-86 to PU-89)."""

import time

from tests.bench.callers import FAR, MOST_ELEMENTS, URGENT, World, calling
from tests.bench.percentiles import percentile
from tests.bench.provider import Fate
from tests.bench.report import Figure
from tests.bench.run import Run, limited

ROUNDS = 5
CROWD = 10
BATCH = 100
SETTLING = 0.5
RATE = 5000
LIGHT = 200
TROUBLE = 200
SENT = b"Your message was sent."


def figures(run: Run) -> list[Figure]:
    """Cost and speed of the whole line, urgency, isolation, one large request."""
    with calling(run.folder / "gateway") as world:
        world.send([world.push(MOST_ELEMENTS)])
        return [
            _whole_line(world, run),
            _latency(world, run),
            _urgent(world),
            *_isolation(world, run),
            _large(world),
        ]


def _whole_line(world: World, run: Run) -> Figure:
    """Faster than they can be sent on, until the last one is settled."""
    pushes = [world.push(BATCH) for _ in range(max(1, int(run.seconds * 40)))]
    count = BATCH * len(pushes)
    before, started = world.daemon.cpu_seconds(), time.monotonic()
    world.send(pushes)
    accepting = world.daemon.cpu_seconds() - before
    world.waits(pushes)
    elapsed = time.monotonic() - started
    time.sleep(SETTLING)
    cpu = world.daemon.cpu_seconds() - before
    return Figure(
        f"pushes, accepted in batches of {BATCH}, sent and settled",
        cpu / count * 1e6,
        "us CPU",
        floor=run.floor,
        note=f"{count / elapsed:,.0f}/s, all accepted after {accepting / cpu:.0%} of it",
    )


def _latency(world: World, run: Run) -> Figure:
    """At an even rate."""
    batch = BATCH // 2
    pushes = [world.push(batch) for _ in range(int(run.seconds * RATE) // batch)]
    before, started = world.daemon.cpu_seconds(), time.monotonic()
    busy = world.send(pushes, rate=RATE / batch)
    cpu = (world.daemon.cpu_seconds() - before) / (time.monotonic() - started)
    waits = world.waits(pushes)
    return Figure(
        f"accepted to on the wire at {RATE:,}/s, p99",
        percentile(waits, 0.99),
        "ms",
        target=50,
        at_most=True,
        note=limited(busy) or f"p50 {percentile(waits, 0.5):.1f} ms, {cpu:.0%} of a core",
    )


def _urgent(world: World) -> Figure:
    """A call right after so many texts were accepted; the slowest of some."""
    waits: list[float] = []
    for _ in range(ROUNDS):
        crowd = [world.push(MOST_ELEMENTS) for _ in range(CROWD)]
        call = [world.push(1, verb=URGENT)]
        world.send(crowd)
        world.send(call)
        waits += world.waits(call)
        world.waits(crowd)
    count = CROWD * MOST_ELEMENTS
    return Figure(
        f"urgent behind {count:,} normal ones, on the wire",
        max(waits),
        "ms",
        target=50,
        at_most=True,
        note=f"the slowest of {ROUNDS}",
    )


def _isolation(world: World, run: Run) -> list[Figure]:
    """The same light load alone, and with a token throttled, a key refused, an endpoint hanging."""
    alone = _light(world, run)
    world.send(
        [
            world.push(TROUBLE, to=Fate.THROTTLED),
            world.push(TROUBLE, app="refused", to=Fate.KEY_REFUSED),
            world.push(TROUBLE, app="hanging", to=Fate.HANGING),
        ]
    )
    beside = _light(world, run)
    return [
        Figure(
            f"accepted to on the wire at {LIGHT}/s beside trouble, p50",
            percentile(beside, 0.5),
            "ms",
            floor=percentile(alone, 0.5),
            target=1.5,
            judged="ratio",
            at_most=True,
        ),
        Figure("  p99", percentile(beside, 0.99), "ms", floor=percentile(alone, 0.99)),
    ]


def _light(world: World, run: Run) -> list[float]:
    pushes = [world.push(1) for _ in range(int(run.seconds * LIGHT))]
    world.send(pushes, rate=LIGHT)
    return world.waits(pushes)


def _large(world: World) -> Figure:
    """One request with as much as is taken, its caller waits for the provider; the slowest."""
    requests = [world.push(MOST_ELEMENTS, app="far") for _ in range(ROUNDS)]
    for one in requests:
        world.send([one])
        if one.answer.count(SENT) != MOST_ELEMENTS:
            raise SystemExit(f"{one.answer.count(SENT)} of {MOST_ELEMENTS} were sent")
    return Figure(
        f"multisend of {MOST_ELEMENTS:,}, a provider that takes {FAR * 1000:.0f} ms, answered",
        max(one.seconds for one in requests),
        "s",
        target=1,
        at_most=True,
        note=f"the slowest of {ROUNDS}",
    )
