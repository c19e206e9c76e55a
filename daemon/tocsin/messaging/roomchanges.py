"""What one act does to a Room: made in memory at once, and gathered for the store and for the
other members (messaging.md, 7)."""

import attrs

from tocsin.messaging.register import Register
from tocsin.model.conversation import Invitation, Member, Room, Subscriber
from tocsin.store.mail import (
    DropInvitation,
    DropMember,
    DropRoom,
    Mail,
    Posted,
    PutInvitation,
    PutMember,
    PutRoom,
)
from tocsin.wire.messaging import answers
from tocsin.wire.messaging.rendered import Rendered
from tocsin.wire.messaging.views import MembershipView
from tocsin.wire.messaging.words import MembershipChange, SubscriberChange


@attrs.frozen
class News:
    """What has happened to a member, for the others."""

    change: SubscriberChange
    subscriber: Subscriber
    administrator: bool


class RoomAct:
    """One act on one Room. `mail` is what is to be stored of it, `news` what the other members are
    told when it is; `departed` are those who were members before it.

    Nothing may be awaited from the decision to act until the mail has been handed to the store.
    """

    def __init__(self, register: Register, room: Room, *, at: int, most_invitations: int) -> None:
        self._register = register
        self.room = room
        self.mail = Mail(at, most_invitations=most_invitations)
        self.news: list[News] = []
        self.departed: list[Member] = []

    def put_room(self) -> None:
        """The Room is new, or its name, token or attributes are."""
        self.mail.changes.append(PutRoom(self.room))

    def join(
        self, subscriber: Subscriber, *, origin: object, joined_after: str, founds: bool = False
    ) -> Posted:
        """A new member, of the least standing; who `founds` the Room is its administrator."""
        room = self.room
        last = next(reversed(room.members.values()), None)
        joined_at = self.mail.at if last is None else max(self.mail.at, last.joined_at + 1)
        member = Member(subscriber, founds, joined_at, joined_after)
        self._register.enter(room, member)
        self.mail.changes.append(PutMember(room, member))
        if room.invited.pop(subscriber.key, None) is not None:
            self.mail.changes.append(DropInvitation(room, subscriber.key))
        self._spread(SubscriberChange.JOINED, member)
        text = membership(MembershipChange.JOINED, room, administrator=founds)
        return self.enter_log(subscriber, text, origin=origin)

    def part(self, member: Member, *, origin: object = None) -> Posted:
        """A member leaves, whether he wants to or not. The Room ends with its last one; who is of
        longest standing takes the place of the last administrator (MS-34)."""
        room, subscriber = self.room, member.subscriber
        self.departed.append(member)
        self._register.depart(room, subscriber)
        entry = self.enter_log(subscriber, self._left(), origin=origin)
        if not room.members:
            self._end()
            return entry
        self.mail.changes.append(DropMember(room, subscriber.key))
        self.news.append(News(SubscriberChange.LEFT, subscriber, administrator=False))
        if not any(one.administrator for one in room.members.values()):
            self.appoint(next(iter(room.members.values())), administrator=True)
        return entry

    def appoint(self, member: Member, *, administrator: bool) -> None:
        """A member gets the rights of an administrator, or loses them."""
        member.administrator = administrator
        self.mail.changes.append(PutMember(self.room, member))
        self._spread(SubscriberChange.UPDATED, member)
        text = membership(MembershipChange.UPDATED, self.room, administrator=administrator)
        self.enter_log(member.subscriber, text)

    def close(self) -> None:
        """The Room ends, for all its members and all who were invited (MS-35)."""
        text = self._left()
        for member in self.room.members.values():
            self.enter_log(member.subscriber, text)
        self.departed += self.room.members.values()
        self._end()

    def tell_members(self) -> None:
        """Every member has the Room in another form from now on (MS-36)."""
        texts = {
            flag: membership(MembershipChange.UPDATED, self.room, administrator=flag)
            for flag in (False, True)
        }
        for member in self.room.members.values():
            self.enter_log(member.subscriber, texts[member.administrator])

    def invite(self, subscriber: Subscriber, invitation: Invitation, text: Rendered) -> Posted:
        """Open an invitation. One that is over makes way: the new one is the youngest."""
        if subscriber.key in self.room.invited:
            self.withdraw(subscriber)
        self.room.invited[subscriber.key] = invitation
        self.mail.changes.append(PutInvitation(self.room, subscriber.key, invitation))
        return self.enter_log(subscriber, text)

    def withdraw(self, subscriber: Subscriber) -> None:
        """An invitation is open no longer."""
        del self.room.invited[subscriber.key]
        self.mail.changes.append(DropInvitation(self.room, subscriber.key))

    def enter_log(self, subscriber: Subscriber, text: Rendered, *, origin: object = None) -> Posted:
        """Something a subscriber is told, now or when he comes."""
        if not subscriber.is_stored:
            self.mail.subscribers.append(subscriber)
        entry = Posted(subscriber.key, text, origin=origin)
        self.mail.entries.append(entry)
        return entry

    def _left(self) -> Rendered:
        return membership(MembershipChange.LEFT, self.room, administrator=False)

    def _end(self) -> None:
        self._register.finish(self.room)
        self.mail.changes.append(DropRoom(self.room))

    def _spread(self, change: SubscriberChange, member: Member) -> None:
        self.news.append(News(change, member.subscriber, member.administrator))


def membership(change: MembershipChange, room: Room, *, administrator: bool) -> Rendered:
    """What somebody is told of his own membership."""
    return answers.membership(change, membership_view(room, administrator=administrator))


def membership_view(room: Room, *, administrator: bool) -> MembershipView:
    """A Room as one of its members sees it."""
    return MembershipView(room.id, room.name, administrator, room.attributes)
