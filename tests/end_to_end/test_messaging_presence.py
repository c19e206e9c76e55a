"""Who is seen how, and who is writing (messaging.md, 8)."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.messaging_town import (
    SETTINGS,
    Town,
    direct,
    heard,
    members_of,
    new_room,
    running,
    said,
    to_room,
    write,
)
from tests.fakes.messaging_client import (
    FRAMED,
    POLLING,
    RAW,
    TRANSPORTS,
    Message,
    MessagingClient,
)

pytestmark = pytest.mark.end_to_end

AWAY = {"status": "", "availability": "invisible", "attributes": {}}
BRIEF = {"messaging.sockjs.disconnect_delay": 5, "messaging.presence_grace": 0.1}
LONG = {
    "messaging.sockjs.disconnect_delay": 8,
    "messaging.presence_grace": 600,
    "messaging.presence_room_limit": 3,
}
LABELS = {RAW: "websocket-raw", FRAMED: "websocket"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One for most tests here; who has left is seen as before until they are over."""
    yield from running(tmp_path_factory.mktemp("daemon"), LONG)


@pytest.fixture
def town(daemon: Daemon) -> Town:
    """People of this test alone."""
    return Town(daemon)


async def announce(client: MessagingClient, **members: object) -> None:
    """Announce, which must be done."""
    assert (await client.ask(said("announce", **members))).is_ok


async def look(client: MessagingClient, *names: str) -> list[Message]:
    """How somebody sees others, or himself, without what is the same for all."""
    asked = said("list-subscribers", subscriber_ids=names) if names else said("list-subscribers")
    listed = (await client.ask(asked)).one["subscribers"]
    assert [one.pop("id") for one in listed] == list(names) or not names
    assert not any(one.pop("administrator") for one in listed)
    return list(listed)


async def told(client: MessagingClient) -> list[Message]:
    """What of others' presence has come unasked up to now, without ids."""
    messages = [one for one in await heard(client) if one["type"] == "subscriber"]
    for one in messages:
        assert one.keys() == {"type", "change", "subscriber"}
        assert one["subscriber"].pop("administrator") is False
    return [{"change": one["change"], **one["subscriber"]} for one in messages]


async def until_left(town: Town, transport: str, *, but: int) -> None:
    """Wait until the daemon knows that all clients of a transport have hung up, `but` so many on
    raw WebSockets."""
    label = LABELS.get(transport, transport)
    there = but if transport == RAW else 0

    async def is_left() -> bool:
        name = "tocsin_messaging_connections"
        return await town.daemon.metric(name, transport=label) == there

    await until(is_left, "all have left")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_announcing(town: Town, transport: str) -> None:
    """MS-37, MS-40, MS-41: until he says so nobody is to be seen; what an announce does not say
    stays; co-members are told once, however many Rooms they share, and he sees himself as he is."""
    async with town.talking("ann", "bob", transport=transport) as (ann, bob):
        for _ in range(3):
            await new_room(ann, bob)
        await announce(ann, status="hidden", attributes={"a": 1})
        hidden = {"status": "hidden", "availability": "invisible", "attributes": {"a": 1}}
        assert await look(ann) == [hidden]
        assert await look(bob, "ann", "nobody") == [AWAY, AWAY]
        assert await told(bob) == []
        await announce(ann, availability="available")
        shown = {**hidden, "availability": "available"}
        assert await told(bob) == [{"change": "availability", "id": "ann", **shown}]
        await announce(ann, attributes={"b": 2})
        replaced = {**shown, "attributes": {"b": 2}}
        assert await told(bob) == [{"change": "updated", "id": "ann", **replaced}]
        await announce(ann, attributes={"b": 2}, status="hidden")
        assert await told(bob) == []
        for availability in ("dnd", "busy", "invisible"):
            await announce(ann, availability=availability)
            [seen] = await told(bob)
            assert seen["availability"] == availability
            assert seen["status"] == ("" if availability == "invisible" else "hidden")
        assert await look(bob, "ann") == [AWAY]
        await announce(ann, availability="available", status="")
        await told(bob)
        assert (await ann.ask(said("unannounce"))).is_ok
        assert await told(bob) == [{"change": "availability", "id": "ann", **AWAY}]
        assert await told(ann) == []


