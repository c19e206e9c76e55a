"""A full disk: refused with a time to come back, nothing lost, well again by itself (SE-12)."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat, id_of
from tests.end_to_end.daemon import BOUND, Daemon, command, environment, until
from tests.end_to_end.http_connection import Answer
from tests.end_to_end.notification_socket import open_socket
from tests.end_to_end.quota import Quota, file_limit, small_disk
from tests.fakes import receiver

pytestmark = pytest.mark.end_to_end

Disk = Callable[[Path], AbstractContextManager[Quota]]
RETRIES = {"delivery.webhook_retries": [0.05] * 1000}
SIZE = 2000


@pytest.fixture(params=[small_disk, file_limit], ids=["tmpfs", "rlimit"])
def disk(request: pytest.FixtureRequest) -> Disk:
    """Either way to run out of space."""
    made: Disk = request.param
    return made


async def publish_until_full(platform: Platform, users: list[str]) -> tuple[list[str], Answer]:
    """The ids that were accepted, each for all these users, and the refusal that came then."""
    accepted: list[str] = []
    for number in count():
        items = [
            chat(user, "x" * SIZE, id=f"{user}-{number}", order_key="k", priority="normal")
            for user in users
        ]
        answer = await platform.post(items)
        if answer.status != 202:
            await fill_up(platform)
            return accepted, answer
        accepted.append(str(number))
    raise AssertionError("never")


async def fill_up(platform: Platform) -> None:
    """Take the room that was too little for those: by ids that are remembered for nobody."""
    for number in count():
        answer = await platform.post([chat("nobody", "x", id=f"nobody-{number}")])
        if answer.status != 202:
            return


def numbers(frames: list[str] | list[bytes]) -> list[str]:
    """The running numbers of notifications, without repeats."""
    return list(dict.fromkeys(id_of(frame).partition("-")[2] for frame in frames))


async def test_full_and_free_again(disk: Disk, tmp_path: Path, nursery: trio.Nursery) -> None:
    """SE-12, CH-117, OP-11: on a full disk whatever must be durable is 503 with Retry-After and
    `/readyz` names the store, while sockets live, are answered and receipt; with space again all
    works by itself, what was accepted is delivered once and in order, and no receipt was lost."""
    hook = await receiver.start(nursery)
    with disk(tmp_path / "state") as quota:
        async with Daemon(tmp_path, RETRIES) as daemon:
            alice, bob = User(daemon, "alice"), User(daemon, "bob")
            platform = Platform(daemon)
            mine, other = await alice.socket_channel(), await bob.socket_channel()
            await alice.webhook_channel(hook.port)
            async with open_socket(alice, mine, ponging=False) as socket:
                await platform.publish(chat("alice", "before", id="alice-before", order_key="k"))
                read = await socket.texts(1)
                quota.fill(daemon)
                accepted, refusal = await publish_until_full(platform, ["alice", "bob"])
                read += await socket.texts(len(accepted))
                assert refusal.status == 503
                assert int(refusal.headers["retry-after"]) >= 1
                await until(lambda: is_red(daemon), "readyz tells of the store")
                wanted = {"channelType": "websockets", "clientCorrelator": "new"}
                answer = await alice.call("POST", alice.channels, {"notificationChannel": wanted})
                assert answer.status == 503
                assert "retry-after" in answer.headers
                await socket.check()
                await socket.pong()
                await socket.check()
                quota.free(daemon)
                await until(daemon.is_ready, "the daemon is well again")
                await platform.publish(chat("alice", "after", id="alice-after", order_key="k"))
                read += await socket.texts(1)
                await socket.check()
                await socket.pong()
                await socket.check()
            async with open_socket(bob, other) as socket:
                theirs = await socket.texts(len(accepted))
                await socket.check()
            async with open_socket(alice, mine) as socket:
                await platform.publish(chat("alice", "last", id="alice-last", order_key="k"))
                again = numbers(await socket.texts(1))
                await socket.check()
            everything = ["before", *accepted, "after", "last"]
            await until(lambda: len(numbers(bodies(hook))) == len(everything), "the webhook is")
            await until(lambda: nothing_waits(daemon), "all is settled")
    assert numbers(read) == ["before", *accepted, "after"]
    assert numbers(theirs) == accepted
    assert again == ["last"]
    assert numbers(bodies(hook)) == everything


async def test_killed_and_started_on_a_full_disk(tmp_path: Path) -> None:
    """SE-12: killed while the disk is full, the daemon says in one line why it cannot start there;
    once there is space it starts and has everything it has accepted."""
    with small_disk(tmp_path / "state") as quota:
        async with Daemon(tmp_path) as daemon:
            alice, platform = User(daemon, "alice"), Platform(daemon)
            channel = await alice.socket_channel()
            await platform.publish(chat("alice", "before", id="alice-before", order_key="k"))
            quota.fill(daemon)
            accepted, _ = await publish_until_full(platform, ["alice"])
            await daemon.kill()
            serve = command("serve", "--config", str(daemon.config))
            with trio.fail_after(BOUND):
                ended = await trio.run_process(
                    serve, capture_stderr=True, capture_stdout=True, check=False, env=environment()
                )
            quota.free(daemon)
            await daemon.start()
            async with open_socket(alice, channel) as socket:
                frames = await socket.texts(1 + len(accepted))
    assert ended.returncode not in {0, None}
    [line] = ended.stderr.decode().splitlines()
    assert line.startswith("tocsin: ")
    assert "No space left" in line or "full" in line
    assert numbers(frames) == ["before", *accepted]


async def is_red(daemon: Daemon) -> bool:
    """Whether `/readyz` says that the store is what fails."""
    answer = await daemon.health()
    return answer.status == 503 and "store" in answer.json().get("failing", answer.json())


async def nothing_waits(daemon: Daemon) -> bool:
    """Whether all deliveries are over."""
    return not any(
        [
            await daemon.metric("tocsin_queue_depth", type=kind)
            for kind in ("websockets", "Webhooks")
        ]
    )


def bodies(hook: receiver.Receiver) -> list[bytes]:
    """What a receiver got."""
    return [request.body for request in hook.requests]
