"""tocsin.delivery.sessions: one live session per channel, and the receipts on their way."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
from tests.fakes.deliveries import T0, socket_channel
from tests.fakes.memory_session import MemorySession
from tests.fakes.stores import waiting
from tests.fakes.world import World

from tocsin.delivery import sessions
from tocsin.delivery.position import RESERVE
from tocsin.delivery.sessions import MOST_RECEIPTS
from tocsin.delivery.window import Window, Written
from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import StoreError
from tocsin.store import writer
from tocsin.store.archive import LogQuery

SOCKETS = ChannelType.WEBSOCKETS


@pytest.fixture
async def world(nursery: trio.Nursery) -> World:
    """A store that runs."""
    made = World()
    await nursery.start(made.store.run)
    return made


@pytest.fixture
async def channel(world: World) -> Channel:
    """A subscribed channel of `u`."""
    return await world.subscribed(socket_channel())


async def written(world: World, channel: Channel, *ids: str) -> list[Written]:
    """Published and written to the client, in this order."""
    session = MemorySession(world.sessions, channel)
    world.sessions.attach(session)
    for id_ in ids:
        await world.publish(id_)
    world.sessions.detach(session, [])
    return [Written(seq, one.id, T0) for seq, one in enumerate(session.pushed, 1)]


def delivered(world: World) -> float | None:
    """How many are counted as delivered."""
    return world.metrics.registry.get_sample_value(
        "tocsin_deliveries_total", {"type": "websockets", "outcome": "delivered"}
    )


async def test_a_newer_socket_wins(world: World, channel: Channel) -> None:
    """The older closes 1000 and lets go first (CH-51)."""
    older, newer = (MemorySession(world.sessions, channel) for _ in range(2))
    world.sessions.attach(older)
    world.sessions.attach(newer)
    assert older.ended == [1000]
    assert world.sessions.of(channel) is newer
    assert (len(world.sessions), world.sessions.count("u")) == (1, 1)
    world.sessions.detach(older, [])
    assert world.sessions.of(channel) is newer
    assert world.sessions.all() == [newer]
    assert await waiting(world.store, channel) == []


async def test_users_are_counted_while_they_are_there(world: World) -> None:
    """Per user, for their limit; nothing remains of those who left."""
    sessions = [
        MemorySession(world.sessions, await world.subscribed(socket_channel(user)))
        for user in ("u", "u", "v")
    ]
    for session in sessions:
        world.sessions.attach(session)
    assert (world.sessions.count("u"), world.sessions.count("v")) == (2, 1)
    for session in sessions:
        world.sessions.detach(session, [])
    assert (world.sessions.count("u"), len(world.sessions)) == (0, 0)


async def test_what_was_not_receipted_keeps_its_place(world: World, channel: Channel) -> None:
    """Replayed to the next session with its sequence (CH-58)."""
    frames = await written(world, channel, "a", "b", "c")
    channel.last_seq = 3
    session = MemorySession(world.sessions, channel)
    world.sessions.attach(session)
    world.sessions.receipted(frames[:1], channel)
    world.sessions.detach(session, frames[1:])
    found = await waiting(world.store, channel)
    assert [(one.notification.id, one.seq) for one in found] == [("b", 2), ("c", 3)]
    assert (await world.store.load_accounts(["u"]))[0].channels[0].last_seq == 3


@pytest.mark.parametrize("cleanly", [True, False])
async def test_who_has_left(world: World, channel: Channel, cleanly: bool) -> None:
    """A channel knows since when it has no session and whether its client said good-bye; the one
    who wants to know is told (CH-45)."""
    left: list[Channel] = []
    world.sessions.on_left = left.append
    assert channel.left_at is not None
    session = MemorySession(world.sessions, channel)
    world.sessions.attach(session)
    assert (channel.left_at, left) == (None, [])
    world.sessions.detach(session, [], cleanly=cleanly)
    assert (channel.left_at, channel.left_cleanly) == (world.clock(), cleanly)
    assert left == [channel]
    [stored] = await world.store.load_accounts(["u"])
    assert stored.channels[0].left_cleanly == cleanly
    world.sessions.attach(session)
    assert (channel.left_at, channel.left_cleanly) == (None, False)


async def test_who_is_replaced_has_not_left(world: World, channel: Channel) -> None:
    """A channel whose client has a newer socket has a session all along (CH-51)."""
    left: list[Channel] = []
    world.sessions.on_left = left.append
    older, newer = (MemorySession(world.sessions, channel) for _ in range(2))
    world.sessions.attach(older)
    world.sessions.attach(newer)
    assert (left, channel.left_at, older.ended) == ([], None, [1000])
    newer.end(1001)
    assert left == [channel]
    [stored] = await world.store.load_accounts(["u"])
    assert not stored.channels[0].left_cleanly


async def test_a_numbering_that_is_not_known_yet_is_not_stored(
    world: World, channel: Channel
) -> None:
    """Only the clock is; else what is reserved would pass for given (CH-58)."""
    session = MemorySession(world.sessions, channel)
    world.sessions.attach(session)
    channel.last_seq, channel.reserved = 1_000_000, 1_000_000
    channel.restart_clock(T0 + 500_000)
    world.sessions.detach(session, None)
    [stored] = (await world.store.load_accounts(["u"]))[0].channels
    assert (stored.last_seq, stored.expires_at) == (0, channel.expires_at)


async def test_reservations(world: World, channel: Channel) -> None:
    """One is renewed in time though every frame is receipted, and given back at the end: no
    number is skipped then (CH-58)."""
    session = MemorySession(world.sessions, channel)
    world.sessions.attach(session)
    channel.last_seq, channel.reserved = RESERVE - 10, RESERVE
    world.sessions.wrote(channel, Window(last_seq=channel.last_seq, limit=10))
    world.sessions.mark()
    [stored] = (await world.store.load_accounts(["u"]))[0].channels
    assert stored.last_seq == 2 * RESERVE - 10
    world.sessions.detach(session, [])
    [stored] = (await world.store.load_accounts(["u"]))[0].channels
    assert (stored.last_seq, stored.reserved) == (RESERVE - 10, RESERVE - 10)


async def test_receipts_are_written_before_a_fetch(world: World, channel: Channel) -> None:
    """What a client has is not fetched for it again."""
    frames = await written(world, channel, "a", "b")
    world.sessions.receipted(frames[:1], channel)
    assert len(await waiting(world.store, channel)) == 2
    world.sessions.flush_receipts()
    assert [one.notification.id for one in await waiting(world.store, channel)] == ["b"]
    assert (delivered(world), world.store.backlog) == (1, 1)


async def test_many_receipts_do_not_wait(world: World, channel: Channel) -> None:
    """The buffer is bounded: full, it is written."""
    frames = await written(world, channel, *map(str, range(MOST_RECEIPTS)))
    world.sessions.receipted(frames[:-1], channel)
    assert world.store.backlog == MOST_RECEIPTS
    world.sessions.receipted(frames[-1:], channel)
    assert world.store.backlog == 0


async def test_a_receipt_given_twice_counts_once(world: World, channel: Channel) -> None:
    """An older socket's and a newer one's, say."""
    frames = await written(world, channel, "a")
    for _ in range(2):
        world.sessions.receipted(frames, channel)
        world.sessions.flush()
    assert delivered(world) == 1


@contextmanager
def failing() -> Iterator[None]:
    """The store takes nothing."""

    def refuse(_self: object, _job: object) -> None:
        raise StoreError("too far behind")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer.InlineWriter, "submit", refuse)
        yield


async def test_receipts_a_failing_store_did_not_take_are_kept(
    world: World, channel: Channel
) -> None:
    """And written when it works again."""
    frames = await written(world, channel, "a")
    world.sessions.receipted(frames, channel)
    with failing():
        world.sessions.flush()
    assert (delivered(world), world.store.backlog) == (0, 1)
    world.sessions.flush()
    assert (delivered(world), world.store.backlog) == (1, 0)


async def test_what_a_client_has_is_known_while_its_receipts_are_kept(
    world: World, channel: Channel
) -> None:
    """So that nobody writes it again; receipted twice, it is one line in the log. Nothing of it
    remains when the store works again."""
    other = await world.subscribed(socket_channel("v"))
    frames = await written(world, channel, "a", "b")
    with failing():
        for receipted in (frames[:1], frames):
            world.sessions.receipted(receipted, channel)
            world.sessions.flush()
        assert set(world.sessions.kept(channel)) == {one.delivery for one in frames}
        assert not world.sessions.kept(other)
    world.sessions.flush()
    assert not world.sessions.kept(channel)
    page = await world.store.read_log(LogQuery(user="u"), before=None, limit=9, look=9)
    assert [one.result for one in page.items] == ["delivered"] * 2


async def test_too_many_receipts_are_given_up(
    world: World, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client gets those again."""
    frames = await written(world, channel, "a")
    world.sessions.receipted(frames, channel)
    with failing():
        world.sessions.flush()
        monkeypatch.setattr(sessions, "MOST_KEPT", 0)
        world.sessions.flush()
        assert not world.sessions.kept(channel)
    world.sessions.flush()
    assert world.store.backlog == 1


async def test_moved_clocks_are_written_with_the_receipts(world: World, channel: Channel) -> None:
    """The stored clock stays a lower bound that is not too low (CH-41)."""
    channel.restart_clock(T0 + 500_000)
    world.sessions.clock_moved(channel)
    world.sessions.flush()
    [record] = await world.store.load_accounts(["u"])
    assert record.channels[0].expires_at == channel.expires_at
