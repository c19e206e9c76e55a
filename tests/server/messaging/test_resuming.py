"""tocsin.server.messaging.resuming: what follows a cursor (messaging.md, MS-61 to MS-65)."""

from typing import Any

import pytest
from tests.fakes.talk import Client, Talk, talking

from tocsin.messaging.settings import MessagingLimits

SMALL = MessagingLimits(outbox_messages=4, outbox_bytes=4096, rate=1e6, burst=10_000)


async def written(talk: Talk, count: int, *, size: int = 1) -> Client:
    """So many messages to bob, who is not there; the one who wrote them."""
    ann = await talk.join("ann")
    for number in range(1, count + 1):
        await ann.ask(type="direct-message", subscriber_id="bob", content=str(number) * size)
    return ann


def brief(messages: list[dict[str, Any]]) -> list[str]:
    """A message by its content, the others by type."""
    return [str(message.get("content", message["type"])) for message in messages]


async def test_what_follows_the_cursor() -> None:
    """MS-61, MS-64: each with `reply-to`, then `resumed`, then the `ack`, then what is new."""
    async with talking() as talk:
        ann = await written(talk, 3)
        bob = await talk.connect("bob")
        told = await bob.ask(type="resume", id="7", cursor="e1:1")
        assert brief(told) == ["2", "3", "resumed", "ack"]
        assert [one["reply-to"] for one in told] == ["7"] * 4
        assert [one.get("cursor") for one in told] == ["e1:2", "e1:3", "e1:3", None]
        assert (told[2]["count"], told[2]["complete"]) == (2, True)
        assert talk.metric("resumes_total", complete="true") == 1
        await ann.ask(type="direct-message", subscriber_id="bob", content="new")
        [new] = bob.take()
        assert (new["content"], new["cursor"]) == ("new", "e1:4")
        assert "reply-to" not in new


async def test_nothing_follows() -> None:
    """MS-64: the cursor it came with is the end."""
    async with talking() as talk:
        await written(talk, 2)
        bob = await talk.connect("bob")
        told = await bob.ask(type="resume", cursor="e1:2")
        assert told == [
            {"type": "resumed", "cursor": "e1:2", "count": 0, "complete": True},
            {"type": "ack", "status": True},
        ]


async def test_the_empty_cursor() -> None:
    """MS-62: everything that is kept, and that is complete."""
    async with talking() as talk:
        talk.store.most_entries = 2
        await written(talk, 4)
        bob = await talk.connect("bob")
        told = await bob.ask(type="resume", cursor="")
        assert brief(told) == ["3", "4", "resumed", "ack"]
        assert told[2]["complete"] is True


async def test_a_log_that_does_not_reach_back() -> None:
    """MS-63: what is left, and that it is not all."""
    async with talking() as talk:
        talk.store.most_entries = 2
        await written(talk, 5)
        for cursor, is_complete in (("e1:2", False), ("e1:3", True)):
            bob = await talk.resume("bob", cursor)
            told = bob.take()
            assert brief(told) == ["4", "5", "resumed", "ack"]
            assert (told[2]["count"], told[2]["complete"]) == (2, is_complete)


@pytest.mark.parametrize("cursor", ["e2:1", "e1:9", "e1:01", "nonsense", "e1:99999999999999999999"])
async def test_a_cursor_that_is_none_of_ours(cursor: str) -> None:
    """MS-63: never guessed at; goes on as one that did not resume, from the cursor it is told."""
    async with talking() as talk:
        ann = await written(talk, 2)
        bob = await talk.connect("bob")
        told = await bob.ask(type="resume", id="1", cursor=cursor)
        assert told[0] == {
            "type": "resumed",
            "reply-to": "1",
            "cursor": "e1:0",
            "count": 0,
            "complete": False,
        }
        assert brief(told[1:]) == ["ack", "1", "2"]
        assert "reply-to" not in told[2]
        assert talk.metric("resumes_total", complete="false") == 1
        await ann.ask(type="direct-message", subscriber_id="bob", content="3")
        assert brief(bob.take()) == ["3"]


