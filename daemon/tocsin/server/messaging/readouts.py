"""What a subscriber reads over REST: his Log, his Rooms, histories (messaging.md, section 11)."""

from typing import Final

import attrs

from tocsin.messaging.receipts import Receipts
from tocsin.messaging.register import Register
from tocsin.messaging.rooms import Rooms
from tocsin.messaging.settings import MessagingLimits
from tocsin.model.conversation import Subscriber
from tocsin.model.principal import Principal
from tocsin.server.messaging.guard import correlator_of
from tocsin.server.messaging.history import Histories, Wanted
from tocsin.store.mail import LogPage, LogState
from tocsin.store.messages import Messages
from tocsin.wire.messaging import rest
from tocsin.wire.messaging.cursor import OLDEST, cursor, seq_of
from tocsin.wire.messaging.parts import MOST_ENTRIES, fitting
from tocsin.wire.request import Request

START: Final = 0


@attrs.frozen(kw_only=True)
class Readouts:
    """Bodies of answers. They raise `Refused`, `RestError` and `StoreError`; cancelled, they leave
    nothing behind. `epoch` is that of all cursors (MS-60)."""

    store: Messages
    register: Register
    rooms: Rooms
    histories: Histories
    receipts: Receipts
    limits: MessagingLimits
    epoch: str

    async def reader(self, principal: Principal) -> Subscriber:
        """Who asks."""
        return await self.register.subscriber(principal.domain, principal.subscriber)

    async def log(self, reader: Subscriber, request: Request) -> bytes:
        """GET `/log`: what follows a cursor, as a `resume` tells it (MS-62, MS-63). Whoever has one
        that is of no use goes on where a connection does that did not resume.

        Whoever names a place in his Log has what is before it, and so has the device he names
        (MS-54, MS-55); what he is given now is not proven by that.
        """
        query = rest.log_query(request.params, self.limits)
        after = START if query.after == OLDEST else seq_of(query.after, self.epoch)
        page = await self.store.log_page(reader.key, after=after or START, limit=query.limit)
        if after is None or after > page.state.last:
            return self._start_anew(page.state)
        if after:
            self.receipts.resumed(reader, after, correlator=correlator_of(request))
        is_complete = not query.proves or after >= page.state.trimmed
        return self._log_page(page, complete=is_complete)

    async def memberships(self, reader: Subscriber, _request: Request) -> bytes:
        """GET `/channels`: the reader's memberships."""
        return rest.rooms(await self.rooms.memberships(reader))

    async def members(self, reader: Subscriber, request: Request) -> bytes:
        """GET `/channels/{channel-id}/subscribers`: a Room's members by their ids."""
        views, more = await self.rooms.members_page(
            reader,
            request.path_values["roomId"],
            after=rest.members_after(request.params),
            limit=MOST_ENTRIES,
        )
        return rest.members_page(views, more=more)

    async def history(self, reader: Subscriber, request: Request) -> bytes:
        """GET `/history`: as the message of that name (MS-28)."""
        query = rest.history_query(request.params, self.limits)
        wanted = Wanted(
            party=query.party, before=query.before, after=query.after, limit=query.limit
        )
        page = await self.histories.page(reader, wanted)
        return rest.history_page(page.entries, more=page.more)

    def _start_anew(self, log: LogState) -> bytes:
        place = max(log.proven, log.trimmed)
        return rest.log_page(
            [], cursor=cursor(self.epoch, place), complete=False, more=place < log.last
        )

    def _log_page(self, page: LogPage, *, complete: bool) -> bytes:
        """As much of a page as fits into an answer."""
        texts = fitting(
            [one.rendered.text(cursor=cursor(self.epoch, one.seq)) for one in page.entries]
        )
        last = page.entries[len(texts) - 1].seq if texts else page.state.last
        end = cursor(self.epoch, last)
        more = last < page.state.last
        return rest.log_page(texts, cursor=end, complete=complete, more=more)
