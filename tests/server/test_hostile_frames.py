"""Anything at all on an open notification socket (channels.md, CH-53): it ends that one at most."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes import client_frames
from tests.fakes.daemon import CHANNELS, CHAT, PUBLISH, chat
from tests.fakes.virtual_daemon import VirtualDaemon, VirtualSocket
from trio.testing import MockClock

GOOD_BYES = {1000, 1001, 1005, *range(3000, 5000)}
REFUSALS = {1002, 1003, 1007, 1008, 1009}
MESSAGES = [
    *('{"connCheck":{"interval":60}}', '{"connAck":{}}', '{"message_type":"ping"}', "", "null"),
    *(f'{{"connCheck":{{"interval":{n}}}}}' for n in ("0", "-1", "1e308", "9" * 400, "NaN", '"x"')),
    *('{"connCheck":1}', '{"connCheck":{}}', '{"connAck":1}', '{"connAck":{},"connCheck":{}}'),
    *('{"channelResumed":{}}', "[" * 200, "{", "\ufeff{}", '{"chatMessageNotification":{}}', "x"),
    *('"' + "é" * 2047 + '"', "x" * 4096, "x" * 4097, '{"connAck":{"\\ud800":1}}'),
]
PONGS = [b"", b"0", b"1", b"2", b"-1", b"+1", b"01", b"9" * 125, b"\xb2", b" 1", b"1e1"]

texts = st.sampled_from(MESSAGES).map(str.encode)
frames = st.one_of(
    texts.map(client_frames.text),
    texts.map(client_frames.text),
    st.sampled_from(PONGS).map(client_frames.pong),
    st.sampled_from([b"", b"x", b"x" * 125]).map(client_frames.ping),
    st.builds(client_frames.text, texts, final=st.booleans()),
    st.builds(client_frames.continuation, texts, final=st.booleans()),
    st.sampled_from([b"", b"x"]).map(client_frames.binary),
    st.binary(max_size=20).map(client_frames.text),
    st.sampled_from([None, 1000, 1001, 3000, 4999, 999, 1005, 1006, 1015, 5000]).map(
        client_frames.close
    ),
    st.binary(max_size=9).map(lambda payload: client_frames.client_frame(0x88, payload)),
    st.builds(
        client_frames.client_frame,
        st.integers(0, 255),
        st.binary(max_size=9),
        mask=st.sampled_from([None, b"mask"]),
        form=st.sampled_from([None, 16, 64]),
    ),
    st.builds(
        client_frames.client_frame,
        st.sampled_from([0x81, 0x82, 0x89]),
        announced=st.sampled_from([126, 4097, 65_536, 2**40, 2**63]),
        form=st.just(64),
    ),
    st.sampled_from([client_frames.text(b"{}") * 60, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"]),
    st.binary(max_size=30),
)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """What one client sends, in the pieces in which it arrives; maybe with a byte changed."""
    data = b"".join(draw(st.lists(frames, min_size=1, max_size=6)))
    if draw(st.booleans()):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=3)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


class Crowd:
    """Sockets of channels that all have a chat subscription."""

    def __init__(self, it: VirtualDaemon) -> None:
        self._it = it
        self._published = 0

    async def channel(self, correlator: str, **members: Any) -> str:
        """The path of a new channel."""
        wanted = {"channelType": "websockets", "clientCorrelator": correlator, **members}
        made = (await self._it.ask("POST", CHANNELS, {"notificationChannel": wanted})).json
        id_ = made["notificationChannel"]["callbackURL"]
        body = {"chatNotificationSubscription": {"callbackReference": {"notifyURL": id_}}}
        assert (await self._it.ask("POST", CHAT, body)).status == 201
        return f"{CHANNELS}/{id_}/websocket"

    async def open(self, path: str) -> VirtualSocket:
        """A socket that answers."""
        client = await self._it.connect(path)
        assert isinstance(client, VirtualSocket)
        return client

    async def publish(self) -> str:
        """The id of a message for everybody."""
        self._published += 1
        answer = await self._it.ask("POST", PUBLISH, chat(f"n{self._published}"))
        assert answer.status == 202
        return f"n{self._published}"


async def torment(engine: str, attacks: list[list[bytes]], role: str | None) -> None:
    """Clients send what they like, one after the other, beside one that behaves."""
    with tempfile.TemporaryDirectory() as folder:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        async with VirtualDaemon.opened(Path(folder), clock, ws={"engine": engine}) as it:
            crowd = Crowd(it)
            witness = await crowd.open(await crowd.channel("witness"))
            path = await crowd.channel("victim", **({"x-connCheckRole": role} if role else {}))
            told: list[str] = []
            for pieces in attacks:
                client = await crowd.open(path)
                for piece in pieces:
                    client.send(piece)
                    await it.settle()
                told.append(await crowd.publish())
                assert client.closed is None or client.closed in GOOD_BYES | REFUSALS, pieces
                client.hang_up()
                await it.leap(1.1)
                assert witness.ids == told
                again = await crowd.open(path)
                assert set(client.ids + again.ids) >= {told[-1]}
                again.hang_up()
                await it.leap(1.1)
            assert witness.closed is None
            assert it.parts.reactor.statistics().handler_errors == 0
            assert it.parts.store.backlog == 0


@pytest.mark.parametrize("engine", ["reactor", "trio-websocket"])
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    attacks=st.lists(streams(), min_size=3, max_size=8),
    role=st.sampled_from([None, "client", "server"]),
)
def test_any_frames(engine: str, attacks: list[list[bytes]], role: str | None) -> None:
    """Only the codes of CH-53 and RFC 6455 end a socket; its neighbour and its channel go on, and
    what was published meanwhile arrives on the next socket (CH-53, CH-54, CH-56, SE-5)."""
    trio.run(torment, engine, attacks, role, clock=MockClock())
