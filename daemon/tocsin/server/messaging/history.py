"""Pages of a conversation, for those who take part in it (messaging.md, MS-28)."""

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from tocsin.messaging.refused import bad_request, not_found
from tocsin.messaging.register import Register
from tocsin.model.conversation import Conversation, Subscriber, between
from tocsin.store.mail import HistoryQuery
from tocsin.store.messages import Messages
from tocsin.wire.messaging.clientmessages import InRoom, Party
from tocsin.wire.messaging.parts import fitting

TO_ONESELF: Final = "subscriber-id: somebody else"


@attrs.frozen(kw_only=True)
class Wanted:
    """Which page: bounds are message-ids, exclusive; at most one of them is given."""

    party: Party
    before: str | None
    after: str | None
    limit: int


@attrs.frozen
class Page:
    """Messages as they stand inside of an answer, oldest first; `more`: in that direction."""

    entries: Sequence[bytes]
    more: bool


class Histories:
    """What was said, as far as the one who asks may see it."""

    def __init__(
        self, store: Messages, register: Register, *, age: int, clock: Callable[[], int]
    ) -> None:
        """`age` is how many seconds a message stays; `clock` is epoch milliseconds."""
        self._store = store
        self._register = register
        self._age = age * 1000
        self._clock = clock

    async def page(self, reader: Subscriber, wanted: Wanted) -> Page:
        """A page. Raises Refused for a Room he is not in, and for a conversation with himself;
        StoreError. With somebody nobody knows nothing was said."""
        conversation, since = await self._seen_by(reader, wanted.party)
        query = HistoryQuery(
            conversation,
            reader,
            after=wanted.after,
            before=wanted.before,
            limit=wanted.limit,
            since=since,
            oldest=self.oldest,
        )
        page = await self._store.history(query)
        entries = [message.bare() for message in page.messages]
        kept = fitting(entries, from_end=wanted.after is None)
        return Page(kept, page.more or len(kept) < len(entries))

    @property
    def oldest(self) -> int:
        """When the history begins, epoch milliseconds."""
        return self._clock() - self._age

    async def _seen_by(self, reader: Subscriber, party: Party) -> tuple[Conversation, str]:
        """The conversation, and the message-id up to which the reader sees nothing of it."""
        if isinstance(party, InRoom):
            room = await self._register.room(reader.domain, party.room_id)
            member = None if room is None else room.members.get(reader.key)
            if room is None or member is None:
                raise not_found()
            return room.conversation, member.joined_after
        if party.subscriber_id == reader.id:
            raise bad_request(TO_ONESELF)
        other = await self._register.subscriber(reader.domain, party.subscriber_id)
        return between(reader, other), ""
