"""tocsin.server.websocket: sockets that are open, and what closes them."""

from pathlib import Path
from typing import Any

import orjson
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import client_frames
from tests.fakes.daemon import (
    CHANNELS,
    USER,
    daemon,
    dial,
    read_answer,
    request_bytes,
    token,
)
from tests.fakes.notification_socket import (
    UPGRADE,
    NotificationSocket,
    connected,
    handshake,
    refusal,
)
from trio.testing import MockClock
from trio_websocket import open_websocket_url
from wsproto.frame_protocol import Opcode


@pytest.fixture
def leaping_clock() -> MockClock:
    """Runs like any clock, and leaps when told to."""
    return MockClock(rate=1.0)


@pytest.mark.parametrize("cut", [False, True])
async def test_an_open_socket_and_its_token(
    tmp_path: Path, leaping_clock: MockClock, cut: bool
) -> None:
    """It outlives its token, or closes 4401 when that is over, leeway included (CH-59, CH-61)."""
    async with daemon(tmp_path, ws={"cut_on_token_expiry": cut}) as running:
        channel = await running.open_channel()
        client = await handshake(running, channel["callbackURL"], bearer=token(expires_in=10))
        assert isinstance(client, NotificationSocket)
        leaping_clock.jump(30)
        assert await client.is_alive()
        leaping_clock.jump(15)
        if cut:
            assert await client.closed() == 4401
        else:
            assert await client.is_alive()
        await client.stream.aclose()


async def test_a_token_within_the_grace_is_cut_when_that_is_over(
    tmp_path: Path, leaping_clock: MockClock
) -> None:
    """Not at once, or the client would come back for ever (CH-61)."""
    options = {"cut_on_token_expiry": True, "expired_token_grace": 600}
    async with daemon(tmp_path, ws=options) as running:
        channel = await running.open_channel()
        client = await handshake(running, channel["callbackURL"], bearer=token(expires_in=-550))
        assert isinstance(client, NotificationSocket)
        leaping_clock.jump(45)
        assert await client.is_alive()
        leaping_clock.jump(45)
        assert await client.closed() == 4401
        await client.stream.aclose()


async def test_a_newer_socket_wins(tmp_path: Path) -> None:
    """The older closes 1000, the newer gets what it had not settled (CH-51)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        async with connected(running, channel) as older:
            await running.publish("a", "b")
            assert await older.ids(2) == ["a", "b"]
            async with connected(running, channel) as newer:
                assert await older.closed() == 1000
                assert await newer.ids(2) == ["a", "b"]
                await newer.settle()
                await running.publish("c")
                assert await newer.ids(1) == ["c"]


async def test_replay_over_reconnects(tmp_path: Path) -> None:
    """What had no receipt when the connection broke comes again with its id, what had one does
    not, also through a restart of the process (CH-51, CH-58, T7)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        async with connected(running, channel) as client:
            await running.publish("a")
            assert await client.ids(1) == ["a"]
            await client.settle()
            await running.publish("b", "c")
            assert await client.ids(2) == ["b", "c"]
        await running.publish("d")
        async with connected(running, channel) as client:
            assert await client.ids(3) == ["b", "c", "d"]
    async with daemon(tmp_path) as running, connected(running, channel) as client:
        assert await client.ids(3) == ["b", "c", "d"]
        await client.settle()
        assert await client.is_alive()


