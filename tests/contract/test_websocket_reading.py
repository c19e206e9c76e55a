"""What every engine owes a session that cannot keep up: the peer waits, and nothing is lost."""

import socket
import ssl

import pytest
import trio
import trustme
from tests.fakes import client_frames as from_client
from tests.fakes.session import LIMITS, MakeEngine, Recorder, connect, pair
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.frame_protocol import Opcode

from tocsin.server.engine import AnyEngine
from tocsin.server.handler import ConnectionLimits, Link
from tocsin.server.tlssocket import TlsSocket
from tocsin.wire.websocket import encode_text

TEXTS = [b"%d" % number for number in range(20)]
STREAM = b"".join(map(from_client.text, TEXTS))
LARGE = ConnectionLimits(max_message=100_000, frames_per_second=50, outbox_bytes=1 << 20)


def link_of(recorder: Recorder) -> Link:
    """The connection the recorder was opened with."""
    assert recorder.connection is not None
    return recorder.connection


def stop(recorder: Recorder) -> None:
    """Read no more."""
    link_of(recorder).stop_reading()


def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's and the server's."""
    authority = trustme.CA()
    client, server = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(client)
    authority.issue_cert("localhost").configure_cert(server)
    return client, server


def fill(sock: socket.socket, frame: bytes) -> None:
    """Write it again and again until the kernel takes no more."""
    rest = b""
    try:
        while True:
            rest = rest or frame
            rest = rest[sock.send(rest) :]
    except BlockingIOError:
        return


async def test_who_is_not_read_waits(engine: AnyEngine) -> None:
    """SJ-19: nothing is handed over between `stop_reading` and `read_on`, then all, in order;
    a neighbour is not concerned."""
    session, neighbour = Recorder(), Recorder()
    client, other = connect(engine, session), connect(engine, neighbour)
    await wait_all_tasks_blocked()
    stop(session)
    await client.send(STREAM)
    await other.send(STREAM)
    await neighbour.until(lambda told: told.texts == TEXTS)
    await wait_all_tasks_blocked()
    assert session.texts == []
    assert not link_of(session).is_reading
    link_of(session).read_on()
    await session.until(lambda told: told.texts == TEXTS)


async def test_what_was_received_already_is_handed_over(engine: AnyEngine) -> None:
    """Stopped in the middle of a burst, its rest comes; what follows it waits."""
    session = Recorder(text=stop)
    client = connect(engine, session)
    client.raw.send(STREAM)
    await session.until(lambda told: told.texts == TEXTS)
    await client.send(from_client.text(b"later"))
    await wait_all_tasks_blocked()
    assert session.texts == TEXTS
    link_of(session).read_on()
    await session.until(lambda told: told.texts == [*TEXTS, b"later"])


async def test_what_came_with_the_handshake_may_stop_it(engine: AnyEngine) -> None:
    """The first frames are no exception."""
    session = Recorder(text=stop)
    client = connect(engine, session, received=STREAM)
    await session.until(lambda told: told.texts == TEXTS)
    await client.send(from_client.ping(b"?"))
    await wait_all_tasks_blocked()
    link_of(session).read_on()
    assert await client.frame() == (Opcode.PONG, b"?")


async def test_a_peer_cannot_write_for_ever(engine: AnyEngine) -> None:
    """MS-68: the kernel's buffers fill, and that is all there is; a frame cut in two by it comes
    whole."""
    session = Recorder()
    client = connect(engine, session, LARGE)
    await wait_all_tasks_blocked()
    stop(session)
    payload = b"x" * 60_000
    fill(client.raw, from_client.text(payload))
    await wait_all_tasks_blocked()
    assert session.texts == []
    client.raw.shutdown(socket.SHUT_WR)
    link_of(session).read_on()
    await session.until_closed()
    assert len(session.texts) > 1
    assert {*session.texts} == {payload}


async def test_writing_goes_on(engine: AnyEngine) -> None:
    """A backlog leaves while nothing is read, and `drained` does not end that."""
    session = Recorder()
    client = connect(engine, session)
    link = link_of(session)
    await wait_all_tasks_blocked()
    stop(session)
    taken = 0
    while link.offer(encode_text(b"x" * 1000)):
        taken += 1
    await client.send(from_client.text(b"unread"))
    for _ in range(taken):
        await client.frame()
    await session.until(lambda told: ("drained", None) in told.told)
    await wait_all_tasks_blocked()
    assert session.texts == []
    link.read_on()
    await session.until(lambda told: told.texts == [b"unread"])


async def test_the_peer_vanishes_unseen(engine: AnyEngine) -> None:
    """What it had sent is handed over when reading goes on, then its end; until then the engine
    rests."""
    session = Recorder()
    client = connect(engine, session)
    await wait_all_tasks_blocked()
    stop(session)
    await client.send(STREAM)
    await client.aclose()
    with trio.fail_after(30):
        await wait_all_tasks_blocked()
    assert session.told == [("opened", None)]
    link_of(session).read_on()
    assert await session.until_closed() == 1006
    assert session.texts == TEXTS
    assert engine.connections == 0


async def test_the_peer_vanishes_before_a_backlog(engine: AnyEngine) -> None:
    """Its end is seen at once by whoever has something to send."""
    session = Recorder()
    client = connect(engine, session)
    await wait_all_tasks_blocked()
    stop(session)
    while link_of(session).offer(encode_text(b"x" * 1000)):
        pass
    await client.aclose()
    assert await session.until_closed() == 1006
    link_of(session).read_on()
    assert engine.connections == engine.statistics().blocked == 0


async def test_a_reset_unseen(engine: AnyEngine) -> None:
    """A connection that was reset does not keep the engine busy, and ends when it is read."""
    session = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _address = listener.accept()
    ours.setblocking(False)
    engine.adopt(ours, session, LIMITS)
    await wait_all_tasks_blocked()
    stop(session)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, (1).to_bytes(4, "little") + bytes(4))
    theirs.close()
    with trio.fail_after(30):
        await wait_all_tasks_blocked()
    link_of(session).read_on()
    assert await session.until_closed() == 1006


async def test_our_close_is_answered(engine: AnyEngine) -> None:
    """Who closes reads again: the peer's Close is behind what was not read."""
    session = Recorder()
    client = connect(engine, session)
    await wait_all_tasks_blocked()
    stop(session)
    await client.send(STREAM + from_client.close(1013))
    link_of(session).close(1013)
    assert await session.until_closed() == 1013
    assert session.texts == TEXTS
    assert engine.statistics().close_timeouts == 0


