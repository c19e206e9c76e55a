"""Rooms from beginning to end, as their members see them (messaging.md, 7)."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

import pytest
from tests.end_to_end.daemon import Daemon
from tests.end_to_end.messaging_town import (
    Town,
    bare,
    direct,
    fence,
    heard,
    history,
    members_of,
    new_room,
    running,
    said,
    to_room,
    write,
)
from tests.fakes.messaging_client import POLLING, TRANSPORTS, Message, MessagingClient

pytestmark = pytest.mark.end_to_end

SETTINGS = {
    "messaging.limits.room_members": 101,
    "messaging.limits.rooms_per_subscriber": 105,
    "messaging.limits.invitations": 2,
    "messaging.presence_room_limit": 4,
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One for all tests here."""
    yield from running(tmp_path_factory.mktemp("daemon"), SETTINGS)


@pytest.fixture
def town(daemon: Daemon) -> Town:
    """People of this test alone."""
    return Town(daemon)


async def invite(client: MessagingClient, room: str, *names: str) -> None:
    """Invite people, which must be allowed."""
    assert (await client.ask(said("invite", channel_id=room, subscriber_ids=names))).is_ok


async def join(client: MessagingClient, channel_id: str, **more: object) -> Message:
    """Join a Room, which must be allowed; the `membership`."""
    return (await client.ask(said("join-channel", channel_id=channel_id, **more))).one


async def refused(client: MessagingClient, type_: str, **members: object) -> str:
    """Why something is refused, which it must be without any other answer."""
    reply = await client.ask(said(type_, **members))
    assert reply.messages == []
    return reply.error


async def channels(client: MessagingClient) -> list[str]:
    """The ids of the Rooms he is in."""
    reply = await client.ask(said("list-channels"))
    return [one["channel-id"] for part in reply.messages for one in part["channels"]]


def changes(messages: Sequence[Message]) -> list[tuple[str, str, bool]]:
    """What others are said to have done: change, who, and whether he is administrator."""
    return [
        (one["change"], one["subscriber"]["id"], one["subscriber"]["administrator"])
        for one in messages
        if one["type"] == "subscriber"
    ]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_invitation(town: Town, transport: str) -> None:
    """MS-33, MS-36, MS-47: who is invited is told of the Room without its token, joins by that, and
    the others hear of it; inviting once more changes nothing."""
    async with town.talking("ann", "bob", "cat", transport=transport) as (ann, bob, cat):
        room = await new_room(ann, cat, name="Day shift", attributes={"a": [1]})
        await invite(ann, room, "bob", "bob", "cat", "ann")
        invitation = await bob.next("invitation")
        assert bare(invitation) == {
            "type": "invitation",
            "channel-id": room,
            "name": "Day shift",
            "from": "ann",
            "administrator": False,
            "attributes": {"a": [1]},
        }
        await invite(ann, room, "bob")
        assert await heard(bob) == await heard(cat) == await heard(ann) == []
        here = {"channel-id": room, "name": "Day shift", "attributes": {"a": [1]}}
        joined = await join(bob, room)
        assert (joined["type"], joined["change"]) == ("membership", "joined")
        assert joined["channel"] == {**here, "administrator": False}
        for one in (ann, cat):
            assert changes(await heard(one)) == [("joined", "bob", False)]
        again = await join(bob, room)
        assert "cursor" not in again
        assert again["channel"] == joined["channel"]
        assert await heard(ann) == await heard(bob) == []
        assert list(await members_of(bob, room)) == ["ann", "cat", "bob"]
        assert (await bob.ask(said("list-channels"))).one["channels"] == [joined["channel"]]


