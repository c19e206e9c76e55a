"""What was said before, what is said twice, and what is said to strangers (messaging.md, 5)."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import trio
from tests.end_to_end.daemon import Daemon
from tests.end_to_end.messaging_town import (
    SETTINGS,
    Town,
    bare,
    direct,
    heard,
    history,
    new_room,
    running,
    said,
    to_room,
    write,
)
from tests.fakes.messaging_client import POLLING, TRANSPORTS, Message, MessagingClient

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One for all tests here, where one may write to three strangers in a day."""
    settings = {"messaging.limits.strangers_per_day": 3}
    yield from running(tmp_path_factory.mktemp("daemon"), settings)


@pytest.fixture
def town(daemon: Daemon) -> Town:
    """People of this test alone."""
    return Town(daemon)


async def contents(client: MessagingClient, **members: object) -> tuple[list[str], bool]:
    """What was said in a page of a conversation, and whether there is more."""
    page = await history(client, **members)
    return [one["content"] for one in page["messages"]], page["more"]


# -- history -----------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_pages(town: Town, transport: str) -> None:
    """MS-28: oldest first; the newest fifty where no bound is given; bounds are exclusive, the page
    is next to the one given, and `more` is about the other side. Both see the same."""
    async with town.talking("ann", "bob", transport=transport) as (ann, bob):
        senders = (ann, bob)
        ids = []
        for n in range(60):
            to = "bob" if n % 2 == 0 else "ann"
            ids.append(await write(senders[n % 2], direct(to, str(n))))
        every = [str(n) for n in range(60)]
        for client, other in ((ann, "bob"), (bob, "ann")):
            with_ = {"subscriber_id": other}
            assert await contents(client, **with_) == (every[10:], True)
            assert await contents(client, **with_, limit=60) == (every, False)
            assert await contents(client, **with_, limit=10**6) == (every, False)
            assert await contents(client, **with_, before=ids[10]) == (every[:10], False)
            assert await contents(client, **with_, before=ids[10], limit=3) == (every[7:10], True)
            assert await contents(client, **with_, after=ids[50]) == (every[51:], False)
            assert await contents(client, **with_, after=ids[50], limit=3) == (every[51:54], True)
            assert await contents(client, **with_, after=ids[59]) == ([], False)
            assert await contents(client, **with_, before=ids[0]) == ([], False)
        page = await history(ann, subscriber_id="bob", before=ids[2])
        own, theirs = page["messages"]
        assert page.keys() == {"type", "reply-to", "subscriber-id", "messages", "more"}
        assert page["subscriber-id"] == "bob"
        assert own.keys() == {*theirs, "status"}
        assert "type" not in own
        assert [one["message-id"] for one in page["messages"]] == ids[:2]
        assert (theirs["from"], theirs["subscriber-id"]) == ("bob", "ann")


async def test_only_ones_own(town: Town) -> None:
    """MS-28, MS-2, MS-27: nobody sees a conversation of others, of another domain, nor by an id
    that he knows; one with nobody or a stranger is empty, one with oneself `bad-request`."""
    async with town.talking("ann", "bob", "cat") as (ann, bob, cat):
        id_ = await write(ann, direct("bob", "secret"))
        assert await contents(cat, subscriber_id="ann") == ([], False)
        assert await contents(cat, subscriber_id="bob", after=id_) == ([], False)
        assert await contents(cat, subscriber_id="nobody", before=id_) == ([], False)
        assert (await cat.ask(said("history", subscriber_id="cat"))).error == "bad-request"
        assert await contents(bob, subscriber_id="ann", before="zzz") == (["secret"], False)
        assert await contents(bob, subscriber_id="ann", after="zzz") == ([], False)
        async with Town(town.daemon).talking("ann") as (namesake,):
            assert await contents(namesake, subscriber_id="bob") == ([], False)


async def test_a_page_is_cut_by_size(town: Town) -> None:
    """MS-28: a page stops early at 512 KiB, on the side away from the bound, and says there is
    more; by going on everything is found."""
    async with town.talking("ann", "bob") as (ann, _bob):
        large = "\u20ac" * 20_000
        ids = [await write(ann, direct("bob", f"{n}{large}")) for n in range(20)]
        for bound, order in (("before", ids[::-1]), ("after", ids)):
            found: list[str] = []
            edge = {"before": "zzz", "after": "0"}[bound]
            more = True
            while more:
                page = await history(ann, subscriber_id="bob", limit=100, **{bound: edge})
                part = [one["message-id"] for one in page["messages"]]
                assert 0 < len(part) <= 8
                assert part == sorted(part)
                found += part if bound == "after" else part[::-1]
                edge, more = found[-1], page["more"]
            assert found == order


async def test_a_room(town: Town) -> None:
    """MS-28: a Room's history has everybody's messages with the channel, own ones with `status` and
    `dedupe-id`, as the Log has them."""
    async with town.talking("ann", "bob") as (ann, bob):
        room = await new_room(ann, bob)
        await write(ann, to_room(room, "1", dedupe_id="d", attributes={"a": [None]}))
        await write(bob, to_room(room, "2", content_type="a/b"))
        page = await history(ann, channel_id=room)
        assert page.keys() == {"type", "reply-to", "channel-id", "messages", "more"}
        own, theirs = page["messages"]
        assert (own["dedupe-id"], own["attributes"]) == ("d", {"a": [None]})
        assert own["channel-id"] == theirs["channel-id"] == room
        [told] = [one for one in await heard(ann) if one["type"] == "channel-message"]
        assert {"type": "channel-message", **theirs} == bare(told)
        first = (await history(bob, channel_id=room))["messages"][0]
        assert not {"status", "dedupe-id"} & first.keys()


