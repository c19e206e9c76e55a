"""The reactor as a whole: adoption, batches, fences, the end (architecture: data plane)."""

import os
import socket
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import pytest
import trio
from tests.fakes import client_frames as from_client
from tests.fakes.session import LIMITS, Client, Recorder, connect, hang_up
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.frame_protocol import Opcode

from tocsin.server.reactor import Connection, Reactor
from tocsin.wire.websocket import encode_text

TEXT = from_client.text(b"x")


@pytest.fixture(autouse=True)
def clients_hang_up() -> Iterator[None]:
    """No test leaves a socket open."""
    yield
    hang_up()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that do not block."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def crash(_recorder: Recorder) -> None:
    """A bug in a session."""
    raise RuntimeError("bug")


def test_adopt_needs_a_running_reactor() -> None:
    """Without `run` the socket stays the caller's, and nothing is told to the session."""
    reactor, session = Reactor(), Recorder()
    ours, theirs = pair()
    with ours, theirs:
        with pytest.raises(trio.ClosedResourceError):
            reactor.adopt(ours, session, LIMITS)
        assert ours.send(b"x") == 1
    assert session.told == []


async def test_adopt_refuses_what_epoll_will_not_watch(nursery: trio.Nursery) -> None:
    """A descriptor that the kernel will not watch is the caller's to deal with."""
    reactor, session = Reactor(), Recorder()
    await nursery.start(reactor.run)
    ours, theirs = pair()
    with theirs:
        ours.close()
        with pytest.raises((OSError, ValueError)):
            reactor.adopt(ours, session, LIMITS)
    assert (session.told, reactor.connections) == ([], 0)


async def test_counts(nursery: trio.Nursery) -> None:
    """`connections` falls and `adopted` does not when a connection ends."""
    reactor = Reactor()
    await nursery.start(reactor.run)
    sessions = [Recorder() for _ in range(3)]
    clients = [connect(reactor, session) for session in sessions]
    assert reactor.connections == reactor.statistics().connections == 3
    await clients[0].aclose()
    await sessions[0].until_closed()
    assert (reactor.connections, reactor.statistics().adopted) == (2, 3)


async def test_more_ready_sockets_than_a_batch_holds(nursery: trio.Nursery) -> None:
    """Everybody is served, however many are ready at once."""
    reactor = Reactor(batch=3)
    sessions = [Recorder() for _ in range(20)]
    await nursery.start(reactor.run)
    clients = [connect(reactor, session) for session in sessions]
    for client in clients:
        client.raw.send(TEXT)
    for session in sessions:
        await session.until(lambda told: told.texts)


async def test_a_flood_on_one_connection_does_not_hold_up_another(nursery: trio.Nursery) -> None:
    """Fairness: a turn reads a bounded number of bytes of each ready connection."""
    reactor = Reactor(receive_bytes=len(TEXT))
    order: list[str] = []
    flood = Recorder(text=lambda _recorder: order.append("flood"))
    quiet = Recorder(text=lambda _recorder: order.append("quiet"))
    await nursery.start(reactor.run)
    clients = [connect(reactor, flood), connect(reactor, quiet)]
    clients[0].raw.send(TEXT * 40)
    clients[1].raw.send(TEXT)
    await flood.until(lambda told: len(told.texts) == 40)
    assert order.index("quiet") <= 1


async def test_other_tasks_run_between_batches(nursery: trio.Nursery) -> None:
    """A reactor that always has something to read leaves the scheduler to the others."""
    reactor = Reactor(receive_bytes=len(TEXT))
    session = Recorder()
    await nursery.start(reactor.run)
    connect(reactor, session).raw.send(TEXT * 40)
    await session.until(lambda told: told.texts)
    seen = len(session.texts)
    await trio.lowlevel.checkpoint()
    await trio.lowlevel.checkpoint()
    assert seen <= len(session.texts) < 40


