"""What every engine owes one connection: limits, backlog, its end (CH-53, CH-57, CH-59, SE-5)."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from tests.fakes import client_frames as from_client
from tests.fakes.session import LIMITS, Client, MakeEngine, Recorder, connect
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.frame_protocol import Opcode

from tocsin.server.engine import AnyEngine
from tocsin.server.handler import ConnectionLimits
from tocsin.server.link import SocketLink
from tocsin.wire.websocket import encode_ping, encode_text


def connection_of(recorder: Recorder) -> SocketLink:
    """The connection the recorder was opened with."""
    assert recorder.connection is not None
    return recorder.connection


def echo(recorder: Recorder) -> None:
    """Send the last text back."""
    payload = recorder.texts[-1]
    assert isinstance(payload, bytes)
    connection_of(recorder).offer(encode_text(payload))


def fill(connection: SocketLink, frame: bytes) -> int:
    """Offer a frame until it is refused; how many were taken."""
    taken = 0
    while connection.offer(frame):
        taken += 1
    return taken


@asynccontextmanager
async def loopback(engine: AnyEngine) -> AsyncIterator[tuple[Recorder, Client]]:
    """A session and its client over TCP, where there are resets."""
    session = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _address = listener.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    client = Client(theirs)
    engine.adopt(ours, session, LIMITS)
    yield session, client
    await client.aclose()


async def test_echo(engine: AnyEngine) -> None:
    """A text goes to the session and its answer, offered from the callback, to the client."""
    session = Recorder(text=echo)
    client = connect(engine, session)
    await client.send(from_client.text(b"hello"))
    assert await client.frame() == (Opcode.TEXT, "hello")
    assert session.told == [("opened", None), ("text", b"hello")]


async def test_bytes_read_with_the_handshake_come_first(engine: AnyEngine) -> None:
    """`opened`, then what was read beyond the handshake, even a frame cut in the middle."""
    frame = from_client.text(b"second")
    session = Recorder()
    client = connect(engine, session, received=from_client.text(b"first") + frame[:4])
    assert session.told[0] == ("opened", None)
    await session.until(lambda told: told.texts)
    assert session.told[1:] == [("text", b"first")]
    await client.send(frame[4:])
    await session.until(lambda told: len(told.texts) == 2)
    assert session.texts == [b"first", b"second"]


async def test_fragments_and_pings_between_them(engine: AnyEngine) -> None:
    """A fragmented message arrives whole; a Ping inside it is answered by the connection."""
    session = Recorder()
    client = connect(engine, session)
    await client.send(from_client.text(b"a", final=False) + from_client.ping(b"p"))
    assert await client.frame() == (Opcode.PONG, b"p")
    await client.send(from_client.continuation(b"b") + from_client.binary(b"c"))
    await session.until(lambda told: len(told.told) == 3)
    assert session.told[1:] == [("text", b"ab"), ("binary", b"c")]


async def test_everything_keeps_its_order(engine: AnyEngine) -> None:
    """CH-56: a receipt is heard in its place among the messages, however they arrive."""
    session = Recorder()
    client = connect(engine, session)
    stream = b"".join(
        from_client.text(b"%d" % number) + from_client.pong(b"%d" % number) for number in range(10)
    )
    await client.send(stream)
    for place in range(len(stream)):
        await client.send(stream[place : place + 1])
    await session.until(lambda told: len(told.told) == 41)
    once = [(kind, b"%d" % number) for number in range(10) for kind in ("text", "pong")]
    assert session.told == [("opened", None), *once, *once]


async def test_a_message_as_long_as_the_limit(engine: AnyEngine) -> None:
    """SE-5: the limit counts bytes, is reached and not passed, and begins anew each message."""
    session = Recorder()
    client = connect(engine, session)
    halves = from_client.text(b"x" * 2048, final=False) + from_client.continuation(b"x" * 2048)
    await client.send(halves + from_client.text("€".encode() * 1365) + halves)
    await session.until(lambda told: len(told.texts) == 3)
    assert session.texts == [b"x" * 4096, "€".encode() * 1365, b"x" * 4096]


async def test_last_received_moves_with_every_byte(
    engine: AnyEngine, mock_clock: MockClock
) -> None:
    """CH-57: anything received counts as a sign of life."""
    session = Recorder()
    client = connect(engine, session)
    connected = trio.current_time()
    mock_clock.jump(3.0)
    assert connection_of(session).last_received == connected
    await client.send(from_client.text(b"x"))
    await session.until(lambda told: told.texts)
    assert connection_of(session).last_received == connected + 3.0


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (from_client.client_frame(0x81, b"a", mask=None), 1002),
        (from_client.client_frame(0xC1, b"a"), 1002),
        (from_client.client_frame(0x83, b"a"), 1002),
        (from_client.client_frame(0x89, b"p" * 126), 1002),
        (from_client.client_frame(0x81, b"a", form=16), 1002),
        (from_client.client_frame(0x81, form=64, announced=1 << 63), 1002),
        (from_client.client_frame(0x8A, b"p", mask=None), 1002),
        (from_client.client_frame(0x8A, b"p" * 126), 1002),
        (from_client.continuation(b"a"), 1002),
        (from_client.text(b"a", final=False) + from_client.text(b"b"), 1002),
        (from_client.client_frame(0x88, b"x"), 1002),
        (from_client.close(1005), 1002),
        (from_client.text(b"\xff"), 1007),
        (from_client.text(b"\xe2\x82", final=False) + from_client.continuation(b"a"), 1007),
        (from_client.close(1000, b"\xff"), 1007),
        (from_client.text(b"x" * 4097), 1009),
        (from_client.text("€".encode() * 1366), 1009),
        (from_client.client_frame(0x82, announced=1 << 40), 1009),
        (from_client.text(b"x" * 4000, final=False) + from_client.continuation(b"x" * 97), 1009),
        (from_client.ping() * 51, 1008),
    ],
)
async def test_violations_close_with_their_code(
    engine: AnyEngine, stream: bytes, code: int
) -> None:
    """CH-53: 1002, 1007, 1008 and 1009 reach the client even if it goes on sending."""
    session = Recorder()
    client = connect(engine, session)
    await client.send(stream + from_client.text(b"too late"))
    assert await session.until_closed() == code
    while (frame := await client.frame())[0] is Opcode.PONG:
        pass
    assert frame[0] is Opcode.CLOSE
    assert isinstance(frame[1], tuple)
    assert frame[1][0] == code
    await client.end()
    assert session.texts == []
    assert connection_of(session).offer(b"x") is False


async def test_the_frame_rate_counts_what_the_client_did_not_have_to_send(
    engine: AnyEngine, mock_clock: MockClock
) -> None:
    """SE-5: fragments and unsolicited Pongs count, Pongs that answer our Pings do not."""
    session = Recorder()
    client = connect(engine, session)
    for _ in range(60):
        assert connection_of(session).ping(b"1")
    await client.send(from_client.pong(b"1") * 60)
    await session.until(lambda told: len(told.told) == 61)
    await client.send(from_client.text(b"", final=False))
    await client.send(from_client.continuation(b"", final=False) * 25 + from_client.pong() * 24)
    await session.until(lambda told: len(told.told) == 85)
    await client.send(from_client.pong())
    assert await session.until_closed() == 1008


async def test_the_frame_rate_starts_anew_each_second(
    engine: AnyEngine, mock_clock: MockClock
) -> None:
    """SE-5: fifty frames in a second are allowed, second after second."""
    session = Recorder()
    client = connect(engine, session)
    for second in range(1, 4):
        await client.send(from_client.text(b"") * 50)
        await session.until(lambda told, second=second: len(told.texts) == 50 * second)
        mock_clock.jump(1.0)
    await client.send(from_client.text(b"") * 51)
    assert await session.until_closed() == 1008
    assert len(session.texts) == 200


async def test_a_ping_glued_to_a_frame_is_noted_by_its_sender(engine: AnyEngine) -> None:
    """`note_ping` expects the Pong of a Ping that left inside another offer."""
    limits = ConnectionLimits(max_message=100, frames_per_second=1, outbox_bytes=1000)
    session = Recorder()
    client = connect(engine, session, limits)
    assert connection_of(session).offer(encode_text(b"x") + encode_ping(b"7"))
    connection_of(session).note_ping()
    await client.send(from_client.pong(b"7") + from_client.text(b"counted"))
    await session.until(lambda told: told.texts)
    assert session.closings == []


async def test_a_slow_reader_fills_its_outbox_and_is_told_when_it_drained(
    engine: AnyEngine,
) -> None:
    """SE-5: the outbox is bounded in bytes; what was taken arrives whole, in order, once."""
    session = Recorder()
    client = connect(engine, session)
    connection = connection_of(session)
    frames = 0
    while connection.offer(encode_text(b"%06d" % frames + b"x" * 994)):
        frames += 1
    assert LIMITS.outbox_bytes - 1004 < connection.backlog <= LIMITS.outbox_bytes
    assert connection.blocked_since is not None
    assert engine.statistics().blocked == 1
    assert engine.statistics().backlog_bytes == connection.backlog
    for index in range(frames):
        _opcode, payload = await client.frame()
        assert str(payload)[:6] == f"{index:06d}"
    await session.until(lambda told: ("drained", None) in told.told)
    assert session.told == [("opened", None), ("drained", None)]
    assert (connection.backlog, connection.blocked_since) == (0, None)
    assert engine.statistics().blocked == 0
    assert connection.offer(encode_text(b"again"))
    assert await client.frame() == (Opcode.TEXT, "again")


async def test_blocked_since_says_when_the_backlog_last_moved(
    engine: AnyEngine, mock_clock: MockClock
) -> None:
    """CH-57: a reader that is slow is told from one that has stopped."""
    session = Recorder()
    client = connect(engine, session)
    connection = connection_of(session)
    blocked_at = trio.current_time()
    taken = fill(connection, encode_text(b"x" * 1000))
    full = connection.backlog
    mock_clock.jump(3.0)
    await wait_all_tasks_blocked()
    assert connection.blocked_since == blocked_at
    while connection.backlog == full:
        await client.frame()
        taken -= 1
    assert 0 < connection.backlog < full
    assert connection.blocked_since == blocked_at + 3.0
    for _ in range(taken):
        await client.frame()


async def test_drained_may_fill_the_outbox_again(engine: AnyEngine) -> None:
    """A session that refills from `drained` hears it again; nothing is lost or reordered."""
    counts: list[int] = []
    limits = ConnectionLimits(max_message=100, frames_per_second=50, outbox_bytes=300_000)

    def refill(recorder: Recorder) -> None:
        if len(counts) < 3:
            counts.append(fill(connection_of(recorder), encode_text(b"y" * 1000)))

    session = Recorder(drained=refill)
    client = connect(engine, session, limits)
    refill(session)
    total = 0
    while total < sum(counts) or len(counts) < 3:
        await client.frame()
        total += 1
    await session.until(lambda told: told.told.count(("drained", None)) == 3)
    assert total == sum(counts)


async def test_a_frame_over_the_bound_never_leaves(engine: AnyEngine) -> None:
    """What cannot be kept if the kernel takes only half of it is refused beforehand."""
    limits = ConnectionLimits(max_message=100, frames_per_second=50, outbox_bytes=10)
    session = Recorder()
    client = connect(engine, session, limits)
    assert not connection_of(session).offer(encode_text(b"x" * 9))
    assert connection_of(session).offer(encode_text(b"x" * 8))
    assert await client.frame() == (Opcode.TEXT, "x" * 8)


async def test_a_pong_that_does_not_fit_is_dropped(engine: AnyEngine) -> None:
    """Pings of a peer that does not read cost no memory beyond the outbox bound."""
    session = Recorder()
    client = connect(engine, session)
    connection = connection_of(session)
    fill(connection, encode_text(b"x" * 1000))
    fill(connection, encode_text(b""))
    full = connection.backlog
    await client.send(from_client.ping(b"p" * 100) + from_client.text(b"seen"))
    await session.until(lambda told: told.texts)
    assert connection.backlog <= full
    assert session.closings == []


async def test_the_client_closes(engine: AnyEngine) -> None:
    """The peer's Close is echoed with its code, TCP is shut, and the session told the code."""
    session = Recorder()
    client = connect(engine, session)
    await client.send(from_client.close(4000, b"bye") + from_client.text(b"too late"))
    assert await client.frame() == (Opcode.CLOSE, (4000, ""))
    await client.end()
    assert session.told == [("opened", None), ("closed", 4000)]
    assert engine.connections == 0


