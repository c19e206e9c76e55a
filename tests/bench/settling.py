"""What the store's part of a delivery costs: accepted, claimed, settled, with nobody in between.

The transport's part is left out, so this is what every kind of delivery with a queue pays.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import trio
from tests.bench.report import Figure
from tests.bench.run import Run
from tests.fakes.deliveries import HOOK
from tests.fakes.world import World

from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.outcome import Delivered
from tocsin.store.records import Claimed
from tocsin.store.sqlite import SqliteStore, StoreSettings

BATCH = 100
WINDOW = 512
WARM_UP = 20
LEASE = 120_000
MOST = 100_000
STEPS = ("accepted", "claimed", "settled")


@attrs.define
class Spent:
    """Seconds of processor time: of all threads, and of the event loop's alone."""

    process: float = 0.0
    loop: float = 0.0

    @contextmanager
    def more(self) -> Iterator[None]:
        """What is done within the block."""
        process, loop = time.process_time(), time.thread_time()
        yield
        self.process += time.process_time() - process
        self.loop += time.thread_time() - loop


def figures(run: Run) -> list[Figure]:
    """Each step of a webhook delivery on a store on disk, in batches of 100."""
    batches = max(WARM_UP, int(run.seconds * 100))
    spent = trio.run(_measure, run.folder / "settling.db", batches)
    return [
        Figure(
            f"a delivery {step}, without its transport",
            one.process / batches / BATCH * 1e6,
            "us CPU",
            floor=run.floor,
            note=f"{one.loop / one.process:.0%} of it in the event loop",
        )
        for step, one in spent.items()
    ]


async def _measure(path: Path, batches: int) -> dict[str, Spent]:
    store = SqliteStore(StoreSettings(path=str(path)))
    world = World(store=store, limits=DeliveryLimits(buffer_count=MOST, buffer_bytes=MOST * 1000))
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        await world.hook()
        await _deliver(world, WARM_UP)
        spent = await _deliver(world, batches)
        nursery.cancel_scope.cancel()
    return spent


async def _deliver(world: World, batches: int) -> dict[str, Spent]:
    """All of them one step after the other."""
    accepted, claimed, settled = spent = [Spent() for _ in STEPS]
    notifications = [[world.note(f"n{i}") for i in range(BATCH)] for _ in range(batches)]
    with accepted.more():
        for batch in notifications:
            await world.ingest.accept(batch)
    [channel] = (await world.directory.account("u")).channels.values()
    while True:
        with claimed.more():
            held = await _claim(world)
        if not held:
            return dict(zip(STEPS, spent, strict=True))
        with settled.more():
            for start in range(0, len(held), BATCH):
                for one in held[start : start + BATCH]:
                    world.settler.judge(one, channel, Delivered(200), result="delivered", seconds=0)
                await world.settler.flush()


async def _claim(world: World) -> list[Claimed]:
    now = world.clock()
    claim = await world.store.claim(HOOK, now=now, limit=WINDOW, provisional=now + LEASE)
    return claim.deliveries
