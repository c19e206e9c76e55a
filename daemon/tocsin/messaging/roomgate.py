"""Who may do what with a Room (messaging.md, MS-32, MS-34 and the limits of section 12)."""

import hashlib
import hmac
from collections.abc import Callable

from tocsin.messaging.guesses import Guesses
from tocsin.messaging.refused import conflict, forbidden, not_found, rate_limited
from tocsin.messaging.register import Register
from tocsin.messaging.settings import MessagingLimits
from tocsin.model.conversation import Member, Room, Subscriber


class RoomGate:
    """Finds Rooms for those who may have them; raises `Refused` for all others."""

    def __init__(
        self, register: Register, *, limits: MessagingLimits, now: Callable[[], int]
    ) -> None:
        self._register = register
        self._limits = limits
        self._now = now
        self._guesses = Guesses(limits.joins_per_minute)

    async def entered(self, subscriber: Subscriber, room_id: str) -> tuple[Room, Member]:
        """A Room and somebody's place in it. To who has none there is no Room."""
        room = await self._register.room(subscriber.domain, room_id)
        member = None if room is None else room.members.get(subscriber.key)
        if room is None or member is None:
            raise not_found()
        return room, member

    async def administered(self, subscriber: Subscriber, room_id: str) -> Room:
        """A Room that somebody may change. Members without rights see it and may not."""
        room, member = await self.entered(subscriber, room_id)
        if not member.administrator:
            raise forbidden()
        return room

    def admit(self, subscriber: Subscriber, room: Room | None, token: str | None) -> Room:
        """The Room, if he may join it. Guessing is limited, having been invited is not (MS-32)."""
        now = self._now()
        if room is not None and is_open(room, subscriber, now):
            return room
        if wait := self._guesses.retry_after(subscriber.key, now):
            raise rate_limited(wait)
        if _opens(room, token) and room is not None:
            return room
        self._guesses.add(subscriber.key, now)
        raise not_found()

    async def refuse_another(self, subscriber: Subscriber) -> None:
        """Where he is in as many Rooms as he may be. No pause while he is connected, unless the
        store has refused what was to become of one of them."""
        rooms = subscriber.rooms
        if rooms is None or any(room.is_doubtful for room in rooms.values()):
            count = len(await self._register.rooms_of(subscriber))
        else:
            count = len(rooms)
        if count >= self._limits.rooms_per_subscriber:
            raise conflict("too many channels")

    def refuse_crowd(self, room: Room, more: int, at: int) -> None:
        """A Room has no more open invitations than it may have members."""
        already = sum(one.until > at for one in room.invited.values())
        if already + more > self._limits.room_members:
            raise conflict("too many open invitations")


def _opens(room: Room | None, token: str | None) -> bool:
    """Whether a token lets into a Room. It takes as long where there is no such Room (MS-32)."""
    expected = None if room is None else room.invite_token
    is_same = hmac.compare_digest(_digest(token), _digest(expected))
    return is_same and token is not None and expected is not None


def _digest(token: str | None) -> bytes:
    return hashlib.sha256((token or "").encode()).digest()


def is_open(room: Room, subscriber: Subscriber, now: int) -> bool:
    """Whether he has an invitation that has not lapsed."""
    invitation = room.invited.get(subscriber.key)
    return invitation is not None and invitation.until > now


def is_last_administrator(room: Room, member: Member) -> bool:
    return not any(one.administrator and one is not member for one in room.members.values())