async def test_a_descriptor_is_not_reused_within_a_batch(nursery: trio.Nursery) -> None:
    """An event for a connection that was dropped in this batch never reaches a new one."""
    reactor = Reactor()
    await nursery.start(reactor.run)
    newcomer = Recorder()
    extra: list[socket.socket] = []
    both: list[Connection] = []

    def replace_the_other(recorder: Recorder) -> None:
        if newcomer.connection is None:
            (victim,) = (one for one in both if one is not recorder.connection)
            descriptor = victim.fileno()
            victim.abort()
            while not extra or extra[-1].fileno() < descriptor:
                extra.extend(pair())
            assert descriptor not in {sock.fileno() for sock in extra}
            reactor.adopt(extra[0], newcomer, LIMITS)

    sessions = [Recorder(text=replace_the_other) for _ in range(2)]
    clients = [connect(reactor, session) for session in sessions]
    for session, client in zip(sessions, clients, strict=True):
        assert session.connection is not None
        both.append(session.connection)
        client.raw.send(TEXT)
        client.raw.shutdown(socket.SHUT_WR)
    for session in sessions:
        assert await session.until_closed() == 1006
    extra[1].send(TEXT)
    await newcomer.until(lambda told: told.texts)
    assert newcomer.told == [("opened", None), ("text", b"x")]
    assert sum(len(session.texts) for session in sessions) == 1
    for sock in extra[1:]:
        sock.close()


async def test_a_descriptor_is_reused_by_a_later_connection(nursery: trio.Nursery) -> None:
    """After the batch the number is free, and nothing of the old connection sticks to it."""
    reactor = Reactor()
    await nursery.start(reactor.run)
    descriptors = set()
    for _ in range(5):
        session = Recorder()
        client = connect(reactor, session)
        assert session.connection is not None
        descriptors.add(session.connection.fileno())
        await client.send(TEXT)
        await session.until(lambda told: told.texts)
        await client.aclose()
        assert await session.until_closed() == 1006
        assert len(session.closings) == 1
    assert len(descriptors) < 5


@pytest.mark.parametrize("kind", ["text", "pong", "binary"])
async def test_a_session_that_raises_ends_alone(nursery: trio.Nursery, kind: str) -> None:
    """CH-59: 1011 for the session with the bug, reported; its neighbour notices nothing."""
    errors: list[tuple[Connection, str]] = []
    reactor = Reactor(on_error=lambda connection, error: errors.append((connection, str(error))))
    await nursery.start(reactor.run)
    broken, sound = Recorder(**{kind: crash}), Recorder()
    client, neighbour = connect(reactor, broken), connect(reactor, sound)
    frames = {"text": TEXT, "pong": from_client.pong(), "binary": from_client.binary(b"")}
    await client.send(frames[kind])
    await neighbour.send(TEXT)
    assert await client.frame() == (Opcode.CLOSE, (1011, ""))
    await client.end()
    await sound.until(lambda told: told.texts)
    assert broken.closings == [1011]
    assert errors == [(broken.connection, "bug")]
    assert reactor.statistics().handler_errors == 1


async def test_a_session_that_raises_when_opened(nursery: trio.Nursery) -> None:
    """`adopt` survives it, and the bytes read with the handshake go nowhere."""
    reactor, session = Reactor(), Recorder(opened=crash)
    await nursery.start(reactor.run)
    client = connect(reactor, session, received=TEXT)
    assert await client.frame() == (Opcode.CLOSE, (1011, ""))
    assert await session.until_closed() == 1011
    assert session.told == [("opened", None), ("closed", 1011)]


async def test_a_session_that_raises_when_closed(nursery: trio.Nursery) -> None:
    """The socket is closed all the same, and `closed` is not repeated."""
    reactor, session = Reactor(), Recorder(closed=crash)
    await nursery.start(reactor.run)
    client = connect(reactor, session)
    await client.send(from_client.close(1000))
    assert await client.frame() == (Opcode.CLOSE, (1000, ""))
    await client.end()
    assert (session.closings, reactor.connections) == ([1000], 0)
    assert reactor.statistics().handler_errors == 1


async def test_a_session_that_raises_when_drained(nursery: trio.Nursery) -> None:
    """A bug in `drained` closes with 1011 after what was taken has arrived."""
    reactor, session = Reactor(), Recorder(drained=crash)
    await nursery.start(reactor.run)
    client = connect(reactor, session)
    assert session.connection is not None
    taken = 0
    while session.connection.offer(encode_text(b"x" * 1000)):
        taken += 1
    for _ in range(taken):
        await client.frame()
    assert await client.frame() == (Opcode.CLOSE, (1011, ""))


