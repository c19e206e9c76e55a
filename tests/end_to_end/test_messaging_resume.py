"""Coming back: what was missed, from any cursor, on every transport (messaging.md, 10)."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.messaging_town import (
    SETTINGS,
    Town,
    bare,
    direct,
    fence,
    heard,
    of_log,
    place,
    running,
    said,
    write,
)
from tests.fakes.messaging_client import POLLING, TRANSPORTS, Message, MessagingClient, Reply
from tests.fakes.messaging_wires import SocketWire
from tests.fakes.raw_http import RawConnection

pytestmark = pytest.mark.end_to_end

KEPT: Final = 20
SHORT: Final = {
    "messaging.limits.log_entries": KEPT,
    "messaging.limits.outbox_messages": 4,
    "messaging.sockjs.disconnect_delay": 60,
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One for most tests here."""
    yield from running(tmp_path_factory.mktemp("daemon"))


@pytest.fixture
def town(daemon: Daemon) -> Town:
    """People of this test alone."""
    return Town(daemon)


async def send(client: MessagingClient, to: str, count: int, content: str = "x") -> None:
    """Many messages, without waiting for each to be answered."""
    for begin in range(0, count, 100):
        many = range(begin, min(count, begin + 100))
        replies = [await client.begin(direct(to, f"{number}{content}")) for number in many]
        for reply in replies:
            await reply.done.wait()
            assert reply.is_ok


async def send_fifty(town: Town, to: str) -> None:
    """Fifty messages, by somebody who keeps up with his own Log."""
    async with town.talking(f"{to}'s friend") as (friend,):
        for number in range(50):
            await write(friend, direct(to, f"{number}x"))


def places(messages: Sequence[Message]) -> list[int]:
    """The numbers of those that have a place in the Log."""
    return [place(one) for one in of_log(messages)]


def has_all(client: MessagingClient) -> bool:
    """Whether the last of 350 entries has come."""
    return 350 in places(client.log)


def outcome(reply: Reply) -> tuple[int, int, bool]:
    """How a replay ended: its last number, how many there were, and whether that was all."""
    assert reply.is_ok
    assert reply.ack is not None
    *replayed, resumed = reply.messages
    assert resumed["type"] == "resumed"
    assert resumed["count"] == len(replayed)
    assert {one["reply-to"] for one in reply.messages} == {reply.ack["id"]}
    return place(resumed), resumed["count"], resumed["complete"]