async def test_the_latest_announce_holds(town: Town) -> None:
    """MS-38, MS-39: of several connections the latest to announce is what others see; when it ends
    or takes it back, the next latest; one that has not announced changes nothing."""
    async with town.talking("bob", "ann", "ann") as (bob, phone, idle):
        await new_room(bob, phone)
        await announce(phone, status="phone", availability="available")
        async with town.talking("ann", transport=POLLING) as (page,):
            await announce(page, status="page", availability="busy")
            assert [one["status"] for one in await told(bob)] == ["phone", "page"]
            assert await look(idle) == await look(bob, "ann")
            await announce(phone, availability="dnd")
            assert [one["availability"] for one in await told(bob)] == ["dnd"]
            assert (await phone.ask(said("unannounce"))).is_ok
            assert [one["status"] for one in await told(bob)] == ["page"]
            await announce(phone, status="back")
            assert [one["availability"] for one in await told(bob)] == ["invisible"]
            await announce(page)
            assert [one["status"] for one in await told(bob)] == ["page"]
            await announce(phone, status="phone", availability="available")
            assert [one["status"] for one in await told(bob)] == ["phone"]
            await idle.leave()
            assert await told(bob) == []
            await phone.leave()
            assert (await bob.until("subscriber"))[-1]["subscriber"]["status"] == "page"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_back_in_time(town: Town, transport: str) -> None:
    """MS-39: who is back and announces before his time is up was never away; nobody is told, or
    only of what changed. `unannounce` of another connection ends the wait."""
    async with town.talking("bob", "ann") as (bob, other):
        await new_room(bob, other)
        for status, news in (("here", 1), ("here", 0), ("there", 1)):
            await until_left(town, transport, but=2)
            async with town.talking("ann", transport=transport) as (ann,):
                await announce(ann, status=status, availability="available")
                assert [one["status"] for one in await told(bob)] == [status] * news
        await until_left(town, transport, but=2)
        [seen] = await look(bob, "ann")
        assert seen["availability"] == "available"
        assert (await other.ask(said("unannounce"))).is_ok
        await bob.until("subscriber", change="availability")
        assert await look(bob, "ann") == [AWAY]


async def test_who_is_seen_by_whom(town: Town) -> None:
    """MS-42, MS-37: co-members and those who have written to each other see one another, whoever
    has written to one side only sees nothing, and nobody learns who exists; writing needs no
    announcing."""
    async with town.talking("ann", "bob", "cat", "dan") as (ann, bob, cat, dan):
        await announce(ann, status="here", availability="available")
        shown = {"status": "here", "availability": "available", "attributes": {}}
        assert await look(bob, "ann") == [AWAY]
        await write(ann, direct("bob"))
        await write(cat, direct("ann"))
        assert await look(bob, "ann") == await look(cat, "ann") == [AWAY]
        await write(bob, direct("ann"))
        assert await look(bob, "nobody", "ann") == [AWAY, shown]
        room = await new_room(ann, dan)
        assert await look(dan, "ann") == [shown]
        assert (await members_of(dan, room))["ann"]["status"] == "here"
        assert (await dan.ask(said("leave-channel", channel_id=room))).is_ok
        assert await look(dan, "ann") == [AWAY]
        await announce(ann, status="there")
        assert await told(dan) == await told(cat) == await told(bob) == []
        async with Town(town.daemon).talking("bob") as (namesake,):
            assert await look(namesake, "ann") == [AWAY]


