"""Presence against the naive way: who is seen how follows from all that was ever said and when."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import orjson
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.messaging_links import MemoryLink, person, room_of
from tests.fakes.world import CountingProgress
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.messaging import presence as presence_module
from tocsin.messaging.live import Live
from tocsin.messaging.presence import Presence
from tocsin.wire.messaging.clientmessages import Announce
from tocsin.wire.messaging.words import Availability

PROFILE = settings(max_examples=200, deadline=None, derandomize=True)
PEOPLE = 3
GRACE = 5  # and time goes in steps of two: nothing happens at the very end of a grace
Seen = tuple[str, str, bytes]
UNSEEN: Seen = ("", "invisible", b"{}")

announces = st.builds(
    Announce,
    status=st.none() | st.sampled_from(["", "a", "b"]),
    availability=st.none() | st.sampled_from(Availability),
    attributes=st.none() | st.sampled_from([b"{}", b'{"x":1}']),
)
who = st.sampled_from([0, 0, 0, *range(1, PEOPLE)])
which = st.integers(0, 2)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("come"), who, st.none()),
        st.tuples(st.just("announce"), who, st.tuples(which, announces)),
        st.tuples(st.just("unannounce"), who, which),
        st.tuples(st.just("go"), who, which),
        st.tuples(st.just("pass"), who, st.sampled_from([0, 2, 4, 6])),
    ),
    min_size=5,
    max_size=40,
)


@attrs.define
class Said:
    """What one connection has said: the moment of its last announce, and what holds of it."""

    at: int
    state: Seen


@attrs.define
class Naive:
    """One subscriber: what each live connection says; what he was when the last of them went."""

    said: dict[int, Said] = attrs.field(factory=dict)
    was: Seen = UNSEEN
    until: float = 0

    def announce(self, link: int, message: Announce, moment: int) -> None:
        """What is None stays as this connection said it."""
        before = self.said[link].state if link in self.said else UNSEEN
        new = (message.status, message.availability, message.attributes)
        status, availability, attributes = (
            old if value is None else value for old, value in zip(before, new, strict=True)
        )
        self.said[link] = Said(moment, (status, str(availability), attributes))

    def unannounce(self, link: int) -> None:
        """Where nothing else is said, that is the end of it."""
        self.said.pop(link, None)
        if not self.said:
            self.until = 0

    def go(self, link: int, now: float) -> None:
        """What the last connection said holds for the grace."""
        state = self.own(now)
        if self.said.pop(link, None) is not None and not self.said:
            self.was, self.until = state, now + GRACE

    def own(self, now: float) -> Seen:
        """As announced."""
        if self.said:
            return max(self.said.values(), key=lambda one: one.at).state
        return self.was if now < self.until else UNSEEN

    def seen(self, now: float) -> Seen:
        """As others see him."""
        own = self.own(now)
        return UNSEEN if own[1] == "invisible" else own


class Run:
    """The real one and the naive one, side by side; all three people share two Rooms."""

    def __init__(self) -> None:
        self.live = Live(most=100, uncorrelated_counts_for_all=False)
        self.presence = Presence(self.live, grace=GRACE, room_limit=200, now=trio.current_time)
        self.people = [person(key) for key in range(PEOPLE)]
        self.rooms = {room.key: room for room in (room_of(1, self.people), room_of(2, self.people))}
        self.naive = [Naive() for _ in self.people]
        self.knows: dict[MemoryLink, dict[int, Seen]] = {}
        self.moment = 0

    async def take(self, kind: str, index: int, said: Any) -> None:
        """One step; who has no such connection announces on a new one, and does nothing else."""
        self.moment += 1
        if kind == "pass":
            await trio.sleep(said)
        elif kind == "come":
            self.come(index)
        else:
            at = said[0] if kind == "announce" else said
            if kind == "announce" and at >= len(self.live.of(index)):
                self.come(index)
            links = self.live.of(index)
            if links and (kind == "announce" or at < len(links)):
                self.say(kind, index, links[min(at, len(links) - 1)], said)

    def come(self, index: int) -> None:
        """A new connection asks for everybody first."""
        link = MemoryLink(self.people[index])
        self.people[index].rooms = self.rooms
        self.live.attach(link)
        self.knows[link] = {key: self.view(key) for key in range(PEOPLE)}

    def say(self, kind: str, index: int, link: Any, said: Any) -> None:
        """Something about a connection that is there."""
        naive = self.naive[index]
        if kind == "announce":
            naive.announce(id(link), said[1], self.moment)
            self.presence.announce(link, said[1])
        elif kind == "unannounce":
            naive.unannounce(id(link))
            self.presence.unannounce(link)
        else:
            naive.go(id(link), trio.current_time())
            if self.live.detach(link):
                self.people[index].rooms = None
            self.presence.left(link)

    def view(self, index: int) -> Seen:
        """As the real one has it."""
        view = self.presence.view(self.people[index])
        return view.status, view.availability, view.attributes

    def read(self, told: dict[str, Any]) -> tuple[int, Seen]:
        """About whom a change is, and what he is now."""
        attributes = orjson.dumps(told["attributes"])
        return int(told["id"].removeprefix("s")), (
            told["status"],
            told["availability"],
            attributes,
        )

    def check(self, *, repeats: bool) -> None:
        """Views are as they must be, and so is what every live connection heard last; nothing is
        told twice, unless that was allowed."""
        now = trio.current_time()
        for key, (naive, one) in enumerate(zip(self.naive, self.people, strict=True)):
            own = self.presence.own_view(one)
            assert (own.status, own.availability, own.attributes) == naive.own(now)
            assert self.view(key) == naive.seen(now)
            assert self.presence.is_silenced(key) == (naive.own(now)[1] == "dnd")
        for link in [link for one in self.people for link in self.live.of(one.key)]:
            assert isinstance(link, MemoryLink)
            knows = self.knows[link]
            for change in link.take():
                told = change["subscriber"]
                key = int(told["id"].removeprefix("s"))
                new = (
                    told["status"],
                    told["availability"],
                    b'{"x":1}' if told["attributes"] else b"{}",
                )
                assert key != link.subscriber.key
                assert repeats or new != knows[key]
                assert repeats or (change["change"] == "availability") == (new[1] != knows[key][1])
                knows[key] = new
            for key in set(range(PEOPLE)) - {link.subscriber.key}:
                assert knows[key] == self.naive[key].seen(now)


@contextmanager
def slices_of(members: int) -> Iterator[None]:
    """So many are told at once."""
    before, presence_module.SLICE = presence_module.SLICE, members
    try:
        yield
    finally:
        presence_module.SLICE = before


@PROFILE
@given(steps, st.booleans())
def test_everybody_hears_what_is_seen(taken: list[tuple[str, int, Any]], sliced: bool) -> None:
    """After every step, and after the grace, each connection of a co-member knows what the view
    says, and the view is what follows from what was announced (MS-37 to MS-41); nothing is kept of
    those who have gone (MS-43)."""

    async def main() -> None:
        run = Run()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.presence.run, CountingProgress())
            for step in taken:
                await run.take(*step)
                await wait_all_tasks_blocked()
                run.check(repeats=sliced)
            await trio.sleep(GRACE + 1)
            run.check(repeats=sliced)
            assert len(run.presence) <= sum(bool(naive.said) for naive in run.naive)
            nursery.cancel_scope.cancel()

    with slices_of(1 if sliced else 300):
        trio.run(main, clock=MockClock(autojump_threshold=0))


@PROFILE
@given(steps)
def test_changes_in_a_hurry_come_to_the_same(taken: list[tuple[str, int, Any]]) -> None:
    """Where the next change does not wait until all were told of the last, who has been there all
    the time knows in the end what the view says (MS-43)."""

    async def main() -> None:
        run = Run()
        for index in range(PEOPLE):
            run.come(index)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.presence.run, CountingProgress())
            for number, step in enumerate(taken):
                if step[0] != "come":
                    await run.take(*step)
                if number % 3:
                    await trio.lowlevel.checkpoint()
            await trio.sleep(GRACE + 1)
            run.check(repeats=True)
            nursery.cancel_scope.cancel()

    with slices_of(1):
        trio.run(main, clock=MockClock(autojump_threshold=0))
