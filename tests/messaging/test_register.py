"""tocsin.messaging.register: one object of each Subscriber and Room."""

import gc

import pytest
import trio
import trio.testing
from tests.fakes.deliveries import T0
from tests.fakes.messaging_world import DOMAIN, MessagingWorld, StagedStore, names

from tocsin.messaging.register import Register
from tocsin.model.conversation import Member, Room, Subscriber
from tocsin.model.errors import RequestError, StoreError


@pytest.fixture
async def world() -> MessagingWorld:  # noqa: ASYNC124 - to be made inside Trio
    return MessagingWorld()


async def test_subscribers_are_one_object_each(world: MessagingWorld) -> None:
    """MS-2: found by domain and id; the same id in another domain is somebody else."""
    one, other, again = await world.register.subscribers(DOMAIN, ["ann", "bob", "ann"])
    assert one is again
    assert one is not other
    assert await world.register.subscriber(DOMAIN, "bob") is other
    assert await world.register.subscriber("else", "ann") is not one
    assert world.register.cached(DOMAIN, "ann") is one
    assert len({one.key, other.key}) == 2
    assert world.store.reads["find_subscribers"] == 2


async def test_the_user_of_the_core_is_made_by_the_template(world: MessagingWorld) -> None:
    """MS-3: whatever is in an id, braces too."""
    ann = await world.register.subscriber(DOMAIN, "a{domain}n")
    assert ann.user == "a{domain}n@acme"
    other = Register(world.store, user_template="{subscriber}")
    assert (await other.subscriber(DOMAIN, "bob")).user == "bob"


async def test_who_has_never_been_here_is_not_known(world: MessagingWorld) -> None:
    """MS-26: a new Subscriber is neither stored nor known; who has connected is both, for good."""
    ann = await world.register.subscriber(DOMAIN, "ann")
    assert (ann.is_known, ann.is_stored) == (False, False)
    await world.connect("bob")
    world.restart()
    bob = await world.register.subscriber(DOMAIN, "bob")
    assert (bob.is_known, bob.is_stored) == (True, True)


async def test_who_asks_at_once_gets_the_same_subscriber(world: MessagingWorld) -> None:
    """MS-2: two that look for somebody new make one object, though both had to ask the store."""
    found: list[Subscriber] = []

    async def look() -> None:
        found.append(await world.register.subscriber(DOMAIN, "ann"))

    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            for _ in range(3):
                nursery.start_soon(look)
            await trio.testing.wait_all_tasks_blocked()
    assert found[0] is found[1] is found[2]


async def test_who_asks_at_once_has_a_room_loaded_once(world: MessagingWorld) -> None:
    """MS-1: there is one object of a Room, and one look into the store for it."""
    room_id = await world.room_of(*await world.people("ann", "bob"))
    world.restart()
    found: list[Room | None] = []

    async def look() -> None:
        found.append(await world.register.room(DOMAIN, room_id))

    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            for _ in range(3):
                nursery.start_soon(look)
            await trio.testing.wait_all_tasks_blocked()
    assert found[0] is not None
    assert found[0] is found[1] is found[2]
    assert names(found[0]) == ["ann", "bob"]
    assert world.store.reads["load_room"] == 1


async def test_a_load_that_is_given_up_is_taken_over(world: MessagingWorld) -> None:
    """MS-68: who waited for the one that was cancelled loads the Room himself."""
    room_id = await world.room_of(*await world.people("ann"))
    world.restart()
    found: list[Room | None] = []

    async def look() -> None:
        found.append(await world.register.room(DOMAIN, room_id))

    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            scope = trio.CancelScope()

            async def give_up() -> None:
                with scope:
                    await look()

            nursery.start_soon(give_up)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(look)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
    assert [room is not None for room in found] == [True]
    assert scope.cancelled_caught


async def test_a_room_is_of_one_domain(world: MessagingWorld) -> None:
    """MS-2: to another domain it does not exist."""
    room_id = await world.room_of(*await world.people("ann"))
    assert await world.register.room(DOMAIN, room_id) is not None
    assert await world.register.room("else", room_id) is None
    world.restart()
    assert await world.register.room("else", room_id) is None


