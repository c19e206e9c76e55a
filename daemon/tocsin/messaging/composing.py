"""Telling that somebody is writing (messaging.md, MS-44): a hint, never kept for anybody."""

from collections.abc import Callable, Iterable
from typing import Final

from tocsin.messaging.link import Link
from tocsin.messaging.live import Live
from tocsin.model.conversation import Room, Subscriber
from tocsin.wire.messaging import answers, clientmessages
from tocsin.wire.messaging.clientmessages import Party
from tocsin.wire.messaging.words import ComposingState

REPEATED_AFTER: Final = 10.0
MOST_KNOWN: Final = 100_000


class Composing:
    """Relays who is writing, equal states of one in one conversation only from time to time.

    What was relayed is known for that time; beyond `MOST_KNOWN` the oldest is forgotten, and may
    be relayed again a little early.
    """

    def __init__(self, live: Live, *, room_limit: int, now: Callable[[], float]) -> None:
        """Rooms of more than `room_limit` members are told nothing. `now` is in seconds."""
        self._live = live
        self._room_limit = room_limit
        self._now = now
        self._relayed: dict[tuple[int, Party], tuple[ComposingState, float]] = {}

    def __len__(self) -> int:
        return len(self._relayed)

    def relay(
        self,
        link: Link,
        message: clientmessages.Composing,
        recipients: Iterable[Subscriber],
        room: Room | None,
    ) -> None:
        """Hint at it to all connections of these, the other party or the members of `room`; its
        sender may be among them and is left out."""
        if room is not None and len(room.members) > self._room_limit:
            return
        sender = link.subscriber
        if not self._is_news(sender, message.party, message.state):
            return
        text = answers.composing(sender.id, message.state, None if room is None else room.id)
        for other in recipients:
            if other.key != sender.key:
                for one in self._live.of(other.key):
                    one.hinted(text)

    def sent(self, sender: Subscriber, party: Party) -> None:
        """A message of his went there, by which receivers know that he has written it: the next
        state is news, whichever it is."""
        self._relayed.pop((sender.key, party), None)

    def _is_news(self, sender: Subscriber, party: Party, state: ComposingState) -> bool:
        now = self._now()
        self._forget(now)
        before = self._relayed.get((sender.key, party))
        if before is not None and before[0] is state:
            return False
        self._relayed.pop((sender.key, party), None)
        self._relayed[sender.key, party] = (state, now)
        return True

    def _forget(self, now: float) -> None:
        """They stand in the order of their time."""
        while self._relayed:
            oldest = next(iter(self._relayed))
            if now - self._relayed[oldest][1] < REPEATED_AFTER and len(self._relayed) < MOST_KNOWN:
                return
            del self._relayed[oldest]