async def test_one_root_key_per_frame(tmp_path: Path) -> None:
    """Every frame we send is a text with one JSON object with one root key (CH-52)."""
    async with daemon(tmp_path, ws={"check_interval": 0.1}) as running:
        channel = await running.open_channel(**{"x-connCheckRole": "server"})
        await running.subscribe(channel)
        async with connected(running, channel) as client:
            await running.publish("a", "b", "c")
            await client.say({"connCheck": {"interval": 5}})
            seen: set[str] = set()
            while len(seen) < 3:
                kind, payload = await client.frame()
                if kind is not Opcode.PING:
                    assert kind is Opcode.TEXT
                    [root] = orjson.loads(payload)
                    seen.add(root)
            assert seen == {"chatMessageNotification", "connCheck", "connAck"}


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (client_frames.binary(b"x"), 1003),
        (client_frames.binary(b""), 1003),
        (client_frames.text(b"\xff"), 1007),
        (client_frames.text(b"\xed\xa0\x80"), 1007),
        (client_frames.text(b"x" * 4097), 1009),
        (client_frames.text(b"x" * 4096, final=False) + client_frames.continuation(b"x"), 1009),
        (client_frames.text(b"{}") * 51, 1008),
        (client_frames.pong(b"1") * 51, 1008),
        (client_frames.ping() * 51, 1008),
        (client_frames.client_frame(0x81, b"x", mask=None), 1002),
        (client_frames.client_frame(0xC1, b"x"), 1002),
    ],
)
async def test_what_closes_a_socket(tmp_path: Path, frames: bytes, code: int) -> None:
    """Each violation closes with its code, that connection only; the channel stays (CH-53)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        other = await running.open_channel()
        async with connected(running, other) as neighbour, connected(running, channel) as client:
            await client.send(frames)
            assert await client.closed() == code
            assert await neighbour.is_alive()
        async with connected(running, channel) as client:
            assert await client.is_alive()


async def test_what_does_not_close_a_socket(tmp_path: Path) -> None:
    """The largest message, the old ping, other texts: ignored, and all but the ping counted
    (CH-53, T16)."""
    messages = [b"x" * 4096, b'{"message_type":"ping"}', b"", b"[]", b"nonsense", b'{"a":1}']
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        async with connected(running, channel) as client:
            for message in messages:
                await client.send(client_frames.text(message))
            assert await client.is_alive()
            ignored = await running.metric("tocsin_ws_frames_ignored_total")
            assert ignored == len(messages) - 1


async def test_asked_for_pongs_are_not_counted_as_frames(tmp_path: Path) -> None:
    """A client that is sent much may answer every Ping within the rate (CH-53, CH-56)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        async with connected(running, channel) as client:
            for number in range(70):
                await running.publish(str(number))
                assert await client.ids(1) == [str(number)]
                await client.settle()
            assert await client.is_alive()


class Broken:
    """A counter with a bug."""

    def inc(self) -> None:
        raise ZeroDivisionError("planted")


async def test_a_crashing_session(tmp_path: Path) -> None:
    """A bug in one session closes that one 1011; all others go on (CH-59)."""
    async with daemon(tmp_path) as running:
        one, two = await running.open_channel(), await running.open_channel()
        running.app.metrics.ws_frames_ignored = Broken()  # type: ignore[assignment]
        async with connected(running, one) as crashing, connected(running, two) as other:
            await crashing.send(client_frames.text(b"nonsense"))
            assert await crashing.closed() == 1011
            assert await other.is_alive()
        async with connected(running, one) as again:
            assert await again.is_alive()


async def test_deleted_while_connected(tmp_path: Path) -> None:
    """The socket closes 1000, and whoever retries all the same gets 404 (CH-21, CH-59, T8)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        async with connected(running, channel) as client:
            assert (await running.delete(channel["resourceURL"])).status == 204
            assert await client.closed() == 1000
        answer = await refusal(running, channel["callbackURL"])
        assert answer.refusal == (404, "SVC0004", ["channelId"])


async def test_expired_while_connected(tmp_path: Path, leaping_clock: MockClock) -> None:
    """When the clock of a channel with a silent client has run out, the socket closes 1000, then
    all is 404 and nothing is left of it (CH-43, T8)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(channelLifetime=60, **{"x-connCheckRole": "client"})
        subscription = await running.subscribe(channel)
        await running.publish("a")
        async with connected(running, channel) as client:
            assert await client.ids(1) == ["a"]
            leaping_clock.jump(62)
            assert await client.closed() == 1000
        assert (await refusal(running, channel["callbackURL"])).status == 404
        for resource in (channel, subscription):
            assert (await running.get(resource["resourceURL"])).status == 404
        assert [sum(counts.values()) for counts in await running.stored()] == [0, 0, 0, 0]


async def test_the_clock_of_a_connected_channel(tmp_path: Path, leaping_clock: MockClock) -> None:
    """A client that only answers connects on and on past its lifetime; without it the clock
    runs down (CH-41, T6)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(channelLifetime=60)
        async with connected(running, channel) as client:
            for _ in range(5):
                leaping_clock.jump(40)
                assert await client.is_alive()
        leaping_clock.jump(55)
        assert (await running.get(channel["resourceURL"])).status == 200
        leaping_clock.jump(6)
        assert (await running.get(channel["resourceURL"])).status == 404


async def test_a_dead_peer(tmp_path: Path, leaping_clock: MockClock) -> None:
    """Silence for three Ping intervals: closed 1001; what it had not settled waits (CH-57)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        async with connected(running, channel) as client:
            await running.publish("a")
            assert await client.ids(1) == ["a"]
            leaping_clock.jump(91)
            assert await client.closed() == 1001
        async with connected(running, channel) as client:
            assert await client.ids(1) == ["a"]