async def test_the_client_closes_without_a_code(engine: AnyEngine) -> None:
    """An empty Close is answered by an empty one and told as 1005 (section 7.1.5)."""
    session = Recorder()
    client = connect(engine, session)
    await client.send(from_client.close())
    assert await client.frame() == (Opcode.CLOSE, (1005, ""))
    await client.end()
    assert session.closings == [1005]


async def test_we_close(engine: AnyEngine) -> None:
    """CH-59: Close goes out once, the socket stays for the answer, and the code is ours."""
    session = Recorder()
    client = connect(engine, session)
    connection = connection_of(session)
    connection.close(1012, "restart")
    connection.close(1000)
    assert not connection.offer(encode_text(b"no more"))
    assert await client.frame() == (Opcode.CLOSE, (1012, "restart"))
    assert session.closings == []
    await client.send(from_client.close(1012))
    await client.end()
    assert session.closings == [1012]
    assert engine.statistics().close_timeouts == 0


async def test_receipts_on_their_way_count_while_we_close(engine: AnyEngine) -> None:
    """What the peer sent before it saw our Close is still delivered (CH-60: nothing twice)."""
    session = Recorder()
    client = connect(engine, session)
    connection_of(session).ping(b"9")
    connection_of(session).close(1012)
    await client.send(from_client.pong(b"9") + from_client.text(b"{}") + from_client.close(1012))
    assert await session.until_closed() == 1012
    assert session.told[1:] == [("pong", b"9"), ("text", b"{}"), ("closed", 1012)]


