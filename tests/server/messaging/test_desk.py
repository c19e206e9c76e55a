"""What clients ask is done by whom it concerns, and answered as section 5 says (messaging.md)."""

import typing

import orjson
import pytest
from tests.fakes.messaging_desk import DeskWorld
from tests.fakes.messaging_links import MemoryLink
from tests.fakes.messaging_world import texts

from tocsin.server.messaging.answer import Answer
from tocsin.wire.messaging import clientmessages
from tocsin.wire.messaging.clientmessages import ClientMessage, Resume
from tocsin.wire.messaging.envelope import parse


@pytest.fixture
async def world() -> DeskWorld:  # noqa: ASYNC124 - to be made inside Trio
    """Nobody is there yet."""
    return DeskWorld()


async def test_every_type_but_resume_is_taken(world: DeskWorld) -> None:
    """MS-17: whatever clients may ask has an answer here, refused or done; a `resume` belongs to
    its connection."""
    [alice] = await world.people("alice")
    room = {"channel-id": "r-none"}
    text = {"content": "", **room}
    more = {
        "announce": {},
        "unannounce": {},
        "create-channel": {"name": "n"},
        "list-channels": {},
        "join-channel": room,
        "leave-channel": room,
        "update-channel": {**room, "name": "n"},
        "delete-channel": room,
        "invite": {**room, "subscriber-ids": ["bob"]},
        "update-subscriber": {**room, "subscriber-id": "bob", "removed": True},
        "list-subscribers": {},
        "direct-message": {"subscriber-id": "bob", "content": ""},
        "channel-message": text,
        "delivery": {"message-id": "m", "status": "read"},
        "composing": {**room, "state": "idle"},
        "history": room,
        "resume": {"cursor": ""},
    }
    assert set(more) == {one.type for one in typing.get_args(ClientMessage)}
    for type_, fields in more.items():
        message = parse(orjson.dumps({"type": type_, **fields}))
        assert isinstance(message, clientmessages.Asked)
        if not isinstance(message, Resume):
            answer = await world.desk.handle(alice, message)  # type: ignore[arg-type] # it is one
            assert isinstance(answer, Answer)
    with pytest.raises(ValueError, match="resume"):
        await world.desk.handle(alice, Resume(cursor=""))


async def test_a_room_from_its_beginning_to_its_end(world: DeskWorld) -> None:
    """MS-47, section 5: creating, joining and leaving are answered with the cursor of one's own
    entry, administration by its `ack` alone; everybody else has it in his Log."""
    alice, bob = await world.people("alice", "bob")
    made = (await world.ask(alice, type="create-channel", name="Day shift", invite_token="s3")).one
    assert (made["type"], made["reply-to"], made["cursor"]) == ("invitation", "1", "e1:1")
    assert (made["from"], made["administrator"], made["invite-token"]) == ("alice", True, "s3")
    room = {"channel_id": made["channel-id"]}

    joined = (await world.ask(bob, type="join-channel", **room, invite_token="s3")).one
    assert (joined["type"], joined["change"], joined["cursor"]) == ("membership", "joined", "e1:1")
    [listed] = (await world.ask(bob, type="list-channels")).one["channels"]
    assert listed == {"channel-id": made["channel-id"], "name": "Day shift", "administrator": False}

    for act in (
        {"type": "update-channel", "name": "Night shift"},
        {"type": "update-subscriber", "subscriber_id": "bob", "administrator": True},
        {"type": "invite", "subscriber_ids": ["carol"]},
    ):
        reply = await world.ask(alice, **act, **room)
        assert (reply.messages, reply.error) == ([], None)

    left = (await world.ask(bob, type="leave-channel", **room)).one
    assert (left["type"], left["change"]) == ("membership", "left")
    reply = await world.ask(alice, type="delete-channel", **room)
    assert (reply.messages, reply.error) == ([], None)
    assert (await world.ask(alice, type="list-channels")).one["channels"] == []


async def test_joining_twice(world: DeskWorld) -> None:
    """MS-47: who is a member already is told so; there is no new entry and so no cursor."""
    alice, bob = await world.people("alice", "bob")
    room_id = await world.room_of(alice, bob)
    again = (await world.ask(bob, type="join-channel", channel_id=room_id)).one
    assert (again["change"], again["reply-to"]) == ("joined", "1")
    assert "cursor" not in again
    assert texts(bob) == []


async def test_a_direct_message(world: DeskWorld) -> None:
    """MS-46, MS-47: the sender is answered `stored` with the cursor of his own entry, the recipient
    has the message; a repeat of its `dedupe-id` gets the first id, and nothing is sent (MS-25)."""
    alice, bob = await world.people("alice", "bob")
    asked = {"type": "direct-message", "subscriber_id": "bob", "content": "hi", "dedupe_id": "k"}
    stored = (await world.ask(alice, **asked)).one
    assert stored == {
        "type": "delivery",
        "reply-to": "1",
        "cursor": "e1:1",
        "message-id": stored["message-id"],
        "status": "stored",
    }
    [got] = texts(bob)
    assert (got["type"], got["from"], got["content"]) == ("direct-message", "alice", "hi")
    assert "dedupe-id" not in got

    repeated = (await world.ask(alice, **asked)).one
    assert repeated == {name: value for name, value in stored.items() if name != "cursor"}
    assert len(texts(bob)) == 1