async def test_what_nobody_uses_is_forgotten(world: MessagingWorld) -> None:
    """MS-68: beyond the recent ones neither Subscribers nor Rooms stay in memory; those in use
    stay the one object."""
    register = Register(world.store, user_template="{subscriber}", cached=4)
    kept = await register.subscriber(DOMAIN, "kept")
    await register.subscriber(DOMAIN, "gone")
    for number in range(4):
        await register.subscriber(DOMAIN, f"s{number}")
    gc.collect()
    assert register.cached(DOMAIN, "gone") is None
    assert await register.subscriber(DOMAIN, "kept") is kept


async def test_a_room_weighs_as_much_as_its_members(world: MessagingWorld) -> None:
    """MS-68: large Rooms nobody uses fill the bound sooner."""
    links = await world.people("ann", "bob", "cat")
    large, small = await world.room_of(*links), await world.room_of(links[0])
    for link in links:
        world.disconnect(link)
    register = Register(world.store, user_template="{subscriber}", cached=5)
    await register.room(DOMAIN, large)
    await register.room(DOMAIN, small)
    gc.collect()
    before = world.store.reads["load_room"]
    await register.room(DOMAIN, small)
    assert world.store.reads["load_room"] == before
    await register.room(DOMAIN, large)
    assert world.store.reads["load_room"] == before + 1


async def test_members_of_a_room_in_use_stay(world: MessagingWorld) -> None:
    """MS-1: a Room holds the one object of each of its members."""
    room_id = await world.room_of(*await world.people("ann", "bob"))
    register = Register(world.store, user_template="{subscriber}", cached=1)
    room = await register.room(DOMAIN, room_id)
    assert room is not None
    gc.collect()
    assert await register.subscriber(DOMAIN, "bob") is next(
        one.subscriber for one in room.members.values() if one.subscriber.id == "bob"
    )


async def test_a_doubtful_room_is_read_anew_in_place(world: MessagingWorld) -> None:
    """MS-17: what could not be stored is undone in the same object, for Rooms of live ones too."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.create(ann)
    room = await world.find(room_id)
    world.store.refuses = lambda _mail: True
    with pytest.raises(RequestError):
        await world.join(bob, room_id)
    with pytest.raises(RequestError):
        await world.update(ann, room_id, name="Night")
    world.store.refuses = lambda _mail: False
    assert room.is_doubtful
    assert await world.find(room_id) is room
    assert (names(room), room.name, room.is_doubtful) == (["ann"], "Day shift", False)
    assert bob.subscriber.rooms == {}
    assert ann.subscriber.rooms == {room.key: room}


async def test_a_room_that_cannot_be_read_stays_doubtful(world: MessagingWorld) -> None:
    """MS-17: until the store says how things are, nobody gets the Room."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.create(ann)
    world.store.refuses = lambda _mail: True
    with pytest.raises(RequestError):
        await world.join(bob, room_id)
    world.store.is_failing = True
    for _ in range(2):
        with pytest.raises(StoreError):
            await world.register.room(DOMAIN, room_id)
    world.store.is_failing = False
    assert names(await world.find(room_id)) == ["ann"]


async def test_a_room_that_was_never_stored_is_none(world: MessagingWorld) -> None:
    """MS-17: a Room whose making was refused is in nobody's list."""
    [ann] = await world.people("ann")
    world.store.refuses = lambda _mail: True
    with pytest.raises(RequestError):
        await world.create(ann)
    world.store.refuses = lambda _mail: False
    assert await world.rooms.memberships(ann.subscriber) == []
    assert ann.subscriber.rooms == {}


async def test_nobody_gets_a_room_while_it_is_read_anew(world: MessagingWorld) -> None:
    """MS-17: who asks meanwhile waits for what the store says."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.create(ann)
    room = await world.find(room_id)
    await world.join(bob, room_id)
    room.members.pop(bob.subscriber.key)
    room.is_doubtful = True
    seen: list[list[str]] = []

    async def look() -> None:
        seen.append(names(await world.find(room_id)))

    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(look)
            nursery.start_soon(look)
            await trio.testing.wait_all_tasks_blocked()
    assert seen == [["ann", "bob"]] * 2
    assert world.store.reads["reload_room"] == 1


async def test_a_doubt_that_arises_while_a_room_is_read_stays(world: MessagingWorld) -> None:
    """MS-33: an invitation that lapses meanwhile has the Room read once more."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.create(ann)
    await world.invite(ann, room_id, "bob")
    room = await world.find(room_id)
    room.is_doubtful = True
    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(world.find, room_id)
            await trio.testing.wait_all_tasks_blocked()
            world.register.lapsed([(room.key, bob.subscriber.key)])
    assert not room.is_doubtful
    assert world.store.reads["reload_room"] == 2


