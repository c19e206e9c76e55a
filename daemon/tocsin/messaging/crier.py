"""Who joined a Room, left it or has other rights there, told to the others (messaging.md, MS-36).

`subscriber` messages are in no Log. What concerns few connections is told at once. In a Room with
many live ones it is told by a task, a slice at a time, one Room after the other; in each Room in
the order in which it happened. Who is no member any more when his turn comes is told nothing
(MS-35).
"""

from collections import deque
from collections.abc import Sequence

import attrs

from tocsin.messaging.live import Live
from tocsin.messaging.presence import Presence
from tocsin.messaging.roomchanges import News
from tocsin.model.conversation import Room
from tocsin.ops.service import Progress
from tocsin.ops.slices import Slices
from tocsin.wire.messaging import answers

SLICE = 150
MOST_WAITING = 1000


@attrs.frozen(eq=False)
class _Cry:
    """One piece of news. `ahead` are the keys of those who are still to be told."""

    room: Room
    news: News
    ahead: list[int]


class Crier:
    """Tells the live connections of a Room's members.

    What waits for a slice is bounded: past `MOST_WAITING` pieces of news the next ones are told
    without a pause.
    """

    def __init__(self, live: Live, presence: Presence) -> None:
        self._live = live
        self._presence = presence
        self._later: dict[int, deque[_Cry]] = {}
        self._waiting = 0
        self._slices = Slices(self._later, self._give_slice, of="news of large Rooms")

    @property
    def waiting(self) -> int:
        """How many pieces of news are not told to all yet."""
        return self._waiting

    def tell(self, room: Room, news: Sequence[News]) -> None:
        """The others of a Room, as it is now, of what has just happened to some of them."""
        for one in news:
            others = room.members.keys() - {one.subscriber.key}
            self._cry(_Cry(room, one, [key for key in others if self._live.is_live(key)]))
        while self._waiting > MOST_WAITING:
            self._give_slice()

    async def run(self, progress: Progress) -> None:
        """Tell what was too much at once."""
        await self._slices.run(progress)

    def _cry(self, cry: _Cry) -> None:
        is_large = sum(len(self._live.of(key)) for key in cry.ahead) > SLICE
        if not is_large and cry.room.key not in self._later:
            self._give(cry)
            return
        self._later.setdefault(cry.room.key, deque()).append(cry)
        self._waiting += 1
        self._slices.arrived()

    def _give_slice(self) -> None:
        """A part of the oldest news of the Room whose turn it is."""
        key = next(iter(self._later))
        waiting = self._later.pop(key)
        self._give(waiting[0])
        if not waiting[0].ahead:
            waiting.popleft()
            self._waiting -= 1
        if waiting:
            self._later[key] = waiting

    def _give(self, cry: _Cry) -> None:
        """As he is seen now, lest it go back behind a change of presence told meanwhile."""
        room, one, ahead = cry.room, cry.news, cry.ahead
        view = self._presence.view(one.subscriber, administrator=one.administrator)
        text = answers.subscriber(one.change, view, room.id).text()
        given = 0
        while ahead and given < SLICE:
            key = ahead.pop()
            if key in room.members:
                links = self._live.of(key)
                given += len(links)
                for link in links:
                    link.notify(text)
