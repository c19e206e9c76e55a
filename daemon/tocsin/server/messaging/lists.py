"""What somebody sees of the subscribers he names (messaging.md, MS-42)."""

from collections.abc import Callable, Sequence

from tocsin.messaging.presence import Presence
from tocsin.messaging.register import Register
from tocsin.model.conversation import Subscriber
from tocsin.store.messages import Messages
from tocsin.wire.messaging.views import SubscriberView
from tocsin.wire.messaging.words import Availability


class People:
    """Looks people up without telling who exists."""

    def __init__(
        self,
        store: Messages,
        register: Register,
        presence: Presence,
        *,
        oldest: Callable[[], int],
    ) -> None:
        """`oldest` is when the history begins, epoch milliseconds."""
        self._store = store
        self._register = register
        self._presence = presence
        self._oldest = oldest

    async def look(self, viewer: Subscriber, ids: Sequence[str]) -> list[SubscriberView]:
        """Those of these ids, in their order. Co-members, correspondents and the viewer himself
        are as they are; anyone else is invisible, known or not. Raises StoreError."""
        found = await self._register.subscribers(viewer.domain, ids)
        others = [one for one in found if one is not viewer]
        near = await self._co_members(viewer, others)
        near |= await self._correspondents(viewer, others, near)
        return [self._view(viewer, one, is_near=one.key in near) for one in found]

    def _view(self, viewer: Subscriber, one: Subscriber, *, is_near: bool) -> SubscriberView:
        if one is viewer:
            return self._presence.own_view(one)
        return self._presence.view(one) if is_near else SubscriberView(one.id)

    async def _co_members(self, viewer: Subscriber, others: Sequence[Subscriber]) -> set[int]:
        rooms = await self._register.rooms_of(viewer)
        return {one.key for one in others if any(one.key in room.members for room in rooms)}

    async def _correspondents(
        self, viewer: Subscriber, others: Sequence[Subscriber], near: set[int]
    ) -> set[int]:
        """Asked of the store about those only of whom there is something to be seen."""
        keys = [one.key for one in others if one.key not in near and self._is_visible(one)]
        if not keys:
            return set()
        return await self._store.correspondents(viewer.key, keys, since=self._oldest())

    def _is_visible(self, one: Subscriber) -> bool:
        return self._presence.view(one).availability is not Availability.INVISIBLE