async def test_rooms_are_held_while_somebody_is_live(world: MessagingWorld) -> None:
    """MS-41: the Rooms of who is connected are at hand, in order of joining, and kept current."""
    ann, bob = await world.people("ann", "bob")
    first, second = await world.create(ann), await world.create(ann)
    await world.join(bob, second)
    await world.join(bob, first)
    world.restart()
    bob = await world.connect("bob")
    assert bob.subscriber.rooms is not None
    assert [room.id for room in bob.subscriber.rooms.values()] == [second, first]
    await world.leave(bob, second)
    assert [room.id for room in bob.subscriber.rooms.values()] == [first]
    world.register.let_go(bob.subscriber)
    assert bob.subscriber.rooms is None
    assert [room.id for room in await world.register.rooms_of(bob.subscriber)] == [first]
    assert bob.subscriber.rooms is None


async def test_rooms_are_loaded_once_for_two_connections(world: MessagingWorld) -> None:
    """MS-48: two that come at the same time share one look into the store."""
    await world.room_of(*await world.people("ann"))
    world.restart()
    ann = await world.register.subscriber(DOMAIN, "ann")
    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(world.register.hold_rooms, ann)
            nursery.start_soon(world.register.hold_rooms, ann)
            await trio.testing.wait_all_tasks_blocked()
    assert ann.rooms is not None
    assert len(ann.rooms) == 1
    assert world.store.reads["rooms_of"] == 1


async def test_who_is_removed_while_his_rooms_are_loaded_is_out(world: MessagingWorld) -> None:
    """MS-35: a Room he was removed from meanwhile is not among those held; nor one that ended."""
    ann, bob = await world.people("ann", "bob")
    kept, left, ended = [await world.room_of(ann, bob) for _ in range(3)]
    world.disconnect(bob)
    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(world.register.hold_rooms, bob.subscriber)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(world.remove, ann, left, "bob")
            nursery.start_soon(world.delete, ann, ended)
            await trio.testing.wait_all_tasks_blocked()
    assert [room.id for room in (bob.subscriber.rooms or {}).values()] == [kept]


async def test_who_enters_while_his_rooms_are_loaded_is_in(world: MessagingWorld) -> None:
    """MS-41: a Room he joins by another connection meanwhile is among those held, unless he has
    left it again."""
    ann, bob = await world.people("ann", "bob")
    kept, left = [await world.find(await world.create(ann)) for _ in range(2)]
    world.disconnect(bob)
    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(world.register.hold_rooms, bob.subscriber)
            await trio.testing.wait_all_tasks_blocked()
            for room in (kept, left):
                member = Member(bob.subscriber, administrator=False, joined_at=T0)
                world.register.enter(room, member)
            world.register.depart(left, bob.subscriber)
    assert bob.subscriber.rooms == {kept.key: kept}


async def test_who_is_removed_while_his_rooms_are_listed_is_out(world: MessagingWorld) -> None:
    """MS-35: of a list that is being made, too."""
    ann, bob = await world.people("ann", "bob")
    kept, left = [await world.room_of(ann, bob) for _ in range(2)]
    world.disconnect(bob)
    listed: list[str] = []

    async def look() -> None:
        listed.extend(room.id for room in await world.register.rooms_of(bob.subscriber))

    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(look)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(world.remove, ann, left, "bob")
            await trio.testing.wait_all_tasks_blocked()
    assert listed == [kept]


async def test_holding_rooms_fails_with_the_store() -> None:
    """MS-69: and can be tried again."""
    world = MessagingWorld(store=StagedStore())
    await world.room_of(*await world.people("ann"))
    world.restart()
    ann = await world.register.subscriber(DOMAIN, "ann")
    world.store.is_failing = True
    with pytest.raises(StoreError):
        await world.register.hold_rooms(ann)
    assert ann.rooms is None
    world.store.is_failing = False
    await world.register.hold_rooms(ann)
    assert len(ann.rooms or {}) == 1
