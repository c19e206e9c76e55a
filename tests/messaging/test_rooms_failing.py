"""tocsin.messaging.rooms: what the store refuses, and who does not wait for it."""

import pytest
import trio
import trio.testing
from tests.fakes.messaging_world import (
    DOMAIN,
    TEMPLATE,
    MessagingWorld,
    administrators,
    names,
    texts,
)

from tocsin.messaging.register import Register
from tocsin.messaging.settings import MessagingLimits
from tocsin.model.conversation import Room
from tocsin.model.errors import RequestError, StoreError
from tocsin.store.messages import Load
from tocsin.store.records import Acceptance
from tocsin.wire.messaging.words import Availability


@pytest.fixture
async def world() -> MessagingWorld:  # noqa: ASYNC124 - to be made inside Trio
    return MessagingWorld()


async def test_what_is_not_stored_has_no_effect(world: MessagingWorld) -> None:
    """MS-17, MS-21: nobody is told, nothing is kept, and the same works when the store does."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann)
    world.store.refuses = lambda _mail: True
    for act in (
        world.join(bob, room_id),
        world.leave(ann, room_id),
        world.delete(ann, room_id),
        world.update(ann, room_id, name="Night shift"),
        world.invite(ann, room_id, "bob"),
        world.create(bob),
    ):
        with pytest.raises(RequestError) as caught:
            await act
        assert caught.value.status == 503
    world.store.refuses = lambda _mail: False
    assert ann.entries == bob.entries == ann.notices == []
    room = await world.find(room_id)
    assert (names(room), room.name, room.invited) == (["ann"], "Day shift", {})
    assert ann.subscriber.rooms == {room.key: room}
    assert await world.rooms.memberships(bob.subscriber) == []
    await world.join(bob, room_id)
    assert names(room) == ["ann", "bob"]


async def test_of_two_acts_under_way_one_may_fail(world: MessagingWorld) -> None:
    """MS-17: nothing is decided on what is not stored yet; what was refused is undone, and what
    was asked for meanwhile is done then."""
    ann, bob, cat = await world.people("ann", "bob", "cat")
    room_id = await world.room_of(ann)
    world.store.refuses = lambda mail: mail.entries[0].subscriber_key == bob.subscriber.key
    failed: list[RequestError] = []

    async def join_in_vain() -> None:
        try:
            await world.join(bob, room_id)
        except RequestError as error:
            failed.append(error)

    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(join_in_vain)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(world.join, cat, room_id)
            await trio.testing.wait_all_tasks_blocked()
            assert names(await world.find(room_id)) == ["ann", "bob"]
    assert len(failed) == 1
    assert names(await world.find(room_id)) == ["ann", "cat"]
    assert [one["subscriber"]["id"] for one in ann.notices] == ["cat"]
    assert bob.subscriber.rooms == {}


async def test_who_stops_waiting_has_acted(world: MessagingWorld) -> None:
    """MS-21: an act that was handed to the store takes effect though its connection has gone; the
    others are told."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann)
    room = await world.find(room_id)
    finished: list[bool] = []

    async with trio.open_nursery() as nursery:
        gate = trio.Event()
        accept = world.store.accept

        async def accept_and_wait(*arguments: object) -> None:
            await accept(*arguments)  # type: ignore[arg-type]
            await gate.wait()

        world.store.accept = accept_and_wait  # type: ignore[method-assign]

        async def join() -> None:
            await world.join(bob, room_id)
            finished.append(True)

        nursery.start_soon(join)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert finished == []
    assert [one["change"] for one in ann.notices] == ["joined"]
    assert await world.find(room_id) is room
    assert names(room) == ["ann", "bob"]


async def test_who_waits_for_a_dead_act_goes_on(world: MessagingWorld) -> None:
    """MS-17, MS-68: when the connection of one who acts ends before his act is stored, the next
    one decides on what came of it."""
    ann, bob, cat = await world.people("ann", "bob", "cat")
    room_id = await world.room_of(ann)
    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            scope = trio.CancelScope()

            async def join_and_vanish() -> None:
                with scope:
                    await world.join(bob, room_id)

            nursery.start_soon(join_and_vanish)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(world.join, cat, room_id)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
    stored = Register(world.store, user_template=TEMPLATE)
    there = await stored.room(DOMAIN, room_id)
    assert there is not None
    assert names(await world.find(room_id)) == names(there)
    assert "cat" in names(there)


