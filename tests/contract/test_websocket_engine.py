"""What every engine owes the daemon: adoption, fences, the end of everything (CH-59, SE-5)."""

import os
from functools import partial
from itertools import pairwise

import pytest
import trio
from tests.fakes import client_frames as from_client
from tests.fakes.session import LIMITS, Client, MakeEngine, Recorder, connect, pair
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.frame_protocol import Opcode

from tocsin.server.engine import AnyEngine
from tocsin.wire.websocket import encode_text

TEXT = from_client.text(b"x")


def crash(_recorder: Recorder) -> None:
    """A bug in a session."""
    raise RuntimeError("bug")


def test_adopt_needs_a_running_engine(make_engine: MakeEngine) -> None:
    """Without `run` the socket stays the caller's, and nothing is told to the session."""
    engine, session = make_engine(), Recorder()
    ours, theirs = pair()
    with ours, theirs:
        with pytest.raises(trio.ClosedResourceError):
            engine.adopt(ours, session, LIMITS)
        assert ours.send(b"x") == 1
    assert session.told == []


async def test_adopt_refuses_a_socket_that_is_closed(engine: AnyEngine) -> None:
    """A socket that cannot be waited for is the caller's to deal with."""
    session = Recorder()
    ours, theirs = pair()
    with theirs:
        ours.close()
        with pytest.raises((OSError, ValueError)):
            engine.adopt(ours, session, LIMITS)
    await wait_all_tasks_blocked()
    assert (session.told, engine.connections) == ([], 0)


async def test_counts(engine: AnyEngine) -> None:
    """`connections` falls and `adopted` does not when a connection ends."""
    sessions = [Recorder() for _ in range(3)]
    clients = [connect(engine, session) for session in sessions]
    assert engine.connections == engine.statistics().connections == 3
    await clients[0].aclose()
    await sessions[0].until_closed()
    assert (engine.connections, engine.statistics().adopted) == (2, 3)


async def test_the_last_end_can_be_waited_for(engine: AnyEngine, nursery: trio.Nursery) -> None:
    """OP-12: not before the last is gone; and not at all where there is none."""
    await engine.wait_empty()
    sessions = [Recorder() for _ in range(2)]
    clients = [connect(engine, session) for session in sessions]
    is_over = trio.Event()

    async def wait() -> None:
        await engine.wait_empty()
        is_over.set()

    nursery.start_soon(wait)
    for session, client in zip(sessions, clients, strict=True):
        await wait_all_tasks_blocked()
        assert not is_over.is_set()
        await client.aclose()
        await session.until_closed()
    await wait_all_tasks_blocked()
    assert is_over.is_set()


async def test_a_descriptor_is_reused_by_a_later_connection(engine: AnyEngine) -> None:
    """When it has ended the number is free, and nothing of the old connection sticks to it."""
    descriptors = set()
    for _ in range(5):
        session = Recorder()
        client = connect(engine, session)
        assert session.connection is not None
        descriptors.add(session.connection.fileno())
        await client.send(TEXT)
        await session.until(lambda told: told.texts)
        await client.aclose()
        assert await session.until_closed() == 1006
        assert len(session.closings) == 1
    assert len(descriptors) < 5


@pytest.mark.parametrize("kind", ["text", "pong", "binary"])
async def test_a_session_that_raises_ends_alone(
    make_engine: MakeEngine, nursery: trio.Nursery, kind: str
) -> None:
    """CH-59: 1011 for the session with the bug, reported; its neighbour notices nothing."""
    errors: list[tuple[object, str]] = []
    engine = make_engine(on_error=lambda connection, error: errors.append((connection, str(error))))
    await nursery.start(engine.run)
    broken, sound = Recorder(**{kind: crash}), Recorder()
    client, neighbour = connect(engine, broken), connect(engine, sound)
    frames = {"text": TEXT, "pong": from_client.pong(), "binary": from_client.binary(b"")}
    await client.send(frames[kind])
    await neighbour.send(TEXT)
    assert await client.frame() == (Opcode.CLOSE, (1011, ""))
    await client.end()
    await sound.until(lambda told: told.texts)
    assert await broken.until_closed() == 1011
    assert errors == [(broken.connection, "bug")]
    assert engine.statistics().handler_errors == 1


async def test_a_session_that_raises_when_opened(engine: AnyEngine) -> None:
    """`adopt` survives it, and the bytes read with the handshake go nowhere."""
    session = Recorder(opened=crash)
    client = connect(engine, session, received=TEXT)
    assert await client.frame() == (Opcode.CLOSE, (1011, ""))
    assert await session.until_closed() == 1011
    assert session.told == [("opened", None), ("closed", 1011)]


