"""What a client may say, and how it is answered, over every transport (messaging.md, 4 and 5)."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import pytest
from tests.end_to_end.daemon import Daemon
from tests.end_to_end.messaging_town import Town, direct, fence, heard, history, running, said
from tests.end_to_end.messaging_words import (
    IGNORED,
    SILENCE,
    TYPES,
    acknowledgement,
    junk,
    spoilt,
)
from tests.fakes.messaging_client import FRAMED, RAW, TRANSPORTS, Message, MessagingClient

pytestmark = pytest.mark.end_to_end

ROUNDS: Final = 800
AT_ONCE: Final = 200
"""Fewer than the messages that may wait for one that is in hand."""
INVISIBLE: Final = {
    "id": "ann",
    "status": "",
    "availability": "invisible",
    "administrator": False,
    "attributes": {},
}
BAD_IDS: Final[tuple[object, ...]] = (7, 1.5, True, [], {}, ["1"], "", "x" * 129, "a\nb", "a\ud800")
CONTENTS: Final = (
    "",
    "\x00\x01\t\r\n\x7f\x85",
    "\u2028\u2029\u200d\ufeff\uffff",
    "\U0001f600\u00e9\ufffd",
    '</script><!--"\\u0041\\',
    '{"type":"ack"}',
    '["a"]',
    "%25%",
)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One for all tests here."""
    yield from running(tmp_path_factory.mktemp("daemon"))


@pytest.fixture
def town(daemon: Daemon) -> Town:
    """People of this test alone."""
    return Town(daemon)


async def said_since(client: MessagingClient, begin: int) -> list[Message]:
    """Everything the client was sent from a place in its log up to now."""
    reply = await fence(client)
    return [one for one in client.log[begin:] if one not in [*reply.messages, reply.ack]]


async def ignored(daemon: Daemon) -> Counter[str]:
    """How many messages have been ignored, by reason."""
    reasons = {reason for reason, _ in IGNORED}
    return Counter(
        {
            reason: int(await daemon.metric("tocsin_messaging_ignored_total", reason=reason))
            for reason in reasons
        }
    )


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_is_no_message_is_not_answered(town: Town, transport: str) -> None:
    """MS-16, MS-71: junk is answered with nothing and counted by its reason, types of the server
    included, and the connection is as good as before."""
    before = await ignored(town.daemon)
    async with town.talking("ann", transport=transport) as (ann,):
        begin = len(ann.log)
        for _, text in IGNORED:
            await ann.send(text)
        assert await said_since(ann, begin) == []
    assert await ignored(town.daemon) - before == Counter(reason for reason, _ in IGNORED)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_is_wrong_in_a_message_is_refused(town: Town, transport: str) -> None:
    """MS-17, MS-20, MS-22, MS-23: every type with every field missing, null or wrong gets its `ack`
    alone, in the order sent, and has no effect. All on one transport, some on the others."""
    wrong = list(spoilt())
    if transport != RAW:
        wrong = random.Random(transport).sample(wrong, 60)
    async with town.talking("ann", transport=transport) as (ann,):
        begin = len(ann.log)
        for number, message in enumerate(wrong):
            await ann.send({"id": f"w{number}", **message})
        answers = await said_since(ann, begin)
        for number, (message, answer) in enumerate(zip(wrong, answers, strict=True)):
            error = answer.pop("error", None)
            expected = {"type": "ack", "id": f"w{number}", "reply-to": f"w{number}"}
            assert answer == {**expected, "status": False}, message
            assert error["code"] == "bad-request", message
            assert set(error) == {"code", "text"}, message
        assert (await ann.ask(said("list-channels"))).one["channels"] == []
        assert (await fence(ann)).one["subscribers"] == [INVISIBLE]
        assert (await history(ann, subscriber_id="nobody"))["messages"] == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_ids(town: Town, transport: str) -> None:
    """MS-18: an id comes back in what answers it, none where there was none or null, and one that
    is no id is refused without."""
    async with town.talking("ann", transport=transport) as (ann,):
        begin = len(ann.log)
        for id_ in ("1", "\u00e9", "y" * 128):
            await ann.send({"type": "list-channels", "id": id_})
        channels = {"type": "channels", "channels": [], "more": False}
        assert await said_since(ann, begin) == [
            message
            for id_ in ("1", "\u00e9", "y" * 128)
            for message in (
                {**channels, "reply-to": id_},
                {"type": "ack", "status": True, "id": id_, "reply-to": id_},
            )
        ]
        begin = len(ann.log)
        await ann.send({"type": "list-channels"})
        await ann.send({"type": "list-channels", "id": None})
        assert await said_since(ann, begin) == [channels, {"type": "ack", "status": True}] * 2
        begin = len(ann.log)
        for bad in BAD_IDS:
            await ann.send({"type": "list-channels", "id": bad})
        answers = await said_since(ann, begin)
        assert len(answers) == len(BAD_IDS)
        for answer in answers:
            assert answer.keys() == {"type", "status", "error"}
            assert (answer["status"], answer["error"]["code"]) == (False, "bad-request")


