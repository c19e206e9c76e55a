"""Pages of a conversation (messaging.md, MS-28)."""

from typing import Any

import pytest
from tests.fakes.messaging_desk import DeskWorld
from tests.fakes.messaging_links import MemoryLink

from tocsin.wire.messaging.ids import MessageIds

DAY = 86_400_000
LARGE = "x" * 60_000


@pytest.fixture
async def world() -> DeskWorld:  # noqa: ASYNC124 - to be made inside Trio
    """Nobody is there yet."""
    return DeskWorld()


async def page(world: DeskWorld, link: MemoryLink, **fields: object) -> dict[str, Any]:
    """What a `history` is answered."""
    return (await world.ask(link, type="history", **fields)).one


def ids(page: dict[str, Any]) -> list[str]:
    """Whose messages these are."""
    return [one["message-id"] for one in page["messages"]]


async def test_a_conversation_of_two(world: DeskWorld) -> None:
    """MS-28: both see it, oldest first; one's own messages carry their status, the other's do
    not, and neither has a cursor."""
    alice, bob = await world.people("alice", "bob")
    asked = await world.say(alice, "bob", "how are you")
    answered = await world.say(bob, "alice", "fine")
    await world.ask(bob, type="delivery", message_id=asked, status="read")
    seen = await page(world, alice, subscriber_id="bob")
    assert (seen["type"], seen["reply-to"], seen["subscriber-id"]) == ("history", "1", "bob")
    assert (ids(seen), seen["more"]) == ([asked, answered], False)
    [own, other] = seen["messages"]
    assert (own["status"], own["content"], own["from"]) == ("read", "how are you", "alice")
    assert "status" not in other
    assert not {"cursor", "type", "reply-to"} & (own.keys() | other.keys())
    assert ids(await page(world, bob, subscriber_id="alice")) == [asked, answered]


async def test_bounds_and_limit(world: DeskWorld) -> None:
    """MS-28: bounds are exclusive; the newest `limit` come, or the oldest after `after`, with
    whether there is more that way."""
    alice, _bob = await world.people("alice", "bob")
    sent = [await world.say(alice, "bob", str(number)) for number in range(7)]
    for fields, expected, more in (
        ({"limit": 3}, sent[4:], True),
        ({"limit": 3, "before": sent[4]}, sent[1:4], True),
        ({"limit": 3, "before": sent[2]}, sent[:2], False),
        ({"limit": 3, "after": sent[0]}, sent[1:4], True),
        ({"limit": 3, "after": sent[3]}, sent[4:], False),
        ({}, sent, False),
    ):
        seen = await page(world, alice, subscriber_id="bob", **fields)
        assert (ids(seen), seen["more"]) == (expected, more), fields


async def test_what_does_not_fit_into_one_message(world: DeskWorld) -> None:
    """MS-28: a page stops early at 512 KiB, away from where the client stands, and says that there
    is more; pages put together are everything, once and in order."""
    alice, _bob = await world.people("alice", "bob")
    sent = [await world.say(alice, "bob", LARGE) for _ in range(12)]
    newest = await page(world, alice, subscriber_id="bob")
    assert (ids(newest), newest["more"]) == (sent[-8:], True)
    rest = await page(world, alice, subscriber_id="bob", before=ids(newest)[0])
    assert (ids(rest), rest["more"]) == (sent[:4], False)
    oldest = await page(world, alice, subscriber_id="bob", after=sent[0])
    assert (ids(oldest), oldest["more"]) == (sent[1:9], True)


async def test_a_member_sees_what_was_sent_since_he_joined(world: DeskWorld) -> None:
    """MS-28: what was said before he last joined is not his to see, however he asks."""
    alice, bob = await world.people("alice", "bob")
    room_id = await world.room_of(alice)
    before = await world.say_in(alice, room_id, "before")
    world.at += 1
    await world.join(bob, room_id)
    since = await world.say_in(alice, room_id, "since")
    assert ids(await page(world, bob, channel_id=room_id)) == [since]
    assert ids(await page(world, bob, channel_id=room_id, after=before[:-1])) == [since]
    assert ids(await page(world, alice, channel_id=room_id)) == [before, since]

    await world.leave(bob, room_id)
    await world.say_in(alice, room_id, "in between")
    world.at += 1
    await world.join(bob, room_id)
    assert ids(await page(world, bob, channel_id=room_id)) == []


async def test_a_clock_that_was_put_back_over_a_restart(world: DeskWorld) -> None:
    """MS-27, MS-28: who had joined before it sees what is sent after it, in its order."""
    alice, bob = await world.people("alice", "bob")
    room_id = await world.create(alice)
    before = await world.say_in(alice, room_id, "before")
    await world.join(bob, room_id)
    world.at -= 60_000
    world.message_ids = MessageIds(world.now, after=before)
    after = await world.say_in(alice, room_id, "after")
    assert ids(await page(world, bob, channel_id=room_id)) == [after]
    assert ids(await page(world, alice, channel_id=room_id)) == [before, after]


async def test_rooms_that_are_not_his(world: DeskWorld) -> None:
    """MS-35, MS-2: who has left, was never in it, or asks from another domain finds no Room."""
    alice, bob = await world.people("alice", "bob")
    stranger = await world.connect("alice", domain="elsewhere")
    room_id = await world.room_of(alice, bob)
    await world.leave(bob, room_id)
    for link in (bob, stranger):
        reply = await world.ask(link, type="history", channel_id=room_id)
        assert reply.code == "not-found"


async def test_with_oneself_and_with_nobody(world: DeskWorld) -> None:
    """MS-26: there is no conversation with oneself; one with somebody nobody knows is empty, and
    no error that would tell him from others."""
    alice, bob = await world.people("alice", "bob")
    await world.say(alice, "bob")
    assert (await world.ask(alice, type="history", subscriber_id="alice")).code == "bad-request"
    seen = await page(world, alice, subscriber_id="nobody")
    assert (seen["messages"], seen["more"]) == ([], False)
    elsewhere = await world.connect("alice", domain="elsewhere")
    assert (await page(world, elsewhere, subscriber_id="bob"))["messages"] == []
    assert bob.subscriber.domain != elsewhere.subscriber.domain


async def test_what_is_too_old(world: DeskWorld) -> None:
    """Section 12: after 30 days a message is history no more, cleaned up or not."""
    alice, _bob = await world.people("alice", "bob")
    await world.say(alice, "bob", "old")
    world.at += 30 * DAY
    fresh = await world.say(alice, "bob", "fresh")
    seen = await page(world, alice, subscriber_id="bob")
    assert (ids(seen), seen["more"]) == ([fresh], False)
