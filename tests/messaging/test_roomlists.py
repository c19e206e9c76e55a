"""tocsin.messaging.roomlists"""

import pytest
from tests.fakes.messaging_world import MessagingWorld, refused

from tocsin.wire.messaging.words import Availability


@pytest.fixture
async def world() -> MessagingWorld:  # noqa: ASYNC124 - to be made inside Trio
    return MessagingWorld()


async def test_lists(world: MessagingWorld) -> None:
    """Section 5, MS-31, MS-40: memberships in order of joining, for who is not connected, too;
    members in order of standing, oneself as announced; to others there is no such list."""
    ann, bob, cat = await world.people("ann", "bob", "cat")
    first = await world.room_of(ann, bob)
    second = await world.create(bob, name="Night shift", attributes=b'{"b":2}')
    world.announce(ann, Availability.INVISIBLE, "hidden")
    seen = await world.rooms.memberships(bob.subscriber)
    assert [(one.room_id, one.administrator) for one in seen] == [(first, False), (second, True)]
    assert seen[1].attributes == b'{"b":2}'
    assert seen[1].name == "Night shift"
    world.disconnect(bob)
    assert await world.rooms.memberships(bob.subscriber) == seen
    own = await world.rooms.list_members(ann.subscriber, first)
    theirs = await world.rooms.list_members(bob.subscriber, first)
    assert [(one.id, one.status, one.administrator) for one in own] == [
        ("ann", "hidden", True),
        ("bob", "", False),
    ]
    assert [(one.id, one.status) for one in theirs] == [("ann", ""), ("bob", "")]
    await refused("not-found", world.rooms.list_members(cat.subscriber, first))
    await refused("not-found", world.rooms.list_members(cat.subscriber, "r-nowhere"))


async def test_pages_of_members(world: MessagingWorld) -> None:
    """Section 11: a page begins behind an id, whether its owner is still there or not."""
    links = await world.people("dan", "ann", "cat", "bob")
    room_id = await world.room_of(*links)
    dan = links[0].subscriber
    page, more = await world.rooms.members_page(dan, room_id, after=None, limit=2)
    assert ([one.id for one in page], more) == (["ann", "bob"], True)
    await world.leave(links[3], room_id)
    page, more = await world.rooms.members_page(dan, room_id, after="bob", limit=2)
    assert ([one.id for one in page], more) == (["cat", "dan"], False)
    assert page[1].administrator
    await refused(
        "not-found",
        world.rooms.members_page(links[3].subscriber, room_id, after=None, limit=2),
    )