async def test_a_ping_that_crosses_our_close(engine: AnyEngine) -> None:
    """CH-59: it is not answered and disturbs nobody; the code stays ours."""
    session, neighbour = Recorder(), Recorder(text=echo)
    client, other = connect(engine, session), connect(engine, neighbour)
    connection_of(session).close(1012)
    await client.send(from_client.ping(b"p") + from_client.close(1012))
    assert await client.frame() == (Opcode.CLOSE, (1012, ""))
    await client.end()
    assert session.told == [("opened", None), ("closed", 1012)]
    await other.send(from_client.text(b"unharmed"))
    assert await other.frame() == (Opcode.TEXT, "unharmed")
    assert engine.statistics().handler_errors == 0


async def test_a_violation_while_we_close_sends_no_second_close(engine: AnyEngine) -> None:
    """One Close per connection, and the first one names the code."""
    session = Recorder()
    client = connect(engine, session)
    connection_of(session).close(1000)
    await client.send(from_client.text(b"\xff"))
    assert await session.until_closed() == 1000
    assert await client.frame() == (Opcode.CLOSE, (1000, ""))
    await client.end()


async def test_close_waits_behind_the_backlog(engine: AnyEngine) -> None:
    """Close leaves after what was accepted before it, and after it nothing."""
    session = Recorder()
    client = connect(engine, session)
    taken = fill(connection_of(session), encode_text(b"x" * 1000))
    connection_of(session).close(1000)
    for _ in range(taken):
        assert (await client.frame())[0] is Opcode.TEXT
    assert await client.frame() == (Opcode.CLOSE, (1000, ""))
    assert ("drained", None) not in session.told


