"""Who is where, for those who may know (messaging.md, 5, 6 and 11)."""

from tocsin.messaging.presence import Presence
from tocsin.messaging.register import Register
from tocsin.messaging.roomchanges import membership_view
from tocsin.messaging.roomgate import RoomGate
from tocsin.model.conversation import Member, Subscriber
from tocsin.wire.messaging.views import MembershipView, SubscriberView


class RoomLists:
    """Lists Rooms and their members; raises `Refused` where there is no Room to who asks."""

    def __init__(self, register: Register, gate: RoomGate, presence: Presence) -> None:
        self._register = register
        self._gate = gate
        self._presence = presence

    async def memberships(self, subscriber: Subscriber) -> list[MembershipView]:
        """The Rooms of a subscriber, in order of joining; he need not be connected."""
        return [
            membership_view(room, administrator=room.members[subscriber.key].administrator)
            for room in await self._register.rooms_of(subscriber)
        ]

    async def list_members(self, viewer: Subscriber, room_id: str) -> list[SubscriberView]:
        """All members, in order of their standing, as a member of theirs sees them."""
        room, _ = await self._gate.entered(viewer, room_id)
        return [self._view(viewer, member) for member in room.members.values()]

    async def members_page(
        self, viewer: Subscriber, room_id: str, *, after: str | None, limit: int
    ) -> tuple[list[SubscriberView], bool]:
        """Some members in order of their ids, those behind `after`, and whether more follow."""
        room, _ = await self._gate.entered(viewer, room_id)
        behind = [
            one for one in room.members.values() if after is None or one.subscriber.id > after
        ]
        behind.sort(key=lambda member: member.subscriber.id)
        return [self._view(viewer, member) for member in behind[:limit]], len(behind) > limit

    def _view(self, viewer: Subscriber, member: Member) -> SubscriberView:
        see = self._presence.own_view if member.subscriber is viewer else self._presence.view
        return see(member.subscriber, administrator=member.administrator)
