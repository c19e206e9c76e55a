"""Any life of a device: each push of a notification is made or cancelled, once, and never lost."""

import random
from collections import Counter

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.memory_session import MemorySession
from tests.fakes.phones import PHONE, Phones
from trio.testing import MockClock

from tocsin.model.channel import Channel

KEYS = (None, "k", "l")
TABS = 3
PATIENCE = 10.0


@attrs.define
class Life:
    """A device with three tabs, the last of another device, and what was done to it."""

    phones: Phones
    tabs: list[Channel]
    rng: random.Random
    sessions: dict[int, MemorySession] = attrs.field(factory=dict)
    had: set[str] = attrs.field(factory=set)
    published: dict[str, float] = attrs.field(factory=dict)

    async def step(self, act: str) -> None:
        """One thing that happens."""
        number = self.rng.randrange(TABS)
        session = self.sessions.get(number)
        if act == "publish":
            id_ = f"n{len(self.published)}"
            self.published[id_] = trio.current_time()
            await self.phones.world.publish(id_, order_key=self.rng.choice(KEYS))
        elif act == "wait":
            await trio.sleep(self.rng.choice([0, 0.5, 3, PATIENCE]))
        elif act == "connect":
            self.sessions[number] = self.phones.connect(self.tabs[number])
        elif session is None:
            return
        elif act == "receipt":
            fresh = [id_ for id_ in session.ids if self.rng.random() < 0.7]
            self.phones.receipt(session, *fresh, flush=self.rng.random() < 0.7)
            session.pushed = [one for one in session.pushed if one.notification.id not in fresh]
            if number < TABS - 1:
                self.had.update(fresh)
        else:
            del self.sessions[number]
            session.end(1001)

    def check(self) -> None:
        """Long after: pushed once, or had by a tab of the same device; in time, in order."""
        pushed = Counter(self.phones.push.delivered)
        assert set(pushed.values()) <= {1}
        assert set(self.published) - self.had <= set(pushed)
        assert len(pushed) + self.phones.ended().get("cancelled", 0) == len(self.published)
        for id_, at in self.published.items():
            for attempt in self.phones.push.times(id_):
                assert at <= attempt <= at + PATIENCE


async def live(acts: list[str], seed: int) -> None:
    phones = Phones()
    async with trio.open_nursery() as nursery:
        await phones.start(nursery)
        tabs = [await phones.tab(), await phones.tab(), await phones.tab("another")]
        await phones.device(PHONE)
        life = Life(phones, tabs, random.Random(seed))
        for act in acts:
            await life.step(act)
        await trio.sleep(2 * PATIENCE)
        phones.world.sessions.flush()
        life.check()
        nursery.cancel_scope.cancel()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(["publish", "publish", "wait", "connect", "receipt", "receipt", "drop"]),
        max_size=25,
    ),
    st.integers(0, 1 << 32),
)
def test_lives(acts: list[str], seed: int) -> None:
    """Tabs come, go, answer and keep silent in any order."""
    trio.run(live, acts, seed, clock=MockClock(autojump_threshold=0))