async def test_a_cursor_that_is_no_string() -> None:
    """MS-17, MS-61: refused, and goes on as one that did not resume."""
    async with talking() as talk:
        await written(talk, 1)
        bob = await talk.connect("bob")
        told = await bob.ask(type="resume", cursor=1)
        assert told[0]["error"]["code"] == "bad-request"
        assert brief(told[1:]) == ["1"]


async def test_a_later_resume() -> None:
    """MS-62: what was sent comes again with the same cursors; then only what is new."""
    async with talking() as talk:
        ann = await written(talk, 3)
        bob = await talk.join("bob")
        first = {one["cursor"]: one for one in bob.log if "content" in one}
        bob.take()
        for _ in range(2):
            told = await bob.ask(type="resume", id="1", cursor="e1:1")
            assert brief(told) == ["2", "3", "resumed", "ack"]
            for one in told[:2]:
                assert one == {**first[one["cursor"]], "reply-to": "1"}
        assert brief(await bob.ask(type="resume", cursor="e1:8")) == ["resumed", "ack"]
        await ann.ask(type="direct-message", subscriber_id="bob", content="4")
        assert brief(bob.take()) == ["4"]


async def test_what_is_posted_meanwhile() -> None:
    """MS-61: the end is where the Log ended when it began; the rest follows the `ack`, once."""
    async with talking() as talk:
        ann = await written(talk, 2)
        bob = await talk.connect("bob")
        bob.stalls = True
        talk.store.is_slow = True
        bob.say(type="resume", cursor="")
        await talk.settle()
        await ann.ask(type="direct-message", subscriber_id="bob", content="3")
        talk.store.turn_pages()
        await ann.ask(type="direct-message", subscriber_id="bob", content="4")
        await talk.settle()
        talk.store.turn_pages()
        bob.read_on()
        await talk.settle()
        assert brief(bob.take()) == ["1", "2", "3", "resumed", "ack", "4"]


async def test_it_has_an_end() -> None:
    """MS-62: what is posted while it goes on is none of it, also where a page has it."""
    async with talking(limits=SMALL) as talk:
        ann = await written(talk, 6)
        bob = await talk.connect("bob")
        bob.stalls = True
        bob.say(type="resume", cursor="")
        await talk.settle()
        await ann.ask(type="direct-message", subscriber_id="bob", content="7")
        bob.read_on()
        await talk.settle()
        told = bob.take()
        assert brief(told) == [*"123456", "resumed", "ack", "7"]
        assert (told[6]["count"], told[6]["cursor"]) == (6, "e1:6")


async def test_nothing_is_left() -> None:
    """MS-63: it is not all, and goes on from the end."""
    async with talking() as talk:
        ann = await written(talk, 3)
        await talk.store.trim_logs(talk.desks.at + 1, limit=100)
        bob = await talk.connect("bob")
        told = await bob.ask(type="resume", cursor="e1:1")
        assert (told[0]["count"], told[0]["complete"], told[0]["cursor"]) == (0, False, "e1:3")
        await ann.ask(type="direct-message", subscriber_id="bob", content="4")
        assert brief(bob.take()) == ["4"]


async def test_an_answer_to_a_question_before_that() -> None:
    """MS-48: a page that was asked for before the replay began counts no more."""
    async with talking() as talk:
        await written(talk, 3)
        talk.store.is_slow = True
        bob = await talk.connect("bob")
        await bob.ask(type="unannounce")
        bob.say(type="resume", cursor="e1:2")
        await talk.settle()
        talk.store.turn_pages()
        await talk.settle()
        assert brief(bob.take()) == ["3", "resumed", "ack"]
        talk.store.turn_pages()
        assert bob.take() == []


