"""What an operator sees of messaging, and in which domain (messaging.md, section 11, MS-66)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from tests.fakes.messaging_rest import RestWorld, admin, rest_world, told
from tests.fakes.messaging_world import DOMAIN

from tocsin.model.channel import ChannelType
from tocsin.store.records import Attempt, Settlements
from tocsin.wire.messaging.ids import notification_id
from tocsin.wire.messaging.words import Availability


@pytest.fixture
async def world(nursery: trio.Nursery) -> AsyncIterator[RestWorld]:
    async with rest_world(nursery) as made:
        yield made


async def look(world: RestWorld, path: str, **claims: Any) -> Any:
    """What an operator sees."""
    return await world.get(path, "root", scope="admin", **claims)


async def test_a_subscriber(world: RestWorld) -> None:
    """Section 11: as announced, however others see him; connected how and since when, and how far
    each connection is; what his Log holds, as cursors."""
    alice, bob = await world.people("alice", "bob")
    for number in range(3):
        await world.say(alice, "bob", str(number))
    bob.position = 2
    world.announce(bob, Availability.INVISIBLE, "hiding")
    assert await look(world, "/subscribers/bob") == {
        "subscriber": {
            "id": "bob",
            "status": "hiding",
            "availability": "invisible",
            "administrator": False,
            "attributes": {},
        },
        "connections": [
            {"transport": "websocket", "since": "2023-11-14T22:13:20.000Z", "cursor": "e1:2"}
        ],
        "log": {"first": "e1:1", "last": "e1:3", "entries": 3},
    }
    world.store.most_entries = 2
    await world.say(alice, "bob", "3")
    world.disconnect(bob)
    page = await look(world, "/subscribers/bob")
    assert page["connections"] == []
    assert page["log"] == {"first": "e1:3", "last": "e1:4", "entries": 2}


async def test_who_is_unknown(world: RestWorld) -> None:
    """Section 11: 404 for whom nobody has heard of; who was only written to has a Log."""
    [alice] = await world.people("alice")
    await world.say(alice, "stranger")
    assert await world.refused("GET", "/subscribers/nobody", admin()) == (404, "not-found")
    page = await look(world, "/subscribers/stranger")
    assert (page["connections"], page["log"]["entries"]) == ([], 1)
    await world.connect("carol")
    page = await look(world, "/subscribers/carol")
    assert page["log"] == {"first": None, "last": None, "entries": 0}


def attempt(delivery: int, notification: str, user: str, **more: Any) -> Attempt:
    """A line of the delivery log."""
    kind = ChannelType.OMAPUSH
    return Attempt(delivery, notification, user, "c", kind, 5, 1, "delivered", 7, **more)


async def log(world: RestWorld, *attempts: Attempt) -> None:
    """Written as settlements are."""
    await world.store.settle(Settlements(attempts=list(attempts)), now=5)


async def test_a_direct_message(world: RestWorld) -> None:
    """Section 11: what became of it, and on each way that told him; not its content, nor the way of
    somebody else's notification of the same id."""
    alice, bob = await world.people("alice", "bob")
    sent = await world.say(alice, "bob", "s3cret")
    await log(
        world,
        attempt(1, sent, "bob@acme", status=410),
        attempt(2, sent, "bob@other"),
        attempt(3, "else", "bob@acme"),
        attempt(4, sent, "bob@acme"),
    )
    await world.ask(bob, type="delivery", message_id=sent, status="displayed")
    answer = await world.http("GET", f"/messages/{sent}", admin())
    assert b"s3cret" not in answer.body
    page = await look(world, f"/messages/{sent}")
    [recipient] = page["recipients"]
    assert (page["message-id"], recipient["subscriber-id"]) == (sent, "bob")
    assert recipient["status"] == "displayed"
    assert [leg["delivery"] for leg in recipient["legs"]] == [4, 1]
    assert (recipient["legs"][1]["status"], recipient["legs"][1]["user"]) == (410, "bob@acme")


async def test_a_message_to_a_room(world: RestWorld) -> None:
    """Section 11, MS-52: each member with his own notification's way."""
    alice, bob, carol = await world.people("alice", "bob", "carol")
    room_id = await world.room_of(alice, bob, carol)
    sent = await world.say_in(alice, room_id)
    await log(
        world,
        *(attempt(n, notification_id(sent, f"{who}@acme"), f"{who}@acme") for n, who in WAYS),
    )
    page = await look(world, f"/messages/{sent}")
    found = {
        one["subscriber-id"]: [leg["delivery"] for leg in one["legs"]] for one in page["recipients"]
    }
    assert found == {"bob": [3, 1], "carol": [2]}


WAYS = [(1, "bob"), (2, "carol"), (3, "bob")]


async def test_messages_nobody_knows(world: RestWorld) -> None:
    """Section 11: 404."""
    assert await world.refused("GET", "/messages/none", admin()) == (404, "not-found")


async def test_in_which_domain(world: RestWorld) -> None:
    """MS-2, MS-66: with a domain claim in that one only, without one in that of the query, which
    has to be there."""
    alice = await world.connect("alice")
    sent = await world.say(alice, "bob")
    for path in ("/subscribers/alice", f"/messages/{sent}"):
        for claims, query, told_ in (
            ({}, "", None),
            ({}, f"?domain={DOMAIN}", None),
            ({}, "?domain=other", (403, "forbidden")),
            ({"domain": "other"}, "", (404, "not-found")),
            ({"domain": "other"}, f"?domain={DOMAIN}", (403, "forbidden")),
            ({"domain": None}, f"?domain={DOMAIN}", None),
            ({"domain": None}, "?domain=other", (404, "not-found")),
            ({"domain": None}, "", (400, "bad-request")),
        ):
            answer = await world.http("GET", f"{path}{query}", admin(**claims))
            assert (None if answer.status == 200 else told(answer)) == told_, (claims, query)


async def test_the_only_domain(nursery: trio.Nursery) -> None:
    """MS-66: where no token names a domain there is one, and it need not be named."""
    async with rest_world(nursery, only_domain=DOMAIN) as world:
        await world.connect("alice")
        page = await look(world, "/subscribers/alice", domain=None)
        assert page["subscriber"]["id"] == "alice"
