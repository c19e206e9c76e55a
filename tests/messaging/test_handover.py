"""tocsin.messaging.handover: from the commit to connections, in order, fenced, in slices."""

import attrs
import pytest
import trio
from tests.fakes.messaging_links import person
from tests.fakes.posting_world import WritingLink
from tests.fakes.world import CountingProgress
from trio.testing import wait_all_tasks_blocked

from tocsin.messaging import handover as handover_module
from tocsin.messaging.handover import SLICE, Handover
from tocsin.messaging.live import Live
from tocsin.ops.metrics import Metrics
from tocsin.store.mail import Posted
from tocsin.wire.messaging import answers
from tocsin.wire.messaging.rendered import Rendered, rendered
from tocsin.wire.messaging.views import Progress
from tocsin.wire.messaging.words import MessageStatus

MESSAGE = rendered("direct-message", {"content": "hi"})


@attrs.define(eq=False)
class Bench:
    """A handover, and connections of as many subscribers as wanted; keys are from 1."""

    live: Live = attrs.field(factory=lambda: Live(most=10, uncorrelated_counts_for_all=False))
    metrics: Metrics = attrs.field(factory=Metrics)
    handover: Handover = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.handover = Handover(self.live.of, metrics=self.metrics, now=lambda: 1.0)

    def connect(self, *keys: int) -> list[WritingLink]:
        """A connection for each of these."""
        links = [WritingLink(person(key)) for key in keys]
        for link in links:
            self.live.attach(link)
        return links

    def commit(
        self, seq: int, *keys: int, what: Rendered = MESSAGE, origin: object | None = None
    ) -> None:
        """Each of these subscribers has an entry of that number now."""
        self.handover.posted([Posted(key, what, origin=origin, seq=seq) for key in keys])

    def count(self, name: str, **labels: str) -> float:
        """What a metric says."""
        return self.metrics.registry.get_sample_value(f"tocsin_messaging_{name}", labels) or 0


def test_every_connection_of_a_subscriber_gets_it_at_once() -> None:
    """From memory, in the order of the Log; who is not there has it in the store (MS-46, MS-48)."""
    bench = Bench()
    one, other, third = bench.connect(1, 1, 2)
    bench.commit(1, 1, 2, 3)
    bench.commit(2, 1)
    assert [link.seqs for link in (one, other, third)] == [[1, 2], [1, 2], [1]]


def test_what_it_has_read_from_the_store_it_is_not_given() -> None:
    """No duplicates (MS-61)."""
    bench = Bench()
    [link] = bench.connect(1)
    link.position = 5
    bench.commit(5, 1)
    bench.commit(6, 1)
    assert link.seqs == [6]


def test_a_crash_ends_one_connection_only() -> None:
    """1011, and the others get theirs (MS-68)."""
    bench = Bench()
    good, bad, other = bench.connect(1, 1, 2)

    def crash() -> None:
        raise ZeroDivisionError("bug")

    bad.crash = crash
    bench.commit(1, 1, 2)
    assert [link.seqs for link in (good, bad, other)] == [[1], [], [1]]
    assert [code for code, _ in bad.ended] == [1011]
    assert good.ended == other.ended == []


async def test_a_large_fan_out_gives_way(nursery: trio.Nursery) -> None:
    """Cut into slices with a checkpoint in between; everybody gets it in the end (MS-68)."""
    bench = Bench()
    links = bench.connect(*range(1, 3 * SLICE + 1))
    bench.commit(1, *range(1, 3 * SLICE + 1))
    assert not any(link.seqs for link in links)
    progress = CountingProgress()
    nursery.start_soon(bench.handover.run, progress)
    await wait_all_tasks_blocked()
    assert all(link.seqs == [1] for link in links)
    assert (progress.beats, progress.state) == (3, "large fan-outs")
    assert bench.handover.waiting == 0


async def test_nothing_overtakes_what_waits_for_its_slice(nursery: trio.Nursery) -> None:
    """The order of each Log holds; who has nothing waiting is served at once (MS-21)."""
    bench = Bench()
    keys = range(1, SLICE + 2)
    links = bench.connect(*keys)
    [free] = bench.connect(9999)
    bench.commit(1, *keys)
    bench.commit(2, 1, 9999)
    assert (links[0].seqs, free.seqs) == ([], [2])
    nursery.start_soon(bench.handover.run, CountingProgress())
    await wait_all_tasks_blocked()
    assert links[0].seqs == [1, 2]
    assert links[1].seqs == [1]


def test_ones_own_act_does_not_wait() -> None:
    """Its reply is written next, so everything before it in the Log is given first (MS-47)."""
    bench = Bench()
    keys = range(1, SLICE + 2)
    links = bench.connect(*keys)
    bench.commit(1, *keys)
    bench.commit(2, 1, origin=links[0])
    assert (links[0].seqs, links[1].seqs) == ([1, 2], [])
    assert bench.handover.waiting == SLICE


def test_the_senders_entry_of_a_large_fan_out_does_not_wait() -> None:
    """The same within one commit: he is told as soon as it is stored (MS-46)."""
    bench = Bench()
    keys = range(1, SLICE + 2)
    links = bench.connect(*keys)
    message = [Posted(key, MESSAGE, is_letter=True, seq=1) for key in keys]
    message[0].origin = links[0]
    bench.handover.posted(message)
    assert (links[0].seqs, links[1].seqs) == ([1], [])


async def test_who_comes_while_it_waits_has_it_from_the_store(nursery: trio.Nursery) -> None:
    """A connection that began beyond an entry is not given it, and who left costs nothing
    (MS-61)."""
    bench = Bench()
    keys = range(1, SLICE + 2)
    links = bench.connect(*keys)
    bench.commit(1, *keys)
    bench.live.detach(links[1])
    [late] = bench.connect(1)
    late.position = 1
    nursery.start_soon(bench.handover.run, CountingProgress())
    await wait_all_tasks_blocked()
    assert (links[0].seqs, links[1].seqs, late.seqs) == ([1], [], [])


def test_beyond_the_bound_nothing_more_is_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much is given at once as has come, the oldest first, so none is lost (MS-68)."""
    monkeypatch.setattr(handover_module, "MOST_WAITING", SLICE + 10)
    bench = Bench()
    keys = range(1, SLICE + 2)
    links = bench.connect(*keys)
    bench.commit(1, *keys)
    assert bench.handover.waiting == SLICE + 1
    bench.commit(2, *keys)
    assert bench.handover.waiting <= SLICE + 10
    assert links[0].seqs == [1, 2]


def test_what_is_counted() -> None:
    """Entries by type, statuses once for the sender, not for the reader's own devices, and how
    long the way was (MS-71, MS-59)."""
    bench = Bench()
    [sender] = bench.connect(1)
    mine = Posted(1, MESSAGE, is_letter=True, origin=sender, seq=1)
    bench.handover.posted([mine, Posted(2, MESSAGE, is_letter=True, seq=1)])
    read = answers.delivery(Progress("m", MessageStatus.READ, "s2", through=True))
    bench.handover.posted([Posted(1, read, seq=2), Posted(2, read, origin=object(), seq=2)])
    assert bench.count("entries_total", type="direct-message") == 2
    assert bench.count("entries_total", type="delivery") == 2
    assert bench.count("statuses_total", status="stored") == 1
    assert bench.count("statuses_total", status="read") == 1
    assert bench.count("handover_seconds_count") == 2
