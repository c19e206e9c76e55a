"""What is the reactor's own: batches, fairness, descriptors (architecture: data plane).

What it owes as an engine is proven by tests/contract/test_websocket_*.py.
"""

import socket
from collections.abc import Iterator
from functools import partial

import pytest
import trio
from tests.fakes import client_frames as from_client
from tests.fakes.session import LIMITS, Recorder, connect, hang_up, pair

from tocsin.server.reactor import Reactor

TEXT = from_client.text(b"x")


@pytest.fixture(autouse=True)
def clients_hang_up() -> Iterator[None]:
    """No test leaves a socket open."""
    yield
    hang_up()


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

    def replace_the_other(recorder: Recorder) -> None:
        if newcomer.connection is None:
            [victim] = [one.connection for one in sessions if one is not recorder]
            assert victim is not None
            descriptor = victim.fileno()
            victim.abort()
            while not extra or extra[-1].fileno() < descriptor:
                extra.extend(pair())
            assert descriptor not in {sock.fileno() for sock in extra}
            reactor.adopt(extra[0], newcomer, LIMITS)

    sessions = [Recorder(text=replace_the_other) for _ in range(2)]
    clients = [connect(reactor, session) for session in sessions]
    for client in clients:
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


async def test_progress_is_reported_each_turn(nursery: trio.Nursery) -> None:
    """Under load the watchdog hears from every turn."""
    turns: list[int] = []
    reactor, session = Reactor(receive_bytes=len(TEXT)), Recorder()
    await nursery.start(partial(reactor.run, progress=lambda: turns.append(1)))
    await connect(reactor, session).send(TEXT * 30)
    await session.until(lambda told: len(told.texts) == 30)
    assert len(turns) >= 29