async def test_a_message_to_a_room(world: DeskWorld) -> None:
    """MS-46: every other member has it; who is none is told that there is no such Room."""
    alice, bob, carol = await world.people("alice", "bob", "carol")
    room_id = await world.room_of(alice, bob)
    id_ = await world.say_in(alice, room_id, "all")
    assert [one["message-id"] for one in texts(bob)] == [id_]
    refused = await world.ask(carol, type="channel-message", channel_id=room_id, content="me too")
    assert refused.code == "not-found"


async def test_a_receipt(world: DeskWorld) -> None:
    """MS-53, MS-56: what the recipient says the sender is told; of a message to somebody else
    nothing can be said."""
    alice, bob, carol = await world.people("alice", "bob", "carol")
    id_ = await world.say(alice, "bob")
    receipt = {"type": "delivery", "message_id": id_, "status": "read"}
    reply = await world.ask(bob, **receipt)
    assert (reply.messages, reply.error) == ([], None)
    told = texts(alice)[-1]
    assert (told["status"], told["subscriber-id"]) == ("read", "bob")
    assert (await world.ask(carol, **receipt)).code == "not-found"


async def test_being_seen(world: DeskWorld) -> None:
    """MS-37, MS-39, MS-40: an announce is done and acknowledged without a reply; one sees oneself
    as announced, and after an unannounce as invisible."""
    [alice] = await world.people("alice")
    reply = await world.ask(alice, type="announce", availability="busy", status="in a call")
    assert (reply.messages, reply.error) == ([], None)
    [seen] = (await world.ask(alice, type="list-subscribers")).one["subscribers"]
    assert (seen["id"], seen["availability"], seen["status"]) == ("alice", "busy", "in a call")
    await world.ask(alice, type="unannounce")
    [seen] = (await world.ask(alice, type="list-subscribers")).one["subscribers"]
    assert (seen["availability"], seen["status"]) == ("invisible", "")


async def test_what_cannot_be_stored(world: DeskWorld) -> None:
    """MS-17, MS-69: a store that fails makes an operation `unavailable`, with the time to wait, and
    nothing has happened."""
    alice, bob = await world.people("alice", "bob")
    world.store.refuses = lambda _mail: True
    reply = await world.ask(alice, type="direct-message", subscriber_id="bob", content="hi")
    assert reply.code == "unavailable"
    assert reply.error is not None
    assert reply.error.retry_after is not None
    assert texts(bob) == []


async def test_what_cannot_be_looked_up(world: DeskWorld) -> None:
    """MS-17: the same where the store cannot say what there is."""
    [alice] = await world.people("alice")
    world.store.is_failing = True
    for asked in (
        {"type": "list-subscribers", "subscriber_ids": ["bob"]},
        {"type": "history", "subscriber_id": "bob"},
        {"type": "composing", "subscriber_id": "bob", "state": "active"},
    ):
        reply = await world.ask(alice, **asked)
        assert reply.code == "unavailable"
        assert reply.error is not None
        assert reply.error.retry_after == 5


async def writing(world: DeskWorld, link: MemoryLink, **to: str) -> str | None:
    """Says that somebody writes; the code of the refusal, None where it was done."""
    reply = await world.ask(link, type="composing", state="active", **to)
    assert reply.messages == []
    return None if reply.error is None else reply.code


async def test_composing(world: DeskWorld) -> None:
    """MS-44: the other party and co-members see it, the sender does not; it goes to no Room one is
    not in and not to oneself, and whether somebody exists it does not tell."""
    alice, bob, carol = await world.people("alice", "bob", "carol")
    room_id = await world.room_of(alice, bob)
    assert await writing(world, alice, subscriber_id="bob") is None
    assert await writing(world, alice, channel_id=room_id) is None
    assert bob.hints == [
        {"type": "composing", "from": "alice", "state": "active"},
        {"type": "composing", "from": "alice", "channel-id": room_id, "state": "active"},
    ]
    assert alice.hints == []
    assert await writing(world, carol, channel_id=room_id) == "not-found"
    assert await writing(world, carol, channel_id="r-none") == "not-found"
    assert await writing(world, alice, subscriber_id="alice") == "bad-request"
    assert await writing(world, alice, subscriber_id="nobody") is None


async def test_who_has_sent_writes_anew(world: DeskWorld) -> None:
    """MS-44: receivers take a message as the end of composing, so the next `active` is told though
    the last was a moment ago."""
    alice, bob = await world.people("alice", "bob")
    room_id = await world.room_of(alice, bob)
    for to in ({"subscriber_id": "bob"}, {"channel_id": room_id}):
        bob.hints.clear()
        await writing(world, alice, **to)
        await writing(world, alice, **to)
        assert len(bob.hints) == 1
        kind = "direct-message" if "subscriber_id" in to else "channel-message"
        await world.ask(alice, type=kind, content="sent", **to)
        await writing(world, alice, **to)
        assert len(bob.hints) == 2