async def test_the_clients_close_waits_behind_the_backlog(engine: AnyEngine) -> None:
    """A Close of the peer is echoed after the frames under way, then TCP is shut."""
    session = Recorder()
    client = connect(engine, session)
    taken = fill(connection_of(session), encode_text(b"x" * 1000))
    await client.send(from_client.close(1000))
    assert await session.until_closed() == 1000
    for _ in range(taken):
        assert (await client.frame())[0] is Opcode.TEXT
    assert await client.frame() == (Opcode.CLOSE, (1000, ""))
    await client.end()


@pytest.mark.parametrize("backlog", [False, True])
async def test_a_peer_that_never_answers_our_close(
    engine: AnyEngine, mock_clock: MockClock, backlog: bool
) -> None:
    """After close_timeout the socket is shut, whether or not the peer reads."""
    session = Recorder()
    client = connect(engine, session)
    if backlog:
        fill(connection_of(session), encode_text(b"x" * 1000))
    connection_of(session).close(1000)
    mock_clock.jump(4.9)
    await wait_all_tasks_blocked()
    assert session.closings == []
    mock_clock.jump(0.2)
    assert await session.until_closed() == 1000
    assert engine.connections == 0
    assert engine.statistics().close_timeouts == 1
    assert engine.statistics().backlog_bytes == 0
    await client.aclose()


