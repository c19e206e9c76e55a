"""Rooms: every act of section 7 (messaging.md).

An act is decided and made in memory without a pause and then stored. The next act on the same Room
has its turn when that is done, so none is built on one that has failed. What the store refuses
makes the Room doubtful: it is read anew before anything else is decided on it (`register`).

Whom an act concerns has it in his Log; the acting connection has it as its reply, or, where
there is none, after the `ack` (MS-47). The others of the Room are told by the `crier`.
"""

from collections.abc import Callable, Sequence
from functools import partial

import attrs

from tocsin.messaging.crier import Crier
from tocsin.messaging.link import Link
from tocsin.messaging.notices import Notices
from tocsin.messaging.post import Post
from tocsin.messaging.presence import Presence
from tocsin.messaging.refused import conflict, not_found
from tocsin.messaging.register import Register
from tocsin.messaging.roomchanges import RoomAct, membership
from tocsin.messaging.roomgate import RoomGate, is_last_administrator, is_open
from tocsin.messaging.roomlists import RoomLists
from tocsin.messaging.settings import MessagingLimits
from tocsin.messaging.turns import Turns
from tocsin.model.conversation import Invitation, Room, Subscriber
from tocsin.model.errors import StoreError
from tocsin.model.ids import new_id
from tocsin.store.mail import Posted
from tocsin.store.records import Acceptance
from tocsin.wire.messaging import answers, chatnotification
from tocsin.wire.messaging.clientmessages import (
    CLEARED,
    CreateRoom,
    DeleteRoom,
    Invite,
    JoinRoom,
    LeaveRoom,
    UpdateMember,
    UpdateRoom,
)
from tocsin.wire.messaging.rendered import Rendered
from tocsin.wire.messaging.views import InvitationView
from tocsin.wire.messaging.words import MembershipChange


@attrs.frozen
class Reply:
    """The response of section 5, with the cursor of `entry`, which other connections of the same
    subscriber get (MS-47); None where nothing was written."""

    rendered: Rendered
    entry: Posted | None


