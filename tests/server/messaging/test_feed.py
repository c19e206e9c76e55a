"""tocsin.server.messaging.feed: a connection is a position in the Log (messaging.md, MS-48)."""

from typing import Any

import trio
from tests.fakes.talk import Client, Talk, talking

from tocsin.messaging.link import Link
from tocsin.messaging.settings import MessagingLimits

SMALL = MessagingLimits(outbox_messages=4, outbox_bytes=4096, rate=1e6, burst=10_000)


def contents(messages: list[dict[str, Any]]) -> list[str]:
    """What was written."""
    return [message["content"] for message in messages if "content" in message]


async def write(client: Client, to: str, *texts: str) -> None:
    """Direct messages."""
    for text in texts:
        told = await client.ask(type="direct-message", subscriber_id=to, content=text)
        assert told[-1]["status"] is True


def link_of(talk: Talk, name: str) -> Link:
    """The newest Link of somebody."""
    return talk.links(name)[-1]


# -- the hold ----------------------------------------------------------------------------------


async def test_everything_is_held_back_at_first() -> None:
    """MS-61: entries, presence and hints, until 2 s have passed; nothing of it is lost."""
    async with talking() as talk:
        ann = await talk.join("ann")
        bob = await talk.connect("bob")
        await write(ann, "bob", "a")
        await ann.ask(type="composing", subscriber_id="bob", state="active")
        link_of(talk, "bob").notify(b'{"type":"subscriber"}')
        talk.clock.advance(1.9)
        assert bob.take() == []
        talk.clock.advance(0.1)
        assert [one["type"] for one in bob.take()] == ["direct-message", "composing", "subscriber"]
        await write(ann, "bob", "b")
        assert contents(bob.take()) == ["b"]


async def test_what_is_ignored_ends_no_hold() -> None:
    """MS-16, MS-61: it is no message."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.connect("bob")
        await write(ann, "bob", "a")
        bob.say("?")
        await talk.settle()
        assert bob.take() == []


async def test_the_first_message_ends_the_hold() -> None:
    """MS-61, MS-19: whatever else it is, its `ack` comes first."""
    async with talking() as talk:
        ann, bob, cid = await talk.join("ann"), await talk.connect("bob"), await talk.connect("cid")
        for client, name in ((bob, "bob"), (cid, "cid")):
            await write(ann, name, "a")
            assert client.take() == []
        assert [one["type"] for one in await bob.ask(type="unannounce")] == [
            "ack",
            "direct-message",
        ]
        assert [one["type"] for one in await cid.ask(type="announce", status=1)] == [
            "ack",
            "direct-message",
        ]


async def test_a_reply_behind_older_entries_has_no_cursor() -> None:
    """MS-47, MS-61: cursors only rise, so one's own entry comes in its turn."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.connect("bob")
        await write(ann, "bob", "a")
        bob.take()
        told = await bob.ask(type="direct-message", id="1", subscriber_id="ann", content="b")
        assert [(one["type"], one.get("cursor")) for one in told] == [
            ("delivery", None),
            ("ack", None),
            ("direct-message", "e1:1"),
            ("direct-message", "e1:2"),
        ]


