"""Notification sessions in virtual time: receipts, window, replay, checks, dead peers, clocks."""

from typing import TYPE_CHECKING

import pytest
import trio
from tests.fakes.bench import Client, bench
from trio.testing import MockClock
from wsproto.frame_protocol import Opcode

if TYPE_CHECKING:
    from tocsin.store.records import Waiting

ACK: dict[str, object] = {"connAck": {}}
SMALL = 262_144


def check(interval: object) -> dict[str, object]:
    return {"connCheck": {"interval": interval}}


async def test_a_burst_and_its_ping(autojump_clock: MockClock) -> None:
    """Each burst ends with a Ping whose payload is the highest sequence; the Pong settles up to
    it (CH-56)."""
    async with bench() as it:
        client = await it.open(await it.channel())
        await it.publish("a", "b")
        kinds = [kind for kind, _ in client.peer.frames]
        assert kinds == [Opcode.TEXT, Opcode.TEXT, Opcode.PING]
        assert client.pings() == [b"2"]
        await it.publish("c")
        assert client.pings() == [b"3"]
        assert await it.pending() == 3
        client.pong(2)
        assert await it.pending() == 1
        client.pong(3)
        assert await it.pending() == 0


@pytest.mark.parametrize("payload", [b"3", b"1", b"99", b"", b"x", b"-2", b"2 ", b"9" * 125])
async def test_a_pong_nobody_asked_for(autojump_clock: MockClock, payload: bytes) -> None:
    """A Pong that answers no Ping of ours settles nothing (CH-56)."""
    async with bench() as it:
        client = await it.open(await it.channel())
        await it.publish("a", "b")
        client.pong(payload)
        assert await it.pending() == 2
        client.pong(2)
        assert await it.pending() == 0
        client.pong(2)


async def test_a_receipt_never_covers_what_came_later(autojump_clock: MockClock) -> None:
    """The Pong to an earlier Ping leaves what was written after it unsettled (CH-56)."""
    async with bench() as it:
        channel = await it.channel()
        client = await it.open(channel)
        await it.publish("a")
        await it.publish("b")
        client.pong(1)
        client.vanish()
        assert (await it.open(channel)).ids() == ["b"]


async def test_conn_acks_are_counted(autojump_clock: MockClock) -> None:
    """The k-th connAck settles what was written before our k-th connCheck; one too many settles
    nothing (CH-55, CH-56)."""
    async with bench(check_interval=10) as it:
        client = await it.open(await it.channel(role="server"))
        assert client.messages() == [check(10)]
        await it.publish("a")
        await trio.sleep(11)
        await it.publish("b")
        client.say(ACK)
        assert await it.pending() == 2
        client.say(ACK)
        assert await it.pending() == 1
        client.say(ACK)
        assert await it.pending() == 1


@pytest.mark.parametrize("role", [None, "client", "server"])
async def test_conn_check_is_answered_in_every_role(
    autojump_clock: MockClock, role: str | None
) -> None:
    """Whatever the interval says, the answer is one connAck at once (CH-54, T5)."""
    async with bench() as it:
        client = await it.open(await it.channel(role=role))
        client.messages()
        for interval in (0.7, 30, 3600, 3601, 0, -1, "x", None, True, 10**40):
            client.session.text(b'{"connCheck":{"interval":%s}}' % _json(interval))
            assert client.messages() == [ACK]
        client.session.text(b'{"connCheck":null}')
        assert client.messages() == [ACK]


def _json(value: object) -> bytes:
    words = {None: b"null", True: b"true", "x": b'"x"'}
    return words.get(value) or str(value).encode()  # type: ignore[call-overload]


async def test_conn_ack_goes_ahead_of_what_waits(autojump_clock: MockClock) -> None:
    """A check is answered though the window is full and notifications wait (CH-54)."""
    async with bench(window=1) as it:
        client = await it.open(await it.channel())
        await it.publish("a", "b")
        assert client.ids() == ["a"]
        client.say(check(5))
        assert client.messages() == [ACK]


async def test_only_servers_role_sends_checks(autojump_clock: MockClock) -> None:
    """Role `server` checks after connecting and every interval; the others never (CH-55)."""
    async with bench(check_interval=10, ping_interval=5) as it:
        server, nobody, client = [
            await it.open(await it.channel(role=role)) for role in ("server", None, "client")
        ]
        checks = 0
        for _ in range(35):
            await trio.sleep(1)
            for one in (server, nobody, client):
                one.pong(0)
            checks += server.messages().count(check(10))
            assert nobody.messages() == client.messages() == []
        assert checks == 4


