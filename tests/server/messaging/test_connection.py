"""tocsin.server.messaging.connection and inhand: what is answered, and in which order."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog.testing
import trio
from tests.fakes.talk import Client, Talk, talking
from tests.fakes.world import CountingProgress

from tocsin.messaging.link import Link
from tocsin.messaging.settings import MessagingLimits
from tocsin.model.errors import StoreError
from tocsin.server.messaging.answer import Answer
from tocsin.wire.messaging.clientmessages import ClientMessage

FLOOD = MessagingLimits(rate=1, burst=2, flood=3)


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    """Their types; an `ack` with its code if it says no."""
    return [
        message["error"]["code"] if message.get("status") is False else message["type"]
        for message in messages
    ]


async def write(client: Client, to: str, content: str = "hi") -> list[dict[str, Any]]:
    """A direct message, and what comes of it."""
    return await client.ask(type="direct-message", id="w", subscriber_id=to, content=content)


# -- coming ------------------------------------------------------------------------------------


async def test_the_welcome() -> None:
    """MS-29, MS-60: who one is, the end of the Log, and how long it keeps; the first message."""
    async with talking() as talk:
        ann = await talk.join("ann")
        await write(ann, "bob")
        bob = talk.arrive("bob")
        bob.say(type="unannounce")
        await talk.settle()
        assert kinds(bob.log) == ["welcome", "ack", "direct-message"]
        assert bob.log[0] == {
            "type": "welcome",
            "cursor": "e1:1",
            "subscriber-id": "bob",
            "retention": 604_800,
        }


async def test_no_welcome() -> None:
    """MS-29: for clients that know only the documented types."""
    async with talking(welcome=False) as talk:
        bob = talk.arrive("bob")
        await talk.settle()
        assert bob.log == []


async def test_who_was_revoked_meanwhile() -> None:
    """MS-9, MS-12: since the guard looked; nothing of him was begun."""
    async with talking() as talk:
        talk.tokens.is_good = False
        bob = talk.arrive("bob")
        await talk.settle()
        assert bob.closing == (3000, "Unauthorized")
        assert len(talk.world.live) == 0


async def test_a_store_that_fails_at_the_beginning() -> None:
    """Section 12: 1013, and what the client has said is dropped, whether it is there or not."""
    async with talking() as talk:
        talk.store.is_failing = True
        bob, cid = talk.arrive("bob"), talk.arrive("cid")
        for client in (bob, cid):
            client.say(type="list-channels")
        cid.leave()
        await talk.settle()
        assert bob.closing == (1013, "Try again later")
        assert (talk.clients, len(talk.application)) == ([], 0)


async def test_who_leaves_before_he_is_in() -> None:
    """MS-70, MS-38: he is not live afterwards, his Rooms are let go; what he had said is done."""
    async with talking() as talk:
        bob = await talk.join("bob")
        with talk.store.held_up():
            ann, dan = talk.arrive("ann"), talk.arrive("dan")
            ann.say(type="direct-message", subscriber_id="bob", content="bye")
            for client in (ann, dan):
                client.leave()
            await talk.settle()
        await talk.settle()
        assert bob.take()[0]["content"] == "bye"
        assert (len(talk.world.live), len(talk.links("bob"))) == (1, 1)
        for name in ("ann", "dan"):
            assert (await talk.world.register.subscriber("acme", name)).rooms is None
        assert len(talk.application) == 1


async def test_who_came_back_to_join_a_room_is_told_of_there() -> None:
    """MS-39: where he was seen on his last connection, though he did not announce on it, people
    hear that he has left."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        invitation, *_ = await ann.ask(type="create-channel", name="r", invite_token="s3")
        await bob.ask(type="announce", availability="available")
        bob.leave()
        bob = await talk.connect("bob")
        await bob.ask(type="join-channel", invite_token="s3", channel_id=invitation["channel-id"])
        [joined] = ann.take()
        assert joined["subscriber"]["availability"] == "available"
        bob.leave()
        talk.desks.at += 60_000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk.world.presence.run, CountingProgress())
            await talk.settle()
            nursery.cancel_scope.cancel()
        [left] = ann.take()
        assert (left["change"], left["subscriber"]["availability"]) == ("availability", "invisible")


async def test_an_eleventh_connection() -> None:
    """Section 12: the oldest is told 4000, and is no live one from then on."""
    async with talking(limits=MessagingLimits(connections=2)) as talk:
        first = await talk.join("ann")
        others = [await talk.join("ann") for _ in range(2)]
        assert first.closing == (4000, "Replaced")
        assert [client.closing for client in others] == [None, None]
        assert len(talk.world.live) == 2
        assert talk.metric("closes_total", code="4000") == 1


