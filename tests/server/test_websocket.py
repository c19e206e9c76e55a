"""Notification sockets over the wire: handshakes and their refusals."""

from pathlib import Path
from typing import Any

import pytest
import trio
from tests.fakes import client_frames
from tests.fakes.daemon import (
    CHANNELS,
    Header,
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

from tocsin.server.reactor import Reactor

UNKNOWN = "ws-00000000-0000-4000-8000-000000000000"


def upgrade(**changes: str | None) -> list[Header]:
    """The headers of a handshake, some changed or left out."""
    headers = dict(UPGRADE) | {name.replace("_", "-"): value for name, value in changes.items()}
    return [(name, value) for name, value in headers.items() if value is not None]


async def test_switching_protocols(tmp_path: Path) -> None:
    """The 101 has the accept value of RFC 6455's example; neither extension nor subprotocol is
    taken (CH-50)."""
    offers = [
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Origin", "https://app.example"),
    ]
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        target = channel["channelData"]["channelURL"]
        headers = [*UPGRADE, *offers, ("Authorization", f"Bearer {token()}")]
        async with await dial(running.public) as stream:
            await stream.send_all(request_bytes("GET", target, headers=headers))
            answer, _ = await read_answer(stream)
        assert answer.status == 101
        assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert not {"sec-websocket-extensions", "sec-websocket-protocol"} & set(answer.headers)


async def test_refused_for_the_token(tmp_path: Path) -> None:
    """Tokens are taken from the header or the query, never both; each refusal is HTTP and comes
    before the channel is looked at (CH-10, CH-13, CH-50, SE-2)."""
    old = token(expires_in=-60)
    async with daemon(tmp_path) as running:
        channel_id = (await running.open_channel())["callbackURL"]
        for id_ in (channel_id, UNKNOWN):
            for query, bearer, expected in (
                ("", None, (401, "POL0001", ["token_missing"])),
                ("?access_token=", None, (401, "POL0001", ["token_missing"])),
                ("?access_token=x", None, (401, "POL0001", ["token_invalid"])),
                (f"?access_token={old}", None, (401, "POL0001", ["token_expired"])),
                ("", old, (401, "POL0001", ["token_expired"])),
                ("", token(scope="publish"), (403, "POL0001", ["scope_missing"])),
                ("", token("bob"), (403, "POL0001", ["user_mismatch"])),
                (f"?access_token={token()}", "", (400, "SVC0002", ["access_token"])),
            ):
                answer = await refusal(running, id_, query=query, bearer=bearer)
                assert answer.refusal == expected
        for query, bearer in ((f"?access_token={token()}", None), ("", token("x", "admin"))):
            client = await handshake(running, channel_id, query=query, bearer=bearer)
            assert isinstance(client, NotificationSocket)
            await client.stream.aclose()


async def test_mistakes_count_for_the_rate_of_their_token(tmp_path: Path) -> None:
    """SE-5: who goes on trying what is not there is answered 429, with any request of that token;
    others, and handshakes that succeed, are not touched, however many there are."""
    async with daemon(tmp_path, limits={"rate": 0.01}) as running:
        ours, others = token(jti="ours"), token(jti="others")
        id_ = (await running.open_channel())["callbackURL"]
        for _ in range(5):
            client = await handshake(running, id_, bearer=ours)
            assert isinstance(client, NotificationSocket)
            await client.stream.aclose()
        assert (await refusal(running, UNKNOWN, bearer=ours)).status == 404
        answer = await refusal(running, UNKNOWN, bearer=ours)
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) > 1
        assert (await running.get(CHANNELS, bearer=ours)).status == 429
        assert (await refusal(running, UNKNOWN, bearer=others)).status == 404
        client = await handshake(running, id_, bearer=ours)
        assert isinstance(client, NotificationSocket)
        await client.stream.aclose()


async def test_an_expired_token_within_the_grace(tmp_path: Path) -> None:
    """On the socket's path only, in header or query, for the channels its `sub` has made, and for
    no longer than the grace; without a grace never (CH-61, T9)."""
    expired, too_old = token(expires_in=-300), token(expires_in=-700)
    another = token(expires_in=-300, sub="another")
    async with daemon(tmp_path, ws={"expired_token_grace": 600}) as running:
        channel = await running.open_channel()
        id_ = channel["callbackURL"]
        for query, bearer in ((f"?access_token={expired}", None), ("", expired)):
            client = await handshake(running, id_, query=query, bearer=bearer)
            assert isinstance(client, NotificationSocket)
            assert await client.is_alive()
            await client.stream.aclose()
        for bearer in (too_old, another):
            answer = await refusal(running, id_, bearer=bearer)
            assert answer.refusal == (401, "POL0001", ["token_expired"])
        answer = await running.get(channel["resourceURL"], bearer=expired)
        assert answer.refusal == (401, "POL0001", ["token_expired"])
    async with daemon(tmp_path) as running:
        answer = await refusal(running, id_, bearer=expired)
        assert answer.refusal == (401, "POL0001", ["token_expired"])