async def test_pings_of_an_idle_socket(autojump_clock: MockClock) -> None:
    """A quiet socket gets a Ping with the highest sequence every interval (CH-56)."""
    async with bench(ping_interval=10) as it:
        client = await it.open(await it.channel())
        await it.publish("a")
        client.pings()
        client.pong(1)
        for _ in range(3):
            await trio.sleep(10.3)
            assert client.pings() == [b"1"]
            client.pong(1)


DEAD = [
    ("client", None, 360),
    ("client", 40, 120),
    ("client", 0.1, 2),
    ("server", 40, 30),
    (None, 40, 30),
]


@pytest.mark.parametrize(("role", "interval", "patience"), DEAD)
async def test_a_silent_peer(
    autojump_clock: MockClock, role: str | None, interval: float | None, patience: float
) -> None:
    """Nothing received for three intervals, 2 s at least: dropped 1001, and not a second sooner
    than due; the interval is the adopted one in role `client`, else that of Pings (CH-57)."""
    async with bench(ping_interval=10) as it:
        channel = await it.channel(role=role, lifetime=86_400)
        client = await it.open(channel)
        if interval is not None:
            client.say(check(interval))
        await trio.sleep(patience - 0.5)
        assert client.ended() is None
        await trio.sleep(1)
        assert client.ended() == 1001
        assert client.peer.aborted


async def test_a_peer_that_talks_but_does_not_pong(autojump_clock: MockClock) -> None:
    """Frames unsettled for three intervals are the sign of a dead peer too (CH-57)."""
    async with bench(ping_interval=10) as it:
        channel = await it.channel()
        client = await it.open(channel)
        await trio.sleep(20)
        client.pong(0)
        await it.publish("a")
        for _ in range(29):
            await trio.sleep(1)
            client.say(check(60))
        assert client.ended() is None
        await trio.sleep(1.5)
        assert client.ended() == 1001
        client.vanish()
        assert (await it.open(channel)).ids() == ["a"]


async def test_a_blocked_write(autojump_clock: MockClock) -> None:
    """A write blocked for three intervals: dropped 1001 and counted as slow (CH-57)."""
    async with bench(ping_interval=10) as it:
        client = await it.open(await it.channel(role="client"))
        client.say(check(10))
        client.peer.blocked = True
        await it.publish("a")
        for _ in range(29):
            await trio.sleep(1)
            client.peer.last_received = trio.current_time()
        assert client.ended() is None
        await trio.sleep(1.5)
        assert client.ended() == 1001
        assert it.metrics.ws_slow_consumers._value.get() == 1


async def test_an_active_peer_lives(autojump_clock: MockClock) -> None:
    """One Pong per interval keeps a socket alive (CH-57, T6)."""
    async with bench() as it:
        channel = await it.channel(lifetime=60)
        client = await it.open(channel)
        for _ in range(40):
            await trio.sleep(30.3)
            assert client.pings() == [b"0"]
            client.pong(0)
        assert client.ended() is None
        assert it.sessions.of(channel) is client.session
        assert (await it.account()).channels


@pytest.mark.parametrize("sign", [check(60), ACK, "pong"])
async def test_signs_of_life_restart_the_clock(autojump_clock: MockClock, sign: object) -> None:
    """connCheck, connAck and Pong each start the full lifetime again (CH-41)."""
    async with bench() as it:
        channel = await it.channel(lifetime=60, role="client")
        client = await it.open(channel)
        for _ in range(10):
            await trio.sleep(50)
            if sign == "pong":
                client.pong(0)
            else:
                client.say(sign)
        await trio.sleep(57)
        assert client.ended() is None
        await trio.sleep(5)
        assert client.ended() == 1000


@pytest.mark.parametrize("sign", [{"message_type": "ping"}, {"hello": 1}, [], 1, "connCheck"])
async def test_other_messages_do_not(autojump_clock: MockClock, sign: object) -> None:
    """What means nothing is not answered and does not prolong; all but the old ping is counted
    (CH-41, CH-53, T16)."""
    async with bench() as it:
        channel = await it.channel(lifetime=60, role="client")
        client = await it.open(channel)
        await trio.sleep(50)
        client.say(sign)
        assert client.messages() == []
        await trio.sleep(12)
        assert client.ended() == 1000
        ignored = it.metrics.ws_frames_ignored._value.get()
        assert ignored == (0 if sign == {"message_type": "ping"} else 1)