# -- one after the other -----------------------------------------------------------------------


async def test_each_gets_its_ack_in_order() -> None:
    """MS-17, MS-18, MS-19: one at a time, with its `id` or without, refused ones in their turn."""
    async with talking() as talk:
        ann = await talk.join("ann")
        ann.say(type="direct-message", id="1", subscriber_id="bob", content="a")
        ann.say(type="direct-message", id="2", subscriber_id="ann", content="to oneself")
        ann.say(type="direct-message", id="3")
        ann.say(type="list-channels")
        ann.say(type="unannounce", id=4)
        ann.say(type="unannounce", id="5")
        await talk.settle()
        told = ann.take()
        assert kinds(told) == [
            *("delivery", "ack"),
            "bad-request",
            "bad-request",
            *("channels", "ack"),
            "bad-request",
            "ack",
        ]
        assert [message.get("reply-to") for message in told] == [
            *("1", "1", "2", "3", None, None, None, "5")
        ]
        acks = [message for message in told if message["type"] == "ack"]
        assert [ack.get("id") for ack in acks] == ["1", "2", "3", None, None, "5"]
        assert talk.metric("client_messages_total", type="direct-message", result="ok") == 1
        assert (
            talk.metric("client_messages_total", type="direct-message", result="bad-request") == 2
        )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not-json"),
        ("[]", "not-an-object"),
        ('{"type":1}', "no-type"),
        ('{"type":"ack","id":"1"}', "unknown-type"),
        ('{"type":"unannounce","type":"unannounce"}', "repeated-name"),
    ],
)
async def test_what_is_ignored(text: str, reason: str) -> None:
    """MS-16: without a word, counted, and the connection lives on."""
    async with talking() as talk:
        ann = await talk.join("ann")
        ann.say(text)
        await talk.settle()
        assert ann.take() == []
        assert talk.metric("ignored_total", reason=reason) == 1
        assert kinds(await ann.ask(type="unannounce")) == ["ack"]


async def test_what_is_said_by_others_comes_behind_the_ack() -> None:
    """MS-19: nothing unsolicited between a message and its `ack`, whatever it is."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        talk.desk.opening = trio.Event()
        assert await ann.ask(type="list-channels") == []
        opening, talk.desk.opening = talk.desk.opening, None
        await write(bob, "ann")
        await bob.ask(type="composing", subscriber_id="ann", state="active")
        [link] = talk.world.live.of((await talk.desks.register.subscriber("acme", "ann")).key)
        link.told(7, b'{"type":"subscriber","change":"availability"}')
        link.notify(b'{"type":"subscriber","change":"joined"}')
        await talk.settle()
        assert ann.take() == []
        opening.set()
        await talk.settle()
        assert kinds(ann.take()) == [
            *("channels", "ack"),
            *("direct-message", "composing", "subscriber", "subscriber"),
        ]


async def test_what_is_before_ones_own_comes_before_the_reply() -> None:
    """MS-47, MS-60: cursors only rise; one's own entry does not come again."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        talk.desk.opening = trio.Event()
        ann.say(type="unannounce", id="1")
        await talk.settle()
        await_opening, talk.desk.opening = talk.desk.opening, None
        await write(bob, "ann", "before")
        ann.say(type="direct-message", id="2", subscriber_id="bob", content="mine")
        await_opening.set()
        await talk.settle()
        told = ann.take()
        assert [(one["type"], one.get("reply-to"), one.get("cursor")) for one in told] == [
            ("ack", "1", None),
            ("direct-message", None, "e1:1"),
            ("delivery", "2", "e1:2"),
            ("ack", "2", None),
        ]
        await write(bob, "ann", "after")
        assert [one["cursor"] for one in ann.take()] == ["e1:3"]


