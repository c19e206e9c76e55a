"""tocsin.server.sockjs.websockets: heartbeats, closing, what both sides are held to."""

import pytest
from tests.fakes import client_frames
from tests.fakes.raw_http import UPGRADE
from tests.fakes.sockjs_services import Echo
from tests.server.sockjs.conftest import Bench, Start
from trio.testing import MockClock

from tocsin.server.link import SocketLink
from tocsin.server.sockjs.application import Connection

URL = "/echo/0/session-of-a-test/websocket"
RAW = "/echo/websocket"
MIB = 1_048_576


class Listener(Echo):
    """Notes everything; does not take messages while `is_busy`."""

    def __init__(self, *, is_busy: bool = False) -> None:
        self.is_busy = is_busy
        self.told: list[tuple[str, object]] = []
        self.connection: Connection | None = None

    def opened(self, connection: Connection) -> None:
        self.connection = connection
        if self.is_busy:
            connection.pause()

    def received(self, connection: Connection, message: str) -> None:
        self.told.append(("received", message))

    def proven(self, connection: Connection, count: int) -> None:
        self.told.append(("proven", count))

    def drained(self, connection: Connection) -> None:
        self.told.append(("drained", None))

    def closed(self, connection: Connection, code: int) -> None:
        self.told.append(("closed", code))


async def test_framed_heartbeats(bench: Bench, mock_clock: MockClock) -> None:
    """SJ-33: `h` for the page and a Ping after 25 s of silence, while Pongs come."""
    client = await bench.websocket(URL)
    assert await client.text() == "o"
    for _ in range(2):
        await bench.leap(25.5)
        assert await client.text() == "h"
        kind, payload = await client.frame()
        assert kind == "ping"
        assert isinstance(payload, bytes)
        await client.send_frame(client_frames.pong(payload))
    assert bench.metric("frames_total", transport="websocket", kind="heartbeat") == 2


@pytest.mark.parametrize("target", [URL, RAW])
async def test_no_pong(bench: Bench, target: str, mock_clock: MockClock) -> None:
    """SJ-32, SJ-33: 3008 when no Pong comes within 10 s; then TCP is cut after 5 s more."""
    client = await bench.websocket(target)
    await bench.leap(25.5)
    first = [await client.text(), await client.text()] if target == URL else []
    assert first == (["o", "h"] if target == URL else [])
    assert (await client.frame())[0] == "ping"
    await bench.leap(10.5)
    if target == URL:
        assert await client.text() == 'c[3008,"Timeout"]'
    assert await client.frame() == ("close", (3008, "Timeout"))
    assert bench.services["/echo"].sessions == 1
    await bench.leap(6)
    assert await client.frame() == ("end", None)
    assert bench.services["/echo"].sessions == 0


async def test_nobody_is_waited_for(start: Start, mock_clock: MockClock) -> None:
    """MS-67: the application hears at once that no Pong came."""
    listener = Listener()
    async with start(more=[("/talk", listener)]) as bench:
        client = await bench.websocket("/talk/websocket")
        await bench.leap(36)
        assert listener.told == [("closed", 3008)]
        await bench.leap(6)
        await client.aclose()
        assert listener.told == [("closed", 3008)]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (client_frames.binary(b"x"), 1003),
        (client_frames.text(b"\xff"), 1007),
        (client_frames.text(b"x" * (MIB + 1)), 1009),
    ],
)
@pytest.mark.parametrize("target", [URL, RAW])
async def test_what_is_not_taken(bench: Bench, target: str, frame: bytes, code: int) -> None:
    """SJ-34"""
    client = await bench.websocket(target)
    if target == URL:
        assert await client.text() == "o"
    await client.send_frame(frame)
    kind, payload = await client.frame()
    assert kind == "close"
    assert isinstance(payload, tuple)
    assert payload[0] == code


async def test_a_mebibyte(bench: Bench) -> None:
    """SJ-34: the largest message, there and back."""
    client = await bench.websocket(RAW)
    text = "x" * MIB
    await client.send(text)
    assert await client.text() == text


async def test_frames_that_come_with_the_handshake(bench: Bench) -> None:
    """Trap 1: bytes behind the handshake are the first frames."""
    client = await bench.websocket(URL, behind=client_frames.text(b'["early"]'))
    assert [await client.text(), await client.text()] == ["o", 'a["early"]']


async def test_what_waits_is_handed_over_behind_the_end(start: Start) -> None:
    """What a client had sent before it left reaches the application, then `closed`."""
    listener = Listener(is_busy=True)
    async with start(more=[("/busy", listener)]) as bench:
        client = await bench.websocket("/busy/0/0/websocket")
        await client.text()
        await client.send('["1","2"]')
        await client.aclose()
        await bench.settle()
        assert listener.told == []
        assert listener.connection is not None
        assert not listener.connection.is_open
        listener.connection.resume()
        assert listener.told == [("received", "1"), ("received", "2"), ("closed", 1006)]


async def test_a_reader_that_stalls(start: Start) -> None:
    """SJ-28: past the outbox bound the connection closes; what did fit comes before the end."""
    listener = Listener()
    async with start(more=[("/talk", listener)]) as bench:
        client = await bench.websocket("/talk/websocket")
        await bench.settle()
        connection = listener.connection
        assert connection is not None
        size, sent = 100_000, 0
        while connection.send("x" * size):
            sent += 1
        assert connection.waiting_bytes <= MIB + size
        assert (connection.sent, connection.is_open) == (sent, False)
        assert connection.waiting <= sent
        for _ in range(sent):
            assert await client.text() == "x" * size
        assert await client.frame() == ("close", (1013, "Try again later"))


