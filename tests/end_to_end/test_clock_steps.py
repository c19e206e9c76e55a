"""A wall clock that is set back and forth, under the daemon and between its starts (SE-12)."""

import time
from pathlib import Path

import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat, id_of, text_of
from tests.end_to_end.daemon import SECRET, Daemon, until
from tests.end_to_end.notification_socket import open_socket
from tests.end_to_end.wall_clock import WallClock
from tests.fakes import receiver

from tocsin.wire.jwk import shared_secret
from tocsin.wire.jwt import mint

pytestmark = pytest.mark.end_to_end

DAYS = 3 * 86_400
MINUTES = 600
FAR = 10.0
STEPS = (6, -6, 30, 0)
RETRIES = {"delivery.webhook_retries": [0.05] * 100}


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The daemon's."""
    return WallClock.install(tmp_path / "clock", monkeypatch)


def bearer(user: str, scope: str = "channels") -> str:
    """A token that is good for days before and after now."""
    claims = {"sub": user, "preferred_username": user, "client_id": "e2e", "scope": scope}
    return mint(claims, shared_secret(SECRET), now=time.time() - DAYS, lifetime=2 * DAYS)


async def test_steps_under_a_running_daemon(
    clock: WallClock, tmp_path: Path, nursery: trio.Nursery
) -> None:
    """SE-12, CH-41, CH-82: whatever the time of day jumps to, sockets and channels live, nothing
    is lost, late or out of order, what has minutes to live has them and what has a second no more,
    and a webhook's timestamp is that of the receiver's clock, which was set too."""
    hook = await receiver.start(nursery)
    seen: list[tuple[str, float]] = []

    def fail_at_first(request: receiver.Received) -> None:
        text, stamp = text_of(request.body), int(request.headers["webhook-timestamp"])
        hook.answers.append(receiver.reply(500) if text not in dict(seen) else receiver.ok)
        seen.append((text, stamp - clock.time()))

    hook.on_request = fail_at_first
    async with Daemon(tmp_path, RETRIES) as daemon:
        user = User(daemon, "alice", bearer=bearer("alice"))
        platform = Platform(daemon, bearer=bearer("platform", "publish"))
        channel, idle = await user.socket_channel(), await user.socket_channel()
        await user.webhook_channel(hook.port)
        away = User(daemon, "bob", bearer=bearer("bob"))
        unread = await away.socket_channel()
        async with open_socket(user, channel) as socket:
            for number, hours in enumerate(STEPS):
                clock.set(hours)
                await platform.publish(chat("alice", f"{number}"))
                await platform.publish(chat("alice", f"long {number}", expires_in=MINUTES))
                await platform.publish(chat("bob", "short", expires_in=1))
                texts = [text_of(frame) for frame in await socket.texts(2)]
                assert texts == [f"{number}", f"long {number}"]
                await socket.check()
                await until(lambda: len(seen) == 4 * (number + 1), "it is tried again")  # noqa: B023
                await until(lambda: expired(daemon, number + 1), "it expires")  # noqa: B023
                answer = await user.call("GET", f"{user.channels}/{idle}")
                assert answer.status == 200
        async with open_socket(user, idle) as socket:
            frames = await socket.texts(2 * len(STEPS))
        async with open_socket(away, unread) as socket:
            await socket.check()
    expected = [name for number in range(len(STEPS)) for name in (f"{number}", f"long {number}")]
    assert [text_of(frame) for frame in frames] == expected
    assert max(abs(error) for _, error in seen) < FAR, seen


async def test_steps_between_starts(
    clock: WallClock, tmp_path: Path, nursery: trio.Nursery
) -> None:
    """SE-12, CH-44: killed, and started hours earlier or later, the channel is there and its
    client gets everything once more in order; and the webhook that failed all the time gets it
    when the latest of those times has come."""
    hook = await receiver.start(nursery, answers=[receiver.reply(500)] * 1000)
    # Ten failures of one process would open the breaker of the lane.
    async with Daemon(tmp_path, {"delivery.webhook_retries": [0, *[5.0] * 100]}) as daemon:
        user = User(daemon, "alice", bearer=bearer("alice"))
        platform = Platform(daemon, bearer=bearer("platform", "publish"))
        channel = await user.socket_channel()
        await user.webhook_channel(hook.port)
        ids: list[str] = []
        for hours in STEPS:
            await daemon.kill()
            clock.set(hours)
            await daemon.start()
            [new] = await platform.publish(chat("alice", f"at {hours}", order_key=str(hours)))
            ids.append(new)
            await until(lambda: new in called_for(hook), "the webhook is tried")  # noqa: B023
            stamp = hook.requests[-1].headers["webhook-timestamp"]
            assert abs(int(stamp) - clock.time()) < FAR
            async with open_socket(user, channel, ponging=False) as socket:
                frames = await socket.texts(len(ids))
                assert [id_of(frame) for frame in frames] == ids
        hook.answers.clear()
        clock.set(max(STEPS))
        await daemon.kill()
        await daemon.start()
        await until(lambda: all_called(daemon), "the webhook has everything")
    assert called_for(hook) == set(ids)


async def all_called(daemon: Daemon) -> bool:
    """Whether no webhook is to be called any more, and none was given up."""
    assert await daemon.metric("tocsin_dead_letters", type="Webhooks") == 0
    return await daemon.metric("tocsin_queue_depth", type="Webhooks") == 0


async def expired(daemon: Daemon, count: int) -> bool:
    """Whether so many deliveries have expired."""
    name = "tocsin_deliveries_total"
    return await daemon.metric(name, type="websockets", outcome="expired") >= count


def called_for(hook: receiver.Receiver) -> set[str]:
    """The notifications a receiver was called for."""
    return {request.headers["webhook-id"] for request in hook.requests}