async def test_a_reader_that_pauses(tmp_path: Path) -> None:
    """Far more than outbox and window hold arrives whole and in order once it is read, and
    memory held for it stays within the bound (CH-58, SE-5)."""
    bound = 262_144
    settings = {"outbox_bytes": bound, "window": 300}
    async with daemon(tmp_path, ws=settings, limits={"buffer_bytes": 16 << 20}) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        async with connected(running, channel) as client:
            ids = [str(number) for number in range(200)]
            for start in range(0, 200, 50):
                await running.publish(*ids[start : start + 50], text="x" * 60_000)
                waiting = await running.metric("tocsin_ws_queue_bytes")
                assert waiting <= bound + 131_072
            received: list[str] = []
            while len(received) < 200:
                kind, payload = await client.frame()
                if kind is Opcode.TEXT:
                    received.append(orjson.loads(payload)["chatMessageNotification"]["id"])
                else:
                    await client.send(client_frames.pong(payload))
            assert received == ids


async def test_drain(tmp_path: Path) -> None:
    """Sockets close 1012, a handshake under way gets 503 with Retry-After; the next process has
    everything, and the same channel id (CH-50, CH-60, T7)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        async with connected(running, channel) as client:
            await running.publish("a")
            assert await client.ids(1) == ["a"]
            target = channel["channelData"]["channelURL"]
            auth = ("Authorization", f"Bearer {token()}")
            late = request_bytes("GET", target, headers=[*UPGRADE, auth])
            async with await dial(running.public) as stream:
                await stream.send_all(late[:20])
                await running.get(CHANNELS)
                running.app.stop()
                await stream.send_all(late[20:])
                answer, _ = await read_answer(stream)
            assert answer.refusal == (503, "SVC1000", [])
            assert int(answer.headers["retry-after"]) > 0
            assert await client.closed() == 1012
    async with daemon(tmp_path) as running, connected(running, channel) as client:
        assert await client.ids(1) == ["a"]


async def test_a_library_as_client(tmp_path: Path) -> None:
    """The golden trace of section 16 with trio-websocket as the client, as far as this release
    serves it; leaving, the subscriptions go in parallel."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(**{"x-connCheckRole": "client"})
        path = channel["channelData"]["channelURL"]
        url = f"ws://{running.public}{path}?access_token={token()}"
        async with open_websocket_url(url) as socket:
            subscription = await running.subscribe(channel)
            await socket.send_message('{"connCheck":{"interval":30}}')
            assert await socket.get_message() == '{"connAck":{}}'
            inbound = f"/cpaas/smsmessaging/v1/{USER}/inbound/subscriptions"
            wanted = {"callbackReference": {"notifyURL": channel["callbackURL"]}}
            sms = (await running.post(inbound, {"subscription": wanted})).json["subscription"]
            for number in range(3):
                await running.publish(str(number))
                message = orjson.loads(await socket.get_message())
                assert message["chatMessageNotification"]["id"] == str(number)
            await socket.ping()

            async def unsubscribe(resource: dict[str, Any]) -> None:
                assert (await running.delete(resource["resourceURL"])).status == 204

            async with trio.open_nursery() as nursery:
                nursery.start_soon(unsubscribe, subscription)
                nursery.start_soon(unsubscribe, sms)
        assert (await running.delete(channel["resourceURL"])).status == 204
        assert [sum(counts.values()) for counts in await running.stored()] == [0, 0, 0, 0]


FRAMES = st.one_of(
    st.binary(max_size=300),
    st.builds(client_frames.client_frame, st.integers(0, 255), st.binary(max_size=200)),
    st.builds(client_frames.text, st.binary(max_size=200)),
    st.builds(client_frames.pong, st.binary(max_size=130)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(FRAMES, max_size=6))
def test_no_bytes_break_the_daemon(
    tmp_path_factory: pytest.TempPathFactory, frames: list[bytes]
) -> None:
    """Whatever a client sends on its socket, it is answered, ignored or closed: no session
    crashes, the neighbour lives and nothing is stored (SE-6)."""
    trio.run(_survives, tmp_path_factory.mktemp("fuzz"), b"".join(frames))


async def _survives(folder: Path, data: bytes) -> None:
    async with daemon(folder) as running:
        one, two = await running.open_channel(), await running.open_channel()
        before = await running.stored()
        async with connected(running, one) as client, connected(running, two) as neighbour:
            await client.send(data)
            await client.send(client_frames.close(1000))
            await client.stream.send_eof()
            assert await neighbour.is_alive()
        assert await running.stored() == before
        assert await running.metric('tocsin_ws_closed_total{code="1011"}') == 0
