"""tocsin.server.sockjs.intake: a client that writes faster than it is handled is read slower."""

import json
import math
from collections import deque

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import client_frames
from tests.fakes.raw_http import RawWebSocket
from tests.fakes.sockjs import Settings
from tests.fakes.sockjs_services import Echo
from tests.server.sockjs.conftest import Bench, Start
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.server.sockjs.application import Connection
from tocsin.server.sockjs.intake import Intake

RAW, FRAMED = "/busy/websocket", "/busy/0/0/websocket"
BOTH = pytest.mark.parametrize("target", [RAW, FRAMED])
TRY_AGAIN = ("close", (1013, "Try again later"))


class OneByOne(Echo):
    """Takes a message, and no other until `done`; one that hangs is never done."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.codes: list[int] = []
        self.connection: Connection

    def opened(self, connection: Connection) -> None:
        self.connection = connection

    def received(self, connection: Connection, message: str) -> None:
        self.taken.append(message)
        connection.pause()

    def drained(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection, code: int) -> None:
        self.codes.append(code)

    def done(self) -> None:
        """With the message in hand."""
        self.connection.resume()

    async def take(self, count: int) -> None:
        """So many in all, one after the other."""
        for _ in range(100 * count):
            if len(self.taken) == count:
                return
            await wait_all_tasks_blocked()
            self.done()
        raise AssertionError(f"{len(self.taken)} of {count} came")


async def socket_of(bench: Bench, target: str) -> RawWebSocket:
    """A client that has had its `o`."""
    client = await bench.websocket(target)
    if target == FRAMED:
        assert await client.text() == "o"
    return client


def burst(target: str, *messages: str) -> bytes:
    """Messages in one piece, each in a frame."""
    texts = messages if target == RAW else [json.dumps([one]) for one in messages]
    return b"".join(client_frames.text(one.encode()) for one in texts)


def numbered(count: int, size: int = 0) -> list[str]:
    """Messages that can be told apart."""
    return [f"{number:05}".ljust(size, "x") for number in range(count)]


@BOTH
@pytest.mark.parametrize(("count", "size"), [(1000, 200), (600, 5), (25, 60_000)])
async def test_a_queue_that_is_flushed(start: Start, target: str, count: int, size: int) -> None:
    """SJ-19: more than the inbox holds, written in one piece, is handed over whole and in order,
    however slowly; then the client is read as before."""
    slow = OneByOne()
    messages = numbered(count, size)
    async with start(more=[("/busy", slow)]) as bench:
        client = await socket_of(bench, target)
        async with trio.open_nursery() as writing:
            writing.start_soon(client.send_frame, burst(target, *messages))
            await slow.take(count)
        assert slow.taken == messages
        slow.done()
        await client.send_frame(client_frames.ping(b"?") + burst(target, "more"))
        assert await client.frame() == ("pong", b"?")
        await bench.settle()
        assert slow.taken[count:] == ["more"]
        assert slow.connection.is_open


@BOTH
async def test_an_application_that_hangs(start: Start, target: str, mock_clock: MockClock) -> None:
    """SJ-19: nothing was taken for 10 s, 1013; whatever the client still writes."""
    stuck = OneByOne()
    async with start(more=[("/busy", stuck)]) as bench:
        client = await socket_of(bench, target)
        await client.send_frame(burst(target, *numbered(300)))
        for _ in range(9):
            await bench.leap(1)
            await client.send_frame(burst(target, *numbered(300)))
        assert stuck.connection.is_open
        await bench.leap(1.5)
        assert not stuck.connection.is_open
        if target == FRAMED:
            assert await client.text() == 'c[1013,"Try again later"]'
        assert await client.frame() == TRY_AGAIN
        await client.send_frame(client_frames.close(1013))
        await bench.settle()
        assert (stuck.taken, stuck.codes) == (["00000"], [1013])


async def test_a_full_inbox_is_no_fault(start: Start, mock_clock: MockClock) -> None:
    """An inbox that is not full may wait for ever, and Pings are answered."""
    stuck = OneByOne()
    async with start(more=[("/busy", stuck)]) as bench:
        client = await socket_of(bench, RAW)
        await client.send_frame(burst(RAW, *numbered(256)))
        await bench.leap(20)
        await client.send_frame(client_frames.ping(b"?"))
        assert await client.frame() == ("pong", b"?")
        assert stuck.connection.is_open


async def test_slow_is_not_stuck(start: Start, mock_clock: MockClock) -> None:
    """The 10 s begin anew with each message that is taken."""
    slow = OneByOne()
    async with start(more=[("/busy", slow)]) as bench:
        client = await socket_of(bench, RAW)
        await client.send_frame(burst(RAW, *numbered(300)))
        for _ in range(4):
            await bench.leap(9)
            slow.done()
        await bench.leap(9)
        assert slow.connection.is_open
        await bench.leap(1.5)
        assert not slow.connection.is_open
        assert slow.taken == numbered(5)


async def test_who_is_not_read_is_not_overdue(start: Start, mock_clock: MockClock) -> None:
    """SJ-33: a Pong that could not be read is not missed until reading has gone on for 10 s; nor
    is one behind the flood too late."""
    slow = OneByOne()
    async with start(heartbeat=2, more=[("/busy", slow)]) as bench:
        client = await socket_of(bench, RAW)
        await client.send_frame(burst(RAW, *numbered(300)))
        await bench.leap(3)
        kind, payload = await client.frame()
        assert (kind, isinstance(payload, bytes)) == ("ping", True)
        await bench.leap(6)
        slow.done()
        await bench.leap(6)
        assert slow.connection.is_open
        for _ in range(171):
            slow.done()
        await bench.leap(9)
        assert slow.connection.is_open
        await bench.leap(1.5)
        assert not slow.connection.is_open
        assert await client.frame() == ("close", (3008, "Timeout"))


async def test_a_pong_behind_the_flood(start: Start, mock_clock: MockClock) -> None:
    """SJ-33: it is seen when reading goes on, and another Ping follows in its time."""
    slow = OneByOne()
    async with start(heartbeat=2, more=[("/busy", slow)]) as bench:
        client = await socket_of(bench, RAW)
        await client.send_frame(burst(RAW, *numbered(300)))
        await bench.leap(3)
        _, payload = await client.frame()
        assert isinstance(payload, bytes)
        await client.send_frame(burst(RAW, *numbered(300)) + client_frames.pong(payload))
        await bench.leap(6)
        await slow.take(600)
        slow.done()
        await bench.leap(2.5)
        assert (await client.frame())[0] == "ping"
        assert len(slow.taken) == 600
        assert slow.connection.is_open


@BOTH
async def test_a_client_that_leaves_unseen(start: Start, target: str) -> None:
    """What it had sent before it hung up is handed over to the end, then `closed`."""
    slow = OneByOne()
    messages = numbered(600, 200)
    async with start(more=[("/busy", slow)]) as bench:
        client = await socket_of(bench, target)
        await client.send_frame(burst(target, *messages))
        await client.aclose()
        await slow.take(len(messages))
        slow.done()
        await bench.settle()
        assert slow.taken == messages
        assert slow.codes == [1006]
        assert bench.services["/busy"].sessions == 0


async def test_closing_reads_on(start: Start) -> None:
    """SJ-32: the application closes while its client is not read; the client's Close is seen, and
    nothing it had said before is handed over."""
    stuck = OneByOne()
    async with start(more=[("/busy", stuck)]) as bench:
        client = await socket_of(bench, RAW)
        await client.send_frame(burst(RAW, *numbered(300)))
        await bench.settle()
        await client.send_frame(burst(RAW, *numbered(300)))
        stuck.connection.close(3000, "enough")
        assert await client.frame() == ("close", (3000, "enough"))
        await client.send_frame(client_frames.close(3000))
        await bench.settle()
        stuck.done()
        assert (stuck.taken, stuck.codes) == (["00000"], [3000])


async def test_who_waits_for_a_reader_is_not_stuck(start: Start, mock_clock: MockClock) -> None:
    """SJ-28: while the client has something to read it has its own time for that; when it has
    read, the 10 s begin."""
    slow = OneByOne()
    async with start(stalled=30, more=[("/busy", slow)]) as bench:
        client = await socket_of(bench, RAW)
        await client.send_frame(burst(RAW, *numbered(300)))
        await bench.settle()
        sent = 0
        while not slow.connection.waiting_bytes:
            slow.connection.send("y" * 100_000)
            sent += 1
        await bench.leap(12)
        assert slow.connection.is_open
        for _ in range(sent):
            await client.text()
        await bench.leap(9.5)
        assert slow.connection.is_open
        await bench.leap(1)
        assert not slow.connection.is_open


class Pipe:
    """A link behind which there is always more."""

    def __init__(self) -> None:
        self.is_reading = True
        self.blocked_since: float | None = None
        self.last_received = 0.0
        self.backlog = 0

    def stop_reading(self) -> None:
        self.is_reading = False

    def read_on(self) -> None:
        self.is_reading = True

    def offer(self, data: bytes) -> bool:
        return bool(data)

    def ping(self, payload: bytes = b"") -> bool:
        return not payload

    def note_ping(self) -> None: ...
    def close(self, code: int, reason: str = "") -> None: ...
    def abort(self, code: int = 1006) -> None: ...

    def fileno(self) -> int:
        return -1


BODIES = st.lists(st.text(alphabet="ab", max_size=4), min_size=1, max_size=4)


@given(
    bodies=st.lists(BODIES, max_size=30),
    takes=st.lists(st.integers(0, 5), max_size=60),
    messages=st.integers(1, 6),
    size=st.integers(1, 12),
)
def test_any_pace(bodies: list[list[str]], takes: list[int], messages: int, size: int) -> None:
    """Whoever writes and takes in whatever turns: nothing is lost or out of order, no more waits
    than the bound and one body, and there is a deadline just while nothing is read."""
    taken: list[str] = []
    pipe = Pipe()

    def take(message: str) -> None:
        taken.append(message)
        intake.pause()

    intake = Intake(Settings(inbox_messages=messages, inbox_bytes=size), take, lambda: 7.0)
    intake.begin(pipe)
    rest = deque(bodies)
    for count in [*takes, *[1] * sum(map(len, bodies))]:
        if pipe.is_reading and rest:
            intake.put(rest.popleft())
        for _ in range(count):
            intake.resume()
        assert len(intake) < messages + 4
        assert pipe.is_reading == (intake.room_by == math.inf) == (intake.reading_since < math.inf)
        assert pipe.is_reading or intake
    assert taken == [one for body in bodies for one in body]
