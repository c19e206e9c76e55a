"""SIGTERM: everybody is told, nothing is lost (CH-60, OP-12)."""

import signal
from pathlib import Path

import pytest
import trio
import trio_websocket
from tests.end_to_end.clients import Platform, User, chat, id_of, text_of
from tests.end_to_end.daemon import BOUND, Daemon, until
from tests.end_to_end.library_socket import library_socket
from tests.end_to_end.notification_socket import open_socket
from tests.fakes import receiver

pytestmark = pytest.mark.end_to_end


async def test_sockets_are_told_to_come_back_and_find_everything(tmp_path: Path) -> None:
    """CH-60, OP-12: every socket closes 1012 and the process exits 0; after the restart, what was
    receipted does not come again and what was not does."""
    async with Daemon(tmp_path) as daemon:
        alice, bob, platform = User(daemon, "alice"), User(daemon, "bob"), Platform(daemon)
        hers, his = await alice.socket_channel(), await bob.socket_channel()
        async with library_socket(alice, hers) as steady:
            async with open_socket(bob, his, ponging=False) as mute:
                await platform.publish(chat("alice", "receipted"), chat("bob", "open"))
                with trio.fail_after(BOUND):
                    assert text_of(await steady.get_message()) == "receipted"
                left_open = await mute.texts(1)
                await until(lambda: delivered(daemon, 1), "the Pong has arrived")
                daemon.terminate()
                assert await mute.closed() == 1012
            with trio.fail_after(BOUND), pytest.raises(trio_websocket.ConnectionClosed) as closed:
                await steady.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1012
        assert await daemon.exit_status() == 0

        await daemon.start()
        await platform.publish(chat("alice", "after"))
        async with open_socket(alice, hers) as steady_again:
            assert text_of(await steady_again.receive()) == "after"
        async with open_socket(bob, his) as mute_again:
            assert await mute_again.texts(1) == left_open


async def test_draining_is_red_and_takes_no_new_work(tmp_path: Path, nursery: trio.Nursery) -> None:
    """OP-11, OP-12, CH-50: while an attempt is under way the drain waits for it with readiness red,
    and no request or handshake is taken; then the attempt counts and the exit is 0."""
    asked, answer = trio.Event(), trio.Event()

    async def late(stream: trio.abc.Stream, request: receiver.Received) -> bool:
        asked.set()
        await answer.wait()
        return await receiver.ok(stream, request)

    hook = await receiver.start(nursery, answers=[late])
    patient = {"drain.window": BOUND, "webhooks.total_timeout": 30}
    async with Daemon(tmp_path, patient) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        await user.webhook_channel(hook.port)
        await platform.publish(chat("alice", "slow"))
        with trio.fail_after(BOUND):
            await asked.wait()
        daemon.terminate()
        await until(lambda: is_red(daemon), "/readyz is red")
        assert (await daemon.health()).json()["failing"] == {"daemon": "draining"}
        await until(lambda: is_deaf(daemon), "the public port is closed")
        with pytest.raises(OSError, match="all attempts to connect"):
            await platform.post(chat("alice", "too late"))
        answer.set()
        assert await daemon.exit_status() == 0

        await daemon.start()
        await platform.publish(chat("alice", "after"))
        await until(lambda: len(hook.requests) >= 2, "the webhook is called after the restart")
    assert [text_of(request.body) for request in hook.requests] == ["slow", "after"]


async def test_a_second_sigterm_ends_at_once(tmp_path: Path, nursery: trio.Nursery) -> None:
    """OP-12: the second signal does not wait for a window of ten minutes; the attempt it cut off
    and the socket's open frames come again after the restart."""
    hook = await receiver.start(nursery, answers=[receiver.silence])
    async with Daemon(tmp_path, {"drain.window": 600, "webhooks.total_timeout": 30}) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()
        await user.webhook_channel(hook.port)
        async with open_socket(user, channel, ponging=False) as socket:
            await platform.publish(chat("alice", "kept"))
            frames = await socket.texts(1)
            await until(lambda: hook.requests, "an attempt is under way")
            daemon.terminate()
            await until(lambda: is_red(daemon), "/readyz is red")
            daemon.terminate()
            await daemon.exit_status()

        await daemon.start()
        async with open_socket(user, channel) as socket:
            assert await socket.texts(1) == frames
        await until(lambda: len(hook.requests) == 2, "the attempt is made again")
    assert {request.body for request in hook.requests} == {frames[0].encode()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_was_answered_while_stopping_is_not_lost(
    tmp_path: Path, number: signal.Signals
) -> None:
    """OP-12: publishers that go on until they are refused find every id that was answered 202 on
    the socket after the restart."""
    answered: list[str] = []

    async with Daemon(tmp_path) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()

        async def publish_until_refused() -> None:
            while True:
                try:
                    answered.extend(await platform.publish(*[chat("alice", "x")] * 3))
                except OSError:
                    return

        async with trio.open_nursery() as publishers:
            for _ in range(4):
                publishers.start_soon(publish_until_refused)
            await until(lambda: len(answered) > 30, "publishing is under way")
            daemon.signal(number)
        assert await daemon.exit_status() == 0

        await daemon.start()
        async with open_socket(user, channel) as socket:
            arrived = {id_of(await socket.receive())}
            while not arrived.issuperset(answered):
                arrived.update(map(id_of, await socket.texts(1)))


async def delivered(daemon: Daemon, count: int) -> bool:
    """Whether so many deliveries have been receipted by sockets."""
    name = "tocsin_deliveries_total"
    return await daemon.metric(name, type="websockets", outcome="delivered") >= count


async def is_red(daemon: Daemon) -> bool:
    return (await daemon.health()).status == 503


async def is_deaf(daemon: Daemon) -> bool:
    return not await daemon.is_listening()
