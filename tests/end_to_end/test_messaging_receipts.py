"""What becomes of messages, as their senders and readers are told (messaging.md, 9)."""

from collections.abc import Iterator, Sequence

import pytest
import trio
from tests.end_to_end.daemon import Daemon
from tests.end_to_end.messaging_town import (
    Town,
    bare,
    direct,
    heard,
    history,
    new_room,
    of_log,
    place,
    running,
    said,
    to_room,
    write,
)
from tests.fakes.messaging_client import POLLING, TRANSPORTS, Message, MessagingClient

pytestmark = pytest.mark.end_to_end

SETTINGS = {"messaging.receipt_room_limit": 3}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One for all tests here."""
    yield from running(tmp_path_factory.mktemp("daemon"), SETTINGS)


@pytest.fixture
def town(daemon: Daemon) -> Town:
    """People of this test alone."""
    return Town(daemon)


def receipt(id_: str, status: str, **more: object) -> Message:
    """What a recipient says of a message."""
    return said("delivery", message_id=id_, status=status, **more)


async def confirm(client: MessagingClient, id_: str, status: str, **more: object) -> None:
    """Say what became of a message, which must be taken without an answer."""
    reply = await client.ask(receipt(id_, status, **more))
    assert reply.is_ok
    assert reply.messages == []


def statuses(messages: Sequence[Message]) -> list[tuple[str, str, str]]:
    """What somebody was told of messages: which, for whom, and what."""
    return [
        (one["message-id"], one["subscriber-id"], one["status"])
        for one in messages
        if one["type"] == "delivery"
    ]


async def received(client: MessagingClient, id_: str, by: str) -> None:
    """Wait until the sender was told that somebody has the message."""
    await client.until("delivery", message_id=id_, status="received", subscriber_id=by)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_received_when_proven(town: Town, transport: str) -> None:
    """MS-53, MS-54: on every transport the sender is told once that a message is with its
    recipient, without a word of him; to who is away it is `stored` until he comes."""
    async with town.talking("ann", transport=transport) as (ann,):
        waiting = await write(ann, direct("bob"))
        assert await heard(ann) == []
        async with town.talking("bob", "bob", transport=transport) as (bob, _bob_too):
            await bob.until("direct-message", message_id=waiting)
            await received(ann, waiting, "bob")
            id_ = await write(ann, direct("bob"))
            [told] = await ann.until("delivery", message_id=id_)
            assert bare(told) == {
                "type": "delivery",
                "message-id": id_,
                "status": "received",
                "subscriber-id": "bob",
            }
        logged = (await ann.resume("")).messages
        assert statuses(logged) == [(waiting, "bob", "received"), (id_, "bob", "received")]


async def test_statuses_only_rise(town: Town) -> None:
    """MS-53, MS-56: what was skipped is not told, what is said again or below has no effect, and
    nobody but the recipient has a say."""
    async with town.talking("ann", "bob", "cat") as (ann, bob, cat):
        first, second = await write(ann, direct("bob")), await write(ann, direct("bob"))
        await received(ann, second, "bob")
        for status in ("received", "displayed", "displayed", "received", "read", "displayed"):
            await confirm(bob, first, status)
        await confirm(bob, second, "read")
        await confirm(bob, second, "displayed")
        assert statuses(await heard(ann)) == [
            (first, "bob", "displayed"),
            (first, "bob", "read"),
            (second, "bob", "read"),
        ]
        for client in (ann, cat):
            assert (await client.ask(receipt(first, "read"))).error == "not-found"
        assert (await bob.ask(receipt("none", "read"))).error == "not-found"
        async with Town(town.daemon).talking("bob") as (namesake,):
            assert (await namesake.ask(receipt(first, "read"))).error == "not-found"
        own = (await history(ann, subscriber_id="bob"))["messages"]
        assert [one["status"] for one in own] == ["read", "read"]
        theirs = (await history(bob, subscriber_id="ann"))["messages"]
        assert not any("status" in one for one in theirs)


async def test_receipts_wait_for_the_sender(town: Town) -> None:
    """MS-53, MS-21: what became of his messages while he was away stands in the sender's Log."""
    async with town.talking("ann") as (ann,):
        id_ = await write(ann, direct("bob"))
    async with town.talking("bob") as (bob,):
        await bob.until("direct-message")
        await confirm(bob, id_, "displayed")
        await confirm(bob, id_, "read")
    async with town.arriving("ann", POLLING) as ann:
        told = (await ann.resume("")).messages
        assert statuses(told)[-2:] == [(id_, "bob", "displayed"), (id_, "bob", "read")]


