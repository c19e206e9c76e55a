"""Rooms: every act of section 7 (messaging.md)."""

import attrs

from tocsin.messaging.link import Link
from tocsin.model.conversation import Subscriber
from tocsin.store.mail import Posted
from tocsin.wire.messaging.clientmessages import (
    CreateRoom,
    DeleteRoom,
    Invite,
    JoinRoom,
    LeaveRoom,
    UpdateMember,
    UpdateRoom,
)
from tocsin.wire.messaging.rendered import Rendered
from tocsin.wire.messaging.views import MembershipView, SubscriberView


@attrs.frozen
class Reply:
    """The response of section 5, with the cursor of `entry`, which other connections of the same
    subscriber get (MS-47); None where nothing was written."""

    rendered: Rendered
    entry: Posted | None


class Rooms:
    """Makes, changes and ends Rooms. Each act is durable on return, or raises `Refused`, or the
    503 of `Post`, or `StoreError`, and has had no effect."""

    async def create(self, link: Link, message: CreateRoom) -> Reply:
        """`invitation`; its entry is `membership` joined (MS-47)."""
        raise NotImplementedError

    async def join(self, link: Link, message: JoinRoom) -> Reply:
        """`membership` joined; without an entry for a member."""
        raise NotImplementedError

    async def leave(self, link: Link, message: LeaveRoom) -> Reply:
        """`membership` left."""
        raise NotImplementedError

    async def update(self, link: Link, message: UpdateRoom) -> None:
        """Change a Room's name, token or attributes."""
        raise NotImplementedError

    async def delete(self, link: Link, message: DeleteRoom) -> None:
        """End a Room."""
        raise NotImplementedError

    async def invite(self, link: Link, message: Invite) -> None:
        """Open invitations."""
        raise NotImplementedError

    async def change_member(self, link: Link, message: UpdateMember) -> None:
        """Make or unmake an administrator, remove a member, withdraw an invitation."""
        raise NotImplementedError

    async def memberships(self, subscriber: Subscriber) -> list[MembershipView]:
        """The Rooms of a subscriber, in order of joining; he need not be connected."""
        raise NotImplementedError

    async def list_members(self, viewer: Subscriber, room_id: str) -> list[SubscriberView]:
        """All members, in order of their standing."""
        raise NotImplementedError

    async def members_page(
        self, viewer: Subscriber, room_id: str, *, after: str | None, limit: int
    ) -> tuple[list[SubscriberView], bool]:
        """Some members in order of their ids, those behind `after`, and whether more follow."""
        raise NotImplementedError
