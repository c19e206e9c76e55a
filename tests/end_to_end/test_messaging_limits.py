"""Peers that are too loud, too large, too slow, or gone (messaging.md, section 12)."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.process import resident_bytes
from tests.end_to_end.talkers import direct, join, open_room, pass_of, send, talk, to_room
from tests.fakes import client_frames
from tests.fakes.messaging_client import (
    FRAMED,
    POLLING,
    RAW,
    STREAMING,
    TRANSPORTS,
    MessagingClient,
    RefusedError,
)
from tests.fakes.raw_http import UPGRADE, RawConnection, RawWebSocket

pytestmark = pytest.mark.end_to_end

LARGE = "x" * 60_000
MANY = 100
"""Of `LARGE`: more than kernels keep for who does not read."""
ROOMY = {
    "messaging.resume_hold": 0,
    "messaging.limits.rate": 100_000,
    "messaging.limits.burst": 100_000,
    "messaging.limits.flood": 100_000,
}
TOO_LARGE = json.dumps(direct("bob", "x" * (1 << 20)))
HISTORY = {"type": "history", "subscriber-id": "bob", "limit": 5000}
MOST_GROWTH = 48 << 20
SOCKET_PATHS = {RAW: "websocket", FRAMED: "0/s/websocket", STREAMING: "0/s/xhr_streaming"}


async def closes(daemon: Daemon, code: int) -> float:
    """How many connections were closed so."""
    return await daemon.metric("tocsin_messaging_closes_total", code=str(code))


async def has_closed(daemon: Daemon, code: int, count: int = 1) -> bool:
    return await closes(daemon, code) == count


async def connections(daemon: Daemon) -> float:
    """How many there are, on all transports."""
    kinds = ("websocket", "websocket-raw", "xhr-streaming", "xhr-polling")
    counts = [await daemon.metric("tocsin_messaging_connections", transport=one) for one in kinds]
    return sum(counts)


async def are_gone(daemon: Daemon) -> bool:
    return await connections(daemon) == 0


@asynccontextmanager
async def deaf(daemon: Daemon, name: str, transport: str = RAW) -> AsyncIterator[RawConnection]:
    """Somebody who is connected and reads nothing but what a test reads."""
    host, _, port = daemon.public.rpartition(":")
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await sock.connect((host, int(port)))
    peer = RawConnection(trio.SocketStream(sock))
    try:
        target = f"/messaging/{SOCKET_PATHS[transport]}?access_token={pass_of(name)}"
        if transport == STREAMING:
            assert (await peer.begin("POST", target)).status == 200
        else:
            assert (await peer.begin("GET", target, UPGRADE)).status == 101
        await peer.until(b"}")
        yield peer
    finally:
        await trio.aclose_forcefully(peer.stream)


@pytest.mark.parametrize("transport", [RAW, FRAMED, STREAMING])
async def test_who_never_reads(tmp_path: Path, transport: str) -> None:
    """MS-68, MS-64, section 12: one who reads nothing is sent away with 1013; meanwhile another
    member of the Room gets everything at once and the sender is acked as ever, little is kept in
    memory, and by his cursor he gets all of it when he comes back."""
    stalling = {**ROOMY, "messaging.limits.stalled": 1, "messaging.sockjs.response_limit": 1 << 30}
    async with (
        Daemon(tmp_path, stalling) as daemon,
        talk(daemon, "alice") as alice,
        talk(daemon, "carol") as carol,
    ):
        room = await open_room(alice, "r", "bob", "carol")
        await join(carol, room)
        async with talk(daemon, "bob") as bob:
            await join(bob, room)
        before = resident_bytes(daemon)
        async with deaf(daemon, "bob", transport):
            for number in range(MANY):
                sent = await send(alice, to_room(room, f"{number} {LARGE}"))
                assert (await carol.until("channel-message"))[-1]["message-id"] == sent
            assert resident_bytes(daemon) - before < MOST_GROWTH
            await until(partial(has_closed, daemon, 1013), "he is sent away")
        async with talk(daemon, "bob", transport=transport) as back:
            replayed = (await back.resume("")).messages
        contents = [one["content"] for one in replayed if one["type"] == "channel-message"]
        assert contents == [f"{number} {LARGE}" for number in range(MANY)]
        assert resident_bytes(daemon) - before < MOST_GROWTH


async def test_what_was_trimmed_meanwhile(tmp_path: Path) -> None:
    """MS-65: one who reads too late, when the Log has let go of what he has not been sent, is
    closed 1013; his `resume` shows the gap and gives what is left."""
    async with Daemon(tmp_path, {**ROOMY, "messaging.limits.log_entries": 10}) as daemon:
        async with talk(daemon, "alice") as alice, deaf(daemon, "bob") as late:
            await send(alice, direct("bob", "in time"))
            await late.until(b"in time")
            await late.until(b"}")
            for number in range(MANY):
                await send(alice, direct("bob", f"{number} {LARGE}"))
            socket_ = RawWebSocket(late)
            kind, last, cursor = "", "", ""
            while kind != "close":
                kind, payload = await socket_.frame()
                if kind == "text":
                    last = str(payload)
            assert payload == (1013, "Try again later")
            cursor = last.partition('"cursor":"')[2].partition('"')[0]
        async with talk(daemon, "bob") as bob:
            *left, resumed = (await bob.resume(cursor)).messages
        assert resumed["complete"] is False
        assert [one["content"].split()[0] for one in left] == [
            str(MANY - 10 + n) for n in range(10)
        ]


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
        replies = [await c.ask(direct("bob", str(n))) for n in range(15) for c in (one, two)]
        refused = [reply for reply in replies if not reply.is_ok]
        assert len(refused) in {9, 10}
        assert replies[-len(refused) :] == refused
        assert {reply.error for reply in refused} == {"rate-limited"}
        waits = [reply.ack["error"]["retry-after"] for reply in refused if reply.ack]
        assert set(waits) <= {*range(1, 11)}
        assert not any(reply.messages for reply in refused)
        assert (await bob.ask({"type": "list-channels"})).is_ok
        got = [await bob.next("direct-message") for _ in range(30 - len(refused))]
        assert len({one["message-id"] for one in got}) == len(got)


async def test_who_says_nothing_or_never_ends(tmp_path: Path) -> None:
    """MS-67, MS-16, section 12: sockets that answer no Ping for 10 s are closed 3008, without
    waiting for them; a flood of 10 s, be it of junk, 1008. One who is quiet and answers stays."""
    flooded = {**ROOMY, "messaging.limits.flood": 2}
    async with Daemon(tmp_path, flooded) as daemon:
        async with (
            talk(daemon, "raw") as raw,
            talk(daemon, "framed", transport=FRAMED) as framed,
            talk(daemon, "flood") as flood,
            talk(daemon, "quiet") as quiet,
        ):
            raw.wire.answers_pings = framed.wire.answers_pings = False
            for name in ("raw", "framed"):
                await send(quiet, direct(name, "are you there?"))
            while flood.closing is None:
                await flood.send("junk")
                await trio.sleep(0.05)
            assert flood.closing == (1008, "Rate limit")
            assert [await raw.ended(), await framed.ended()] == [(3008, "Timeout")] * 2
            assert [one["type"] for one in flood.log] == ["welcome"]
            assert await daemon.metric("tocsin_messaging_ignored_total", reason="not-json") > 30
            assert (await quiet.ask({"type": "list-channels"})).is_ok
        await until(partial(are_gone, daemon), "all are gone")


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


async def test_a_poller_that_vanishes(tmp_path: Path) -> None:
    """MS-68, SJ-24, SJ-25: sessions whose clients poll no more, or were cut, end; what was sent to
    them meanwhile is there for whoever comes next."""
    quick = {**ROOMY, "messaging.sockjs.disconnect_delay": 0.5}
    async with Daemon(tmp_path, quick) as daemon:
        async with talk(daemon, "alice") as alice:
            for number, transport in enumerate((POLLING, STREAMING, POLLING)):
                async with talk(daemon, "bob", transport=transport):
                    pass
                await send(alice, direct("bob", str(number)))

            async def is_alone() -> bool:
                return await connections(daemon) == 1

            await until(is_alone, "all of his sessions have ended")
        async with talk(daemon, "bob") as bob:
            assert [(await bob.next())["content"] for _ in range(3)] == ["0", "1", "2"]


async def test_a_crowd_of_junk(tmp_path: Path) -> None:
    """MS-68, MS-16, SE-12: of two thousand connections that come, talk nonsense and hang up, and
    as many messages, nothing is left but what was to be kept; memory does not grow with them."""
    async with Daemon(tmp_path, ROOMY) as daemon:
        await crowd(daemon, range(200))
        await until(partial(are_gone, daemon), "the first have gone")
        before = resident_bytes(daemon)
        await crowd(daemon, range(2000))
        await until(partial(are_gone, daemon), "all have gone")
        assert resident_bytes(daemon) - before < MOST_GROWTH
        async with talk(daemon, "alice") as alice:
            for _ in range(50):
                await send(alice, direct("bob", "still here"))


async def crowd(daemon: Daemon, numbers: range) -> None:
    """Several at a time."""
    waiting = iter(numbers)

    async def one_after_another() -> None:
        for number in waiting:
            bearer = pass_of(f"s{number % 500}")
            target = f"/messaging/websocket?access_token={bearer}"
            peer = await RawWebSocket.open(daemon.public, target)
            assert "welcome" in await peer.text()
            await peer.send("[" * (number % 5000))
            await peer.send('{"type":"direct-message","subscriber-id":"sink","content":"z"}')
            await peer.aclose()

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(one_after_another)