async def test_from_the_proven_position() -> None:
    """MS-61: who says nothing gets what no connection of his is known to have, without
    `reply-to`."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        await write(ann, "bob", "a", "b")
        bob.prove()
        talk.receipts.flush()
        await write(ann, "bob", "c")
        bob.leave()
        again = await talk.connect("bob")
        told = await again.ask(type="unannounce")
        assert contents(told) == ["c"]
        assert again.marks == [2, 3]


async def test_what_was_trimmed_is_not_waited_for() -> None:
    """MS-61: where unproven entries are gone, what is left comes; no reason to send anybody
    away."""
    async with talking() as talk:
        talk.store.most_entries = 2
        ann = await talk.join("ann")
        await write(ann, "bob", *"abcd")
        bob = await talk.join("bob")
        assert contents(bob.log) == ["c", "d"]


async def test_who_reads_is_not_told_so() -> None:
    """MS-59: the entry of what a client has read is for its subscriber's other connections; its own
    goes on behind it."""
    async with talking() as talk:
        ann, page, bob = await talk.join("ann"), await talk.join("bob"), await talk.join("bob")
        await write(ann, "bob", "a")
        [message] = bob.take()
        read = {"type": "delivery", "message_id": message["message-id"], "status": "read"}
        assert [one["type"] for one in await bob.ask(**read)] == ["ack"]
        assert link_of(talk, "bob").position == 2
        assert page.take()[1]["cursor"] == "e1:2"
        await write(ann, "bob", "b")
        assert [one["cursor"] for one in bob.take()] == ["e1:3"]
        replayed = await bob.ask(type="resume", cursor="e1:1")
        assert [one["type"] for one in replayed][:2] == ["delivery", "direct-message"]


async def test_who_reads_and_lags_is_not_told_so() -> None:
    """MS-59, MS-48: nor by a page of the Log, even one with nothing else in it."""
    async with talking(limits=SMALL) as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        await write(ann, "bob", "a")
        [message] = bob.take()
        bob.stalls = True
        await write(ann, "bob", *"bcdef")
        bob.say(type="delivery", message_id=message["message-id"], status="read")
        await talk.settle()
        bob.read_on()
        await talk.settle()
        assert contents(bob.take()) == list("bcdef")
        assert link_of(talk, "bob").position == 7
        assert "delivery" not in [one["type"] for one in bob.log]
        await write(ann, "bob", "g")
        assert contents(bob.take()) == ["g"]


# -- slow readers ------------------------------------------------------------------------------


async def test_what_does_not_fit_waits_in_the_log() -> None:
    """MS-48, MS-68: nothing of it in memory; it comes when there is room, in order."""
    async with talking(limits=SMALL) as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        bob.stalls = True
        await write(ann, "bob", *"abcdefghij")
        assert bob.waiting == 4
        assert talk.store.page_sizes == []
        bob.read_on()
        assert contents(bob.take()) == list("abcdefghij")
        await write(ann, "bob", "k")
        assert contents(bob.take()) == ["k"]


async def test_large_ones_count_by_bytes() -> None:
    """Section 12: 256 KiB, here less; a first one always goes."""
    async with talking(limits=SMALL) as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        bob.stalls = True
        await write(ann, "bob", "x" * 10_000, "b", "c")
        assert bob.waiting == 1
        bob.read_on()
        assert [len(text) for text in contents(bob.take())] == [10_000, 1, 1]


async def test_pages_that_do_not_fit_become_smaller() -> None:
    """MS-48: a reader of large messages has no pages of them read in vain; and larger again when
    it reads."""
    async with talking(limits=SMALL) as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        bob.stalls = True
        await write(ann, "bob", *["x" * 3000] * 12)
        for _ in range(5):
            bob.read_on(stalls=True)
        bob.read_on()
        assert len(contents(bob.take())) == 12
        assert talk.store.page_sizes == [100, 1, 2, 1, 2, 1, 2, 4]


async def test_a_page_waits_for_the_message_in_hand() -> None:
    """MS-19: what was read meanwhile comes behind the `ack`."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.connect("bob")
        await write(ann, "bob", "a")
        talk.store.is_slow = True
        assert [one["type"] for one in await bob.ask(type="unannounce")] == ["ack"]
        with talk.store.held_up():
            bob.say(type="direct-message", subscriber_id="ann", content="b")
            await talk.settle()
            talk.store.turn_pages()
            assert bob.take() == []
        await talk.settle()
        talk.store.turn_pages()
        told = bob.take()
        assert [one["type"] for one in told] == [
            *("delivery", "ack"),
            *("direct-message", "direct-message"),
        ]
        assert [one.get("cursor") for one in told] == [None, None, "e1:1", "e1:2"]


async def test_too_much_while_a_message_is_in_hand() -> None:
    """MS-68: beyond the bound it is left in the Log, and the reply has no cursor."""
    async with talking(limits=SMALL) as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        talk.desk.opening = opening = trio.Event()
        bob.say(type="direct-message", id="1", subscriber_id="ann", content="mine")
        await talk.settle()
        talk.desk.opening = None
        await write(ann, "bob", *"abcdef")
        assert bob.take() == []
        opening.set()
        await talk.settle()
        told = bob.take()
        assert [one["type"] for one in told] == ["delivery", "ack", *["direct-message"] * 7]
        assert "cursor" not in told[0]
        assert contents(told) == ["mine", *"abcdef"]


async def test_no_room_for_what_is_before_ones_own() -> None:
    """MS-47, MS-68: as much as fits is written, and the reply has no cursor."""
    async with talking(limits=SMALL) as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        bob.stalls = True
        await write(ann, "bob", "x" * 2500)
        with talk.store.held_up():
            for client, to in ((ann, "bob"), (bob, "ann")):
                client.say(type="direct-message", id="w", subscriber_id=to, content="x" * 1500)
                await talk.settle()
        await talk.settle()
        assert bob.waiting == 3
        bob.read_on()
        told = bob.take()
        assert [one.get("cursor") for one in told] == ["e1:1", None, None, "e1:2", "e1:3"]


async def test_what_a_page_has_is_not_posted_again() -> None:
    """MS-48: entries may be read before they are handed over; each comes once."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.connect("bob")
        await write(ann, "bob", "a", "b")
        await bob.ask(type="unannounce")
        link = link_of(talk, "bob")
        for entry in await posted(talk, "bob"):
            link.posted(entry)
        await write(ann, "bob", "c")
        assert contents(bob.log) == ["a", "b", "c"]


async def test_what_is_handed_over_late() -> None:
    """MS-48: a page may have what has not been handed over yet; then it is not waited for."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.connect("bob")
        await write(ann, "bob", "a")
        hand_over, late = talk.store.on_posted, list[Any]()
        talk.store.on_posted = late.extend
        await write(ann, "bob", "b")
        assert contents(await bob.ask(type="unannounce")) == ["a", "b"]
        hand_over(late)
        talk.store.on_posted = hand_over
        await write(ann, "bob", "c")
        assert contents(bob.take()) == ["c"]
        assert talk.store.page_sizes == [100]