async def test_large_rooms_are_not_told(town: Town) -> None:
    """MS-36, MS-41, MS-44: in a Room above the limit nobody is told of presence, nor of who writes;
    lists show it. Of who comes and goes they are told."""
    async with town.talking("ann", "bob", "cat") as (ann, bob, cat):
        room = await new_room(ann, bob, cat)
        async with town.talking("dan", transport=POLLING) as (dan,):
            joining = said("join-channel", channel_id=room, invite_token="s3")
            assert (await dan.ask(joining)).is_ok
            await announce(ann, availability="available", status="here")
            assert (await ann.ask(said("composing", channel_id=room, state="active"))).is_ok
            for one in (bob, cat, dan):
                joined = [] if one is dan else ["joined"]
                assert [news["change"] for news in await heard(one)] == joined
            assert (await members_of(dan, room))["ann"]["status"] == "here"
            assert (await dan.ask(said("leave-channel", channel_id=room))).is_ok
        await announce(ann, status="there")
        for one in (bob, cat):
            assert [news["change"] for news in await heard(one)] == ["left", "updated"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_composing(town: Town, transport: str) -> None:
    """MS-44: who writes is shown to the other side's connections that are there, or to co-members,
    never to himself; a state once, until another or a message; it is kept for nobody."""
    async with town.talking("ann", "bob", "cat", transport=transport) as (ann, bob, cat):
        room = await new_room(ann, bob)

        async def compose(state: str, **party: object) -> None:
            assert (await ann.ask(said("composing", state=state, **party))).is_ok

        for state in ("active", "active", "idle", "idle", "active"):
            await compose(state, subscriber_id="bob")
        hints = await heard(bob)
        assert hints == [
            {"type": "composing", "from": "ann", "state": state}
            for state in ("active", "idle", "active")
        ]
        await write(ann, direct("bob"))
        await compose("active", subscriber_id="bob")
        assert [one["type"] for one in await heard(bob)] == ["direct-message", "composing"]
        for state in ("active", "active", "idle"):
            await compose(state, channel_id=room)
        assert await heard(bob) == [
            {"type": "composing", "from": "ann", "channel-id": room, "state": state}
            for state in ("active", "idle")
        ]
        await write(ann, to_room(room))
        await compose("idle", channel_id=room)
        assert [one["type"] for one in await heard(bob)] == ["channel-message", "composing"]
        await compose("active", subscriber_id="nobody")
        assert await heard(cat) == []
        assert not [one for one in await heard(ann) if one["type"] == "composing"]
        for party, error in (
            ({"subscriber_id": "ann"}, "bad-request"),
            ({"channel_id": "r-none"}, "not-found"),
        ):
            assert (await ann.ask(said("composing", state="idle", **party))).error == error
        reply = await cat.ask(said("composing", state="idle", channel_id=room))
        assert reply.error == "not-found"
        replayed = (await bob.resume("")).messages
        assert "composing" not in {one["type"] for one in replayed}


async def test_presence_is_not_replayed(town: Town) -> None:
    """MS-43: presence has no cursor and stands in no Log; who was away asks."""
    async with town.talking("ann") as (ann,):
        async with town.talking("bob") as (bob,):
            await new_room(ann, bob)
        await announce(ann, availability="busy", status="here")
        async with town.arriving("bob", POLLING) as bob:
            await bob.resume("")
            assert await told(bob) == []
            assert [one["status"] for one in await look(bob, "ann")] == ["here"]
            await announce(ann, status="there")
            news = await bob.next("subscriber")
            assert "cursor" not in news
            types = {one["type"] for one in (await bob.resume("")).messages}
        assert types == {"membership", "resumed"}


async def test_gone_for_good(tmp_path: Path) -> None:
    """MS-39, MS-40, MS-43, MS-70: who has left is told of as invisible when his time is up, once,
    on whatever transport he was; after a restart everybody is invisible, in the same Rooms."""
    async with Daemon(tmp_path, {**SETTINGS, **BRIEF}) as daemon:
        town = Town(daemon)
        async with town.talking("bob", "ann") as (bob, ann):
            room = await new_room(bob, ann)
            await announce(bob, status="here", availability="busy")
            async with AsyncExitStack() as stack:
                for name in TRANSPORTS:
                    leaving = town.talking(name, transport=name)
                    [leaver] = await stack.enter_async_context(leaving)
                    joining = said("join-channel", channel_id=room, invite_token="s3")
                    assert (await leaver.ask(joining)).is_ok
                    await bob.until("subscriber", change="joined")
                    await announce(leaver, status=name, availability="available")
                    assert [one["status"] for one in await told(bob)] == [name]
            gone = [await bob.next("subscriber") for _ in TRANSPORTS]
            assert {one["change"] for one in gone} == {"availability"}
            for name in TRANSPORTS:
                seen = {"id": name, "administrator": False, **AWAY}
                assert [one["subscriber"] for one in gone].count(seen) == 1
            assert await told(bob) == []
            assert (await members_of(ann, room))["bob"]["status"] == "here"
            await daemon.kill()
        await daemon.start()
        async with town.talking("ann") as (ann,):
            assert await members_of(ann, room) == {
                name: {"id": name, "administrator": name == "bob", **AWAY}
                for name in ("bob", "ann", *TRANSPORTS)
            }