async def test_nobody_is_the_last_because_another_could_not_leave(world: MessagingWorld) -> None:
    """MS-17, MS-34: one who leaves behind another, whose leaving then fails, does not end the Room;
    the other succeeds him."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann, bob)
    world.store.refuses = lambda mail: mail.entries[0].subscriber_key == bob.subscriber.key

    async def leave_in_vain() -> None:
        with pytest.raises(RequestError):
            await world.leave(bob, room_id)

    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(leave_in_vain)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(world.leave, ann, room_id)
            await trio.testing.wait_all_tasks_blocked()
    room = await world.find(room_id)
    assert (names(room), administrators(room)) == (["bob"], {"bob"})
    assert [one["change"] for one in texts(bob)] == ["updated"]


async def test_rooms_that_were_not_stored_are_none_of_his(world: MessagingWorld) -> None:
    """MS-17, section 12: however often he has tried to make one in vain, or to join."""
    world = MessagingWorld(limits=MessagingLimits(rooms_per_subscriber=2))
    ann, bob = await world.people("ann", "bob")
    room_id = await world.create(ann)
    world.store.refuses = lambda _mail: True
    for attempt in (world.create(bob), world.join(bob, room_id), world.create(bob)):
        with pytest.raises(RequestError):
            await attempt
    world.store.refuses = lambda _mail: False
    await world.join(bob, room_id)
    await world.create(bob)
    assert len(bob.subscriber.rooms or {}) == 2


async def test_a_room_that_is_read_anew_while_somebody_joins(
    world: MessagingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MS-21: he is in it afterwards, though it was read before he was, while the store was asked
    for his other Rooms."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann)
    room = await world.find(room_id)
    world.disconnect(bob)
    turn, read = trio.Lock(), trio.Event()
    accept, load = world.store.accept, world.store.load_room

    async def read_slowly(room: Room, met: Load) -> None:
        async with turn:
            stored = await load(DOMAIN, room.id, met)
            assert stored is not None
            await read.wait()
            room.members = stored.members

    async def accept_in_turn(acceptance: Acceptance, on_done: object) -> None:
        async with turn:
            await accept(acceptance, on_done)  # type: ignore[arg-type]

    monkeypatch.setattr(world.store, "reload_room", read_slowly)
    monkeypatch.setattr(world.store, "accept", accept_in_turn)
    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(world.join, bob, room_id)
            await trio.testing.wait_all_tasks_blocked()
            world.register.lapsed([(room.key, 0)])
            nursery.start_soon(world.find, room_id)
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()
        read.set()
    assert names(await world.find(room_id)) == ["ann", "bob"]


async def test_nobody_relies_on_what_has_just_been_refused(
    world: MessagingWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MS-17: who asks for the Room between the store's word and whoever acted finds it as it is."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann)
    gate = trio.Event()

    async def refuse_and_wait(_acceptance: Acceptance, on_done: object) -> None:
        on_done(StoreError("the disk is on fire"))  # type: ignore[operator]
        await gate.wait()
        raise StoreError("the disk is on fire")

    async def join_in_vain() -> None:
        with pytest.raises(RequestError):
            await world.join(bob, room_id)

    monkeypatch.setattr(world.store, "accept", refuse_and_wait)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(join_in_vain)
        await trio.testing.wait_all_tasks_blocked()
        assert names(await world.find(room_id)) == ["ann"]
        gate.set()


@pytest.mark.parametrize("ends", ["leave", "delete", "remove"])
async def test_who_could_not_leave_is_in_it_still(world: MessagingWorld, ends: str) -> None:
    """MS-17: his Rooms are what they were, whether anybody has asked for that one since or not, and
    his presence is told there."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann, bob)
    room = await world.find(room_id)
    world.store.refuses = lambda _mail: True
    act = {
        "leave": lambda: world.leave(bob, room_id),
        "delete": lambda: world.delete(ann, room_id),
        "remove": lambda: world.remove(ann, room_id, "bob"),
    }
    with pytest.raises(RequestError):
        await act[ends]()
    world.announce(bob, Availability.BUSY)
    assert ann.told_of[bob.subscriber.key]["availability"] == "busy"
    assert [one.room_id for one in await world.rooms.memberships(bob.subscriber)] == [room_id]
    assert not room.is_doubtful
    world.store.refuses = lambda _mail: False
    await world.leave(bob, room_id)
    assert bob.subscriber.rooms == {}
    assert ann.subscriber.rooms == {room.key: room}
