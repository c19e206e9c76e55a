"""Whatever is committed, cut into slices, connected and disconnected: each connection is given
its Log in order, without a hole (messaging.md, MS-21, MS-48)."""

from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.messaging_links import person
from tests.fakes.posting_world import WritingLink

from tocsin.messaging import handover as handover_module
from tocsin.messaging.handover import Handover
from tocsin.messaging.live import Live
from tocsin.ops.metrics import Metrics
from tocsin.store.mail import Posted
from tocsin.wire.messaging.rendered import rendered

PEOPLE = range(1, 6)
MESSAGE = rendered("direct-message", {"content": "hi"})
METRICS = Metrics()

COMMITS = st.tuples(st.just("commit"), st.lists(st.sampled_from(PEOPLE), max_size=8))
STEPS = st.one_of(
    COMMITS,
    st.tuples(st.just("own"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("connect"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("leave"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("slice"), st.none()),
)


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Slices and bounds that a few subscribers come up against."""
    with mock.patch.multiple(handover_module, SLICE=2, MOST_WAITING=6):
        yield


class Bench:
    """A handover, Logs as long as they are, and who is connected."""

    def __init__(self) -> None:
        self.live = Live(most=100, uncorrelated_counts_for_all=False)
        self.handover = Handover(self.live.of, metrics=METRICS, now=lambda: 0.0)
        self.people = {key: person(key) for key in PEOPLE}
        self.last = dict.fromkeys(PEOPLE, 0)
        self.links: list[tuple[WritingLink, int]] = []

    def commit(self, keys: list[int], origin: object | None = None) -> None:
        entries = []
        for key in keys:
            self.last[key] += 1
            entries.append(Posted(key, MESSAGE, origin=origin, seq=self.last[key]))
        self.handover.posted(entries)

    def own(self, key: int) -> None:
        """What somebody does is given to him before anything else happens."""
        links = self.live.of(key)
        self.commit([key], origin=links[0] if links else object())
        assert all(link.position == self.last[key] for link in links)

    def connect(self, key: int) -> None:
        link = WritingLink(self.people[key], position=self.last[key])
        self.live.attach(link)
        self.links.append((link, link.position))

    def leave(self, key: int) -> None:
        for link in self.live.of(key)[:1]:
            self.live.detach(link)

    def slice(self, _: None) -> None:
        self.handover._give_slice()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(STEPS, max_size=40))
def test_every_connection_is_given_its_log_in_order(steps: list[tuple[str, object]]) -> None:
    """Nothing twice, nothing left out up to where it is, and all of it in the end (MS-21)."""
    bench = Bench()
    for name, argument in steps:
        getattr(bench, name)(argument)
        assert bench.handover.waiting <= 6
    while bench.handover.waiting:
        bench.handover._give_slice()
    for link, start in bench.links:
        assert link.seqs == list(range(start + 1, link.position + 1))
        if link in bench.live.of(link.subscriber.key):
            assert link.position == bench.last[link.subscriber.key]
