"""SIGKILL at any moment loses nothing that was answered 202 (delivery.md, promises; SE-12)."""

import os
import random
import socket
from functools import partial
from pathlib import Path

import pytest
import trio
from tests.end_to_end.accounting import Ledger
from tests.end_to_end.clients import Platform, User, chat, id_of
from tests.end_to_end.daemon import Daemon, until
from tests.end_to_end.load import Load
from tests.end_to_end.notification_socket import open_socket
from tests.fakes import receiver

pytestmark = pytest.mark.end_to_end

ROUNDS = int(os.environ.get("TOCSIN_TORTURE_ROUNDS", "4"))
SEED = os.environ.get("TOCSIN_TORTURE_SEED") or str(random.SystemRandom().randrange(1 << 32))


async def test_killed_before_anybody_came(tmp_path: Path, nursery: trio.Nursery) -> None:
    """CH-22, CH-110: channels, subscriptions and notifications survive a SIGKILL right behind the
    202; the socket that comes and the webhook that is back up get them all, in order."""
    async with Daemon(tmp_path, {"delivery.webhook_retries": [0.1] * 500}) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        with socket.socket() as reserved:  # bound and not listening: connections are refused
            reserved.bind(("127.0.0.1", 0))
            port = reserved.getsockname()[1]
            channel = await user.socket_channel()
            await user.webhook_channel(port)
            ids = await platform.publish(*(chat("alice", str(n)) for n in range(150)))
            ids += await platform.publish(chat("alice", "last"))
            await daemon.kill()
            await daemon.start()
        hook = await receiver.start(nursery, port=port)
        async with open_socket(user, channel) as listener:
            frames = await listener.texts(len(ids))
        await until(lambda: len(hook.requests) >= len(ids), "all webhooks are called")
    assert [id_of(frame) for frame in frames] == ids
    assert [request.body.decode() for request in hook.requests] == frames


async def test_killed_under_load(tmp_path: Path, nursery: trio.Nursery) -> None:
    """SE-12, CH-56, CH-58, CH-110: killed again and again while publishers publish, clients
    withhold Pongs and reconnect and a receiver fails, the daemon delivers everything it answered
    202 to every channel it is for, in order within each order key, repeating only whole
    notifications with their ids."""
    settings = {
        "ws.window": 20,
        "webhooks.unanswered_retries": 100,
        "delivery.webhook_retries": [0.05] * 1000,
    }
    rng, ledger = random.Random(SEED), Ledger()
    hook = await receiver.start(nursery)
    async with Daemon(tmp_path, settings) as daemon, trio.open_nursery() as clients:
        load = Load(daemon, ledger, rng)
        hooks: dict[str, str] = {}
        load.keep_books(hook, hooks.__getitem__)
        for name in ("alice", "bob", "carol"):
            user = User(daemon, name)
            for mute, restless in ((0.0, False), (0.7, True), (0.0, True)):
                channel = await user.socket_channel()
                ledger.expect(name, channel)
                clients.start_soon(
                    partial(load.listen, user, channel, mute=mute, restless=restless)
                )
            hooks[f"/{name}"] = await user.webhook_channel(hook.port, f"/{name}")
            ledger.expect(name, hooks[f"/{name}"])
        async with trio.open_nursery() as publishers:
            for number, batch in enumerate((0, 0, 0, 7, 40)):
                publishers.start_soon(
                    partial(load.publish, f"p{number}", ["alice", "bob", "carol"], batch=batch)
                )
            for _ in range(ROUNDS):
                enough = ledger.promised + rng.randint(20, 300)
                await until(lambda: ledger.promised >= enough, "publishing goes on")  # noqa: B023
                await trio.sleep(rng.uniform(0, 0.02))
                await daemon.kill()
                await daemon.start()
            load.calm.set()
        await until(lambda: not ledger.open, f"all arrives (seed {SEED})")
        await until(lambda: all_settled(daemon), f"all is settled (seed {SEED})")
        dead = await daemon.metric("tocsin_dead_letters", type="Webhooks")
        clients.cancel_scope.cancel()
    assert (ledger.missing(), ledger.mistakes(), dead) == ([], [], 0), f"seed {SEED}"
    assert ledger.promised > 20 * ROUNDS
    assert ledger.duplicates > 0


async def all_settled(daemon: Daemon) -> bool:
    """Whether nothing is left in the store."""
    depths = [
        await daemon.metric("tocsin_queue_depth", type=kind) for kind in ("websockets", "Webhooks")
    ]
    return depths == [0, 0]