def cursor(like: Message, number: int) -> str:
    """A cursor of the same Log."""
    epoch: str = like["cursor"].rpartition(":")[0]
    return f"{epoch}:{number}"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_from_any_cursor(town: Town, transport: str) -> None:
    """MS-60 to MS-62, MS-64: a replay is what follows its cursor, with the ids and cursors that it
    has for everybody, then `resumed` with the end, then the `ack`; nothing but `welcome` is before
    it, and nothing comes twice behind it."""
    async with town.talking("ann") as (ann,):
        await send(ann, "bob", 7)
        seen: dict[int, Message] = {}
        for begin in (0, 4, 6, 7):
            async with town.arriving("bob", transport) as bob:
                assert bob.welcome is not None
                assert place(bob.welcome) == 7
                reply = await bob.resume(cursor(bob.welcome, begin) if begin else "")
                assert outcome(reply) == (7, 7 - begin, True)
                assert bob.log.index(reply.messages[0]) == 1
                for message in of_log(reply.messages):
                    assert seen.setdefault(place(message), bare(message)) == bare(message)
                assert places(reply.messages) == list(range(begin + 1, 8))
                assert await heard(bob) == []
        assert [seen[number]["content"] for number in range(1, 8)] == [f"{n}x" for n in range(7)]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_cursors_that_are_none(town: Town, transport: str) -> None:
    """MS-63, MS-61: with a cursor beyond the end, of another epoch or that was never one nothing is
    guessed; what is kept for the client comes as if it had not resumed."""
    async with town.talking("ann") as (ann,):
        epoch, _, _ = ann.welcome["cursor"].rpartition(":") if ann.welcome else ("", "", "")
        for number, bad in enumerate(
            (
                f"{epoch}:3",
                f"{epoch}:999999999999999999",
                f"{epoch}:99999999999999999999999",
                f"{epoch}x:1",
                f"{epoch}:01",
                f"{epoch}:-1",
                f"{epoch}:1.0",
                f"{epoch}:",
                f" {epoch}:1",
                f"{epoch}:\u0661",
                epoch,
                ":1",
                "null",
                "\x00",
                "x" * 10_000,
            )
        ):
            name = f"s{number}"
            await send(ann, name, 2)
            async with town.arriving(name, transport) as one:
                reply = await one.resume(bad)
                assert reply.is_ok
                [resumed] = reply.messages
                assert (resumed["count"], resumed["complete"]) == (0, False), bad
                told = await one.until("direct-message", content="1x")
                assert [message["content"] for message in told] == ["0x", "1x"]
                assert not any("reply-to" in message for message in told)
                assert places(told) == [1, 2]
                assert await heard(one) == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_live_entries_during_a_replay(town: Town, transport: str) -> None:
    """MS-61, MS-64, MS-48: more than fits into any buffer is replayed while more is written, to
    several connections from several places; each has all of it once, in order, with `resumed` and
    `ack` between what was missed and what is new."""
    async with (
        town.talking("ann") as (ann,),
        town.arriving("bob", transport) as first,
        town.arriving("bob", transport) as second,
        town.arriving("bob", POLLING) as third,
    ):
        assert first.welcome is not None
        await send(ann, "bob", 200, "y" * 5000)
        begins = {first: 0, second: 120, third: 199}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, ann, "bob", 150, "z" * 2000)
            replies = {
                client: await client.begin(
                    said("resume", cursor=cursor(first.welcome, begin) if begin else "")
                )
                for client, begin in begins.items()
            }
        for client, begin in begins.items():
            await replies[client].done.wait()
            await until(partial(has_all, client), "everything is there")
            assert places(client.log) == list(range(begin + 1, 351))
            end, count, is_complete = outcome(replies[client])
            assert (end, is_complete) == (begin + count, True)
            ack = client.log.index(replies[client].ack or {})
            is_replay = ["reply-to" in one for one in of_log(client.log)]
            assert is_replay == [True] * count + [False] * (350 - end)
            assert all(place(one) > end for one in of_log(client.log[ack:]))


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_resuming_later(town: Town, transport: str) -> None:
    """MS-62, MS-63: a `resume` in the middle of a connection sends again what was sent, and then
    goes on where it was; one with a bad cursor changes nothing."""
    async with town.talking("ann", "bob", transport=transport) as (ann, bob):
        await send(ann, "bob", 5)
        sent = await bob.until("direct-message", content="4x")
        reply = await bob.resume(cursor(sent[0], 2))
        assert outcome(reply) == (5, 3, True)
        assert [bare(one) for one in reply.messages[:-1]] == [bare(one) for one in sent[2:]]
        assert places(reply.messages) == [3, 4, 5]
        [resumed] = (await bob.resume("nonsense")).messages
        assert (resumed["count"], resumed["complete"], place(resumed)) == (0, False, 5)
        assert outcome(await bob.resume("")) == (5, 5, True)
        await write(ann, direct("bob", "live"))
        [live] = [one for one in await heard(bob) if "content" in one]
        assert (live["content"], place(live)) == ("live", 6)


async def test_without_a_word(tmp_path: Path) -> None:
    """MS-61, MS-29: a client that never resumes and says nothing is sent what was kept for it all
    the same, after a while, and then what is new."""
    async with Daemon(tmp_path, {**SETTINGS, "messaging.resume_hold": 0.2}) as daemon:
        town = Town(daemon)
        async with town.talking("ann") as (ann,):
            await send(ann, "bob", 3)
            async with town.arriving("bob") as bob:
                told = await bob.until("direct-message", content="2x")
                assert places(told) == [1, 2, 3]
                assert "reply-to" not in told[0]
                await write(ann, direct("bob", "live"))
                assert (await bob.next("direct-message"))["content"] == "live"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_from_the_proven_position(town: Town, transport: str) -> None:
    """MS-61, MS-54: who does not resume is sent what none of his connections is known to have, on
    whatever transport that is known."""
    async with town.talking("ann") as (ann,):
        await send(ann, "bob", 3)
        last = (await ann.ask(direct("bob", "3x"))).one["message-id"]
        async with town.talking("bob", transport=transport) as (bob,):
            await bob.until("direct-message", content="3x")
            await ann.until("delivery", message_id=last, status="received")
        await send(ann, "bob", 2)
        async with town.talking("bob", transport=transport) as (bob,):
            told = await bob.until("direct-message", content="1x")
            assert places(told) == [5, 6]