async def test_an_invitation_is_used_once(town: Town) -> None:
    """MS-33, MS-32: it lets in once; withdrawn it lets in nobody, and who is not invited is not to
    be uninvited; it waits for who is away, and the oldest of too many lapses."""
    async with town.talking("ann", "bob") as (ann, bob):
        room = await new_room(ann)
        await invite(ann, room, "bob", "cat")
        await join(bob, room)
        assert (await bob.ask(said("leave-channel", channel_id=room))).is_ok
        assert await refused(bob, "join-channel", channel_id=room) == "not-found"
        withdrawn = {"channel_id": room, "subscriber_id": "cat", "removed": True}
        assert (await ann.ask(said("update-subscriber", **withdrawn))).is_ok
        assert await refused(ann, "update-subscriber", **withdrawn) == "not-found"
        rooms = [await new_room(ann, name=str(n)) for n in range(3)]
        for one in rooms:
            await invite(ann, one, "cat")
        async with town.talking("cat", transport=POLLING) as (cat,):
            told = await cat.until("invitation", channel_id=rooms[-1])
            assert [one["channel-id"] for one in told] == [room, *rooms]
            assert await refused(cat, "join-channel", channel_id=room) == "not-found"
            assert await refused(cat, "join-channel", channel_id=rooms[0]) == "not-found"
            for one in rooms[1:]:
                await join(cat, one)


async def test_strangers_learn_nothing(town: Town) -> None:
    """MS-32, MS-35: the wrong token, none, and no such Room are one answer to whoever is not in it,
    whatever he asks; after ten of them he has to wait, but an invitation lets him in."""
    async with town.talking("ann", "bob") as (ann, bob):
        room = await new_room(ann)
        closed = (await ann.ask(said("create-channel", name="C"))).one["channel-id"]
        texts = set()
        for channel in (room, "r-none", closed):
            for act in (
                said("leave-channel"),
                said("update-channel", name="x"),
                said("delete-channel"),
                said("invite", subscriber_ids=["bob"]),
                said("update-subscriber", subscriber_id="ann", removed=True),
                said("list-subscribers"),
                to_room(channel),
                said("composing", state="active"),
                said("history"),
            ):
                reply = await bob.ask({**act, "channel-id": channel})
                assert reply.error == "not-found", act
                assert reply.ack is not None
                texts.add((act["type"], reply.ack["error"]["text"]))
        assert len(texts) == 9
        guesses: list[Message] = [
            {"channel_id": room},
            {"channel_id": room, "invite_token": "S3"},
            {"channel_id": "r-none", "invite_token": "s3"},
            {"channel_id": "r-none"},
            {"channel_id": closed, "invite_token": "s3"},
        ]
        for guess in [*guesses, *guesses]:
            assert await refused(bob, "join-channel", **guess) == "not-found"
        late = await bob.ask(said("join-channel", channel_id=room, invite_token="s3"))
        assert late.error == "rate-limited"
        assert late.ack is not None
        assert 0 < late.ack["error"]["retry-after"] <= 60
        await invite(ann, room, "bob")
        await join(bob, room)
        elsewhere = Town(town.daemon)
        async with elsewhere.talking("bob") as (namesake,):
            guess = {"channel_id": room, "invite_token": "s3"}
            assert await refused(namesake, "join-channel", **guess) == "not-found"