async def test_several_in_the_log_while_ones_own_is_stored() -> None:
    """MS-47: with what came before it while the act was done."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        with talk.store.held_up():
            for client, to in ((bob, "ann"), (ann, "bob"), (bob, "ann")):
                client.say(type="direct-message", id="w", subscriber_id=to, content="x")
                await talk.settle()
            assert ann.take() == bob.take() == []
        await talk.settle()
        told = ann.take()
        assert kinds(told) == ["direct-message", "delivery", "ack", "direct-message"]
        assert [one.get("cursor") for one in told] == ["e1:1", "e1:2", None, "e1:3"]


async def test_the_other_devices_get_the_entry() -> None:
    """MS-47: with its `dedupe-id`, and the same cursor as the reply."""
    async with talking() as talk:
        one, other = await talk.join("ann"), await talk.join("ann")
        [reply, _] = await one.ask(
            type="direct-message", subscriber_id="bob", content="hi", dedupe_id="k1"
        )
        [entry] = other.take()
        assert (entry["type"], entry["dedupe-id"]) == ("direct-message", "k1")
        assert entry["cursor"] == reply["cursor"]
        assert "reply-to" not in entry


async def test_acts_without_a_reply() -> None:
    """MS-47: their entry comes behind the `ack`."""
    async with talking() as talk:
        ann = await talk.join("ann")
        [made, _] = await ann.ask(type="create-channel", name="Day shift")
        told = await ann.ask(type="update-channel", channel_id=made["channel-id"], name="Night")
        assert kinds(told) == ["ack", "membership"]
        assert (made["cursor"], told[1]["cursor"]) == ("e1:1", "e1:2")


# -- what fails --------------------------------------------------------------------------------


async def test_a_bug_costs_one_message() -> None:
    """MS-17: `unavailable`, logged, and the connection lives on."""
    async with talking() as talk:
        ann = await talk.join("ann")

        def crash(_link: Link, _message: ClientMessage) -> Answer:
            raise ZeroDivisionError

        talk.desk.before = crash
        with structlog.testing.capture_logs() as logs:
            [ack] = await ann.ask(type="list-channels", id="1")
        assert ack["error"]["code"] == "unavailable"
        assert [entry["event"] for entry in logs] == ["messaging.crashed"]
        talk.desk.before = lambda _link, _message: None
        assert kinds(await ann.ask(type="list-channels")) == ["channels", "ack"]


async def test_a_list_that_is_broken_off() -> None:
    """MS-17, MS-20: the part that was to go with the `ack` does not go with one that says no."""
    async with talking() as talk:
        ann = await talk.join("ann")

        def parts() -> Iterator[bytes]:
            yield b'{"type":"channels","channels":[],"more":true}'
            yield b'{"type":"channels","channels":[],"more":true}'
            raise ZeroDivisionError

        talk.desk.before = lambda _link, _message: Answer(parts())
        with structlog.testing.capture_logs() as logs:
            told = await ann.ask(type="list-channels", id="1")
        assert kinds(told) == ["channels", "unavailable"]
        assert [entry["event"] for entry in logs] == ["messaging.crashed"]
        talk.desk.before = lambda _link, _message: None
        assert kinds(await ann.ask(type="list-channels")) == ["channels", "ack"]


async def test_a_store_that_fails() -> None:
    """MS-17: no effect, no reply but the `ack`, and the connection lives on."""
    async with talking() as talk:
        ann = await talk.join("ann")

        def fail(_link: Link, _message: ClientMessage) -> Answer:
            raise StoreError("the disk is on fire")

        talk.desk.before = fail
        assert kinds(await ann.ask(type="list-channels")) == ["unavailable"]
        assert ann.is_open


# -- limits ------------------------------------------------------------------------------------


async def test_over_the_rate() -> None:
    """Section 12: `rate-limited`, with `retry-after`, and not handled; over all connections."""
    async with talking(limits=FLOOD) as talk:
        one, other = await talk.connect("ann"), await talk.connect("ann")
        assert kinds(await one.ask(type="list-channels")) == ["channels", "ack"]
        assert kinds(await other.ask(type="list-channels")) == ["channels", "ack"]
        [ack] = await one.ask(type="list-channels", id="1")
        assert ack == {
            "type": "ack",
            "reply-to": "1",
            "id": "1",
            "status": False,
            "error": {"code": "rate-limited", "text": "too many messages", "retry-after": 1},
        }
        talk.clock.advance(1)
        assert kinds(await other.ask(type="list-channels")) == ["channels", "ack"]


async def test_a_flood() -> None:
    """Section 12: 1008 for whoever keeps at it, ignored messages counted as well."""
    async with talking(limits=FLOOD) as talk:
        ann = await talk.connect("ann")
        for _ in range(10):
            for _ in range(4):
                ann.say("{")
            assert ann.is_open
            talk.clock.advance(1)
        ann.say("{")
        assert ann.closing == (1008, "Rate limit")
        await talk.settle()
        assert talk.metric("closes_total", code="1008") == 1


async def test_a_list_goes_a_part_at_a_time() -> None:
    """MS-30, MS-68: the next is made when the client has made room."""
    limits = MessagingLimits(outbox_messages=2)
    async with talking(limits=limits) as talk:
        ann = await talk.join("ann")
        made: list[int] = []

        def parts(_link: Link, _message: ClientMessage) -> Answer:
            return Answer(made.append(n) or b'{"type":"part"}' for n in range(5))

        talk.desk.before = parts
        ann.stalls = True
        ann.say(type="list-channels")
        await talk.settle()
        assert (ann.waiting, len(made) < 5) == (2, True)
        ann.read(1)
        await talk.settle()
        assert len(made) < 5
        ann.read_on()
        await talk.settle()
        assert kinds(ann.take()) == [*["part"] * 5, "ack"]


async def test_the_last_reply_goes_with_the_ack() -> None:
    """MS-17, MS-47: a reply and its `ack` are one burst, with one cursor to prove."""
    async with talking() as talk:
        ann = await talk.join("ann")
        await talk.join("bob")
        before = ann.bursts
        replies = await ann.ask(type="direct-message", subscriber_id="bob", content="hi")
        assert kinds(replies) == ["delivery", "ack"]
        assert ann.bursts == before + 1


async def test_who_leaves_with_a_list_under_way() -> None:
    """MS-68: nobody waits for room that nobody will make; what else he said is still done."""
    async with talking(limits=MessagingLimits(outbox_messages=2)) as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        talk.desk.before = lambda _link, message: (
            Answer(b'{"type":"part"}' for _ in range(5))
            if message.type == "list-channels"
            else None
        )
        ann.stalls = True
        ann.say(type="list-channels")
        ann.say(type="direct-message", subscriber_id="bob", content="bye")
        await talk.settle()
        ann.leave()
        await talk.settle()
        assert bob.take()[0]["content"] == "bye"
        assert len(talk.application) == 1


async def test_refusals_wait_for_room_too() -> None:
    """MS-68: a client that reads nothing gets no endless `ack`s."""
    async with talking(limits=MessagingLimits(outbox_messages=2)) as talk:
        ann = await talk.join("ann")
        ann.stalls = True
        for _ in range(5):
            ann.say(type="direct-message")
        await talk.settle()
        assert ann.waiting == 2
        ann.read_on()
        await talk.settle()
        assert kinds(ann.take()) == ["bad-request"] * 5


# -- proof and end -----------------------------------------------------------------------------


async def test_a_pong_is_a_receipt() -> None:
    """MS-54, MS-55: of what was written before its Ping, by the device the connection named."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob", correlator="phone")
        await write(ann, "bob")
        await write(ann, "bob")
        bob.prove()
        await write(ann, "bob")
        ann.take()
        talk.receipts.flush()
        assert [one["status"] for one in ann.take()] == ["received", "received"]
        assert bob.marks == [0, 1, 2, 3]


