"""Who does what clients ask, and says what they are answered (messaging.md, 5 and 6)."""

from collections.abc import Iterable
from typing import assert_never

import attrs

from tocsin.messaging.composing import Composing
from tocsin.messaging.link import Link
from tocsin.messaging.posting import Posting, Sent
from tocsin.messaging.presence import Presence
from tocsin.messaging.receipts import Receipts
from tocsin.messaging.refused import Refused, bad_request, not_found
from tocsin.messaging.register import Register
from tocsin.messaging.rooms import Rooms
from tocsin.model.conversation import Subscriber
from tocsin.model.errors import RequestError, StoreError
from tocsin.server.messaging.answer import STORE_FAILED, Answer, Own
from tocsin.server.messaging.history import TO_ONESELF, Histories, Wanted
from tocsin.server.messaging.lists import People
from tocsin.store.mail import Posted
from tocsin.wire.messaging import answers
from tocsin.wire.messaging import clientmessages as asked
from tocsin.wire.messaging.clientmessages import ClientMessage, Correspondent, InRoom
from tocsin.wire.messaging.refusals import MessageError, in_our_words
from tocsin.wire.messaging.rendered import Rendered
from tocsin.wire.messaging.views import Progress
from tocsin.wire.messaging.words import MessageStatus

Replies = Iterable[bytes | Own]
Administration = asked.UpdateRoom | asked.DeleteRoom | asked.Invite | asked.UpdateMember


@attrs.frozen(kw_only=True)
class Offices:
    """Who a desk sends people to."""

    register: Register
    rooms: Rooms
    posting: Posting
    receipts: Receipts
    presence: Presence
    composing: Composing
    people: People
    histories: Histories


class MessageDesk:
    """Takes every message of a client but `resume`, which is its connection's own affair."""

    def __init__(self, offices: Offices) -> None:
        self._at = offices

    async def handle(self, link: Link, message: ClientMessage) -> Answer:
        """Do it; the answer is what comes before the `ack`, nothing where it is refused (MS-20).

        What it changes is durable on return (MS-21); cancelled, it may have been done. ValueError:
        a `resume`.
        """
        try:
            return Answer(await self._replies(link, message))
        except Refused as refused:
            return Answer((), refused.error)
        except RequestError as error:
            return Answer((), _in_an_ack(error))
        except StoreError:
            return Answer((), STORE_FAILED)

    async def _replies(self, link: Link, message: ClientMessage) -> Replies:
        match message:
            case asked.Announce() | asked.Unannounce():
                self._be_seen(link, message)
            case asked.Composing():
                await self._compose(link, message)
            case asked.CreateRoom() | asked.JoinRoom() | asked.LeaveRoom():
                return [await self._come_or_go(link, message)]
            case asked.UpdateRoom() | asked.DeleteRoom() | asked.Invite() | asked.UpdateMember():
                await self._administer(link, message)
            case asked.ListRooms():
                rooms = await self._at.rooms.memberships(link.subscriber)
                return answers.channels(rooms, reply_to=message.id)
            case asked.ListSubscribers():
                return await self._list(link.subscriber, message)
            case asked.SendDirect() | asked.SendToRoom():
                return [await self._send(link, message)]
            case asked.Receipt():
                await self._at.receipts.mark(link, message)
            case asked.AskHistory():
                return [await self._history(link.subscriber, message)]
            case asked.Resume():
                raise ValueError("a resume is for the connection")
            case _:
                assert_never(message)
        return ()

    # -- presence ------------------------------------------------------------------------------

    def _be_seen(self, link: Link, message: asked.Announce | asked.Unannounce) -> None:
        if isinstance(message, asked.Announce):
            self._at.presence.announce(link, message)
        else:
            self._at.presence.unannounce(link)

    async def _compose(self, link: Link, message: asked.Composing) -> None:
        """What one writes to somebody nobody knows is seen by nobody; who exists stays unsaid."""
        sender, party = link.subscriber, message.party
        if isinstance(party, InRoom):
            room = await self._at.register.room(sender.domain, party.room_id)
            if room is None or sender.key not in room.members:
                raise not_found()
            others = [one.subscriber for one in room.members.values()]
            self._at.composing.relay(link, message, others, room)
            return
        if party.subscriber_id == sender.id:
            raise bad_request(TO_ONESELF)
        other = await self._at.register.subscriber(sender.domain, party.subscriber_id)
        self._at.composing.relay(link, message, [other], None)

    # -- Rooms ---------------------------------------------------------------------------------

    async def _come_or_go(
        self, link: Link, message: asked.CreateRoom | asked.JoinRoom | asked.LeaveRoom
    ) -> bytes | Own:
        rooms = self._at.rooms
        match message:
            case asked.CreateRoom():
                reply = await rooms.create(link, message)
            case asked.JoinRoom():
                reply = await rooms.join(link, message)
            case asked.LeaveRoom():
                reply = await rooms.leave(link, message)
        return _own(reply.rendered, reply.entry, message.id)

    async def _administer(self, link: Link, message: Administration) -> None:
        """Has no reply of its own: its entry comes behind the `ack` (MS-47)."""
        rooms = self._at.rooms
        match message:
            case asked.UpdateRoom():
                await rooms.update(link, message)
            case asked.DeleteRoom():
                await rooms.delete(link, message)
            case asked.Invite():
                await rooms.invite(link, message)
            case asked.UpdateMember():
                await rooms.change_member(link, message)

    async def _list(self, viewer: Subscriber, message: asked.ListSubscribers) -> Replies:
        if message.room_id is not None:
            views = await self._at.rooms.list_members(viewer, message.room_id)
        elif message.subscriber_ids is not None:
            views = await self._at.people.look(viewer, message.subscriber_ids)
        else:
            views = [self._at.presence.own_view(viewer)]
        return answers.subscribers(views, room_id=message.room_id, reply_to=message.id)

    # -- messages ------------------------------------------------------------------------------

    async def _send(self, link: Link, message: asked.SendDirect | asked.SendToRoom) -> bytes | Own:
        sent = await self._sent(link, message)
        stored = answers.delivery(Progress(sent.message_id, MessageStatus.STORED))
        return _own(stored, sent.entry, message.id)

    async def _sent(self, link: Link, message: asked.SendDirect | asked.SendToRoom) -> Sent:
        posting, composing = self._at.posting, self._at.composing
        if isinstance(message, asked.SendDirect):
            sent = await posting.send_direct(link, message)
            composing.sent(link.subscriber, Correspondent(message.subscriber_id))
        else:
            sent = await posting.send_to_room(link, message)
            composing.sent(link.subscriber, InRoom(message.room_id))
        return sent

    async def _history(self, reader: Subscriber, message: asked.AskHistory) -> bytes:
        wanted = Wanted(
            party=message.party, before=message.before, after=message.after, limit=message.limit
        )
        page = await self._at.histories.page(reader, wanted)
        return answers.history(message.party, page.entries, more=page.more, reply_to=message.id)


def _own(rendered: Rendered, entry: Posted | None, reply_to: str | None) -> bytes | Own:
    """The reply that stands for an entry; one for nothing new has no cursor."""
    return rendered.text(reply_to=reply_to) if entry is None else Own(rendered, entry)


def _in_an_ack(error: RequestError) -> MessageError:
    """What the core refuses, in the words of this face."""
    retry_after = next((int(text) for name, text in error.headers if name == "Retry-After"), None)
    return attrs.evolve(in_our_words(error).error, retry_after=retry_after)
