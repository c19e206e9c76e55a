"""Readers that are slow, deaf or gone cost nobody anything (messaging.md, MS-64, 65 and 68)."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.process import resident_bytes
from tests.end_to_end.talkers import direct, join, open_room, pass_of, send, talk, to_room
from tests.fakes.messaging_client import FRAMED, POLLING, RAW, STREAMING
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
# Who answers nothing is not sent away for that, before there is too much for him to read.
UNASKED = {**ROOMY, "messaging.sockjs.prove_within": 0}
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
    stalling = {
        **UNASKED,
        "messaging.limits.stalled": 6,
        "messaging.sockjs.response_limit": 1 << 30,
    }
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
    trimming = {**UNASKED, "messaging.limits.log_entries": 10, "messaging.limits.stalled": 300}
    async with Daemon(tmp_path, trimming) as daemon:
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


async def test_a_poller_that_vanishes(tmp_path: Path) -> None:
    """MS-68, SJ-24, SJ-25: sessions whose clients poll no more, or were cut, end; what was sent to
    them meanwhile is there for whoever comes next."""
    async with Daemon(tmp_path, ROOMY) as daemon:
        async with talk(daemon, "alice") as alice:
            for number, transport in enumerate((POLLING, STREAMING, POLLING)):
                async with talk(daemon, "bob", transport=transport):
                    pass
                await send(alice, direct("bob", str(number)))

            async def is_alone() -> bool:
                return await connections(daemon) == 1

            await until(is_alone, "all of his sessions have ended")
        async with talk(daemon, "bob") as bob:
            kept = (await bob.resume("")).messages[:-1]
            assert [one["content"] for one in kept] == ["0", "1", "2"]


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
