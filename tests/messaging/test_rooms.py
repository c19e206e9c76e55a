"""tocsin.messaging.rooms: coming, going, and what others are told of it."""

import pytest
import trio
import trio.testing
from tests.fakes.messaging_world import (
    DOMAIN,
    MessagingWorld,
    administrators,
    members,
    names,
    refused,
    texts,
)

from tocsin.messaging.refused import Refused
from tocsin.messaging.settings import MessagingLimits
from tocsin.wire.messaging.clientmessages import CreateRoom
from tocsin.wire.messaging.words import Availability


@pytest.fixture
async def world() -> MessagingWorld:  # noqa: ASYNC124 - to be made inside Trio
    return MessagingWorld()


async def test_who_makes_a_room_runs_it(world: MessagingWorld) -> None:
    """MS-47, section 6: the creator is answered with an `invitation`, token and all; it has the
    cursor of the entry that his other connections and a replay get, `membership` joined."""
    here, there = await world.people("ann", "ann")
    asked = CreateRoom(name="Day shift", invite_token="s3", attributes=b'{"a":1}')
    reply = await world.rooms.create(here, asked)
    said = members(reply)
    room = await world.find(said["channel-id"])
    assert said == {
        "type": "invitation",
        "channel-id": room.id,
        "name": "Day shift",
        "from": "ann",
        "administrator": True,
        "attributes": {"a": 1},
        "invite-token": "s3",
    }
    joined = {
        "type": "membership",
        "change": "joined",
        "channel": {
            "channel-id": room.id,
            "name": "Day shift",
            "administrator": True,
            "attributes": {"a": 1},
        },
    }
    assert texts(there) == [joined]
    assert texts(here) == []
    assert reply.entry is here.entries[0]
    assert reply.entry.seq == 1
    assert await world.log_of(here.subscriber) == [joined]
    assert (names(room), administrators(room)) == (["ann"], {"ann"})
    assert here.notices == there.notices == []


async def test_a_token_lets_in(world: MessagingWorld) -> None:
    """MS-32, MS-36, MS-47: who joins has `membership` joined as his reply, his other connections
    have it as an entry, and all connections of the others are told of him."""
    ann, ann2, bob, bob2 = await world.people("ann", "ann", "bob", "bob")
    room_id = await world.room_of(ann)
    world.announce(bob, Availability.BUSY, "there")
    reply = await world.join(bob, room_id)
    joined = {
        "type": "membership",
        "change": "joined",
        "channel": {"channel-id": room_id, "name": "Day shift", "administrator": False},
    }
    assert members(reply) == joined
    assert reply.entry is not None
    assert texts(bob) == []
    assert texts(bob2) == [joined]
    told = {
        "type": "subscriber",
        "change": "joined",
        "channel-id": room_id,
        "subscriber": {
            "id": "bob",
            "status": "there",
            "availability": "busy",
            "administrator": False,
            "attributes": {},
        },
    }
    assert ann.notices == ann2.notices == [told]
    assert bob.notices == bob2.notices == []
    assert names(await world.find(room_id)) == ["ann", "bob"]


async def test_the_invisible_join_unseen(world: MessagingWorld) -> None:
    """MS-40: who has not announced is shown without status and attributes, as in the example of
    section 6."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann)
    world.announce(bob, Availability.INVISIBLE, "hidden")
    await world.join(bob, room_id)
    assert ann.notices[0]["subscriber"] == {
        "id": "bob",
        "status": "",
        "availability": "invisible",
        "administrator": False,
        "attributes": {},
    }


async def test_joining_twice_is_fine(world: MessagingWorld) -> None:
    """Section 5: a member is answered as if he joined; nothing is written and nobody told, even if
    the token is wrong by now, and he keeps his rights."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann, bob)
    reply = await world.join(ann, room_id, "wrong")
    assert reply.entry is None
    assert members(reply)["change"] == "joined"
    assert members(reply)["channel"]["administrator"] is True
    assert ann.entries == bob.entries == []
    assert ann.notices == bob.notices == []