async def posted(talk: Talk, name: str) -> list[Any]:
    """Everything in somebody's Log."""
    key = (await talk.world.register.subscriber("acme", name)).key
    found: list[Any] = []
    talk.store.read_entries(key, after=0, limit=100, then=lambda page, _: found.append(page))
    return list(found[0].entries)


async def test_trimmed_before_it_was_sent() -> None:
    """MS-65: 1013, so that the `resume` shows the gap."""
    async with talking(limits=SMALL) as talk:
        talk.store.most_entries = 5
        ann, bob = await talk.join("ann"), await talk.join("bob")
        bob.stalls = True
        await write(ann, "bob", *"abcdefghijkl")
        assert bob.closing is None
        bob.read_on()
        assert bob.closing == (1013, "Try again later")
        again = await talk.resume("bob", "e1:4")
        assert again.log[-2]["complete"] is False
        assert contents(again.log) == list("hijkl")


async def test_a_store_that_fails_to_read() -> None:
    """Section 12: 1013; the client comes back with what it has."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.connect("bob")
        await write(ann, "bob", "a")
        talk.store.is_failing = True
        bob.say(type="unannounce")
        await talk.settle()
        assert bob.closing == (1013, "Try again later")


# -- what is not in the Log ----------------------------------------------------------------------


def told(link: Link, about: int, text: str) -> None:
    """The state of somebody has changed."""
    link.told(about, b'{"type":"subscriber","status":"%b"}' % text.encode())


async def test_presence_collapses() -> None:
    """MS-43: to one who lags the newest state of each comes once, and the rest is counted."""
    async with talking(limits=SMALL) as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        link = link_of(talk, "bob")
        bob.stalls = True
        await write(ann, "bob", *"abcdef")
        for about, text in ((1, "old"), (2, "other"), (1, "newer"), (1, "newest")):
            told(link, about, text)
        bob.read_on()
        messages = bob.take()
        assert contents(messages) == list("abcdef")
        assert [one["status"] for one in messages if "status" in one] == ["newest", "other"]
        assert talk.metric("collapsed_total") == 2


async def test_states_wait_for_room() -> None:
    """MS-43, MS-68: as many as fit, then the others."""
    async with talking(limits=SMALL) as talk:
        bob = await talk.join("bob")
        link = link_of(talk, "bob")
        bob.stalls = True
        for about in range(10):
            told(link, about, str(about))
        assert bob.waiting == 4
        bob.read_on(stalls=True)
        assert bob.waiting == 4
        bob.read_on()
        assert [one["status"] for one in bob.take()] == [str(about) for about in range(10)]


async def test_hints_are_dropped_for_slow_readers() -> None:
    """MS-44: who lags is told nothing of it."""
    async with talking(limits=SMALL) as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        bob.stalls = True
        await write(ann, "bob", *"abcdef")
        link_of(talk, "bob").hinted(b'{"type":"composing"}')
        bob.read_on()
        assert contents(bob.take()) == list("abcdef")
        link_of(talk, "bob").hinted(b'{"type":"composing"}')
        assert [one["type"] for one in bob.take()] == ["composing"]


async def test_notes_come_in_order() -> None:
    """MS-21: behind the entries they came behind, before those that followed, however late."""
    async with talking(limits=SMALL) as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        link = link_of(talk, "bob")
        bob.stalls = True
        for number in range(1, 7):
            await write(ann, "bob", str(number))
            link.notify(b'{"type":"subscriber","content":"after %d"}' % number)
        while bob.waiting:
            bob.read_on(stalls=True)
        expected = [text for n in range(1, 7) for text in (str(n), f"after {n}")]
        assert contents(bob.take()) == expected


async def test_notes_that_find_no_room() -> None:
    """MS-68: they wait without an entry that waits, and are before what is posted later."""
    async with talking(limits=SMALL) as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        link = link_of(talk, "bob")
        bob.stalls = True
        for number in range(6):
            link.notify(b'{"type":"subscriber","content":"%d"}' % number)
        bob.read(2)
        await write(ann, "bob", "entry")
        link.hinted(b'{"type":"composing","content":"dropped"}')
        told(link, 1, "state")
        bob.read_on()
        messages = bob.take()
        assert contents(messages) == [*"012345", "entry"]
        assert messages[-1]["status"] == "state"


async def test_too_many_notes() -> None:
    """MS-68: who lags too far behind is sent away, and asks anew when it comes back."""
    async with talking(limits=SMALL) as talk:
        for say in (
            lambda link, n: link.notify(b'{"n":%d}' % n),
            lambda link, n: link.told(n, b'{"n":%d}' % n),
        ):
            bob = await talk.join("bob")
            link = link_of(talk, "bob")
            bob.stalls = True
            for number in range(8):
                say(link, number)
            assert bob.closing is None
            for number in range(8, 4200):
                say(link, number)
            assert bob.closing == (1013, "Try again later")
            await talk.settle()