async def test_more_than_a_page() -> None:
    """MS-64: pages of 100."""
    async with talking(limits=MessagingLimits(rate=1e6, burst=10_000)) as talk:
        await written(talk, 250)
        bob = await talk.resume("bob", "e1:10")
        told = bob.take()
        assert brief(told) == [*map(str, range(11, 251)), "resumed", "ack"]
        assert told[-2]["count"] == 240
        assert talk.store.page_sizes == [100, 100, 100]


async def test_a_slow_reader() -> None:
    """MS-64: no more is sent than it may be, what does not fit is not kept, and nothing comes
    twice."""
    async with talking(limits=SMALL) as talk:
        await written(talk, 20, size=700)
        bob = await talk.connect("bob")
        bob.stalls = True
        bob.say(type="resume", cursor="")
        await talk.settle()
        most = bob.waiting
        while bob.waiting:
            most = max(most, bob.waiting)
            bob.read_on(stalls=True)
            await talk.settle()
        assert 0 < most <= 4
        assert brief(bob.take()) == [
            *(str(number) * 700 for number in range(1, 21)),
            *("resumed", "ack"),
        ]
        assert max(talk.store.page_sizes[1:]) <= 16


async def test_who_leaves_in_between() -> None:
    """MS-68: it ends with its client."""
    async with talking(limits=SMALL) as talk:
        await written(talk, 10)
        bob = await talk.connect("bob")
        bob.stalls = True
        bob.say(type="resume", cursor="")
        bob.say(type="unannounce")
        await talk.settle()
        bob.leave()
        await talk.settle()
        assert len(talk.application) == 1


async def test_trimmed_in_between() -> None:
    """MS-65: 1013, and the next `resume` shows the gap."""
    async with talking(limits=SMALL) as talk:
        talk.store.most_entries = 8
        ann = await written(talk, 8)
        bob = await talk.connect("bob")
        bob.stalls = True
        bob.say(type="resume", cursor="")
        await talk.settle()
        for number in range(9, 20):
            await ann.ask(type="direct-message", subscriber_id="bob", content=str(number))
        bob.read_on()
        await talk.settle()
        assert bob.closing == (1013, "Try again later")
        assert brief(bob.take()) == ["1", "2", "3", "4"]
        again = await talk.resume("bob", "e1:4")
        told = again.take()
        assert brief(told) == [*map(str, range(12, 20)), "resumed", "ack"]
        assert told[-2]["complete"] is False


async def test_a_store_that_fails_at_first() -> None:
    """MS-17: `unavailable` without `resumed`, and it goes on as one that did not resume."""
    async with talking() as talk:
        await written(talk, 2)
        bob = await talk.connect("bob")
        talk.store.failures = 1
        bob.say(type="resume", cursor="e1:1")
        await talk.settle()
        told = bob.take()
        assert told[0]["error"]["code"] == "unavailable"
        assert brief(told[1:]) == ["1", "2"]


async def test_a_store_that_fails_in_between() -> None:
    """MS-17: what was sent was sent; it goes on behind that."""
    async with talking(limits=SMALL) as talk:
        await written(talk, 8)
        bob = await talk.connect("bob")
        bob.stalls = True
        bob.say(type="resume", cursor="")
        await talk.settle()
        talk.store.failures = 1
        bob.read_on(stalls=True)
        await talk.settle()
        bob.read_on()
        await talk.settle()
        told = bob.take()
        assert brief(told) == ["1", "2", "3", "4", "ack", "5", "6", "7", "8"]
        assert told[4]["error"]["code"] == "unavailable"


async def test_a_cursor_is_a_receipt() -> None:
    """MS-54, MS-55: who resumes has everything up to there; one that is none of ours says
    nothing."""
    async with talking() as talk:
        ann = await written(talk, 3)
        await talk.resume("bob", "e1:7")
        await talk.resume("bob", "")
        ann.take()
        talk.receipts.flush()
        assert ann.take() == []
        await talk.resume("bob", "e1:2")
        talk.receipts.flush()
        assert [one["status"] for one in ann.take()] == ["received", "received"]
