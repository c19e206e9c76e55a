"""Who is told what in which order, with much going on at once (messaging.md, 4, 9 and 10)."""

import re
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import Final

import pytest
import trio
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.messaging_town import (
    Town,
    bare,
    direct,
    fence,
    heard,
    new_room,
    of_log,
    place,
    running,
    said,
    to_room,
    write,
)
from tests.fakes.messaging_client import (
    FRAMED,
    POLLING,
    RAW,
    STREAMING,
    TRANSPORTS,
    Message,
    MessagingClient,
    Reply,
)

pytestmark = pytest.mark.end_to_end

UUID7: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
UUID4: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
EACH: Final = 30
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One for all tests here."""
    yield from running(tmp_path_factory.mktemp("daemon"))


@pytest.fixture
def town(daemon: Daemon) -> Town:
    """People of this test alone."""
    return Town(daemon)


def assert_in_order(log: Sequence[Message], asked: Sequence[str]) -> None:
    """Requests are answered one after the other with nothing in between, and cursors rise."""
    answering = None
    acknowledged = []
    for message in log:
        if answering is not None or "reply-to" in message:
            assert message.get("reply-to") == (answering or message["reply-to"]), message
            answering = message["reply-to"]
        if message["type"] == "ack":
            acknowledged.append(message["id"])
            answering = None
    assert acknowledged == list(asked)
    assert all(one < other for one, other in pairwise(map(place, of_log(log))))


def assert_messages_rise(log: Sequence[Message]) -> None:
    """What is written in each conversation comes in the order of its ids."""
    last: dict[str, str] = {}
    for message in of_log(log):
        if message["type"] in {"direct-message", "channel-message"}:
            pair = sorted([message["from"], message.get("subscriber-id", "")])
            party = message.get("channel-id", str(pair))
            assert last.get(party, "") < message["message-id"], message
            last[party] = message["message-id"]


def order_of(client: MessagingClient, ids: Collection[str]) -> list[str]:
    """These messages in the order of what the client was sent, its own by their replies."""
    return [
        one["message-id"]
        for one in of_log(client.log)
        if one.get("message-id") in ids and (one["type"] != "delivery" or one["status"] == "stored")
    ]


def _has(client: MessagingClient, ids: Collection[str]) -> bool:
    return len(order_of(client, ids)) >= len(ids)


async def chatter(client: MessagingClient, messages: Sequence[Message]) -> list[Reply]:
    """Send without waiting for answers, as fast as they are taken; what all were answered."""
    replies = [await client.begin(message) for message in messages]
    for reply in replies:
        await reply.done.wait()
    return replies


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_answers_stay_together(town: Town, transport: str) -> None:
    """MS-17, MS-19, MS-31: of many requests at once each is answered in its turn, responses first,
    then the `ack`, with nothing unasked in between however much comes; cursors only rise."""
    async with (
        town.talking("ann", transport=transport) as (ann,),
        town.talking("bob", "cat") as (bob, cat),
    ):
        room = await new_room(ann, bob, cat)
        mixed: list[Message] = [
            direct("bob", "x"),
            to_room(room, "x"),
            direct("ann", "refused"),
            said("history", subscriber_id="bob", limit=3),
            said("update-channel", channel_id=room, name="S"),
            said("update-channel", channel_id=room, name="R"),
            said("announce", status="s", availability="available"),
            said("list-channels"),
            said("delivery", message_id="none", status="read"),
            said("create-channel", name="T"),
            said("list-subscribers", channel_id=room),
        ]
        await fence(ann)
        begin = len(ann.log)
        async with trio.open_nursery() as nursery:
            for other in (bob, cat):
                news = [direct("ann"), to_room(room), said("announce", status="t")]
                nursery.start_soon(chatter, other, news * 25)
            replies = [(await ann.begin({"id": f"m{n}", **mixed[n % 11]})) for n in range(66)]
            for reply in replies:
                await reply.done.wait()
        await until(
            lambda: sum(one["type"] == "direct-message" for one in ann.log) == 50, "all has come"
        )
        log = ann.log[begin:]
        assert_in_order(log, [f"m{n}" for n in range(66)])
        refused = [number % 11 for number, reply in enumerate(replies) if not reply.is_ok]
        assert refused == [2, 8] * 6
        assert all(not replies[number].messages for number in range(66) if number % 11 in {2, 8})
        stored = [replies[number] for number in range(66) if number % 11 in {0, 1}]
        assert all(reply.one["status"] == "stored" for reply in stored)


async def test_everybody_is_told_in_the_same_order(town: Town) -> None:
    """MS-21, MS-27, MS-46 to MS-48: many write to each other at once on all transports; each
    connection has everything once, in the order of one Log per subscriber, and of the message-ids
    in each conversation; a replay from the beginning is that Log, without holes."""
    async with (
        town.talking("ann", "bob", transport=RAW) as (ann, bob),
        town.talking("cat", "ann", transport=FRAMED) as (cat, ann_too),
        town.talking("dan", transport=STREAMING) as (dan,),
        town.talking("ann", transport=POLLING) as (ann_again,),
    ):
        anns = (ann, ann_too, ann_again)
        everyone = (*anns, bob, cat, dan)
        room = await new_room(bob, cat, dan)
        joining = said("join-channel", channel_id=room, invite_token="s3")
        assert (await ann.ask(joining)).is_ok
        told: set[str] = set()

        async def talk(client: MessagingClient, to: str) -> None:
            texts = [to_room(room) if n % 3 else direct(to) for n in range(EACH)]
            replies = await chatter(client, texts)
            told.update(reply.one["message-id"] for n, reply in enumerate(replies) if n % 3)

        async with trio.open_nursery() as nursery:
            for client in everyone:
                nursery.start_soon(talk, client, "bob" if client in anns else "ann")
        for client in everyone:
            await until(partial(_has, client, told), "all is there")
            assert order_of(client, told) == sorted(told)
            assert_messages_rise(client.log)
            assert all(one < other for one, other in pairwise(map(place, of_log(client.log))))
        assert len(told) == 6 * EACH * 2 // 3
        async with town.arriving("ann") as newcomer:
            replayed = (await newcomer.resume("")).messages[:-1]
        assert [place(one) for one in replayed] == list(range(1, len(replayed) + 1))
        assert_messages_rise(replayed)
        kept = {place(one): bare(one) for one in replayed}
        for message in [one for client in anns for one in of_log(client.log)]:
            entry = kept.get(place(message))
            if place(message) > len(replayed):
                continue  # a receipt that came behind the replay
            if "reply-to" not in message:
                assert bare(message) == entry
            elif message["type"] == "delivery" and entry is not None:
                assert message["message-id"] == entry["message-id"]


async def test_own_acts_on_other_connections(town: Town) -> None:
    """MS-47, MS-31: who acts has the reply, with the cursor of the entry that his other connections
    get; his own messages have their `dedupe-id` there and nowhere else."""
    async with (
        town.talking("ann", "ann", "bob") as (ann, other, bob),
        town.talking("ann", transport=POLLING) as (polling,),
    ):
        founded = (await ann.ask(said("create-channel", name="R", invite_token="s3"))).one
        assert founded["type"] == "invitation"
        assert (founded["from"], founded["administrator"]) == ("ann", True)
        assert (founded["invite-token"], founded["attributes"]) == ("s3", {})
        room = founded["channel-id"]
        here = {"channel-id": room, "name": "R", "administrator": True}
        for one in (other, polling):
            entry = await one.next("membership")
            joined = {"type": "membership", "change": "joined", "channel": here}
            assert entry == {**joined, "cursor": founded["cursor"]}
        for message in (
            direct("bob", dedupe_id="d1", attributes={"a": 1}),
            to_room(room, dedupe_id="d2", attributes={}),
        ):
            stored = (await ann.ask(message)).one
            assert stored.keys() == {"type", "reply-to", "message-id", "status", "cursor"}
            for one in (other, polling):
                *_, entry = await one.until(message["type"])
                assert bare(entry) == {
                    **message,
                    "message-id": stored["message-id"],
                    "from": "ann",
                    "sent-at": entry["sent-at"],
                    "content-type": "text/plain",
                }
                assert entry["cursor"] == stored["cursor"]
        assert "dedupe-id" not in await bob.next("direct-message")
        left = (await ann.ask(said("leave-channel", channel_id=room))).one
        assert left["change"] == "left"
        for one in (other, polling):
            entries = await one.until("membership", change="left")
            assert entries[-1]["cursor"] == left["cursor"]
        assert [one["type"] for one in await heard(ann)] in ([], ["delivery"])


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_acts_without_a_reply_come_as_entries(town: Town, transport: str) -> None:
    """MS-47, MS-19: who changes a Room or a member gets the entry that concerns himself like
    everybody else, behind the `ack`."""
    async with town.talking("ann", "bob", transport=transport) as (ann, bob):
        room = await new_room(ann, bob)
        about = {"channel_id": room}
        himself = {**about, "subscriber_id": "ann"}
        for act, change in (
            (said("update-channel", **about, name="S"), "updated"),
            (said("update-subscriber", **about, subscriber_id="bob", administrator=True), None),
            (
                said("update-subscriber", **himself, administrator=False),
                "updated",
            ),
            (said("update-subscriber", **himself, administrator=True), "none"),
        ):
            reply = await ann.ask(act)
            if change == "none":
                assert reply.error == "forbidden"
                continue
            assert reply.is_ok
            assert reply.ack is not None
            assert reply.messages == []
            entries = [one for one in await heard(ann) if one["type"] == "membership"]
            assert [one["change"] for one in entries] == ([] if change is None else [change])
            assert all(ann.log.index(one) > ann.log.index(reply.ack) for one in entries)
        reply = await bob.ask(said("delete-channel", **about))
        assert reply.ack is not None
        assert reply.messages == []
        left = (await bob.until("membership", change="left"))[-1]
        assert bob.log.index(left) > bob.log.index(reply.ack)
        assert (await ann.until("membership", change="left"))[-1]["channel"]["name"] == "S"


async def test_forms(town: Town) -> None:
    """MS-15, MS-27: times are RFC 3339 in UTC with milliseconds, and the server's; message-ids
    UUIDv7 in lower case, rising; channel-ids `r-` and a UUIDv4. `welcome` is where the Log ends."""
    async with town.talking("ann", "bob") as (ann, bob):
        assert ann.welcome is not None
        assert ann.welcome == {
            "type": "welcome",
            "subscriber-id": "ann",
            "cursor": ann.welcome["cursor"],
            "retention": 604_800,
        }
        assert place(ann.welcome) == 0
        room = await new_room(ann, bob)
        prefix, _, rest = room.partition("-")
        assert prefix == "r"
        assert UUID4.fullmatch(rest)
        before = time.time()
        ids = [await write(ann, direct("bob")), await write(ann, to_room(room))]
        ids.append(await write(bob, direct("ann")))
        after = time.time()
        assert all(map(UUID7.fullmatch, ids))
        assert ids == sorted(set(ids))
        told = [one for one in await heard(bob) if "sent-at" in one]
        assert len(told) == 2
        for one in told:
            assert TIME.fullmatch(one["sent-at"])
            assert before - 0.001 <= datetime.fromisoformat(one["sent-at"]).timestamp() <= after
        had = max(map(place, of_log(bob.log)))
        async with town.arriving("bob") as again:
            assert again.welcome is not None
            assert place(again.welcome) >= had


async def test_without_an_id_nothing_refers_to_it(town: Town) -> None:
    """MS-18: the answers to a message without `id` carry none, and come as they would."""
    async with town.talking("ann") as (ann,):
        await ann.send(said("create-channel", name="R"))
        await ann.send(direct("bob"))
        await ann.send(said("leave-channel", channel_id="r-none"))
        await ann.send(said("resume", cursor=""))
        told = await heard(ann)
        assert [one["type"] for one in told] == [
            *("invitation", "ack", "delivery", "ack", "ack"),
            *("membership", "direct-message", "resumed", "ack"),
        ]
        assert not any({"id", "reply-to"} & one.keys() for one in told)
        assert [one["status"] for one in told if one["type"] == "ack"] == [True, True, False, True]