async def test_a_session_that_raises_when_closed(engine: AnyEngine) -> None:
    """The socket is closed all the same, and `closed` is not repeated."""
    session = Recorder(closed=crash)
    client = connect(engine, session)
    await client.send(from_client.close(1000))
    assert await client.frame() == (Opcode.CLOSE, (1000, ""))
    await client.end()
    assert (session.closings, engine.connections) == ([1000], 0)
    assert engine.statistics().handler_errors == 1


async def test_a_session_that_raises_when_drained(engine: AnyEngine) -> None:
    """A bug in `drained` closes with 1011 after what was taken has arrived."""
    session = Recorder(drained=crash)
    client = connect(engine, session)
    assert session.connection is not None
    taken = 0
    while session.connection.offer(encode_text(b"x" * 1000)):
        taken += 1
    for _ in range(taken):
        await client.frame()
    assert await client.frame() == (Opcode.CLOSE, (1011, ""))


async def test_a_session_may_close_others_from_closed(engine: AnyEngine) -> None:
    """Callbacks may do anything to any connection, `closed` included."""
    second = Recorder()

    def drop_second(_recorder: Recorder) -> None:
        assert second.connection is not None
        second.connection.abort(1001)

    first = Recorder(closed=drop_second)
    client, other = connect(engine, first), connect(engine, second)
    await client.aclose()
    assert await second.until_closed() == 1001
    assert await other.frame() == (Opcode.CLOSE, (1001, ""))
    assert engine.connections == 0


async def test_cancellation_closes_everything(make_engine: MakeEngine) -> None:
    """Cancelled, the engine closes all sockets at once and tells every session, once."""
    engine = make_engine()
    idle, blocked, closing = sessions = [Recorder(), Recorder(), Recorder()]
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        clients = [connect(engine, session) for session in sessions]
        assert blocked.connection is not None
        assert closing.connection is not None
        while blocked.connection.offer(encode_text(b"x" * 1000)):
            pass
        closing.connection.close(1012)
        nursery.cancel_scope.cancel()
    assert [session.closings for session in sessions] == [[1006], [1006], [1012]]
    assert engine.connections == 0
    assert engine.statistics().backlog_bytes == 0
    assert await clients[0].rest() == b""
    assert idle.connection is not None
    assert idle.connection.fileno() == -1


async def test_a_session_cannot_bring_in_another_at_the_end(make_engine: MakeEngine) -> None:
    """`adopt` from `closed` while the engine shuts is refused, and leaks nothing."""
    refused: list[bool] = []
    engine = make_engine()

    def adopt_again(recorder: Recorder) -> None:
        ours, theirs = pair()
        with ours, theirs:
            try:
                engine.adopt(ours, recorder, LIMITS)
            except trio.ClosedResourceError:
                refused.append(True)

    session = Recorder(closed=adopt_again)
    async with trio.open_nursery() as nursery:
        await nursery.start(engine.run)
        client = connect(engine, session)
        nursery.cancel_scope.cancel()
    await client.aclose()
    assert refused == [True]
    assert session.told == [("opened", None), ("closed", 1006)]


async def test_the_engine_may_run_again(make_engine: MakeEngine) -> None:
    """A supervisor can start it once more after it ended."""
    engine = make_engine()
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            await nursery.start(engine.run)
            session = Recorder()
            client = connect(engine, session)
            await client.send(TEXT)
            await session.until(lambda told: told.texts)
            nursery.cancel_scope.cancel()
        assert session.closings == [1006]
        await client.aclose()


async def test_progress_is_reported_when_nothing_happens(
    make_engine: MakeEngine, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A watchdog hears from the engine at least once a second, sockets or not."""
    times: list[float] = []
    run = partial(make_engine().run, progress=lambda: times.append(trio.current_time()))
    await nursery.start(run)
    await trio.sleep(10)
    assert len(times) >= 10
    assert max(later - earlier for earlier, later in pairwise(times)) <= 1.0 + 1e-6


async def test_many_connections_come_and_go(engine: AnyEngine) -> None:
    """Hundreds of connections that end in every way leave no descriptor behind."""
    before = len(os.listdir("/proc/self/fd"))
    sessions: list[Recorder] = []
    clients: list[Client] = []
    for index in range(200):
        session = Recorder()
        client = connect(engine, session)
        sessions.append(session)
        clients.append(client)
        assert session.connection is not None
        if index % 4 == 0:
            session.connection.close(1000)
        elif index % 4 == 1:
            session.connection.abort(1001)
        elif index % 4 == 2:
            await client.send(from_client.text(b"\xff"))
        else:
            await client.aclose()
    for client in clients:
        await client.aclose()
    await wait_all_tasks_blocked()
    assert engine.connections == 0
    assert all(len(session.closings) == 1 for session in sessions)
    assert len(os.listdir("/proc/self/fd")) == before