async def test_a_short_close_timeout_is_kept(
    make_engine: MakeEngine, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    """An engine at rest until its next look wakes earlier for a handshake begun meanwhile."""
    engine, session = make_engine(close_timeout=0.2), Recorder()
    await nursery.start(engine.run)
    connect(engine, session)
    await wait_all_tasks_blocked()
    connection_of(session).close(1000)
    mock_clock.jump(0.2)
    await wait_all_tasks_blocked()
    assert session.closings == [1000]


async def test_a_peer_that_goes_on_after_a_violation(
    engine: AnyEngine, mock_clock: MockClock
) -> None:
    """A failed connection lingers for the peer's sake no longer than close_timeout."""
    session = Recorder()
    client = connect(engine, session)
    await client.send(from_client.text(b"\xff"))
    assert await session.until_closed() == 1007
    await client.send(from_client.text(b"more") * 100)
    await wait_all_tasks_blocked()
    assert engine.connections == 1
    mock_clock.jump(5.1)
    await wait_all_tasks_blocked()
    assert engine.connections == 0
    assert session.told == [("opened", None), ("closed", 1007)]


async def test_the_peer_vanishes(engine: AnyEngine) -> None:
    """The end of the stream without a Close is 1006, told once."""
    session = Recorder()
    client = connect(engine, session)
    await client.aclose()
    assert await session.until_closed() == 1006
    assert engine.connections == 0


async def test_a_half_closed_peer(engine: AnyEngine) -> None:
    """SE-12: a client that shuts its sending side without a Close is gone for us."""
    session = Recorder()
    client = connect(engine, session)
    client.raw.shutdown(socket.SHUT_WR)
    assert await session.until_closed() == 1006
    await client.end()


async def test_offer_to_a_dead_peer_tells_the_session_later(engine: AnyEngine) -> None:
    """`closed` is never called from inside `offer`; it follows in the engine's turn."""
    session = Recorder()
    connect(engine, session).raw.close()
    assert connection_of(session).offer(encode_text(b"x")) is False
    assert session.closings == []
    assert await session.until_closed() == 1006
    assert not connection_of(session).offer(encode_text(b"x"))
    assert session.closings == [1006]


async def test_abort(engine: AnyEngine) -> None:
    """CH-57: a dead peer is dropped with a Close 1001 and without waiting for an answer."""
    session = Recorder()
    client = connect(engine, session)
    connection_of(session).abort(1001)
    assert session.closings == []
    assert await client.frame() == (Opcode.CLOSE, (1001, ""))
    await client.end()
    assert session.closings == [1001]


async def test_abort_without_a_code(engine: AnyEngine) -> None:
    """Without a code nothing is sent, and the session hears 1006."""
    session = Recorder()
    client = connect(engine, session)
    connection_of(session).abort()
    await client.end()
    assert session.closings == [1006]


async def test_abort_with_a_backlog_frees_the_kernels_buffer(engine: AnyEngine) -> None:
    """CH-57: a blocked peer gets RST over TCP, not a Close inside a frame cut in two."""
    async with loopback(engine) as (session, client):
        connection = connection_of(session)
        fill(connection, encode_text(b"x" * 60_000))
        connection.abort(1001)
        assert await session.until_closed() == 1001
        with pytest.raises((trio.BrokenResourceError, OSError)):
            await client.rest()
        assert engine.statistics().backlog_bytes == 0
        assert engine.statistics().blocked == 0


async def test_abort_from_another_task_is_told_at_once(
    engine: AnyEngine, mock_clock: MockClock
) -> None:
    """A resting engine is woken, no second has to pass."""
    session = Recorder()
    connect(engine, session)
    await wait_all_tasks_blocked()
    connection_of(session).abort()
    await wait_all_tasks_blocked()
    assert session.closings == [1006]


async def test_a_reset_by_the_peer(engine: AnyEngine) -> None:
    """ECONNRESET is an end like any other."""
    async with loopback(engine) as (session, client):
        linger = (1).to_bytes(4, "little") + bytes(4)
        client.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await client.aclose()
        assert await session.until_closed() == 1006


async def test_close_over_tcp_survives_unread_bytes(engine: AnyEngine) -> None:
    """The Close of a violation is not destroyed by RST although the peer's flood is unread."""
    async with loopback(engine) as (session, client):
        await client.send(from_client.text(b"\xff") + from_client.binary(b"z" * 60_000) * 20)
        opcode, reason = await client.frame()
        assert opcode is Opcode.CLOSE
        assert isinstance(reason, tuple)
        assert reason[0] == 1007
        assert await session.until_closed() == 1007


@pytest.mark.parametrize("code", [0, 1006, 1015, 5000])
async def test_a_code_that_cannot_be_sent_is_a_mistake(engine: AnyEngine, code: int) -> None:
    """`close` with a code that must not travel raises and leaves the connection open."""
    session = Recorder(text=echo)
    client = connect(engine, session)
    with pytest.raises(ValueError, match="not a code"):
        connection_of(session).close(code)
    await client.send(from_client.text(b"still here"))
    assert await client.frame() == (Opcode.TEXT, "still here")
