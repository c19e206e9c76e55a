"""tocsin.messaging.housekeeping: what is too old goes, a batch at a time."""

from collections.abc import Sequence

import attrs
import trio
from tests.fakes.deliveries import T0
from tests.fakes.world import CountingProgress
from trio.testing import MockClock

from tocsin.messaging.housekeeping import EVERY, SLICE, Housekeeping
from tocsin.messaging.settings import MessagingLimits
from tocsin.model.errors import StoreError
from tocsin.ops.metrics import Metrics

LIMITS = MessagingLimits(log_age=100, history_age=200, dedupe_age=300)


@attrs.define
class AgingStore:
    """As much of a store as has something too old: how many of each there are."""

    entries: int = 0
    messages: int = 0
    dedupes: int = 0
    invitations: int = 0
    fails: int = 0
    asked: list[tuple[str, int]] = attrs.field(factory=list)

    async def trim_logs(self, before: int, *, limit: int) -> int:
        if self.fails:
            self.fails -= 1
            raise StoreError("disk full")
        return self._take("entries", before, limit)

    async def prune_messages(self, before: int, *, limit: int) -> int:
        return self._take("messages", before, limit)

    async def forget_dedupes(self, before: int, *, limit: int) -> int:
        return self._take("dedupes", before, limit)

    async def lapse_invitations(self, now: int, *, limit: int) -> list[tuple[int, int]]:
        return [(1, number) for number in range(self._take("invitations", now, limit))]

    def _take(self, what: str, before: int, limit: int) -> int:
        self.asked.append((what, before))
        taken = min(limit, int(getattr(self, what)))
        setattr(self, what, getattr(self, what) - taken)
        return taken


class Bench:
    """Housekeeping over such a store, with what it told."""

    def __init__(self, store: AgingStore) -> None:
        self.store = store
        self.metrics = Metrics()
        self.lapsed: list[tuple[int, int]] = []
        self.housekeeping = Housekeeping(
            store,
            limits=LIMITS,
            on_lapsed=self._note,
            metrics=self.metrics,
            clock=lambda: T0,
        )

    def _note(self, lapsed: Sequence[tuple[int, int]]) -> None:
        self.lapsed += lapsed

    @property
    def trimmed(self) -> float | None:
        """What the metric says."""
        return self.metrics.registry.get_sample_value("tocsin_messaging_log_trimmed_total")


async def test_each_has_its_age() -> None:
    """Logs go first: what one still refers to is not too old (section 12)."""
    bench = Bench(AgingStore())
    await bench.housekeeping.sweep()
    assert bench.store.asked == [
        ("entries", T0 - 100_000),
        ("messages", T0 - 200_000),
        ("dedupes", T0 - 300_000),
        ("invitations", T0),
    ]


async def test_all_of_it_goes_in_batches() -> None:
    """And is counted; memory is told of invitations that are over (MS-33, MS-71)."""
    many = 2 * SLICE + 1
    bench = Bench(AgingStore(many, many, many, many))
    progress = CountingProgress()
    await bench.housekeeping.sweep(progress.beat)
    assert (bench.store.entries, bench.store.messages, bench.store.dedupes) == (0, 0, 0)
    assert len(bench.lapsed) == many
    assert bench.trimmed == many
    assert progress.beats == 8


async def test_it_comes_round_again(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Every few seconds, and after a failure of the store as well (section 12)."""
    bench = Bench(AgingStore(entries=1, fails=1))
    nursery.start_soon(bench.housekeeping.run, CountingProgress())
    await trio.sleep(EVERY / 2)
    assert bench.store.entries == 1
    await trio.sleep(EVERY)
    assert bench.store.entries == 0
    asked = len(bench.store.asked)
    await trio.sleep(EVERY)
    assert len(bench.store.asked) == asked + 4
