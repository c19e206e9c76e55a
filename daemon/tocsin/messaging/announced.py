"""What one subscriber announces on his connections, and what of it others were told.

Each connection has a state of its own: what an announce does not say stays as it was announced on
the same connection before, and begins empty and invisible (MS-37). The latest of them holds
(MS-38). It holds on when the last of these connections has ended, until that is told (MS-39).
"""

from collections.abc import Mapping
from typing import Final

import attrs

from tocsin.messaging.link import Link
from tocsin.model.conversation import Room, Subscriber
from tocsin.wire.messaging.clientmessages import Announce
from tocsin.wire.messaging.views import NO_ATTRIBUTES, SubscriberView
from tocsin.wire.messaging.words import Availability, SubscriberChange


@attrs.frozen
class State:
    """Somebody's presence."""

    status: str = ""
    availability: Availability = Availability.INVISIBLE
    attributes: bytes = attrs.field(default=NO_ATTRIBUTES, repr=False)

    def announced(self, message: Announce) -> "State":
        """What is not said stays; attributes are replaced whole."""
        return State(
            self.status if message.status is None else message.status,
            self.availability if message.availability is None else message.availability,
            self.attributes if message.attributes is None else message.attributes,
        )

    @property
    def seen(self) -> "State":
        """As others see it: of somebody invisible, nothing (MS-40)."""
        return UNSEEN if self.availability is Availability.INVISIBLE else self

    def view(self, id_: str, *, administrator: bool = False) -> SubscriberView:
        """As the wire has it."""
        return SubscriberView(id_, self.status, self.availability, administrator, self.attributes)


UNSEEN: Final = State()


@attrs.define(eq=False)
class Announced:
    """The presence of one subscriber.

    `now` holds; `told` is what others were told last, as seen. While they are being told, and
    when that was broken off because it had changed again, `telling` says as what: some know the
    one state and some the other. `turn` is where to go on, in the order of his Rooms.
    """

    subscriber: Subscriber
    now: State = UNSEEN
    told: State = UNSEEN
    telling: SubscriberChange | None = None
    turn: int = 0
    _by_link: dict[Link, State] = attrs.field(factory=dict, init=False)
    _rooms: Mapping[int, Room] = attrs.field(factory=dict, init=False)

    @property
    def is_announcing(self) -> bool:
        """There is a connection whose announce holds."""
        return bool(self._by_link)

    @property
    def is_over(self) -> bool:
        """Nothing more is known of him than of anybody, and all who were told anything know."""
        return not self._by_link and self.now == self.told == UNSEEN and self.telling is None

    def announce(self, link: Link, message: Announce) -> None:
        """A connection announces; it is the latest now."""
        self.now = self._by_link.pop(link, UNSEEN).announced(message)
        self._by_link[link] = self.now

    def withdraw(self, link: Link) -> bool:
        """A connection announces no longer: the next latest holds. Where there is none, what was
        announced last does. False: it did not announce anything."""
        if self._by_link.pop(link, None) is None:
            return False
        if self._by_link:
            self.now = self._by_link[next(reversed(self._by_link))]
        return True

    def end(self) -> None:
        """Nobody announces any more, and that is to be seen."""
        self.now = UNSEEN

    def rooms(self) -> Mapping[int, Room]:
        """His Rooms, also for a while after his last connection has ended and they are not kept
        for him any more; ask once while there is one. He may have left some of them since."""
        if self.subscriber.rooms is not None:
            self._rooms = self.subscriber.rooms
        return self._rooms

    def begin_telling(self) -> SubscriberChange | None:
        """What is to be told now: `now`, as a change of this kind. None: everybody knows it."""
        seen = self.now.seen
        if self.telling is None and seen == self.told:
            return None
        if seen.availability is not self.told.availability:
            self.telling = SubscriberChange.AVAILABILITY
        elif self.telling is None:
            self.telling = SubscriberChange.UPDATED
        self.told = seen
        return self.telling

    def end_telling(self) -> None:
        """Everybody was told."""
        self.telling = None