async def test_tokens(town: Town) -> None:
    """MS-32: administrators change the token, and take it away by null; nobody is told."""
    async with town.talking("ann", "bob", "cat") as (ann, bob, cat):
        room = await new_room(ann)
        assert (await ann.ask(said("update-channel", channel_id=room, invite_token="t4"))).is_ok
        assert await refused(bob, "join-channel", channel_id=room, invite_token="s3") == "not-found"
        await join(bob, room, invite_token="t4")
        assert (await ann.ask(said("update-channel", channel_id=room, invite_token=None))).is_ok
        assert await refused(cat, "join-channel", channel_id=room, invite_token="t4") == "not-found"
        assert [one["type"] for one in await heard(ann)] == ["subscriber"]
        assert await heard(bob) == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_rights(town: Town, transport: str) -> None:
    """MS-34, MS-36: members see a Room and may not change it; an administrator makes and unmakes
    others, removes them, and cannot unmake the last, nor remove himself; all are told."""
    async with town.talking("ann", "bob", "cat", transport=transport) as (ann, bob, cat):
        room = await new_room(ann, bob, cat)
        about = {"channel_id": room}
        for type_, members in (
            ("update-channel", {"name": "x"}),
            ("delete-channel", {}),
            ("invite", {"subscriber_ids": ["dan"]}),
            ("update-subscriber", {"subscriber_id": "cat", "removed": True}),
            ("update-subscriber", {"subscriber_id": "nobody", "removed": True}),
        ):
            assert await refused(bob, type_, **about, **members) == "forbidden"
        member = {**about, "subscriber_id": "ann"}
        assert await refused(ann, "update-subscriber", **member, administrator=False) == "conflict"
        assert await refused(ann, "update-subscriber", **member, removed=True) == "conflict"
        nobody = {**about, "subscriber_id": "nobody"}
        assert await refused(ann, "update-subscriber", **nobody, removed=True) == "not-found"
        assert await refused(ann, "update-subscriber", **nobody, administrator=True) == "not-found"
        promoted = said("update-subscriber", **about, subscriber_id="bob", administrator=True)
        for _ in range(2):
            assert (await ann.ask(promoted)).is_ok
        [entry] = await heard(bob)
        assert (entry["type"], entry["change"]) == ("membership", "updated")
        assert entry["channel"]["administrator"] is True
        assert changes(await heard(ann)) == changes(await heard(cat)) == [("updated", "bob", True)]
        assert (await bob.ask(said("update-subscriber", **member, administrator=False))).is_ok
        assert (await bob.ask(said("update-subscriber", **member, removed=True))).is_ok
        told = [one for one in await heard(ann) if one["type"] == "membership"]
        assert [one["change"] for one in told] == ["updated", "left"]
        assert changes(await heard(cat)) == [("updated", "ann", False), ("left", "ann", False)]
        assert await refused(ann, "history", **about) == "not-found"
        assert await channels(ann) == []
        assert await members_of(cat, room) == {
            one["id"]: one
            for one in (
                {**seen, "status": "", "availability": "invisible", "attributes": {}}
                for seen in (
                    {"id": "bob", "administrator": True},
                    {"id": "cat", "administrator": False},
                )
            )
        }


async def test_changes_are_told_to_members(town: Town) -> None:
    """MS-36: another name or other attributes are told to every member as his membership, with his
    own rights; the same once more is told to nobody."""
    async with town.talking("ann", "bob", "bob") as (ann, bob, bob_too):
        room = await new_room(ann, bob)
        await bob_too.next("membership")
        await fence(bob_too)
        change = said("update-channel", channel_id=room, name="S", attributes={"b": None})
        for _ in range(2):
            assert (await ann.ask(change)).is_ok
        for one, flag in ((ann, True), (bob, False), (bob_too, False)):
            [entry] = await heard(one)
            assert bare(entry) == {
                "type": "membership",
                "change": "updated",
                "channel": {
                    "channel-id": room,
                    "name": "S",
                    "administrator": flag,
                    "attributes": {"b": None},
                },
            }


async def test_succession(town: Town) -> None:
    """MS-34: when the last administrator leaves, who has been there longest follows him and is told
    so; one who came back is the youngest. With the last member the Room is gone."""
    async with town.talking("ann", "bob", "cat") as (ann, bob, cat):
        room = await new_room(ann, bob, cat)
        leaving, coming = said("leave-channel", channel_id=room), {"invite_token": "s3"}
        assert (await bob.ask(leaving)).is_ok
        await join(bob, room, **coming)
        for one in (ann, bob, cat):
            await heard(one)
        left = (await ann.ask(leaving)).one
        assert (left["change"], left["channel"]["channel-id"]) == ("left", room)
        [promoted] = [one for one in await heard(cat) if one["type"] == "membership"]
        assert (promoted["change"], promoted["channel"]["administrator"]) == ("updated", True)
        assert changes(await heard(bob)) == [("left", "ann", False), ("updated", "cat", True)]
        assert (await cat.ask(leaving)).is_ok
        [promoted] = [one for one in await heard(bob) if one["type"] == "membership"]
        assert promoted["channel"]["administrator"] is True
        assert (await bob.ask(leaving)).is_ok
        guess = {"channel_id": room, "invite_token": "s3"}
        assert await refused(ann, "join-channel", **guess) == "not-found"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_end_of_a_room(town: Town, transport: str) -> None:
    """MS-35, MS-33: a Room that is deleted is left by all its members, wherever they are; it, its
    history and its members are not found any more, nor joined by an invitation."""
    async with town.talking("ann", "bob", "dan", transport=transport) as (ann, bob, dan):
        room = await new_room(ann, bob)
        async with town.talking("cat") as (cat,):
            await join(cat, room, invite_token="s3")
        await write(ann, to_room(room))
        await invite(ann, room, "dan")
        reply = await ann.ask(said("delete-channel", channel_id=room))
        assert reply.is_ok
        for one in (ann, bob):
            left = (await one.until("membership", change="left"))[-1]
            assert left["channel"]["channel-id"] == room
            assert left["channel"]["administrator"] is False
        async with town.talking("cat") as (cat,):
            await cat.until("membership", change="left")
            assert await channels(cat) == []
        for type_ in ("history", "list-subscribers", "leave-channel", "delete-channel"):
            assert await refused(bob, type_, channel_id=room) == "not-found"
        assert await refused(dan, "join-channel", channel_id=room) == "not-found"
        assert (await bob.ask(to_room(room))).error == "not-found"


