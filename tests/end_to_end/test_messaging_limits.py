"""Peers that are too loud, too large, too many or too quiet (messaging.md, section 12)."""

import json
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import trio
from tests.end_to_end.daemon import Daemon
from tests.end_to_end.gossip import FAILURES
from tests.end_to_end.talkers import direct, pass_of, send, talk
from tests.fakes import client_frames
from tests.fakes.messaging_client import (
    FRAMED,
    POLLING,
    RAW,
    TRANSPORTS,
    Message,
    MessagingClient,
    RefusedError,
)
from tests.fakes.messaging_wires import SocketWire
from tests.fakes.raw_http import RawWebSocket

pytestmark = pytest.mark.end_to_end

ROOMY = {
    "messaging.resume_hold": 0,
    "messaging.limits.rate": 100_000,
    "messaging.limits.burst": 100_000,
    "messaging.limits.flood": 100_000,
}
TOO_LARGE = json.dumps(direct("bob", "x" * (1 << 20)))
HISTORY = {"type": "history", "subscriber-id": "bob", "limit": 5000}


async def test_who_says_too_much(tmp_path: Path) -> None:
    """Section 12, MS-17: beyond the burst of a subscriber, over all his connections, each message
    is acked `rate-limited`, says when to come again, and has had no effect; another one is not
    concerned. `messaging.limits.rate` and `burst` are as configured."""
    rated = {**ROOMY, "messaging.limits.rate": 0.1, "messaging.limits.burst": 20}
    async with (
        Daemon(tmp_path, rated) as daemon,
        talk(daemon, "alice") as one,
        talk(daemon, "alice", transport=POLLING) as two,
        talk(daemon, "bob") as bob,
    ):
        begun = trio.current_time()
        replies = [await c.ask(direct("bob", str(n))) for n in range(15) for c in (one, two)]
        refused = [reply for reply in replies if not reply.is_ok]
        regained = 0.1 * (trio.current_time() - begun)
        assert 20 <= len(replies) - len(refused) <= 20 + regained
        assert all(reply.is_ok for reply in replies[:20])
        assert {reply.error for reply in refused} == {"rate-limited"}
        waits = [reply.ack["error"]["retry-after"] for reply in refused if reply.ack]
        assert set(waits) <= {*range(1, 11)}
        assert not any(reply.messages for reply in refused)
        assert (await bob.ask({"type": "list-channels"})).is_ok
        got = [await bob.next("direct-message") for _ in range(30 - len(refused))]
        assert len({one["message-id"] for one in got}) == len(got)


async def flush(client: MessagingClient, transport: str, *messages: Message) -> list[Message]:
    """Write all of them in one piece, as an application does that was offline; their acks, which
    come in that order."""
    wire = client.wire
    assert isinstance(wire, SocketWire)
    texts = [json.dumps({**one, "id": f"m{number}"}) for number, one in enumerate(messages)]
    payloads = [json.dumps([one]) for one in texts] if transport == FRAMED else texts
    await wire.send_frame(b"".join(client_frames.text(one.encode()) for one in payloads))
    acks = [(await client.until("ack", reply_to=f"m{n}"))[-1] for n in range(len(messages))]
    assert [one["reply-to"] for one in client.log if one["type"] == "ack"] == [
        one["reply-to"] for one in acks
    ]
    return acks


@pytest.mark.parametrize("engine", ["reactor", "trio-websocket"])
async def test_a_queue_that_is_flushed(tmp_path: Path, engine: str) -> None:
    """SJ-19, MS-17, section 12: more messages in one piece than the inbox holds, or larger ones,
    are each acked, in order, and the connection lives; beyond the rate `rate-limited`."""
    rated = {"ws.engine": engine, "messaging.resume_hold": 0, "messaging.limits.flood": 100_000}
    small = [direct("bob", str(number)) for number in range(600)]
    large = [direct("bob", str(number).ljust(60_000)) for number in range(25)]
    async with Daemon(tmp_path, rated) as daemon:
        for transport in (RAW, FRAMED):
            async with talk(daemon, transport, transport=transport) as one:
                acks = await flush(one, transport, *small)
                done = [ack["status"] for ack in acks]
                assert 100 <= done.count(True) < 600
                assert all(done[:100])
                refused = [ack["error"]["code"] for ack in acks if not ack["status"]]
                assert {*refused} == {"rate-limited"}
            async with talk(daemon, f"{transport}-large", transport=transport) as other:
                assert all(ack["status"] for ack in await flush(other, transport, *large))
                assert (await other.ask({"type": "list-channels"})).is_ok