@pytest.mark.parametrize("type_", TYPES)
async def test_what_is_unknown_or_null_does_not_count(town: Town, type_: str) -> None:
    """MS-15: unknown fields and null where nothing needs to be are the same as nothing there."""
    needed = {
        "type": type_,
        **{field.name: field.right for field in TYPES[type_] if field.needed},
        **({"name": "S"} if type_ == "update-channel" else {}),
    }
    nulls = {field.name: None for field in TYPES[type_] if not field.needed}
    async with town.talking("ann", "bob") as (ann, bob):
        plain = await ann.ask(needed)
        padded = await bob.ask({**nulls, "x": [{}], "from": 1, "reply-to": "7", **needed})
        assert plain.ack is not None
        assert padded.ack is not None
        assert plain.ack["status"] == padded.ack["status"]
        assert plain.ack.get("error") == padded.ack.get("error")
        assert [one["type"] for one in plain.messages] == [one["type"] for one in padded.messages]
        assert plain.ack.get("error", {}).get("code") != "bad-request"


async def test_sizes(town: Town) -> None:
    """MS-24 and section 12: what is just small enough is done, one more is `too-large`; a `limit`
    out of range becomes one in it; 32 levels are not too many."""
    async with town.talking("ann") as (ann,):
        fitting: list[Message] = [
            direct("bob", "\u00e9" * 32768),
            direct("bob", attributes={"a": "x" * 4088}, content_type="x" * 128),
            said("list-subscribers", subscriber_ids=[f"s{n}" for n in range(100)]),
            said("create-channel", name="\U0001f600" * 128, invite_token="x" * 128),
            said("announce", status="\u00e9" * 256),
            said("history", subscriber_id="b" * 128, limit=-5),
            said("history", subscriber_id="bob", limit=10**30),
            said("list-channels", deep=_nested(31)),
        ]
        for message in fitting:
            assert (await ann.ask(message)).is_ok, message
        for message in (
            direct("bob", "\u00e9" * 32768 + "x"),
            direct("bob", attributes={"a": "x" * 4089}),
            said("announce", attributes={"a": "\u00e9" * 2045}),
            said("list-subscribers", subscriber_ids=[f"s{n}" for n in range(101)]),
        ):
            assert (await ann.ask(message)).error == "too-large", message


def _nested(levels: int) -> object:
    nested: object = 0
    for _ in range(levels):
        nested = [nested]
    return nested


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_content_is_not_looked_into(town: Town, transport: str) -> None:
    """MS-24, MS-15: any string arrives as it was sent, to the letter, with its type and attributes;
    a type that is not said is text/plain."""
    async with town.talking("ann", "bob", transport=transport) as (ann, bob):
        for content in CONTENTS:
            attributes = {"\u2028": [content, None, 1.5, 2**80]}
            message = direct("bob", content, content_type="a/b", attributes=attributes)
            assert (await ann.ask(message)).is_ok
            told = await bob.next("direct-message")
            assert (told["content"], told["content-type"]) == (content, "a/b")
            assert told["attributes"] == attributes
        await ann.ask(direct("bob", "x"))
        told = await bob.next("direct-message")
        assert told["content-type"] == "text/plain"
        assert "attributes" not in told


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("transport", [RAW, FRAMED])
async def test_any_junk(town: Town, transport: str, seed: int) -> None:
    """MS-16 to MS-18, MS-22: whatever is said, each message has the one `ack` it should have or
    none, in the order sent, and nobody is the worse for it."""
    rng = random.Random(f"{transport} {seed}")
    texts = [junk(rng, ascii_only=transport == RAW) for _ in range(ROUNDS)]
    expected = [(text, acknowledgement(text)) for text in texts]
    async with town.talking("ann", "bob", transport=transport) as (ann, bob):
        acks: list[Message] = []
        for begin in range(0, ROUNDS, AT_ONCE):
            place = len(ann.log)
            for text in texts[begin : begin + AT_ONCE]:
                await ann.send(text)
            acks += [one for one in await said_since(ann, place) if one["type"] == "ack"]
        due: list[tuple[str, Any]] = [one for one in expected if one[1] is not SILENCE]
        for (text, id_), ack in zip(due, acks, strict=False):
            assert ack.get("id") == ack.get("reply-to") == id_, text
        assert len(acks) == len(due)
        assert await heard(bob) == []
