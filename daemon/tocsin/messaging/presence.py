"""Who is seen how, and telling it (messaging.md, 8). State only: never stored, never replayed.

A change that concerns few is told at once. One that may concern many, and what changes because
connections have ended, is told by a task, a slice at a time. Who waits for it waits once, until
everybody knows: what others are told is what holds when his turn comes. If it changes while he is
being told of, that is broken off and he waits again; then it goes on with those who know least.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import chain, islice

import trio

from tocsin.messaging.announced import UNSEEN, Announced
from tocsin.messaging.link import Link
from tocsin.messaging.live import Live
from tocsin.model.conversation import Room, Subscriber
from tocsin.ops.service import Progress
from tocsin.wire.messaging import answers
from tocsin.wire.messaging.clientmessages import Announce
from tocsin.wire.messaging.views import SubscriberView
from tocsin.wire.messaging.words import Availability

SLICE = 300
MOMENT = 0.001


class Presence:
    """The presence of everybody who announces, or did until a moment ago.

    All in memory, one record for each of them. Those who wait to be told of are among them, so
    they are bounded as connections are.
    """

    def __init__(
        self, live: Live, *, grace: float, room_limit: int, now: Callable[[], float]
    ) -> None:
        """`grace`: seconds for which one whose last announcing connection has ended is seen as
        before. `room_limit`: Rooms of more members are told nothing. `now` is in seconds."""
        self._live = live
        self._grace = grace
        self._room_limit = room_limit
        self._now = now
        self._announced: dict[int, Announced] = {}
        self._leaving: dict[int, float] = {}
        self._waiting: dict[int, Announced] = {}
        self._wake = trio.Event()

    def __len__(self) -> int:
        return len(self._announced)

    def announce(self, link: Link, message: Announce) -> None:
        """A connection announces; one that has ended does not any more."""
        subscriber = link.subscriber
        if link not in self._live.of(subscriber.key):
            return
        one = self._announced.setdefault(subscriber.key, Announced(subscriber))
        one.announce(link, message)
        self._leaving.pop(subscriber.key, None)
        self._tell(one)

    def unannounce(self, link: Link) -> None:
        """A connection announces no longer, and says so; told at once. Where no other announces,
        that ends what would be seen for a while of one that has ended, too."""
        one = self._announced.get(link.subscriber.key)
        if one is None:
            return
        one.withdraw(link)
        if not one.is_announcing:
            one.end()
        self._tell(one)

    def left(self, link: Link) -> None:
        """A connection has ended; to be said of each, when it is not live any more, and before
        its subscriber's Rooms are let go: who came back and joined one is told of there, too."""
        key = link.subscriber.key
        one = self._announced.get(key)
        if one is None:
            return
        one.rooms()
        if not one.withdraw(link):
            return
        if one.is_announcing:
            self._tell_later(one)
        else:
            self._leaving[key] = self._now() + self._grace
            self._wake.set()

    def own_view(self, subscriber: Subscriber, *, administrator: bool = False) -> SubscriberView:
        """How somebody sees himself: as announced (MS-40)."""
        one = self._announced.get(subscriber.key)
        state = UNSEEN if one is None else one.now
        return state.view(subscriber.id, administrator=administrator)

    def view(self, subscriber: Subscriber, *, administrator: bool = False) -> SubscriberView:
        """How those see somebody who may."""
        one = self._announced.get(subscriber.key)
        state = UNSEEN if one is None else one.now.seen
        return state.view(subscriber.id, administrator=administrator)

    def is_silenced(self, key: int) -> bool:
        """Whether a subscriber wants no notifications now (MS-45)."""
        one = self._announced.get(key)
        return one is not None and one.now.availability is Availability.DND

    async def run(self, progress: Progress) -> None:
        """Tell what was not told at once, and of those who have not come back."""
        while True:
            self._end_graces()
            if self._waiting:
                for _ in self._slices(next(iter(self._waiting.values()))):
                    progress.beat()
                    await trio.lowlevel.checkpoint()
                await trio.lowlevel.checkpoint()
            else:
                await self._nothing_to_tell(progress)

    async def _nothing_to_tell(self, progress: Progress) -> None:
        self._wake = trio.Event()
        progress.waiting("changes of presence")
        next_end = next(iter(self._leaving.values()), float("inf"))
        # A moment at least: by rounding, the end may still be ahead when that time has passed.
        with trio.move_on_after(max(MOMENT, next_end - self._now())):
            await self._wake.wait()
        progress.beat()

    def _end_graces(self) -> None:
        """Who has been away for long enough; they stand in the order of their leaving."""
        now = self._now()
        for key, at in [*islice(self._leaving.items(), SLICE)]:
            if at > now:
                return
            del self._leaving[key]
            self._announced[key].end()
            self._tell_later(self._announced[key])

    def _tell(self, one: Announced) -> None:
        """At once if it concerns few, and he does not wait for it already."""
        rooms = [room for room in one.rooms().values() if self._is_told(room, one)]
        few = sum(len(room.members) for room in rooms) <= SLICE
        if few and one.subscriber.key not in self._waiting:
            deque(self._slices(one), maxlen=0)
        else:
            self._tell_later(one)

    def _tell_later(self, one: Announced) -> None:
        self._waiting[one.subscriber.key] = one
        self._wake.set()

    def _slices(self, one: Announced) -> Iterator[None]:
        """Tell what holds now to all; yields where there are many. If it does not hold any more
        after that, the others are told what does instead, when he comes up again."""
        key = one.subscriber.key
        change = one.begin_telling()
        if change is not None:
            seen, reached = one.told, 0
            text = answers.subscriber(change, seen.view(one.subscriber.id)).text()
            for co_members in self._co_members(one):
                for link in chain.from_iterable(map(self._live.of, co_members)):
                    link.told(key, text)
                reached += len(co_members)
                if reached > SLICE:
                    reached = 0
                    yield
                    if one.now.seen != seen:
                        self._waiting[key] = self._waiting.pop(key)
                        return
            one.end_telling()
        self._waiting.pop(key, None)
        if one.is_over:
            self._announced.pop(key, None)
            self._leaving.pop(key, None)

    def _co_members(self, one: Announced) -> Iterator[Collection[int]]:
        """Their keys, each once however many Rooms are shared (MS-41), some at a time. Rooms are
        looked at when it is their turn, so nobody hears of one who has left them by then."""
        rooms = list(one.rooms().values())
        met = {one.subscriber.key}
        for _ in rooms:
            room = rooms[one.turn % len(rooms)]
            one.turn += 1
            if self._is_told(room, one):
                fresh = iter(room.members.keys() - met)
                met |= room.members.keys()
                while some := list(islice(fresh, SLICE)):
                    yield some

    def _is_told(self, room: Room, one: Announced) -> bool:
        return (
            one.subscriber.key in room.members
            and len(room.members) <= self._room_limit
            and not room.is_over
        )
