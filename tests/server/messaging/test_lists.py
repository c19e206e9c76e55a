"""What somebody sees of the subscribers he names or shares a Room with (messaging.md, MS-42)."""

from typing import Any

import pytest
from tests.fakes.messaging_desk import DeskWorld
from tests.fakes.messaging_links import MemoryLink

from tocsin.wire.messaging.words import Availability

INVISIBLE = ("invisible", "", {})
HERE = ("available", "here", {})


@pytest.fixture
async def world() -> DeskWorld:  # noqa: ASYNC124 - to be made inside Trio
    """Nobody is there yet."""
    return DeskWorld()


async def seen(world: DeskWorld, link: MemoryLink, *ids: str) -> list[tuple[str, Any]]:
    """The state of each of these, as somebody sees them."""
    listed = (await world.ask(link, type="list-subscribers", subscriber_ids=ids)).one
    assert listed["more"] is False
    assert "channel-id" not in listed
    assert not any(one["administrator"] for one in listed["subscribers"])
    return [
        (one["id"], (one["availability"], one["status"], one["attributes"]))
        for one in listed["subscribers"]
    ]


async def announced(world: DeskWorld, *ids: str) -> list[MemoryLink]:
    """People who are there for those who may see them."""
    links = await world.people(*ids)
    for link in links:
        world.announce(link, Availability.AVAILABLE, "here")
    return links


async def test_by_ids(world: DeskWorld) -> None:
    """MS-42: oneself, co-members and correspondents are as they are; others and unknown ids appear
    invisible, and nothing tells the two apart (MS-40)."""
    alice, bob, carol, _dave = await announced(world, "alice", "bob", "carol", "dave")
    await world.room_of(alice, bob)
    await world.say(alice, "carol")
    await world.say(carol, "alice")
    assert await seen(world, alice, "dave", "carol", "nobody", "alice", "bob") == [
        ("dave", INVISIBLE),
        ("carol", HERE),
        ("nobody", INVISIBLE),
        ("alice", HERE),
        ("bob", HERE),
    ]


async def test_one_side_is_no_correspondence(world: DeskWorld) -> None:
    """MS-42: whoever only writes to somebody does not see him by that, nor is seen."""
    alice, bob = await announced(world, "alice", "bob")
    await world.say(alice, "bob")
    assert await seen(world, alice, "bob") == [("bob", INVISIBLE)]
    assert await seen(world, bob, "alice") == [("alice", INVISIBLE)]


async def test_an_old_correspondence(world: DeskWorld) -> None:
    """MS-42: what counts is what is still in the history."""
    alice, bob = await announced(world, "alice", "bob")
    await world.say(alice, "bob")
    await world.say(bob, "alice")
    world.at += world.limits.history_age * 1000 + 1
    assert await seen(world, alice, "bob") == [("bob", INVISIBLE)]


async def test_who_shares_a_room_no_longer(world: DeskWorld) -> None:
    """MS-42, MS-35: after the Room's end a co-member is anybody else again."""
    alice, bob = await announced(world, "alice", "bob")
    room_id = await world.room_of(alice, bob)
    assert await seen(world, alice, "bob") == [("bob", HERE)]
    await world.leave(bob, room_id)
    assert await seen(world, alice, "bob") == [("bob", INVISIBLE)]


async def test_the_same_id_in_another_domain(world: DeskWorld) -> None:
    """MS-2: subscribers of two domains do not see each other."""
    alice, bob = await announced(world, "alice", "bob")
    await world.room_of(alice, bob)
    elsewhere = await world.connect("alice", domain="elsewhere")
    assert await seen(world, elsewhere, "bob") == [("bob", INVISIBLE)]


async def test_who_is_seen_by_nobody_costs_no_question(world: DeskWorld) -> None:
    """MS-42: the store is asked about correspondents only of whom there is something to see."""
    alice, bob = await world.people("alice", "bob")
    await world.say(alice, "bob")
    asked: list[object] = []
    correspondents = world.store.correspondents

    async def counted(*args: Any, **options: Any) -> set[int]:
        asked.append(args)
        return await correspondents(*args, **options)

    world.store.correspondents = counted  # type: ignore[method-assign]
    await seen(world, alice, "bob", "nobody")
    assert asked == []
    world.announce(bob, Availability.DND)
    await seen(world, alice, "bob", "nobody")
    assert len(asked) == 1


async def test_members_of_a_room(world: DeskWorld) -> None:
    """MS-42, section 6: members with their rights, for members; the Room is named."""
    alice, bob, carol = await announced(world, "alice", "bob", "carol")
    room_id = await world.room_of(alice, bob)
    listed = (await world.ask(bob, type="list-subscribers", channel_id=room_id)).one
    assert listed["channel-id"] == room_id
    assert [(one["id"], one["administrator"]) for one in listed["subscribers"]] == [
        ("alice", True),
        ("bob", False),
    ]
    assert (await world.ask(carol, type="list-subscribers", channel_id=room_id)).code == "not-found"


async def test_a_long_list_comes_in_parts(world: DeskWorld) -> None:
    """MS-30: 250 Rooms come 100 at a time, each part with the same `reply-to`, all but the last
    saying that there is more."""
    [alice] = await world.people("alice")
    names = [f"Room {number}" for number in range(250)]
    for name in names:
        await world.create(alice, name)
    reply = await world.ask(alice, type="list-channels")
    assert [len(part["channels"]) for part in reply.messages] == [100, 100, 50]
    assert [part["more"] for part in reply.messages] == [True, True, False]
    assert {part["reply-to"] for part in reply.messages} == {"1"}
    assert [one["name"] for part in reply.messages for one in part["channels"]] == names
