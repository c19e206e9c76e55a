"""Subscribers whose presence is told, and one who shares Rooms with a crowd."""

from collections.abc import Callable
from typing import Any

import trio
from tests.fakes.messaging_links import MemoryLink, person, room_of

from tocsin.messaging.live import Live
from tocsin.messaging.presence import Presence
from tocsin.model.conversation import Subscriber
from tocsin.wire.messaging.clientmessages import Announce
from tocsin.wire.messaging.words import Availability

GRACE = 10.0


class Bench:
    """The presence of some subscribers, all in one Room, with a connection each."""

    def __init__(self, people: int = 3, *, room_limit: int = 200) -> None:
        self.live = Live(most=10, uncorrelated_counts_for_all=False)
        self.presence = Presence(
            self.live, grace=GRACE, room_limit=room_limit, now=trio.current_time
        )
        self.people = [person(key) for key in range(1, people + 1)]
        self.room = room_of(1, self.people)
        self.links = [self.come(one) for one in self.people]

    def come(self, one: Subscriber) -> MemoryLink:
        """A further connection."""
        link = MemoryLink(one)
        self.live.attach(link)
        return link

    def go(self, link: MemoryLink) -> None:
        """A connection ends; with the last one the Rooms are let go."""
        was_last = self.live.detach(link)
        self.presence.left(link)
        if was_last:
            link.subscriber.rooms = None

    def announce(
        self, link: MemoryLink, availability: Availability | None = None, **said: Any
    ) -> None:
        """A connection announces."""
        self.presence.announce(link, Announce(availability=availability, **said))

    def heard(self, link: MemoryLink) -> list[tuple[str, str, str]]:
        """Changes a connection was told of since, as (change, availability, status)."""
        return [
            (one["change"], one["subscriber"]["availability"], one["subscriber"]["status"])
            for one in link.take()
        ]


class Crowd(Bench):
    """One who shares Rooms with so many that they are told in slices of ten."""

    def __init__(self, rooms: int, each: int) -> None:
        super().__init__(1)
        self.one, self.link = self.people[0], self.links[0]
        self.watchers: list[MemoryLink] = []
        for index in range(rooms):
            members = [person(10 + index * each + extra) for extra in range(each)]
            room_of(2 + index, [self.one, *members])
            self.watchers += [self.come(member) for member in members]

    def state(self) -> list[str]:
        """The status each was told last; "" for those who were told nothing."""
        return [link.told_of.get(1, {}).get("status", "") for link in self.watchers]

    def reached(self) -> int:
        """How many were told anything."""
        return sum(bool(link.told_of) for link in self.watchers)

    async def until(self, condition: Callable[[], object]) -> None:
        """Let others go on until this is so, which must be soon."""
        for _ in range(1000):
            if condition():
                return
            await trio.lowlevel.checkpoint()
        raise AssertionError("it never came to this")