# -- twice -------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_repeat_sends_nothing(town: Town, transport: str) -> None:
    """MS-25: a repeat has the first `message-id`, whatever else it says and to whom; each sender
    has his own, and what was refused has not been sent."""
    async with town.talking("ann", "bob", transport=transport) as (ann, bob):
        room = await new_room(ann, bob)
        assert (await ann.ask(direct("ann", dedupe_id="d"))).error == "bad-request"
        first = await write(ann, direct("bob", "first", dedupe_id="d"))
        async with town.talking("ann") as (elsewhere,):
            for client in (ann, elsewhere):
                for again in (direct("bob", "other"), direct("cat"), to_room(room)):
                    reply = (await client.ask({**again, "dedupe-id": "d"})).one
                    assert (reply["message-id"], reply["status"]) == (first, "stored")
                    assert "cursor" not in reply
        assert await write(bob, direct("ann", "mine", dedupe_id="d")) != first
        told = [one for one in await heard(bob) if "content" in one]
        assert [(one["content"], "dedupe-id" in one) for one in told] == [("first", False)]
        assert (await history(ann, channel_id=room))["messages"] == []
        assert (await history(ann, subscriber_id="cat"))["messages"] == []


async def test_repeats_at_once(town: Town) -> None:
    """MS-25, MS-46: of many that say the same `dedupe-id` at the same time one is sent."""
    sent: set[tuple[int, str]] = set()

    async def repeat(client: MessagingClient) -> None:
        for n in range(40):
            sent.add((n, await write(client, direct("bob", str(n), dedupe_id=f"d{n}"))))

    async with town.talking("ann", "ann", "ann", "bob") as (*anns, bob):
        async with trio.open_nursery() as nursery:
            for client in anns:
                nursery.start_soon(repeat, client)
        assert len(sent) == 40
        told = [one["message-id"] for one in await heard(bob) if "content" in one]
        assert told == [id_ for _, id_ in sorted(sent)]
        assert told == sorted(told)


async def test_over_a_restart(tmp_path: Path) -> None:
    """MS-25, MS-26, MS-27, MS-70: a daemon that was killed knows what it has sent, whom its people
    wrote to, and gives ids that are greater than all before."""
    settings = {**SETTINGS, "messaging.limits.strangers_per_day": 1}
    async with Daemon(tmp_path, settings) as daemon:
        town = Town(daemon)
        async with town.talking("ann") as (ann,):
            first = await write(ann, direct("bob", "first", dedupe_id="d"))
            await daemon.kill()
        await daemon.start()
        async with town.talking("ann") as (ann,):
            assert await write(ann, direct("bob", "again", dedupe_id="d")) == first
            second = await write(ann, direct("bob", "second"))
            assert second > first
            assert (await ann.ask(direct("cat"))).error == "rate-limited"
            assert await contents(ann, subscriber_id="bob") == (["first", "second"], False)
        async with town.arriving("bob") as bob:
            replayed = (await bob.resume("")).messages
            assert [one["message-id"] for one in replayed[:-1]] == [first, second]


# -- strangers ---------------------------------------------------------------------------------


async def test_strangers(town: Town) -> None:
    """MS-26: what is written to somebody never seen waits in his Log; no more than so many of them
    in a day, though to those already written to, and to people known since, one may write."""
    async with town.talking("ann") as (ann,):
        assert (await ann.ask(direct("ann"))).error == "bad-request"
        for name in ("s1", "s2", "s1", "s3"):
            await write(ann, direct(name, f"to {name}"))
        reply = await ann.ask(direct("s4"))
        assert reply.error == "rate-limited"
        assert reply.ack is not None
        assert reply.ack["error"]["retry-after"] > 0
        await write(ann, direct("s2", "again"))
        async with town.talking("s4") as (known,):
            await write(ann, direct("s4", "now"))
            assert (await known.until("direct-message"))[-1]["content"] == "now"
        async with town.arriving("s1", POLLING) as one:
            told = (await one.resume("")).messages
            assert [message.get("content") for message in told] == ["to s1", "to s1", None]
        room = await new_room(ann)
        invitation = said("invite", channel_id=room, subscriber_ids=["s9"])
        assert (await ann.ask(invitation)).is_ok


async def test_strangers_refused(tmp_path: Path) -> None:
    """MS-26: with `unknown_recipients = "refuse"` somebody never seen is `not-found` to writers,
    until he has been there, is in a Room, or has a subscription to chat. An invitation is none."""
    settings = {**SETTINGS, "messaging.unknown_recipients": "refuse"}
    async with Daemon(tmp_path, settings) as daemon:
        town = Town(daemon)
        name = uuid4().hex
        async with town.talking("ann") as (ann,):
            assert (await ann.ask(direct(name))).error == "not-found"
            room = await new_room(ann)
            invite = said("invite", channel_id=room, subscriber_ids=[name])
            assert (await ann.ask(invite)).is_ok
            assert (await ann.ask(direct(name))).error == "not-found"
            async with town.talking(name):
                pass
            id_ = await write(ann, direct(name, "hi"))
            async with town.talking(name) as (one,):
                told: Message = (await one.until("direct-message"))[-1]
                assert told["message-id"] == id_
            assert (await ann.ask(direct("cat"))).error == "not-found"
