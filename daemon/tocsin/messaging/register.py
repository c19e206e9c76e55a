"""The one object of each Subscriber and Room that is in use (messaging.md, 1).

Whatever is decided on them is decided on these objects, synchronously, so requests that race see
each other. What nobody uses is forgotten: the tables are weak, and the recent ones are kept.

A Room whose change was refused by the store is doubtful: its object says what was decided, not
what is so. It is read anew, in place, before anybody gets it again. The store takes its calls in
order and nobody decides on a doubtful Room, so what is read then is what is so.
"""

import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import trio

from tocsin.model.conversation import NO_ATTRIBUTES, Member, Room, Subscriber
from tocsin.store.messages import Messages
from tocsin.wire.messaging.ids import new_room_id

_T = TypeVar("_T")


class Register:
    """Finds Subscribers and Rooms, in memory or in the store, and keeps who is where.

    What is asked of the store may raise `StoreError`.
    """

    def __init__(self, store: Messages, *, user_template: str, cached: int = 10_000) -> None:
        """`user_template` makes the core's user of a subscriber (MS-3). `cached`: how many
        Subscribers nobody uses are remembered, and as many Members of Rooms nobody uses."""
        self._store = store
        self._user_template = user_template
        self._by_id: weakref.WeakValueDictionary[tuple[str, str], Subscriber] = (
            weakref.WeakValueDictionary()
        )
        self._by_key: weakref.WeakValueDictionary[int, Subscriber] = weakref.WeakValueDictionary()
        self._rooms: weakref.WeakValueDictionary[tuple[str, str], Room] = (
            weakref.WeakValueDictionary()
        )
        self._rooms_by_key: weakref.WeakValueDictionary[int, Room] = weakref.WeakValueDictionary()
        self._recent: _Recent[Subscriber] = _Recent(cached)
        self._recent_rooms: _Recent[Room] = _Recent(cached)
        self._under_way: dict[object, trio.Event] = {}
        self._entered: dict[int, dict[int, Room]] = {}

    # -- subscribers -----------------------------------------------------------------------

    def cached(self, domain: str, id_: str) -> Subscriber | None:
        """The Subscriber, if he is in memory."""
        subscriber = self._by_id.get((domain, id_))
        if subscriber is not None:
            self._recent.keep(subscriber.key, subscriber)
        return subscriber

    async def subscriber(self, domain: str, id_: str) -> Subscriber:
        """A Subscriber; a new one, not stored yet, where nobody has heard of him."""
        return self.cached(domain, id_) or (await self.subscribers(domain, [id_]))[0]

    async def subscribers(self, domain: str, ids: Sequence[str]) -> list[Subscriber]:
        """Many of them, in the order of their ids, loading all that are missing in one go."""
        found = {id_: one for id_ in ids if (one := self.cached(domain, id_)) is not None}
        missing = [id_ for id_ in dict.fromkeys(ids) if id_ not in found]
        if missing:
            stored = await self._store.find_subscribers(domain, missing)
            for id_ in missing:
                # Another task may have made him meanwhile: its object is the one.
                found[id_] = self.cached(domain, id_) or self._made(domain, id_, stored.get(id_))
        return [found[id_] for id_ in ids]

    def _made(self, domain: str, id_: str, stored: tuple[int, bool] | None) -> Subscriber:
        if stored is None:
            return self._take_in(self._store.next_subscriber_key(), domain, id_)
        key, is_known = stored
        return self._take_in(key, domain, id_, is_known=is_known, is_stored=True)

    def _take_in(
        self,
        key: int,
        domain: str,
        id_: str,
        *,
        is_known: bool = False,
        is_stored: bool = False,
    ) -> Subscriber:
        user = self._user_template.format(subscriber=id_, domain=domain)
        one = Subscriber(key, domain, id_, user, is_known=is_known, is_stored=is_stored)
        self._by_id[domain, id_] = self._by_key[key] = one
        self._recent.keep(key, one)
        return one

    def _met(self, key: int, domain: str, id_: str, is_known: bool) -> Subscriber:
        """The Subscriber a Room that is being loaded tells of."""
        one = self._by_key.get(key)
        if one is None:
            return self._take_in(key, domain, id_, is_known=is_known, is_stored=True)
        one.is_known = one.is_known or is_known
        return one

    # -- Rooms -----------------------------------------------------------------------------

    async def room(self, domain: str, room_id: str) -> Room | None:
        """The Room of that id, as it is; None where there is none, or no longer.

        Comes back without a pause where the Room is in memory and not doubtful.
        """
        name = (domain, room_id)
        while True:
            if (busy := self._under_way.get(name)) is not None:
                await busy.wait()
                continue
            room = self._rooms.get(name)
            if room is not None and not room.is_doubtful:
                return self._kept(room)
            with self._alone(name):
                if room is not None:
                    await self._reread(room)
                    continue
                room = await self._store.load_room(domain, room_id, self._met)
                return None if room is None else self._taken(room)

    def make_room(
        self,
        domain: str,
        name: str,
        *,
        at: int,
        invite_token: str | None,
        attributes: bytes | None,
    ) -> Room:
        """A new Room, without members, that is not stored yet."""
        key = self._store.next_room_key()
        room = Room(key, new_room_id(), domain, name, at, invite_token, attributes or NO_ATTRIBUTES)
        return self._taken(room)

    def enter(self, room: Room, member: Member) -> None:
        """Somebody is a member from now on."""
        room.members[member.subscriber.key] = member
        self._rooms_held(member.subscriber)[room.key] = room

    def depart(self, room: Room, subscriber: Subscriber) -> None:
        """Somebody is one no longer."""
        del room.members[subscriber.key]
        self._rooms_held(subscriber).pop(room.key, None)

    def finish(self, room: Room) -> None:
        """A Room is over, for all its members."""
        room.is_over = True
        for member in list(room.members.values()):
            self.depart(room, member.subscriber)
        room.invited.clear()

    def doubt(self, room: Room, departed: Iterable[Member]) -> None:
        """The store has refused what was decided on a Room. Those who had left are in it still, and
        it is to be among theirs, so that it is read anew when somebody asks for these."""
        room.is_doubtful = True
        room.is_over = False
        for member in departed:
            self.enter(room, member)

    def lapsed(self, invitations: Iterable[tuple[int, int]]) -> None:
        """Invitations, (room, subscriber) keys, have gone from the store. A newer one may have
        been opened since, so the store is to say what there is."""
        for room_key, _ in invitations:
            room = self._rooms_by_key.get(room_key)
            if room is not None:
                room.is_doubtful = True

    # -- who is where ----------------------------------------------------------------------

    async def hold_rooms(self, subscriber: Subscriber) -> None:
        """Have `subscriber.rooms` loaded and kept current from here on.

        For who has a live connection; `let_go` when the last has ended, and after this if it ended
        meanwhile.
        """
        while subscriber.rooms is None:
            if (busy := self._under_way.get(subscriber)) is not None:
                await busy.wait()
                continue
            with self._alone(subscriber):
                entered = self._entered[subscriber.key] = {}
                try:
                    found = await self.rooms_of(subscriber)
                finally:
                    del self._entered[subscriber.key]
                subscriber.rooms = {room.key: room for room in found} | entered

    def let_go(self, subscriber: Subscriber) -> None:
        """His last connection has ended."""
        subscriber.rooms = None

    async def rooms_of(self, subscriber: Subscriber) -> list[Room]:
        """The Rooms somebody is a member of, in order of joining, none doubtful."""
        if subscriber.rooms is None:
            ids = await self._store.rooms_of(subscriber.key)
        else:
            ids = [room.id for room in subscriber.rooms.values()]
        rooms = [await self.room(subscriber.domain, id_) for id_ in ids]
        return [room for room in rooms if room is not None and subscriber.key in room.members]

    # --------------------------------------------------------------------------------------

    def _rooms_held(self, subscriber: Subscriber) -> dict[int, Room]:
        """Where to note a Room of his: with those held, or with what those being loaded lack."""
        rooms = subscriber.rooms
        return self._entered.get(subscriber.key, {}) if rooms is None else rooms

    def _taken(self, room: Room) -> Room:
        self._rooms[room.domain, room.id] = self._rooms_by_key[room.key] = room
        self._recent_rooms.keep(room.key, room, weight=1 + len(room.members))
        return room

    def _kept(self, room: Room) -> Room | None:
        if room.is_over:
            return None
        self._recent_rooms.keep(room.key, room, weight=1 + len(room.members))
        return room

    async def _reread(self, room: Room) -> None:
        before = list(room.members.values())
        # Doubts that arise while it is read stay.
        room.is_doubtful = False
        is_read = False
        try:
            await self._store.reload_room(room, self._met)
            is_read = True
        finally:
            room.is_doubtful = room.is_doubtful or not is_read
        for member in before:
            if member.subscriber.key not in room.members:
                self._rooms_held(member.subscriber).pop(room.key, None)
        for member in room.members.values():
            self._rooms_held(member.subscriber)[room.key] = room

    @contextmanager
    def _alone(self, what: object) -> Iterator[None]:
        """Whoever wants the same meanwhile waits, and then looks again."""
        done = self._under_way[what] = trio.Event()
        try:
            yield
        finally:
            del self._under_way[what]
            done.set()


class _Recent(Generic[_T]):
    """Keeps what was used last, up to a weight in all; the longest unused goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[int, tuple[_T, int]] = OrderedDict()
        self._weight = 0

    def keep(self, key: int, one: _T, *, weight: int = 1) -> None:
        """It was used just now."""
        known = self._kept.pop(key, None)
        if known is not None:
            self._weight -= known[1]
        self._kept[key] = (one, weight)
        self._weight += weight
        while self._weight > self._most:
            self._weight -= self._kept.popitem(last=False)[1][1]