async def test_expiry(autojump_clock: MockClock) -> None:
    """At zero the socket closes 1000, channel, subscriptions and deliveries are gone, within
    2 s and not before (CH-43)."""
    async with bench() as it:
        channel = await it.channel(lifetime=60, role="client")
        client = await it.open(channel)
        await it.publish("a")
        await trio.sleep(59.5)
        assert client.ended() is None
        await trio.sleep(2.5)
        assert client.ended() == 1000
        account = await it.account()
        assert (account.channels, account.subscriptions) == ({}, {})
        assert it.store.backlog == await it.pending() == 0


async def test_the_clock_runs_down_without_a_client(autojump_clock: MockClock) -> None:
    """The last sign of life counts: then it is one lifetime to the end (CH-41, CH-43)."""
    async with bench() as it:
        client = await it.open(await it.channel(lifetime=60))
        await trio.sleep(40)
        client.pong(0)
        client.vanish()
        await trio.sleep(59)
        assert (await it.account()).channels
        await trio.sleep(3)
        assert not (await it.account()).channels


async def test_window(autojump_clock: MockClock) -> None:
    """No more than the window is unsettled; after a Pong the rest follows, urgent first, and in
    order of acceptance within a priority (CH-58)."""
    async with bench(window=3) as it:
        client = await it.open(await it.channel())
        await it.publish(*"abcdef")
        await it.publish("low", priority="low")
        await it.publish("U", priority="urgent", order_key="call U")
        await it.publish("V", priority="urgent", order_key="call V")
        assert client.ids() == ["a", "b", "c"]
        client.pong(2)
        assert client.ids() == []
        client.pong(3)
        assert client.ids() == ["U", "V", "d"]
        client.pong(6)
        assert client.ids() == ["e", "f", "low"]
        client.pong(9)
        assert await it.pending() == 0
        await it.publish("g")
        assert client.ids() == ["g"]


async def test_an_urgent_one_does_not_overtake_its_own_order_key(
    autojump_clock: MockClock,
) -> None:
    """It takes along what waits before it in the same conversation (delivery.md, priority)."""
    async with bench() as it:
        channel = await it.channel()
        await it.publish("low", priority="low", order_key="k")
        await it.publish("other")
        await it.publish("a", order_key="k")
        await it.publish("U", priority="urgent", order_key="k")
        client = await it.open(channel)
        assert client.ids() == ["low", "a", "U", "other"]


async def test_a_reader_that_keeps_up_gets_everything_at_once(autojump_clock: MockClock) -> None:
    """More than the outbox would hold, in one burst, waits for nobody as long as the kernel
    takes it (SE-5)."""
    async with bench(outbox_bytes=131_072) as it:
        client = await it.open(await it.channel())
        await it.publish(*range(40), text="x" * 20_000)
        assert client.ids() == [str(number) for number in range(40)]


async def test_the_places_of_slow_receipts_survive_a_crash(autojump_clock: MockClock) -> None:
    """What was written stays in the order written though nobody detached (CH-56)."""
    async with bench() as it:
        channel = await it.channel()
        client = await it.open(channel)
        await it.publish("n1")
        await it.publish("u2", priority="urgent", order_key="call")
        assert client.ids() == ["n1", "u2"]
        it.sessions.mark()
        found: list[Waiting] = []
        it.store.fetch_waiting(
            channel, now=it.clock(), after=0, limit=9, then=lambda rows, _: found.extend(rows or ())
        )
        assert [(one.notification.id, one.seq) for one in found] == [("n1", 1), ("u2", 2)]


async def test_replay(autojump_clock: MockClock) -> None:
    """What was written and not receipted comes again first, same ids, same order, its sequence
    kept; then what waited, urgent first (CH-58)."""
    async with bench() as it:
        channel = await it.channel()
        first = await it.open(channel)
        await it.publish("low", priority="low")
        await it.publish("a", "b")
        first.pong(3)
        await it.publish("c", "d")
        first.vanish()
        await it.publish("e")
        await it.publish("U", priority="urgent", order_key="call U")
        second = await it.open(channel)
        assert [kind for kind, _ in second.peer.frames].count(Opcode.PING) == 1
        assert second.ids() == ["c", "d", "U", "e"]
        second.pong(5)
        assert await it.pending() == 4
        second.pong(7)
        assert await it.pending() == 0


async def test_replay_again_and_again(autojump_clock: MockClock) -> None:
    """A client that never sends a receipt gets the same first window each time (CH-58)."""
    async with bench(window=5) as it:
        channel = await it.channel()
        await it.publish(*range(8))
        for _ in range(4):
            client = await it.open(channel)
            assert client.ids() == list("01234")
            client.vanish()
        client = await it.open(channel)
        client.pong(5)
        assert client.ids() == list("01234567")