async def test_a_session_may_close_others_from_closed(nursery: trio.Nursery) -> None:
    """Callbacks may do anything to any connection, `closed` included."""
    reactor, second = Reactor(), Recorder()
    await nursery.start(reactor.run)

    def drop_second(_recorder: Recorder) -> None:
        assert second.connection is not None
        second.connection.abort(1001)

    first = Recorder(closed=drop_second)
    client, other = connect(reactor, first), connect(reactor, second)
    await client.aclose()
    assert await second.until_closed() == 1001
    assert await other.frame() == (Opcode.CLOSE, (1001, ""))
    assert reactor.connections == 0


async def test_cancellation_closes_everything() -> None:
    """Cancelled, the reactor closes all sockets at once and tells every session, once."""
    reactor = Reactor()
    idle, blocked, closing = sessions = [Recorder(), Recorder(), Recorder()]
    async with trio.open_nursery() as nursery:
        await nursery.start(reactor.run)
        clients = [connect(reactor, session) for session in sessions]
        assert blocked.connection is not None
        assert closing.connection is not None
        while blocked.connection.offer(encode_text(b"x" * 1000)):
            pass
        closing.connection.close(1012)
        nursery.cancel_scope.cancel()
    assert [session.closings for session in sessions] == [[1006], [1006], [1012]]
    assert reactor.connections == 0
    assert reactor.statistics().backlog_bytes == 0
    assert await clients[0].rest() == b""
    assert idle.connection is not None
    assert idle.connection.fileno() == -1


async def test_a_session_cannot_bring_in_another_at_the_end() -> None:
    """`adopt` from `closed` while the reactor shuts is refused, and leaks nothing."""
    refused: list[bool] = []
    reactor = Reactor()

    def adopt_again(recorder: Recorder) -> None:
        ours, theirs = pair()
        with ours, theirs:
            try:
                reactor.adopt(ours, recorder, LIMITS)
            except trio.ClosedResourceError:
                refused.append(True)

    session = Recorder(closed=adopt_again)
    async with trio.open_nursery() as nursery:
        await nursery.start(reactor.run)
        client = connect(reactor, session)
        nursery.cancel_scope.cancel()
    await client.aclose()
    assert refused == [True]
    assert session.told == [("opened", None), ("closed", 1006)]


async def test_the_reactor_may_run_again() -> None:
    """A supervisor can start it once more after it ended."""
    reactor = Reactor()
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            await nursery.start(reactor.run)
            session = Recorder()
            client = connect(reactor, session)
            await client.send(TEXT)
            await session.until(lambda told: told.texts)
            nursery.cancel_scope.cancel()
        assert session.closings == [1006]
        await client.aclose()


async def test_cancellation_with_events_at_hand() -> None:
    """Events that were not handled when the cancellation came are closed like the rest."""
    reactor, session = Reactor(receive_bytes=len(TEXT)), Recorder()
    async with trio.open_nursery() as nursery:
        await nursery.start(reactor.run)
        client = connect(reactor, session)
        await client.send(TEXT * 40)
        await session.until(lambda told: told.texts)
        nursery.cancel_scope.cancel()
    assert 0 < len(session.texts) < 40
    assert session.closings == [1006]
    await client.aclose()


async def test_progress_is_reported_when_nothing_happens(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A watchdog hears from the reactor at least once a second, sockets or not."""
    times: list[float] = []
    run = partial(Reactor().run, progress=lambda: times.append(trio.current_time()))
    await nursery.start(run)
    await trio.sleep(10)
    assert len(times) >= 10
    assert max(later - earlier for earlier, later in pairwise(times)) <= 1.0 + 1e-6


async def test_progress_is_reported_each_turn(nursery: trio.Nursery) -> None:
    """Under load the watchdog hears from every turn."""
    turns: list[int] = []
    reactor, session = Reactor(receive_bytes=len(TEXT)), Recorder()
    await nursery.start(partial(reactor.run, progress=lambda: turns.append(1)))
    await connect(reactor, session).send(TEXT * 30)
    await session.until(lambda told: len(told.texts) == 30)
    assert len(turns) >= 29


async def test_many_connections_come_and_go(nursery: trio.Nursery) -> None:
    """Hundreds of connections that end in every way leave no descriptor behind."""
    reactor = Reactor()
    await nursery.start(reactor.run)
    before = len(os.listdir("/proc/self/fd"))
    sessions: list[Recorder] = []
    clients: list[Client] = []
    for index in range(200):
        session = Recorder()
        client = connect(reactor, session)
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
    assert reactor.connections == 0
    assert all(len(session.closings) == 1 for session in sessions)
    assert len(os.listdir("/proc/self/fd")) == before