async def test_who_closes_goes_on_reading(engine: AnyEngine) -> None:
    """`stop_reading` after `close` is nothing: the handshake is not to wait for a session."""
    session = Recorder()
    client = connect(engine, session)
    link_of(session).close(1012)
    stop(session)
    assert link_of(session).is_reading
    await client.send(from_client.close(1012))
    assert await session.until_closed() == 1012


@pytest.mark.parametrize("ending", ["abort", "our close", "the engine's end", "crash"])
async def test_no_end_waits_for_reading(
    make_engine: MakeEngine, mock_clock: MockClock, ending: str
) -> None:
    """Whoever ends it: the session hears so, and no task or socket stays; `read_on` afterwards is
    nothing."""
    engine, session = make_engine(), Recorder(pong=lambda _recorder: 1 / 0)
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        await wait_all_tasks_blocked()
        before = trio.lowlevel.current_statistics().tasks_living
        client = connect(engine, session, received=from_client.pong() if ending == "crash" else b"")
        stop(session)
        await wait_all_tasks_blocked()
        match ending:
            case "abort":
                link_of(session).abort(1001)
            case "our close":
                link_of(session).close(1000)
            case "the engine's end":
                nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        mock_clock.jump(5.1)
        await session.until_closed()
        await wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living <= before
        link_of(session).read_on()
        nursery.cancel_scope.cancel()
    assert engine.connections == 0
    assert len(session.closings) == 1
    await client.aclose()


async def test_stopping_before_the_first_byte(engine: AnyEngine) -> None:
    """A session may stop as soon as it is opened, and stop and read on as often as it likes."""
    ours, theirs = pair()
    session = Recorder(opened=stop)
    engine.adopt(ours, session, LIMITS)
    theirs.send(STREAM)
    await wait_all_tasks_blocked()
    assert session.texts == []
    for _ in range(3):
        link_of(session).read_on()
        link_of(session).stop_reading()
    link_of(session).read_on()
    await session.until(lambda told: told.texts == TEXTS)
    theirs.close()
    await session.until_closed()


async def test_nothing_waits_inside_tls(engine: AnyEngine) -> None:
    """OP-8: what a socket has decrypted was handed over, so reading goes on where the kernel says
    so; many records and a large message among them."""
    contexts = tls_contexts()
    theirs, ours = pair()
    session = Recorder(text=stop)
    stream = trio.SSLStream(
        trio.SocketStream(trio.socket.from_stdlib_socket(theirs)),
        contexts[0],
        server_hostname="localhost",
    )
    tls = TlsSocket(ours, contexts[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.do_handshake)
        await tls.handshake()
    engine.adopt(tls, session, LARGE)
    for number in range(10):
        burst = [b"%d" % number, b"y" * 90_000, b"."]
        for text in burst:
            await stream.send_all(from_client.text(text))
        while session.texts[-1:] != [b"."] or len(session.texts) < 3 * (number + 1):
            await wait_all_tasks_blocked()
            link_of(session).read_on()
        assert session.texts[-3:] == burst
    await trio.aclose_forcefully(stream)
    link_of(session).read_on()
    await session.until_closed()