async def test_replay_larger_than_the_outbox(autojump_clock: MockClock) -> None:
    """A replay that does not fit into the outbox follows as the client reads, in order, before
    anything new; nothing is skipped (CH-58, SE-5)."""
    async with bench(outbox_bytes=SMALL) as it:
        channel = await it.channel()
        client = await it.open(channel)
        ids = [str(number) for number in range(20)]
        for id_ in ids:
            await it.publish(id_, text="x" * 60_000)
        assert client.ids() == ids
        client.vanish()
        await it.publish("new", text="x" * 60_000)
        client = await it.open(channel, blocked=True)
        received = client.ids()
        assert len(received) == 4
        received += read_all(client)
        assert received == [*ids, "new"]
        client.pong(21)
        assert await it.pending() == 0


async def test_a_slow_reader(autojump_clock: MockClock) -> None:
    """What does not fit into the outbox stays in the store and follows, in order, when the
    client has read (SE-5)."""
    async with bench(outbox_bytes=SMALL) as it:
        client = await it.open(await it.channel())
        client.peer.blocked = True
        for number in range(20):
            await it.publish(number, text="x" * 50_000)
        received = client.ids()
        assert len(received) == 5
        received += read_all(client)
        assert received == [str(number) for number in range(20)]


def read_all(client: Client) -> list[str]:
    """What comes while a slow client empties its outbox again and again."""
    received: list[str] = []
    while client.peer.backlog:
        assert client.peer.backlog <= SMALL + 1000
        client.drain()
        received += client.ids()
    return received


async def test_expired_ones_are_not_written(autojump_clock: MockClock) -> None:
    """What expired while the client was away never arrives (delivery.md, Promises)."""
    async with bench() as it:
        channel = await it.channel()
        await it.publish("brief", expires_in=5)
        await it.publish("long")
        await trio.sleep(5.1)
        assert (await it.open(channel)).ids() == ["long"]


async def test_a_newer_socket_wins(autojump_clock: MockClock) -> None:
    """The older closes 1000; what it had not settled goes to the newer, its late receipt still
    counts (CH-51)."""
    async with bench() as it:
        channel = await it.channel()
        older = await it.open(channel)
        await it.publish("a", "b")
        older.pong(1)
        newer = await it.open(channel)
        assert (older.ended(), newer.ended()) == (1000, None)
        assert newer.ids() == ["a", "b"]
        await it.publish("c")
        assert newer.ids() == ["c"]
        older.pong(2)
        assert await it.pending() == 1
        older.vanish()
        assert it.sessions.of(channel) is newer.session
        assert (it.sessions.count("alice"), len(it.sessions)) == (1, 1)


async def test_heartbeats_end_with_the_session(autojump_clock: MockClock) -> None:
    """A closed session leaves the wheel, and is sent nothing more."""
    async with bench(ping_interval=5) as it:
        client = await it.open(await it.channel())
        client.session.end(1000)
        client.peer.take()
        await it.publish("a")
        await trio.sleep(60)
        assert client.peer.take() == []
        assert len(it.wheel) == 0


@pytest.mark.parametrize(("code", "cleanly"), [(1000, True), (1001, True), (1006, False)])
async def test_whether_the_client_said_good_bye(
    autojump_clock: MockClock, code: int, cleanly: bool
) -> None:
    """Only its own 1000 or 1001 counts, not ours to a dead or an older one (CH-45, CH-57)."""
    async with bench(ping_interval=10) as it:
        channel = await it.channel(lifetime=3600)
        client = await it.open(channel)
        client.session.closed(code)
        assert (channel.left_at, channel.left_cleanly) == (it.clock(), cleanly)
        client = await it.open(channel)
        assert (channel.left_at, channel.left_cleanly) == (None, False)
        await trio.sleep(31)
        assert client.ended() == 1001
        client.session.closed(1001)
        assert not channel.left_cleanly
        client = await it.open(channel)
        client.session.end(1000)
        client.session.closed(1000)
        assert not channel.left_cleanly


async def test_the_clock_at_the_end_of_a_socket_is_stored(autojump_clock: MockClock) -> None:
    """One lifetime from the last sign of life, though the account has left memory (CH-41)."""
    async with bench() as it:
        client = await it.open(await it.channel(lifetime=3600, role="client"))
        client.say(check(3600))
        await trio.sleep(1800)
        client.pong(0)
        client.vanish()
        [record] = await it.store.load_accounts(["alice"])
        [channel] = record.channels
        assert channel.expires_at is not None
        assert channel.expires_at - it.clock() == pytest.approx(3_600_000, abs=1000)