async def test_proof(start: Start) -> None:
    """SJ-29: with `prove_within` a Ping follows the messages, and its Pong proves them; at most
    one is under way."""
    listener = Listener()
    async with start(prove_within=5, more=[("/talk", listener)]) as bench:
        client = await bench.websocket("/talk/0/0/websocket")
        assert await client.text() == "o"
        await bench.settle()
        assert listener.connection is not None
        listener.connection.send("1", "2")
        listener.connection.send("3")
        assert await client.text() == 'a["1","2"]'
        assert await client.frame() == ("ping", b"2")
        assert await client.text() == 'a["3"]'
        await client.send_frame(client_frames.pong(b"forged"))
        await client.send_frame(client_frames.pong(b"2"))
        assert await client.frame() == ("ping", b"3")
        assert listener.told == [("proven", 2)]


async def test_a_ping_goes_with_its_messages(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """SJ-29: messages and the Ping behind them are one piece for the network."""
    pieces: list[bytes] = []
    offer = SocketLink.offer

    def noting(link: SocketLink, data: bytes) -> bool:
        pieces.append(data)
        return offer(link, data)

    listener = Listener()
    async with start(prove_within=5, more=[("/talk", listener)]) as bench:
        client = await bench.websocket("/talk/websocket")
        await bench.settle()
        assert listener.connection is not None
        monkeypatch.setattr(SocketLink, "offer", noting)
        listener.connection.send("1", "2")
        assert [await client.text(), await client.text()] == ["1", "2"]
        assert await client.frame() == ("ping", b"2")
        assert pieces == [b"\x81\x011\x81\x012\x89\x012"]


async def test_pings_carry_what_the_application_says(start: Start) -> None:
    """MS-67: the number it has marked, which its Pong proves like any other."""
    listener = Listener()
    async with start(prove_within=5, more=[("/talk", listener)]) as bench:
        client = await bench.websocket("/talk/websocket")
        await bench.settle()
        assert listener.connection is not None
        listener.connection.mark(8840)
        listener.connection.send("1", b"2")
        assert [await client.text(), await client.text()] == ["1", "2"]
        assert await client.frame() == ("ping", b"8840")
        listener.connection.mark(8841)
        await client.send_frame(client_frames.pong(b"2"))
        await client.send_frame(client_frames.pong(b"8840"))
        await client.send("done")
        await bench.settle()
        assert listener.told == [("proven", 2), ("received", "done")]


async def test_a_reader_that_reads_no_more(start: Start, mock_clock: MockClock) -> None:
    """SJ-28, messaging.md section 12: with something to read and no progress for `stalled`
    seconds it is sent away with 1013, and the application need not wait for it."""
    listener = Listener(is_busy=True)
    async with start(stalled=20, more=[("/talk", listener)]) as bench:
        client = await bench.websocket("/talk/websocket")
        await client.send("not handled yet")
        await bench.settle()
        connection = listener.connection
        assert connection is not None
        while not connection.waiting_bytes:
            connection.send("x" * 100_000)
        await bench.leap(19)
        assert connection.is_open
        await bench.leap(2)
        assert listener.told == [("closed", 1013)]


async def test_a_slow_reader_has_time_for_its_pong(start: Start, mock_clock: MockClock) -> None:
    """MS-67: a Ping behind much that was read slowly is answered when it has come: until 10 s after
    that the client is not taken for dead."""
    listener = Listener()
    async with start(stalled=60, prove_within=5, more=[("/talk", listener)]) as bench:
        client = await bench.websocket("/talk/websocket")
        await bench.settle()
        connection = listener.connection
        assert connection is not None
        while not connection.waiting_bytes:
            connection.send("x" * 100_000)
        await bench.leap(40)
        frames = []
        while connection.waiting_bytes:
            frames.append(await client.frame())
        await bench.leap(9)
        assert connection.is_open
        [ping] = [payload for kind, payload in frames if kind == "ping"]
        assert isinstance(ping, bytes)
        await client.send_frame(client_frames.pong(ping))
        await bench.settle()
        assert listener.told == [("drained", None), ("proven", 1)]


async def test_codes_nobody_says(start: Start) -> None:
    """SJ-35: the client's own codes are refused, framed and raw, and nothing is sent."""
    listener = Listener()
    async with start(more=[("/talk", listener)]) as bench:
        for target in ("/talk/0/0/websocket", "/talk/websocket"):
            client = await bench.websocket(target)
            await bench.settle()
            connection = listener.connection
            assert connection is not None
            for code in (1002, 1006, 2000, 2007, 999):
                with pytest.raises(ValueError, match=str(code)):
                    connection.close(code)
            connection.close()
            if target != "/talk/websocket":
                assert [await client.text(), await client.text()] == [
                    "o",
                    'c[1000,"Normal closure"]',
                ]
            assert await client.frame() == ("close", (1000, "Normal closure"))


async def test_max_sessions(start: Start) -> None:
    """SJ-30: sessions and WebSockets count together; beyond, 503 with `Retry-After`."""
    async with start(max_sessions=2) as bench:
        client = await bench.websocket(URL)
        assert (await bench.fetch("POST", "/echo/0/one/xhr")).status == 200
        for method, target, headers in (
            ("POST", "/echo/0/two/xhr", {}),
            ("GET", URL, UPGRADE),
            ("GET", RAW, UPGRADE),
        ):
            answer = await bench.fetch(method, target, headers)
            assert (answer.status, answer["Retry-After"]) == (503, "30")
        assert (await bench.fetch("POST", "/echo/0/one/xhr_send", None, b'["a"]')).status == 204
        assert bench.metric("sessions", transport="websocket") == 1
        assert bench.metric("sessions", transport="xhr-polling") == 1
        await client.aclose()
        await bench.settle()
        assert (await bench.fetch("POST", "/echo/0/two/xhr")).status == 200
