"""What is the trio-websocket engine's own: the fence around the library, tasks that end.

What it owes as an engine is proven by tests/contract/test_websocket_*.py.
"""

from collections.abc import AsyncIterator

import pytest
import trio
from tests.fakes import client_frames as from_client
from tests.fakes.session import Recorder, connect, hang_up
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto import WSConnection
from wsproto.frame_protocol import Opcode

from tocsin.server.trio_engine import TrioWebSocketEngine
from tocsin.wire.websocket import encode_text

POISON = from_client.text(b"poison")


@pytest.fixture
async def engine(nursery: trio.Nursery) -> AsyncIterator[TrioWebSocketEngine]:
    """A running engine."""
    engine = TrioWebSocketEngine()
    await nursery.start(engine.run)
    yield engine
    hang_up()


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library has a bug: one message is the end of its reader."""
    receive_data = WSConnection.receive_data

    def crash(connection: WSConnection, data: bytes | None) -> None:
        if data == POISON:
            raise RuntimeError("poisoned")
        receive_data(connection, data)

    monkeypatch.setattr(WSConnection, "receive_data", crash)


@pytest.mark.usefixtures("fragile")
async def test_a_crash_of_the_library_ends_one_connection(nursery: trio.Nursery) -> None:
    """CH-59: that client is told 1011 and its session too, it is reported; nobody else notices."""
    errors: list[BaseException] = []
    engine = TrioWebSocketEngine(on_error=lambda _link, error: errors.append(error))
    await nursery.start(engine.run)
    victim, neighbour = Recorder(), Recorder()
    client, other = connect(engine, victim), connect(engine, neighbour)
    await client.send(from_client.text(b"before") + POISON + from_client.text(b"after"))
    assert await client.frame() == (Opcode.CLOSE, (1011, ""))
    await other.send(from_client.text(b"unharmed"))
    await neighbour.until(lambda told: told.texts)
    await client.aclose()
    await victim.until_closed()
    assert victim.told == [("opened", None), ("text", b"before"), ("closed", 1011)]
    assert len(errors) == engine.statistics().handler_errors == 1
    hang_up()


@pytest.mark.usefixtures("fragile")
async def test_a_crash_while_we_close(engine: TrioWebSocketEngine) -> None:
    """One Close per connection, and its code stands."""
    session = Recorder()
    client = connect(engine, session)
    assert session.connection is not None
    session.connection.close(1012)
    await client.send(POISON)
    assert await client.frame() == (Opcode.CLOSE, (1012, ""))
    await client.end()
    assert await session.until_closed() == 1012


@pytest.mark.usefixtures("fragile")
async def test_a_peer_that_goes_on_after_a_crash(
    engine: TrioWebSocketEngine, mock_clock: MockClock
) -> None:
    """What it sends is thrown away, and it is waited for no longer than close_timeout."""
    session = Recorder()
    client = connect(engine, session)
    await client.send(POISON)
    await session.until_closed()
    await client.send(from_client.text(b"more") * 100)
    await wait_all_tasks_blocked()
    assert engine.connections == 1
    mock_clock.jump(5.1)
    await wait_all_tasks_blocked()
    assert engine.connections == 0
    assert session.told == [("opened", None), ("closed", 1011)]


@pytest.mark.parametrize("backlog", [False, True])
@pytest.mark.parametrize("ending", ["abort", "vanish", "violation", "our close", "peer's close"])
async def test_no_task_outlives_its_connection(
    engine: TrioWebSocketEngine, mock_clock: MockClock, ending: str, backlog: bool
) -> None:
    """However a connection ends, its tasks do too, those that flush included."""
    await wait_all_tasks_blocked()
    before = trio.lowlevel.current_statistics().tasks_living
    session = Recorder()
    client = connect(engine, session)
    link = session.connection
    assert link is not None
    while backlog and link.offer(encode_text(b"x" * 1000)):
        pass
    await wait_all_tasks_blocked()
    assert trio.lowlevel.current_statistics().tasks_living == before + 2 + backlog
    match ending:
        case "abort":
            link.abort(1001)
        case "vanish":
            await client.aclose()
        case "violation":
            await client.send(from_client.text(b"\xff"))
        case "our close":
            link.close(1000)
        case "peer's close":
            await client.send(from_client.close(1000))
    await wait_all_tasks_blocked()
    mock_clock.jump(5.1)
    await wait_all_tasks_blocked()
    assert len(session.closings) == 1
    assert (engine.connections, engine.statistics().blocked) == (0, 0)
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_messages_before_the_library_is_ready(engine: TrioWebSocketEngine) -> None:
    """Dropped right after `adopt`, a connection never gets as far as its client's frames."""
    session = Recorder()
    client = connect(engine, session, received=from_client.text(b"early"))
    assert session.connection is not None
    session.connection.abort(1001)
    assert await client.frame() == (Opcode.CLOSE, (1001, ""))
    await client.end()
    assert session.told == [("opened", None), ("closed", 1001)]