async def test_a_cursor_is_a_receipt(town: Town) -> None:
    """MS-54, MS-60: a client that proves nothing else says by its cursor what it has; what follows
    that is not received yet."""
    async with town.talking("ann", "bob") as (ann, bob):
        assert isinstance(bob.wire, SocketWire)
        bob.wire.answers_pings = False
        ids = [await write(ann, direct("bob", str(n))) for n in range(3)]
        told = await bob.until("direct-message", message_id=ids[2])
        assert await heard(ann) == []
        reply = await bob.resume(told[1]["cursor"])
        assert outcome(reply) == (3, 1, True)
        news = [await ann.next("delivery") for _ in range(2)]
        assert [(one["message-id"], one["status"]) for one in news] == [
            (id_, "received") for id_ in ids[:2]
        ]
        await fence(bob)
        assert await heard(ann) == []


async def test_what_was_trimmed(tmp_path: Path) -> None:
    """MS-63, MS-61, MS-65, MS-70: where the Log does not reach back to a cursor what is left is
    replayed and `complete` is false; "" is the oldest kept and complete; a connection that lags
    behind what is kept is closed with 1013 and learns of the gap; a Log goes on over a restart."""
    async with Daemon(tmp_path, {**SETTINGS, **SHORT}) as daemon:
        town = Town(daemon)
        await send_fifty(town, "bob")
        left = list(range(51 - KEPT, 51))
        for begin, is_complete in ((None, True), (5, False), (29, False), (30, True)):
            async with town.arriving("bob") as bob:
                assert bob.welcome is not None
                reply = await bob.resume("" if begin is None else cursor(bob.welcome, begin))
                assert outcome(reply) == (50, KEPT, is_complete)
                assert places(reply.messages) == left
        await send_fifty(town, "cat")
        async with town.talking("cat") as (cat,):
            assert places(await cat.until("direct-message", content="49x")) == left
        await lag(town)
        assert await daemon.metric("tocsin_messaging_log_trimmed_total") > 60
        end = cursor(reply.messages[0], 50)
        await daemon.kill()
        await daemon.start()
        async with town.arriving("bob") as bob:
            assert outcome(await bob.resume(end)) == (50, 0, True)


async def lag(town: Town) -> None:
    """Somebody opens a session and polls again when it is too late."""
    target = f"/messaging/000/lagging/xhr?access_token={town.token('dan')}"
    connection = await RawConnection.open(town.daemon.public)
    assert (await connection.request("POST", target)).body == b"o\n"
    assert (await connection.request("POST", target)).body.startswith(b'a["{')
    await begin(town, connection, target)
    await send_fifty(town, "dan")
    frames: list[bytes] = []
    while not frames or frames[-1].startswith(b"a"):
        frames.append((await connection.request("POST", target)).body)
    assert frames[-1] == b'c[1013,"Try again later"]\n'
    await connection.aclose()
    texts = [json.loads(text) for frame in frames[:-1] for text in json.loads(frame[1:])]
    had = of_log(texts)
    assert places(had) == list(range(1, len(had) + 1))
    assert len(had) < KEPT
    async with town.arriving("dan") as dan:
        assert outcome(await dan.resume(had[-1]["cursor"])) == (50, KEPT, False)


async def begin(town: Town, connection: RawConnection, target: str) -> None:
    """Say something, so that what is new is sent from now on."""
    body = json.dumps([json.dumps(said("unannounce"))]).encode()
    sending = await RawConnection.open(town.daemon.public)
    answer = await sending.request("POST", target.replace("/xhr?", "/xhr_send?"), {}, body)
    assert answer.status == 204
    await sending.aclose()
    assert b"ack" in (await connection.request("POST", target)).body