@pytest.mark.parametrize("status", ["received", "displayed", "read"])
async def test_through(town: Town, status: str) -> None:
    """MS-57: it covers everything earlier to him in that conversation, of which the sender is told
    the newest once; other conversations and later messages are as they were."""
    async with town.talking("ann", "cat") as (ann, cat):
        ids = [await write(ann, direct("bob", str(number))) for number in range(4)]
        other = await write(cat, direct("bob"))
        async with town.arriving("bob") as bob:
            await confirm(bob, ids[2], status, through=True)
            [told] = await ann.until("delivery")
            assert bare(told) == {
                "type": "delivery",
                "message-id": ids[2],
                "status": status,
                "subscriber-id": "bob",
                "through": True,
            }
            own = (await history(ann, subscriber_id="bob"))["messages"]
            assert [one["status"] for one in own][:3] == [status] * 3
            await bob.until("direct-message", message_id=other)
            await received(cat, other, "bob")
            await received(ann, ids[3], "bob")
            await confirm(bob, ids[1], status, through=True)
            await confirm(bob, ids[3], "read")
            assert statuses(await heard(ann)) == [(ids[3], "bob", "read")]
            assert await heard(cat) == []


async def test_read_is_told_to_the_readers_other_devices(town: Town) -> None:
    """MS-59: `read` alone, with his own id, and never to the connection that said it; nor is the
    acting connection's entry lost to a replay."""
    async with town.talking("ann", "bob", "bob") as (ann, bob, bob_too):
        ids = [await write(ann, direct("bob")) for _ in range(2)]
        for one in (bob, bob_too):
            await one.until("direct-message", message_id=ids[1])
        await confirm(bob, ids[0], "displayed")
        await confirm(bob, ids[1], "read", through=True)
        [told] = await heard(bob_too)
        assert bare(told) == {
            "type": "delivery",
            "message-id": ids[1],
            "status": "read",
            "subscriber-id": "bob",
            "through": True,
        }
        assert await heard(bob) == []
        replayed = (await bob.resume("")).messages
        assert bare(of_log(replayed)[-1]) == bare(told)
        assert place(of_log(replayed)[-1]) == place(told)


async def test_in_rooms(town: Town) -> None:
    """MS-53, MS-57, MS-58: in small Rooms each member's receipts are told to each sender, with the
    channel; `through` tells everyone of his own newest."""
    async with town.talking("ann", "bob", "cat") as (ann, bob, cat):
        room = await new_room(ann, bob, cat)
        first = await write(ann, to_room(room))
        for name in ("bob", "cat"):
            assert (await ann.next("delivery"))["message-id"] == first, name
        second, third = await write(bob, to_room(room)), await write(ann, to_room(room))
        for sender in (ann, bob):
            id_ = third if sender is ann else second
            for _ in range(2):
                await sender.until("delivery", message_id=id_, status="received")
        await confirm(cat, third, "read", through=True)
        for sender, id_ in ((ann, third), (bob, second)):
            *_, told = await sender.until("delivery")  # what others wrote may come in between
            assert bare(told) == {
                "type": "delivery",
                "message-id": id_,
                "status": "read",
                "subscriber-id": "cat",
                "channel-id": room,
                "through": True,
            }
        own = (await history(ann, channel_id=room))["messages"]
        assert [one.get("status") for one in own] == ["received", None, "received"]
        await confirm(bob, third, "read", through=True)
        own = (await history(ann, channel_id=room))["messages"]
        assert [one.get("status") for one in own] == ["read", None, "read"]


async def test_large_rooms_have_no_receipts(town: Town) -> None:
    """MS-58, MS-56: above the limit a message is `stored` and stays so; receipts are taken without
    effect from who got it, and from nobody else."""
    async with town.talking("ann", "bob", "cat", "dan", "eve") as (ann, bob, cat, dan, eve):
        room = await new_room(ann, bob, cat, dan)
        id_ = await write(ann, to_room(room))
        fence = await write(ann, direct("bob"))
        await received(ann, fence, "bob")
        await confirm(bob, id_, "read", through=True)
        await confirm(cat, id_, "displayed")
        for client in (ann, eve):
            assert (await client.ask(receipt(id_, "read"))).error == "not-found"
        assert await heard(ann) == []
        [own] = (await history(ann, channel_id=room))["messages"]
        assert own["status"] == "stored"
        assert await heard(eve) == []


async def test_receipts_at_once(town: Town) -> None:
    """MS-53, MS-57: many readers who say much at once lead to each status once for each message,
    in rising order."""
    async with town.talking("ann", "bob", "bob", "cat") as (ann, bob, bob_too, cat):
        room = await new_room(ann, bob, cat)
        ids = [await write(ann, to_room(room, str(number))) for number in range(20)]
        async with trio.open_nursery() as nursery:

            async def read(client: MessagingClient, status: str) -> None:
                for id_ in reversed(ids):
                    await confirm(client, id_, status)

            for client in (bob, bob_too, cat):
                for status in ("displayed", "read", "received"):
                    nursery.start_soon(read, client, status)
        told = statuses(of_log((await ann.resume("")).messages))
        assert len(told) == len(set(told))
        order = ["received", "displayed", "read"]
        for id_ in ids:
            for name in ("bob", "cat"):
                said_of = [status for one, who, status in told if (one, who) == (id_, name)]
                assert said_of == sorted(said_of, key=order.index)
                assert said_of[-1] == "read"
