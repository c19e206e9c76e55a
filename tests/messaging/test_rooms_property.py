"""tocsin.messaging.rooms: whatever is done, memory, store and Logs tell the same."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.messaging_world import (
    DOMAIN,
    TEMPLATE,
    MessagingWorld,
    administrators,
    names,
)

from tocsin.messaging.refused import Refused
from tocsin.messaging.register import Register
from tocsin.messaging.settings import MessagingLimits
from tocsin.model.conversation import Room
from tocsin.model.errors import RequestError

IDS = ("ann", "bob", "cat", "dan")
LIMITS = MessagingLimits(
    room_members=3, rooms_per_subscriber=3, invitations=2, joins_per_minute=1000
)
PEOPLE = st.sampled_from(IDS)
ROOMS = st.integers(0, 3)
Act = tuple[Any, ...]
ACTS = st.one_of(
    st.tuples(st.just("create"), PEOPLE),
    st.tuples(st.just("join"), PEOPLE, ROOMS, st.sampled_from(["s3", None])),
    st.tuples(st.just("leave"), PEOPLE, ROOMS),
    st.tuples(st.just("invite"), PEOPLE, ROOMS, PEOPLE, PEOPLE),
    st.tuples(st.just("appoint"), PEOPLE, ROOMS, PEOPLE, st.booleans()),
    st.tuples(st.just("remove"), PEOPLE, ROOMS, PEOPLE),
    st.tuples(st.just("update"), PEOPLE, ROOMS, st.sampled_from(["Day", "Night"])),
    st.tuples(st.just("delete"), PEOPLE, ROOMS),
)
STEPS = st.lists(st.tuples(ACTS, st.integers(0, 4)), max_size=25)


class Play:
    """People who do what they like, in a store that fails now and then."""

    def __init__(self) -> None:
        self.world = MessagingWorld(limits=LIMITS)
        self.links: dict[str, Any] = {}
        self.room_ids: list[str] = []

    async def start(self) -> None:
        for id_ in IDS:
            self.links[id_] = await self.world.connect(id_)
        for id_ in IDS:
            self.room_ids.append(await self.world.create(self.links[id_]))

    async def attempt(self, act: Act) -> None:
        """What is refused is refused."""
        with suppress(Refused, RequestError):
            await self._do(*act)

    async def _do(self, kind: str, who: str, room: int = 0, *rest: Any) -> None:
        world, link, room_id = self.world, self.links[who], self.room_ids[room]
        match kind, rest:
            case "create", _:
                self.room_ids[room] = await world.create(link)
            case "join", (token,):
                await world.join(link, room_id, token)
            case "leave", _:
                await world.leave(link, room_id)
            case "invite", ids:
                await world.invite(link, room_id, *dict.fromkeys(ids))
            case "appoint", (whom, flag):
                await world.appoint(link, room_id, whom, administrator=flag)
            case "remove", (whom,):
                await world.remove(link, room_id, whom)
            case "update", (name,):
                await world.update(link, room_id, name=name)
            case "delete", _:
                await world.delete(link, room_id)

    async def check(self) -> None:
        """Memory says of Rooms what the store says, and Logs say the same of memberships."""
        stored = Register(self.world.store, user_template=TEMPLATE)
        for room_id in self.room_ids:
            here = await self.world.register.room(DOMAIN, room_id)
            there = await stored.room(DOMAIN, room_id)
            assert _shape(here) == _shape(there)
            if here is not None:
                assert administrators(here)
                assert len(here.members) <= LIMITS.room_members
        for link in self.links.values():
            own = await self.world.rooms.memberships(link.subscriber)
            held = link.subscriber.rooms or {}
            assert {one.room_id for one in own} == {room.id for room in held.values()}
            assert len(own) <= LIMITS.rooms_per_subscriber
            assert _told(await self.world.log_of(link.subscriber)) == {
                one.room_id: (one.name, one.administrator) for one in own
            }
            assert [entry.seq for entry in link.entries] == list(range(1, len(link.entries) + 1))


def _shape(room: Room | None) -> object:
    if room is None:
        return None
    members = [
        (one.subscriber.id, one.administrator, one.joined_at, one.joined_after)
        for one in room.members.values()
    ]
    return room.name, room.invite_token, names(room), members, set(room.invited)


def _told(log: Sequence[dict[str, Any]]) -> dict[str, tuple[str, bool]]:
    """The memberships of somebody who knows nothing but his Log."""
    rooms: dict[str, tuple[str, bool]] = {}
    for entry in log:
        if entry["type"] != "membership":
            continue
        channel = entry["channel"]
        if entry["change"] == "left":
            del rooms[channel["channel-id"]]
        else:
            rooms[channel["channel-id"]] = channel["name"], channel["administrator"]
    return rooms


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_memory_store_and_logs_agree(steps: list[tuple[Act, int]]) -> None:
    """MS-17, MS-34, MS-36, MS-47: after each act, refused, failed or done, a Room is in memory what
    it is in the store and has an administrator; limits hold; and who only reads his Log knows his
    memberships, their names and his rights."""

    async def play() -> None:
        one = Play()
        await one.start()
        for act, chance in steps:
            one.world.store.refuses = lambda _mail, fails=chance == 0: fails
            await one.attempt(act)
            one.world.store.refuses = lambda _mail: False
            await one.check()

    trio.run(play)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(ACTS, max_size=8), max_size=4), st.lists(st.integers(0, 3), min_size=1))
def test_so_they_do_when_acts_overlap(rounds: list[list[Act]], chances: list[int]) -> None:
    """MS-17, MS-21: the same for acts that are asked for while others have not been stored yet,
    and of which some never are."""

    async def play() -> None:
        one = Play()
        await one.start()
        falls = cycle(chances)
        for acts in rounds:
            one.world.store.refuses = lambda _mail: next(falls) == 0
            async with trio.open_nursery() as nursery:
                with one.world.store.held_up():
                    for act in acts:
                        nursery.start_soon(one.attempt, act)
            one.world.store.refuses = lambda _mail: False
            await one.check()

    trio.run(play)
