"""Sockets come and go; what their client has not receipted stays (channels.md, section 6)."""

from pathlib import Path

import pytest
from tests.end_to_end.clients import Platform, User, chat, text_of
from tests.end_to_end.daemon import Daemon
from tests.end_to_end.notification_socket import HandshakeRefusedError, open_socket

pytestmark = pytest.mark.end_to_end


async def test_only_what_has_no_receipt_comes_again(tmp_path: Path) -> None:
    """CH-56, CH-58: a Ping's payload is the highest sequence written; what its Pong covers never
    comes again, the rest does, byte for byte, in the same order, with the same sequences."""
    async with Daemon(tmp_path) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()
        async with open_socket(user, channel, ponging=False) as socket:
            await platform.publish(*(chat("alice", f"covered {n}") for n in range(3)))
            await socket.texts(3)
            assert await socket.ping() == b"3"
            await socket.pong()
            await platform.publish(chat("alice", "open 1"), chat("alice", "open 2"))
            left_open = await socket.texts(2)
            assert await socket.ping() == b"5"
            await socket.check()
        for _ in range(2):
            async with open_socket(user, channel, ponging=False) as socket:
                assert await socket.texts(2) == left_open
                assert await socket.ping() == b"5"
        await platform.publish(chat("alice", "new"))
        async with open_socket(user, channel) as socket:
            assert await socket.texts(2) == left_open
            assert text_of(await socket.receive()) == "new"
            assert await socket.ping() == b"6"
            await socket.pong()
            await socket.check()
        await platform.publish(chat("alice", "newer"))
        async with open_socket(user, channel) as socket:
            assert text_of(await socket.receive()) == "newer"


async def test_a_pong_nobody_asked_for_receipts_nothing(tmp_path: Path) -> None:
    """CH-56: an old Pong given twice does not cover what was written since."""
    async with Daemon(tmp_path) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()
        async with open_socket(user, channel, ponging=False) as socket:
            await platform.publish(chat("alice", "covered"))
            await socket.texts(1)
            await socket.ping()
            await socket.pong()
            await socket.pong()
            await platform.publish(chat("alice", "open"))
            left_open = await socket.texts(1)
            await socket.check()
        async with open_socket(user, channel) as socket:
            assert await socket.texts(1) == left_open


async def test_more_than_a_window_and_more_than_the_outbox(tmp_path: Path) -> None:
    """CH-58: a client with large unreceipted notifications gets them all again, however much
    that is at once, and what did not fit into the window after them."""
    sizes = {"ws.window": 60, "ws.outbox_bytes": 131_072, "limits.buffer_bytes": 8 << 20}
    expected = [f"{number:03} {'x' * 20_000}" for number in range(90)]
    async with Daemon(tmp_path, sizes) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()
        async with open_socket(user, channel, ponging=False) as socket:
            first = []
            for text in expected[:60]:
                await platform.publish(chat("alice", text))
                first += [text_of(frame) for frame in await socket.texts(1)]
            await platform.publish(*(chat("alice", text) for text in expected[60:]))
            await socket.check()
        async with open_socket(user, channel) as socket:
            again = [text_of(frame) for frame in await socket.texts(90)]
    assert first == expected[:60]
    assert again == expected


async def test_a_newer_socket_wins(tmp_path: Path) -> None:
    """CH-51: the older socket closes 1000, and what it has not receipted goes to the newer."""
    async with Daemon(tmp_path) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()
        async with open_socket(user, channel, ponging=False) as older:
            await platform.publish(chat("alice", "one"), chat("alice", "two"))
            frames = await older.texts(2)
            async with open_socket(user, channel) as newer:
                assert await newer.texts(2) == frames
                assert await older.closed() == 1000
                await platform.publish(chat("alice", "three"))
                assert text_of(await newer.receive()) == "three"


async def test_deleting_the_channel_ends_it(tmp_path: Path) -> None:
    """CH-20, CH-21, CH-59: DELETE closes the socket with 1000; afterwards the channel is 404 to
    everybody, also to clients that ignore the code and come back, and nothing is published to it.
    """
    async with Daemon(tmp_path) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()
        async with open_socket(user, channel) as socket:
            assert await user.delete(channel) == 204
            assert await socket.closed() == 1000
        with pytest.raises(HandshakeRefusedError) as refused:
            async with open_socket(user, channel):
                pass
        assert refused.value.status == 404
        assert (await user.call("GET", f"{user.channels}/{channel}")).status == 404
        assert await user.delete(channel) == 404
        response = await platform.post(chat("alice", "to nobody"))
        assert response.json()["status"] == "no_channel"