class Rooms(RoomLists):
    """Makes, changes, ends and lists Rooms.

    Each act is durable on return. It has no effect where it raises: `Refused`, the 503 of `Post`,
    or `StoreError` where the store cannot say how things are. When cancelled it may be done all
    the same.
    """

    def __init__(
        self,
        register: Register,
        crier: Crier,
        post: Post,
        presence: Presence,
        *,
        notices: Notices,
        limits: MessagingLimits,
        last_message: Callable[[], str],
        now: Callable[[], int],
    ) -> None:
        """`last_message` is the greatest id of a message so far: whoever joins sees what is sent
        after that (MS-28)."""
        gate = RoomGate(register, limits=limits, now=now)
        super().__init__(register, gate, presence)
        self._crier = crier
        self._post = post
        self._notices = notices
        self._limits = limits
        self._last_message = last_message
        self._now = now
        self._turns = Turns()

    # -- coming and going ------------------------------------------------------------------

    async def create(self, link: Link, message: CreateRoom) -> Reply:
        """The creator is member and administrator. His own Log says `membership` joined."""
        creator, at = link.subscriber, self._now()
        room = self._register.make_room(
            creator.domain,
            message.name,
            at=at,
            invite_token=message.invite_token,
            attributes=message.attributes,
        )
        async with self._turns.of(room.id):
            await self._gate.refuse_another(creator)
            act = self._act(room, at)
            act.put_room()
            entry = act.join(creator, origin=link, joined_after="", founds=True)
            reply = _invitation(room, creator, administrator=True)
            await self._store(act)
        return Reply(reply, entry)

    async def join(self, link: Link, message: JoinRoom) -> Reply:
        """By an open invitation or the right token. For a member nothing changes."""
        subscriber = link.subscriber
        async with self._turns.of(message.room_id):
            room = await self._register.room(subscriber.domain, message.room_id)
            member = None if room is None else room.members.get(subscriber.key)
            if room is not None and member is not None:
                flag = member.administrator
                return Reply(membership(MembershipChange.JOINED, room, administrator=flag), None)
            self._gate.admit(subscriber, room, message.invite_token)
            await self._gate.refuse_another(subscriber)
            # Had that to be asked of the store, the Room may have been read anew meanwhile.
            room = await self._register.room(subscriber.domain, message.room_id)
            room = self._gate.admit(subscriber, room, message.invite_token)
            if len(room.members) >= self._limits.room_members:
                raise conflict("the channel is full")
            act = self._act(room)
            entry = act.join(subscriber, origin=link, joined_after=self._last_message())
            await self._store(act)
        return Reply(entry.rendered, entry)

    async def leave(self, link: Link, message: LeaveRoom) -> Reply:
        """The Room goes on under its last administrator's successor, or ends (MS-34)."""
        async with self._turns.of(message.room_id):
            room, member = await self._gate.entered(link.subscriber, message.room_id)
            act = self._act(room)
            entry = act.part(member, origin=link)
            await self._store(act)
        return Reply(entry.rendered, entry)

    async def invite(self, link: Link, message: Invite) -> None:
        """Open invitations to whoever is neither a member nor invited yet, known or not; each is
        told in his Log, and by notification (MS-33, MS-49)."""
        sender = link.subscriber
        await self._gate.administered(sender, message.room_id)
        named = await self._register.subscribers(sender.domain, message.subscriber_ids)
        await self._post.prepare(named)
        async with self._turns.of(message.room_id):
            room = await self._gate.administered(sender, message.room_id)
            while not self._notices.are_prepared(named):
                await self._post.prepare(named)
                room = await self._gate.administered(sender, message.room_id)
            await self._open_invitations(room, sender, named)

    async def _open_invitations(
        self, room: Room, sender: Subscriber, named: Sequence[Subscriber]
    ) -> None:
        at = self._now()
        fresh = [one for one in named if one.key not in room.members and not is_open(room, one, at)]
        if not fresh:
            return
        self._gate.refuse_crowd(room, len(fresh), at)
        act, until = self._act(room, at), at + self._limits.invitation_age * 1000
        text = _invitation(room, sender, administrator=False)
        entries = [act.invite(one, Invitation(sender.key, until), text) for one in fresh]
        make = partial(
            chatnotification.invitation, room.name, invitation_id=new_id(), room_id=room.id
        )

        def notify(acceptance: Acceptance) -> None:
            for one, entry in zip(fresh, entries, strict=True):
                entry.notification = self._notices.add(acceptance, one, make, sender=sender, at=at)

        await self._store(act, notify)

    # -- changes ---------------------------------------------------------------------------

    async def update(self, link: Link, message: UpdateRoom) -> None:
        """Members are told of another name or other attributes; of the token nobody is (MS-36)."""
        async with self._turns.of(message.room_id):
            room = await self._gate.administered(link.subscriber, message.room_id)
            name = room.name if message.name is None else message.name
            attributes = room.attributes if message.attributes is None else message.attributes
            token = room.invite_token if message.invite_token is None else message.invite_token
            token = None if token is CLEARED else token
            is_visible = (name, attributes) != (room.name, room.attributes)
            if not is_visible and token == room.invite_token:
                return
            room.name, room.attributes, room.invite_token = name, attributes, token
            act = self._act(room)
            act.put_room()
            if is_visible:
                act.tell_members()
            await self._store(act)

    async def delete(self, link: Link, message: DeleteRoom) -> None:
        """Every member is told that he has left; open invitations vanish (MS-35)."""
        async with self._turns.of(message.room_id):
            room = await self._gate.administered(link.subscriber, message.room_id)
            act = self._act(room)
            act.close()
            await self._store(act)

    async def change_member(self, link: Link, message: UpdateMember) -> None:
        """Make or unmake an administrator, remove a member, or withdraw an invitation."""
        actor = link.subscriber
        await self._gate.administered(actor, message.room_id)
        subject = await self._register.subscriber(actor.domain, message.subscriber_id)
        async with self._turns.of(message.room_id):
            room = await self._gate.administered(actor, message.room_id)
            act = self._act(room)
            member = room.members.get(subject.key)
            if member is None:
                if message.administrator is not None or not is_open(room, subject, act.mail.at):
                    raise not_found("no such member")
                act.withdraw(subject)
            elif message.administrator is None:
                if subject is actor:
                    raise conflict("leave-channel is for leaving")
                act.part(member)
            elif message.administrator == member.administrator:
                return
            else:
                if not message.administrator and is_last_administrator(room, member):
                    raise conflict("the channel needs an administrator")
                act.appoint(member, administrator=message.administrator)
            await self._store(act)

    # -- making it so ----------------------------------------------------------------------

    def _act(self, room: Room, at: int | None = None) -> RoomAct:
        return RoomAct(
            self._register,
            room,
            at=self._now() if at is None else at,
            most_invitations=self._limits.invitations,
        )

    async def _store(
        self, act: RoomAct, notify: Callable[[Acceptance], None] = lambda _acceptance: None
    ) -> None:
        is_stored = False

        def done(error: StoreError | None) -> None:
            nonlocal is_stored
            is_stored = error is None
            if is_stored:
                self._register.lapsed(act.mail.lapsed)
                self._crier.tell(act.room, act.news)
            else:  # at once, for who sends a message to the Room waits for no turn
                self._register.doubt(act.room, act.departed)

        try:
            await self._post.send(act.mail, notify=notify, on_done=done)
        finally:
            if not is_stored:
                act.room.is_doubtful = True


def _invitation(room: Room, sender: Subscriber, *, administrator: bool) -> Rendered:
    """The token is for administrators alone."""
    return answers.invitation(
        InvitationView(
            room.id,
            room.name,
            sender.id,
            administrator,
            room.attributes,
            room.invite_token if administrator else None,
        )
    )