async def test_whoever_may_not_join_finds_nothing(world: MessagingWorld) -> None:
    """MS-32: a wrong token, no token, a Room without one, of another domain, or none at all: one
    answer, and no effect."""
    ann, bob = await world.people("ann", "bob")
    foreign = await world.connect("bob", domain="else")
    room_id = await world.create(ann)
    closed = await world.create(ann, invite_token=None)
    attempts = [
        (bob, room_id, "wrong"),
        (bob, room_id, None),
        (bob, closed, None),
        (bob, closed, "s3"),
        (foreign, room_id, "s3"),
        (bob, "r-nowhere", "s3"),
    ]
    errors = [
        (await refused("not-found", world.join(link, where, token))).error
        for link, where, token in attempts
    ]
    assert len(set(errors)) == 1
    assert names(await world.find(room_id)) == ["ann"]
    assert bob.entries == ann.notices == []


async def test_guessing_is_limited(world: MessagingWorld) -> None:
    """MS-32: after ten joins in a minute that found nothing even the right token is
    `rate-limited`, for that subscriber, on all his connections; a minute later it is not."""
    ann, bob, bob2, cat = await world.people("ann", "bob", "bob", "cat")
    room_id = await world.create(ann)
    for number in range(10):
        await refused("not-found", world.join((bob, bob2)[number % 2], room_id, "guess"))
        world.at += 1000
    error = (await refused("rate-limited", world.join(bob2, room_id))).error
    assert error.retry_after == 50
    await world.join(cat, room_id)
    world.at += 50_000
    await world.join(bob, room_id)


async def test_the_invited_never_guess(world: MessagingWorld) -> None:
    """MS-32: an open invitation lets in who has guessed too often; a member may join again."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.create(ann)
    for _ in range(10):
        await refused("not-found", world.join(bob, room_id, "guess"))
    await refused("rate-limited", world.join(bob, room_id, "guess"))
    await world.invite(ann, room_id, "bob")
    await world.join(bob, room_id, None)
    await world.join(bob, room_id, "guess")


async def test_a_full_room_takes_nobody(world: MessagingWorld) -> None:
    """Section 12: `conflict` for who could join otherwise; for the others there is no Room."""
    world = MessagingWorld(limits=MessagingLimits(room_members=2))
    ann, bob, cat = await world.people("ann", "bob", "cat")
    room_id = await world.room_of(ann, bob)
    await refused("conflict", world.join(cat, room_id))
    await refused("not-found", world.join(cat, room_id, "wrong"))
    await world.leave(bob, room_id)
    await world.join(cat, room_id)


async def test_nobody_is_in_too_many_rooms(world: MessagingWorld) -> None:
    """Section 12: neither by making one nor by joining one; having left one makes room."""
    world = MessagingWorld(limits=MessagingLimits(rooms_per_subscriber=2))
    ann, bob = await world.people("ann", "bob")
    room_id = await world.create(ann)
    first = await world.create(bob)
    await world.create(bob)
    await refused("conflict", world.create(bob))
    await refused("conflict", world.join(bob, room_id))
    world.disconnect(bob)
    await refused("conflict", world.join(bob, room_id))
    await world.leave(bob, first)
    await world.join(bob, room_id)


async def test_two_that_race_for_the_last_place(world: MessagingWorld) -> None:
    """Section 12: one of them gets it, the other `conflict`."""
    world = MessagingWorld(limits=MessagingLimits(room_members=2))
    ann, bob, cat = await world.people("ann", "bob", "cat")
    room_id = await world.room_of(ann)
    codes: list[str] = []

    async def join(link: object) -> None:
        try:
            await world.join(link, room_id)  # type: ignore[arg-type]
        except Refused as error:
            codes.append(error.error.code)

    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(join, bob)
            nursery.start_soon(join, cat)
            await trio.testing.wait_all_tasks_blocked()
    assert codes == ["conflict"]
    assert len((await world.find(room_id)).members) == 2


async def test_two_that_race_for_the_last_room(world: MessagingWorld) -> None:
    """Section 12: of two connections of one subscriber one gets it, the other `conflict`."""
    world = MessagingWorld(limits=MessagingLimits(rooms_per_subscriber=1))
    bob, bob2 = await world.people("bob", "bob")
    codes: list[str] = []

    async def create(link: object) -> None:
        try:
            await world.create(link)  # type: ignore[arg-type]
        except Refused as error:
            codes.append(error.error.code)

    async with trio.open_nursery() as nursery:
        with world.store.held_up():
            nursery.start_soon(create, bob)
            nursery.start_soon(create, bob2)
            await trio.testing.wait_all_tasks_blocked()
            assert codes == ["conflict"]
    assert len(bob.subscriber.rooms or {}) == 1


async def test_leaving(world: MessagingWorld) -> None:
    """Section 5, MS-47: `membership` left is the reply, and an entry for his other connections;
    the others are told, he is not."""
    ann, bob, bob2 = await world.people("ann", "bob", "bob")
    room_id = await world.room_of(ann, bob)
    bob2.entries.clear()
    reply = await world.leave(bob, room_id)
    left = {
        "type": "membership",
        "change": "left",
        "channel": {"channel-id": room_id, "name": "Day shift", "administrator": False},
    }
    assert members(reply) == left
    assert texts(bob) == []
    assert texts(bob2) == [left]
    [told] = ann.notices
    assert (told["change"], told["channel-id"], told["subscriber"]["id"]) == (
        "left",
        room_id,
        "bob",
    )
    assert bob.notices == bob2.notices == []
    assert names(await world.find(room_id)) == ["ann"]
    await refused("not-found", world.leave(bob, room_id))


async def test_the_eldest_succeeds(world: MessagingWorld) -> None:
    """MS-34: when the last administrator leaves, the member of longest standing becomes one: he is
    told `membership` updated, the others that he was; also when all joined in one millisecond and
    everything was read anew in between."""
    links = await world.people("ann", "bob", "cat", "dan")
    room_id = await world.room_of(*links)
    world.restart()
    _, bob, cat, dan = links
    cat.notices.clear()
    ann = await world.connect("ann")
    await world.leave(ann, room_id)
    room = await world.find(room_id)
    assert (names(room), administrators(room)) == (["bob", "cat", "dan"], {"bob"})
    assert texts(bob) == [
        {
            "type": "membership",
            "change": "updated",
            "channel": {"channel-id": room_id, "name": "Day shift", "administrator": True},
        }
    ]
    heard = [(one["change"], one["subscriber"]["id"]) for one in cat.notices]
    assert heard == [("left", "ann"), ("updated", "bob")]
    assert cat.notices[1]["subscriber"]["administrator"] is True
    assert texts(cat) == texts(dan) == []
    world.restart()
    assert administrators(await world.find(room_id)) == {"bob"}


async def test_a_second_administrator_needs_no_successor(world: MessagingWorld) -> None:
    """MS-34: only the last one is followed."""
    ann, bob, cat = await world.people("ann", "bob", "cat")
    room_id = await world.room_of(ann, bob, cat)
    await world.appoint(ann, room_id, "cat")
    await world.leave(ann, room_id)
    assert administrators(await world.find(room_id)) == {"cat"}


async def test_a_room_ends_with_its_last_member(world: MessagingWorld) -> None:
    """MS-34: and with it its open invitations (MS-33)."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann)
    await world.invite(ann, room_id, "bob")
    await world.leave(ann, room_id)
    assert await world.register.room(DOMAIN, room_id) is None
    await refused("not-found", world.join(bob, room_id, None))
    world.restart()
    assert await world.register.room(DOMAIN, room_id) is None
    assert await world.rooms.memberships(ann.subscriber) == []


