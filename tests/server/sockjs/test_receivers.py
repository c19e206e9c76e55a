"""tocsin.server.sockjs.receivers and the links below: time, breaks, pipelining, slow readers."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import trio
from tests.fakes.sockjs_services import Echo
from tests.server.sockjs.conftest import Bench, Start
from trio.testing import MockClock

from tocsin.server.sockjs.application import Connection
from tocsin.server.sockjs.receiver import STALLED

URL = "/echo/0/session-of-a-test"
PRELUDES = {"xhr_streaming": 2, "eventsource": 2, "htmlfile?c=c": 2}


async def opened(bench: Bench, url: str = URL) -> None:
    """A session exists."""
    assert (await bench.fetch("POST", f"{url}/xhr")).body == b"o\n"


async def send(bench: Bench, body: bytes = b'["x"]', url: str = URL) -> int:
    """Send over HTTP; the status."""
    return (await bench.fetch("POST", f"{url}/xhr_send", None, body)).status


async def test_a_poll_is_held_and_ends_with_a_heartbeat(
    bench: Bench, mock_clock: MockClock
) -> None:
    """SJ-27: `h` after heartbeat_delay, and the next poll goes on with the same session."""
    await opened(bench)
    poll = await bench.stream("POST", f"{URL}/xhr")
    await bench.leap(25.5)
    assert [await poll.chunk(), await poll.chunk()] == [b"h\n", b""]
    assert await send(bench) == 204
    assert (await bench.fetch("POST", f"{URL}/xhr")).body == b'a["x"]\n'
    assert bench.metric("frames_total", transport="xhr-polling", kind="heartbeat") == 1


@pytest.mark.parametrize("last", ["xhr_streaming", "eventsource", "htmlfile?c=c"])
async def test_a_stream_beats_while_nothing_is_sent(
    bench: Bench, last: str, mock_clock: MockClock
) -> None:
    """SJ-27: counted from the last frame, and the response goes on."""
    method = "POST" if last == "xhr_streaming" else "GET"
    client = await bench.stream(method, f"{URL}/{last}")
    for _ in range(PRELUDES[last]):
        await client.chunk()
    await bench.leap(20)
    assert await send(bench) == 204
    assert b"x" in await client.chunk()
    for _ in range(2):
        await bench.leap(25.5)
        assert b"h" in await client.chunk()


async def test_a_session_ends_without_receivers(bench: Bench, mock_clock: MockClock) -> None:
    """SJ-25: disconnect_delay after the last response; a new receiver starts anew."""
    await opened(bench)
    await bench.leap(4.5)
    assert await send(bench) == 204
    await bench.leap(1)
    assert await send(bench) == 404
    assert bench.services["/echo"].sessions == 0
    await opened(bench)


@pytest.mark.parametrize("last", ["xhr", "xhr_streaming"])
async def test_a_break_ends_the_session(bench: Bench, last: str) -> None:
    """SJ-24: noticed while nothing is written; the queue is dropped, the next request gets `o`."""
    await opened(bench)
    client = await bench.stream("POST", f"{URL}/{last}")
    await bench.settle()
    await client.aclose()
    await bench.settle()
    assert await send(bench) == 404
    await opened(bench)
    transport = {"xhr": "xhr-polling", "xhr_streaming": "xhr-streaming"}[last]
    assert bench.metric("aborted_total", transport=transport) == 1


@pytest.mark.parametrize("last", ["xhr", "xhr_streaming"])
async def test_a_pipelined_request_waits_its_turn(start: Start, last: str) -> None:
    """Trap 4: what comes behind a receiving request is answered when its response has ended, on
    the same connection and in one piece with what follows."""
    async with start(limit=1) as bench:
        await opened(bench)
        client = await bench.stream("POST", f"{URL}/{last}")
        await client.send("GET", "/echo")
        await bench.settle()
        half = b"GET /echo/info HTTP/1.1\r\nHo"
        await client.stream.send_all(half)
        await bench.settle()
        assert await send(bench) == 204
        if last == "xhr_streaming":
            await client.chunk()
        assert [await client.chunk(), await client.chunk()] == [b'a["x"]\n', b""]
        assert (await client.answer()).body == b"Welcome to SockJS!\n"
        await client.stream.send_all(b"st: x\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_polls_on_one_connection(bench: Bench) -> None:
    """SJ-22, SJ-25: a client may poll and send on a single connection for ever."""
    client = await bench.connect()
    assert (await client.request("POST", f"{URL}/xhr")).body == b"o\n"
    for text in (b'["1"]', b'["2"]'):
        assert (await client.request("POST", f"{URL}/xhr_send", None, text)).status == 204
        assert (await client.request("POST", f"{URL}/xhr")).body == b"a" + text + b"\n"
    await bench.settle()
    assert bench.services.engine.connections == 0


async def test_connection_close_is_honoured(bench: Bench) -> None:
    """RFC 9112, 9.6: the connection ends behind the response, and says so."""
    await opened(bench)
    client = await bench.connect()
    head = await client.begin("POST", f"{URL}/xhr", {"Connection": "close"})
    assert head["Connection"] == "close"
    assert await send(bench) == 204
    assert [await client.chunk(), await client.chunk()] == [b'a["x"]\n', b""]
    assert await client.rest() == b""


async def test_a_flood_behind_a_poll_ends_the_connection(bench: Bench) -> None:
    """The bytes kept for the next request are bounded."""
    await opened(bench)
    client = await bench.stream("POST", f"{URL}/xhr")
    with suppress(trio.BrokenResourceError):
        await client.stream.send_all(b"x" * 300_000)
    await bench.settle()
    assert await send(bench) == 404


async def test_large_messages(start: Start) -> None:
    """SJ-15, SJ-28: 64 KiB there and back over a stream, in one frame, byte for byte."""
    async with start(limit=131_072) as bench:
        client = await bench.stream("POST", f"{URL}/xhr_streaming")
        await client.chunk()
        await client.chunk()
        text = b'["' + b"x" * 65_536 + b'"]'
        assert await send(bench, text) == 204
        assert await client.chunk() == b"a" + text + b"\n"


class Talker(Echo):
    """Says more than a kernel takes, at once."""

    def opened(self, connection: Connection) -> None:
        for _ in range(10):
            connection.send("x" * 900_000)


@pytest.mark.parametrize("last", ["xhr", "xhr_streaming"])
async def test_a_stalled_reader_is_given_up(start: Start, last: str, mock_clock: MockClock) -> None:
    """SJ-28: whoever reads nothing holds up nobody, keeps no more than its bounds (the session is
    closed with 1013 behind them), and is cut at last."""
    async with start(limit=100_000_000, more=[("/talker", Talker())]) as bench:
        service = bench.services["/talker"]
        await bench.settle()
        with slow_client(bench, f"/talker/0/slow/{last}"), slow_client(bench, "/talker/0/slow/xhr"):
            await bench.settle()
            assert service.sessions == 1
            assert (await bench.fetch("GET", "/echo")).status == 200
            assert bench.services.engine.statistics().backlog_bytes < 2_000_000
            await bench.leap(STALLED + 6)
            assert service.sessions == bench.services.engine.connections == 0


@contextmanager
def slow_client(bench: Bench, target: str) -> Iterator[None]:
    """A request of somebody who reads no answers."""
    host, _, port = bench.address.rpartition(":")
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((host, int(port)))
        raw.sendall(f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        yield


async def test_drain_says_goodbye(bench: Bench) -> None:
    """Trap 6, SJ-35: held responses end with `c[1012...]`; new sessions get 503."""
    await opened(bench)
    poll = await bench.stream("POST", f"{URL}/xhr")
    await bench.settle()
    bench.services["/echo"].drain()
    assert await poll.chunk() == b'c[1012,"Service restart"]\n'
    assert await poll.chunk() == b""
    answer = await bench.fetch("POST", "/echo/0/another/xhr")
    assert (answer.status, answer["Retry-After"]) == (503, "5")


async def test_proof_over_http(start: Start, mock_clock: MockClock) -> None:
    """SJ-29: a stream ends soon after an unproven message, so that the next request comes."""
    async with start(prove_within=5) as bench:
        client = await bench.stream("POST", f"{URL}/xhr_streaming")
        await client.chunk()
        await client.chunk()
        assert await send(bench) == 204
        assert await client.chunk() == b'a["x"]\n'
        await bench.leap(5.5)
        assert await client.chunk() == b""