async def test_a_position(tmp_path: Path) -> None:
    """From the query to the first frame, through a restart; a future one is 400 (CH-50, CH-52)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        await running.subscribe(channel)
        client = await handshake(running, channel["callbackURL"], query="?since=0:0")
        assert isinstance(client, NotificationSocket)
        told = (await client.message())["channelResumed"]
        assert (told["seq"], told["recovered"], told["missed"]) == (0, True, 0)
        epoch = told["epoch"]
        await running.publish("a", "b")
        assert await client.ids(2) == ["a", "b"]
        await client.stream.aclose()
    async with daemon(tmp_path) as running:
        id_ = channel["callbackURL"]
        answer = await refusal(running, id_, query=f"?since={epoch}:999999999999")
        assert answer.refusal == (400, "SVC0002", ["since"])
        client = await handshake(running, id_, query=f"?since={epoch}:1")
        assert isinstance(client, NotificationSocket)
        told = (await client.message())["channelResumed"]
        assert (told["epoch"], told["recovered"], told["missed"]) == (epoch, True, 0)
        assert await client.ids(1) == ["b"]
        await client.stream.aclose()


async def test_refused_for_the_channel(tmp_path: Path) -> None:
    """Unknown, deleted and webhook channels are 404, whatever the upgrade says (CH-13, CH-50)."""
    async with daemon(tmp_path) as running:
        webhook = (await running.open_webhook())["callbackURL"]
        gone = await running.open_channel()
        await running.delete(gone["resourceURL"])
        for channel_id in (UNKNOWN, webhook, gone["callbackURL"], "x"):
            for headers in (UPGRADE, ()):
                answer = await refusal(running, channel_id, headers=headers)
                assert answer.refusal == (404, "SVC0004", ["channelId"])


async def test_refused_for_the_upgrade(tmp_path: Path) -> None:
    """No, another or a broken upgrade is 426 with the version we speak, or 400 (CH-50)."""
    async with daemon(tmp_path) as running:
        channel_id = (await running.open_channel())["callbackURL"]
        for headers in (
            [],
            upgrade(Upgrade=None),
            upgrade(Upgrade="h2c"),
            upgrade(Connection="keep-alive"),
            upgrade(Sec_WebSocket_Version="8"),
            upgrade(Sec_WebSocket_Version=None),
        ):
            answer = await refusal(running, channel_id, headers=headers)
            assert answer.refusal == (426, "SVC0001", ["upgrade_required"])
            assert answer.headers["sec-websocket-version"] == "13"
        for key in (None, "", "x", "dGhlIHNhbXBsZQ=="):
            answer = await refusal(running, channel_id, headers=upgrade(Sec_WebSocket_Key=key))
            assert answer.refusal == (400, "SVC0002", ["Sec-WebSocket-Key"])
        for since in ("", "zz", "a:", ":1", "a:-1", "a:1:2", "a%20b:1"):
            answer = await refusal(running, channel_id, query=f"?since={since}")
            assert answer.refusal == (400, "SVC0002", ["since"])
        answer = await running.post(f"{CHANNELS}/{channel_id}/websocket", {})
        assert answer.refusal == (405, "SVC0001", ["method"])
        assert answer.headers["allow"] == "GET"


async def test_refused_for_the_origin(tmp_path: Path) -> None:
    """A page of an origin that is not on the list gets no socket and no CORS headers (CH-6,
    SE-8)."""
    async with daemon(tmp_path, cors={"origins": ["https://ours.example"]}) as running:
        channel = await running.open_channel()
        foreign = [*UPGRADE, ("Origin", "https://evil.example")]
        answer = await refusal(running, channel["callbackURL"], headers=foreign)
        assert answer.refusal == (403, "POL0001", ["origin_denied"])
        assert "access-control-allow-origin" not in answer.headers
        for headers in (UPGRADE, [*UPGRADE, ("Origin", "https://ours.example")]):
            client = await handshake(running, channel["callbackURL"], headers=headers)
            assert isinstance(client, NotificationSocket)
            await client.stream.aclose()


@pytest.mark.parametrize("option", ["max_connections", "max_connections_per_user"])
async def test_refused_for_want_of_room(tmp_path: Path, option: str) -> None:
    """At the bound a new socket is 503 with Retry-After; one that replaces its channel's older
    one needs no room, and room is given back (CH-50, section 15)."""
    async with daemon(tmp_path, ws={option: 2}) as running:
        one, two, three = [await running.open_channel() for _ in range(3)]
        async with connected(running, one), connected(running, two) as second:
            answer = await refusal(running, three["callbackURL"])
            assert answer.refusal == (503, "SVC1000", [])
            assert int(answer.headers["retry-after"]) > 0
            async with connected(running, two) as newer:
                assert await second.closed() == 1000
                await newer.send(client_frames.close(1000))
                assert await newer.closed() == 1000
            async with connected(running, three) as third:
                assert await third.is_alive()


async def test_room_in_a_race(tmp_path: Path) -> None:
    """Handshakes at the same time share one bound (SE-5)."""
    opened: list[NotificationSocket] = []
    async with daemon(tmp_path, ws={"max_connections": 3}) as running:
        channels = [await running.open_channel() for _ in range(12)]

        async def connect(channel: dict[str, Any]) -> None:
            client = await handshake(running, channel["callbackURL"])
            if isinstance(client, NotificationSocket):
                opened.append(client)

        async with trio.open_nursery() as nursery:
            for channel in channels:
                nursery.start_soon(connect, channel)
        assert len(opened) == 3
        for client in opened:
            await client.stream.aclose()


async def test_a_socket_the_reactor_cannot_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed, its place among its address's connections is free again, and the daemon goes
    on (SE-5)."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise trio.ClosedResourceError

    limits = {"unlimited_networks": [], "connections_per_address": 4}
    async with daemon(tmp_path, limits=limits) as running:
        channel = await running.open_channel()
        with monkeypatch.context() as patched:
            patched.setattr(Reactor, "adopt", refuse)
            for _ in range(8):
                async with connected(running, channel) as client:
                    assert await client.stream.receive_some() == b""
        async with connected(running, channel) as client:
            assert await client.is_alive()