async def test_who_returns_begins_anew(world: MessagingWorld) -> None:
    """MS-28, MS-34: who joins again is of the least standing, no administrator, and sees what was
    sent since then."""
    ann, bob = await world.people("ann", "bob")
    room_id = await world.room_of(ann, bob)
    room = await world.find(room_id)
    assert room.members[ann.subscriber.key].joined_after == ""
    last = world.message_ids()
    await world.leave(ann, room_id)
    await world.join(ann, room_id)
    again = room.members[ann.subscriber.key]
    assert (names(room), administrators(room)) == (["bob", "ann"], {"bob"})
    assert again.joined_after == last
    assert again.joined_at > room.members[bob.subscriber.key].joined_at
    world.restart()
    stored = (await world.find(room_id)).members[ann.subscriber.key]
    assert (stored.joined_after, stored.joined_at) == (again.joined_after, again.joined_at)


async def test_a_large_room_is_told_of_its_members() -> None:
    """MS-36, MS-41: the limit is for presence; who comes and goes every member is told of."""
    world = MessagingWorld(room_limit=2)
    ann, bob, cat = await world.people("ann", "bob", "cat")
    room_id = await world.room_of(ann, bob)
    await world.join(cat, room_id)
    assert [one["change"] for one in ann.notices] == ["joined"]
    await world.update(ann, room_id, name="Night shift")
    assert [one["change"] for one in texts(bob)] == ["updated"]
    await world.leave(cat, room_id)
    assert [one["change"] for one in bob.notices] == ["joined", "left"]
