"""The main job of the daemon on its other WebSocket engine (architecture: data plane)."""

from pathlib import Path

import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat, id_of, text_of
from tests.end_to_end.daemon import BOUND, Daemon
from tests.end_to_end.library_socket import library_socket
from tests.end_to_end.notification_socket import open_socket

pytestmark = pytest.mark.end_to_end

ENGINE = {"ws.engine": "trio-websocket"}


async def test_the_main_job_over_trio_websocket(tmp_path: Path) -> None:
    """CH-53, CH-56, CH-58: published once it arrives; what a Pong covers is settled, the rest
    comes again to the next socket; a connCheck is answered; binary is refused."""
    async with Daemon(tmp_path, ENGINE) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()
        async with open_socket(user, channel, ponging=False) as socket:
            published = await platform.publish(*(chat("alice", f"settled {n}") for n in range(3)))
            assert [id_of(frame) for frame in await socket.texts(3)] == published
            assert await socket.ping() == b"3"
            await socket.pong()
            await platform.publish(chat("alice", "left open"))
            left_open = await socket.texts(1)
            assert await socket.ping() == b"4"
            await socket.check()
        async with open_socket(user, channel) as socket:
            assert await socket.texts(1) == left_open
            await platform.publish(chat("alice", "new"))
            assert text_of(await socket.receive()) == "new"
            await socket.check()
        assert await daemon.metric("tocsin_ws_resumes_total", result="replayed") == 1
        with trio.fail_after(BOUND):
            async with library_socket(user, channel) as library:
                await platform.publish(chat("alice", "for a library"))
                assert text_of(await library.get_message()) == "for a library"


async def test_a_daemon_on_trio_websocket_drains(tmp_path: Path) -> None:
    """CH-60: SIGTERM closes the sockets with 1012 and the process ends by itself, in order."""
    async with Daemon(tmp_path, ENGINE) as daemon:
        user = User(daemon, "alice")
        channel = await user.socket_channel()
        async with (
            open_socket(user, channel) as socket,
            open_socket(user, await user.socket_channel(clientCorrelator="other")) as other,
        ):
            daemon.terminate()
            assert [await socket.closed(), await other.closed()] == [1012, 1012]
            assert await daemon.exit_status() == 0
        assert "Traceback" not in daemon.log