async def test_many_rooms(town: Town) -> None:
    """Section 12, MS-30: too many Rooms are `conflict`; a list comes in parts of at most a hundred,
    all but the last of which say that more follow, with everything in them once and in order."""
    async with town.talking("ann") as (ann,):
        rooms = [await new_room(ann, name=str(number)) for number in range(105)]
        assert await refused(ann, "create-channel", name="x") == "conflict"
        reply = await ann.ask(said("list-channels"))
        parts = [(len(one["channels"]), one["more"]) for one in reply.messages]
        assert parts == [(100, True), (5, False)]
        assert len({one["reply-to"] for one in reply.messages}) == 1
        assert await channels(ann) == rooms


async def test_a_full_room(town: Town) -> None:
    """Section 12, MS-30, MS-36, MS-41: a full Room is `conflict`; no part of its list is over 512
    KiB, whatever is in it; where there are that many, all are told who comes, and then nothing of
    his presence."""
    names = [f"{number:03}" + "\U0001f600" * 125 for number in range(100)]
    seen = said("announce", availability="busy", status="\u20ac" * 256)
    async with town.talking("ann", "bob") as (ann, bob), AsyncExitStack() as stack:
        room = await new_room(ann)
        token = {"channel_id": room, "invite_token": "s3"}
        for name in names:
            [one] = await stack.enter_async_context(town.talking(name))
            await join(one, **token)
            assert (await one.ask({**seen, "attributes": {"a": "x" * 4088}})).is_ok
        assert await refused(bob, "join-channel", **token) == "conflict"
        reply = await ann.ask(said("list-subscribers", channel_id=room))
        sizes = [len(json.dumps(one, ensure_ascii=False).encode()) for one in reply.messages]
        counts = [len(one["subscribers"]) for one in reply.messages]
        assert max(sizes) <= 512 * 1024
        assert max(counts) < 100
        assert [one["more"] for one in reply.messages] == [True] * (len(counts) - 1) + [False]
        assert {one["channel-id"] for one in reply.messages} == {room}
        listed = [one["id"] for part in reply.messages for one in part["subscribers"]]
        assert listed == ["ann", *names]
        told = changes(await heard(ann))
        assert [who for change, who, _ in told if change == "joined"] == names
        assert {who for change, who, _ in told if change != "joined"} == set(names[:3])


async def test_back_after_leaving(town: Town) -> None:
    """MS-28, MS-35: what was said while somebody was no member is not his, nor what was said before
    he was one; he may write to others meanwhile."""
    async with town.talking("ann", "bob") as (ann, bob):
        room = await new_room(ann)
        await write(ann, to_room(room, "before"))
        await join(bob, room, invite_token="s3")
        await write(ann, to_room(room, "first"))
        assert (await bob.ask(said("leave-channel", channel_id=room))).is_ok
        await write(ann, to_room(room, "meanwhile"))
        assert (await bob.ask(direct("ann"))).is_ok
        await join(bob, room, invite_token="s3")
        assert (await history(bob, channel_id=room))["messages"] == []
        await write(ann, to_room(room, "after"))
        said_to_bob = [one["content"] for one in (await history(bob, channel_id=room))["messages"]]
        assert said_to_bob == ["after"]
        told = [one["content"] for one in await heard(bob) if one["type"] == "channel-message"]
        assert told == ["first", "after"]
        everything = (await history(ann, channel_id=room))["messages"]
        assert [one["content"] for one in everything] == ["before", "first", "meanwhile", "after"]