async def test_a_pong_behind_our_close() -> None:
    """MS-54: what the client had read counts all the same."""
    async with talking() as talk:
        ann, bob = await talk.join("ann"), await talk.join("bob")
        await write(ann, "bob")
        [link] = talk.world.live.of((await talk.world.register.subscriber("acme", "bob")).key)
        link.end(3000, "Unauthorized")
        bob.prove()
        ann.take()
        talk.receipts.flush()
        assert [one["status"] for one in ann.take()] == ["received"]


async def test_a_closed_connection_is_not_live() -> None:
    """MS-50: from the moment it is closed, although its client may not know yet."""
    async with talking() as talk:
        await talk.join("bob", correlator="phone")
        [link] = talk.links("bob")
        assert talk.world.live.has_device("bob@acme", "phone")
        assert (link.transport, link.correlator) == ("websocket", "phone")
        assert talk.metric("connections", transport="websocket") == 1
        link.end(3003, "Forbidden")
        assert not talk.world.live.has_device("bob@acme", "phone")
        assert not talk.tokens.live
        assert link.subscriber.rooms is None
        await talk.settle()
        assert talk.metric("connections", transport="websocket") == 0
        assert talk.metric("closes_total", code="3003") == 1


async def opened(talk: Talk, name: str) -> Link:
    """The only Link of somebody."""
    subscriber = await talk.world.register.subscriber("acme", name)
    [link] = talk.world.live.of(subscriber.key)
    return link


async def test_rooms_are_kept_for_the_living() -> None:
    """MS-41: loaded with the first connection, let go with the last."""
    async with talking() as talk:
        one, other = await talk.join("ann"), await talk.join("ann")
        subscriber = await talk.world.register.subscriber("acme", "ann")
        assert subscriber.rooms == {}
        one.leave()
        await talk.settle()
        assert subscriber.rooms == {}
        assert (await opened(talk, "ann")).subscriber is subscriber
        other.leave()
        await talk.settle()
        assert subscriber.rooms is None