async def test_who_says_nothing_or_never_ends(tmp_path: Path) -> None:
    """MS-67, MS-16, section 12: sockets that answer no Ping for 10 s are closed 3008, without
    waiting for them; a flood of 10 s, be it of junk, 1008. One who is quiet and answers stays."""
    flooded = {**ROOMY, "messaging.limits.flood": 2}
    async with (
        Daemon(tmp_path, flooded) as daemon,
        talk(daemon, "raw") as raw,
        talk(daemon, "framed", transport=FRAMED) as framed,
        talk(daemon, "flood") as flood,
        talk(daemon, "quiet") as quiet,
    ):
        raw.wire.answers_pings = framed.wire.answers_pings = False
        for name in ("raw", "framed"):
            await send(quiet, direct(name, "are you there?"))
        with suppress(*FAILURES):
            while flood.closing is None:
                await flood.send("junk")
                await trio.sleep(0.05)
        assert await flood.ended() == (1008, "Rate limit")
        assert [await raw.ended(), await framed.ended()] == [(3008, "Timeout")] * 2
        assert [one["type"] for one in flood.log] == ["welcome"]
        assert await daemon.metric("tocsin_messaging_ignored_total", reason="not-json") >= 30
        assert (await quiet.ask({"type": "list-channels"})).is_ok


async def test_what_pings_say(tmp_path: Path) -> None:
    """MS-67, MS-61: the payload of a Ping is the highest number of the Log that was written; its
    Pong is the receipt for all up to there."""
    async with Daemon(tmp_path, ROOMY) as daemon, talk(daemon, "alice") as alice:
        await send(alice, direct("bob", "first"))
        bob = await RawWebSocket.open(
            daemon.public, f"/messaging/websocket?access_token={pass_of('bob')}"
        )
        seen: list[object] = []
        while not {b"2"} & {*seen}:
            kind, payload = await bob.frame()
            if kind == "ping":
                seen.append(payload)
                await bob.send_frame(pong(payload))
            elif kind == "text" and "first" in str(payload):
                await send(alice, direct("bob", "second"))
        assert seen in ([b"0", b"1", b"2"], [b"0", b"2"], [b"1", b"2"])
        await alice.until("delivery", status="received")
        await bob.aclose()


def pong(payload: object) -> bytes:
    """The answer to a Ping."""
    assert isinstance(payload, bytes)
    return client_frames.pong(payload)


async def test_an_eleventh_connection(tmp_path: Path) -> None:
    """Section 12: one more connection than a subscriber may have replaces the oldest, 4000, on
    whichever transport; the others go on, and other subscribers are not concerned."""
    async with Daemon(tmp_path, ROOMY) as daemon, AsyncExitStack() as stack:
        bob = await stack.enter_async_context(talk(daemon, "bob"))
        clients = [
            await stack.enter_async_context(
                talk(daemon, "alice", transport=TRANSPORTS[number % len(TRANSPORTS)])
            )
            for number in range(14)
        ]
        ended = [await one.ended() for one in clients[:4]]
        assert ended == [(4000, "Replaced")] * 4
        sent = await send(bob, direct("alice", "to ten"))
        for one in clients[4:]:
            assert (await one.next("direct-message"))["message-id"] == sent


async def test_what_is_too_large(tmp_path: Path) -> None:
    """Section 12, MS-17: contents, attributes and lists over their bounds are acked `too-large`,
    those at them are taken, whatever their escapes make of them; `limit` is clamped; a message
    over 1 MiB closes a socket 1009, is answered 413 where it is a request, and never had effect.
    It is the same on every transport."""
    async with Daemon(tmp_path, ROOMY) as daemon:
        for transport in TRANSPORTS:
            async with talk(daemon, transport, transport=transport) as alice:
                await try_sizes(alice)
                if transport in {RAW, FRAMED}:
                    await alice.send(TOO_LARGE)
                    assert (await alice.ended())[0] == 1009
                    continue
                with pytest.raises(RefusedError) as refused:
                    await alice.send(TOO_LARGE)
                assert refused.value.answer.status == 413
                assert len((await alice.ask(HISTORY)).one["messages"]) == 1


async def try_sizes(alice: MessagingClient) -> None:
    """As large as it may be, and a little larger."""
    most = "é\x01" * 21_845 + "x"
    assert len(most.encode()) == 65_536
    sent = await send(alice, direct("bob", most))
    assert (await alice.ask(direct("bob", most + "y"))).error == "too-large"
    value = "v" * (4096 - len('{"k":""}'))
    fits = {"type": "announce", "attributes": {"k": value}}
    assert (await alice.ask(fits)).is_ok
    over = {"type": "announce", "attributes": {"k": value + "w"}}
    assert (await alice.ask(over)).error == "too-large"
    ids = [str(number) for number in range(101)]
    asked = {"type": "list-subscribers", "subscriber-ids": ids}
    assert (await alice.ask(asked)).error == "too-large"
    [one] = (await alice.ask(HISTORY)).one["messages"]
    assert (one["message-id"], one["content"]) == (sent, most)
