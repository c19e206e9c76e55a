"""SIGKILL at any moment loses nothing that was answered 202 (delivery.md, promises; SE-12)."""

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from tests.end_to_end.accounting import Ledger
from tests.end_to_end.cast import Cast
from tests.end_to_end.clients import Platform, User, chat, id_of
from tests.end_to_end.daemon import BOUND, Daemon, token, until
from tests.end_to_end.deaths import Deaths
from tests.end_to_end.http_connection import http_connection
from tests.end_to_end.load import Load
from tests.end_to_end.notification_socket import open_socket
from tests.end_to_end.producers import MOST_OPEN
from tests.end_to_end.quota import FileLimit
from tests.end_to_end.remains import deliveries_in, remains_in
from tests.fakes import receiver
from tests.fakes.chance import SEED

pytestmark = pytest.mark.end_to_end

ROUNDS = int(os.environ.get("TOCSIN_TORTURE_ROUNDS", "10"))
# All of them at once, on a machine that has other things to do.
PATIENCE = 3 * BOUND
SETTINGS: dict[str, object] = {
    "ws.window": 20,
    "webhooks.unanswered_retries": 100,
    "delivery.webhook_retries": [0.05] * 1000,
    "channels.abandoned_after": 1,
    "longpoll.hold": 5,
    "limits.buffer_count": 10_000,
    # A POST whose answer is cut off leaves a channel that nobody knows of.
    "limits.channels_per_user": 10_000,
    "limits.subscriptions_per_user": 10_000,
}


async def test_killed_before_anybody_came(tmp_path: Path, nursery: trio.Nursery, port: int) -> None:
    """CH-22, CH-110: channels, subscriptions and notifications survive a SIGKILL right behind the
    202; the socket that comes and the webhook that is back up get them all, in order."""
    # Ten failures would open the breaker of the lane.
    retries = {"delivery.webhook_retries": [1.0] * 500}
    async with Daemon(tmp_path, retries) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
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
    """SE-12, CH-22, CH-45, CH-56, CH-58, CH-67, CH-110, CH-114 to CH-116: killed again and again
    while producers produce and ask again, clients withhold Pongs, count, poll, reload and
    reconnect, channels come and go and a receiver fails, the daemon delivers everything it
    answered 2xx to everybody it is for, in order within each order key, repeating only whole
    notifications with their ids, and never to a poll that said it has them."""

    async def trouble(load: Load) -> None:
        deaths = Deaths(load.daemon, load.rng)
        for _ in range(ROUNDS):
            await until(
                more_than(load.ledger, load.rng.randint(20, 300)),
                f"it works ({SEED})",
                bound=PATIENCE,
            )
            await deaths.die()

    ledger = await survive(trouble, tmp_path, nursery)
    assert ledger.promised > 20 * ROUNDS
    assert ledger.duplicates > 0


async def test_full_disk_under_load(tmp_path: Path, nursery: trio.Nursery) -> None:
    """SE-12, CH-117: the same while again and again nothing can be written for a moment, after
    some of which the daemon is killed: what was answered 503 has left no trace."""
    state = FileLimit(tmp_path / "state")

    async def trouble(load: Load) -> None:
        for number in range(max(3, ROUNDS // 3)):
            await until(
                more_than(load.ledger, load.rng.randint(20, 300)),
                f"it works ({SEED})",
                bound=PATIENCE,
            )
            state.fill(load.daemon)
            await until(more_refused(load.ledger), f"something is refused ({SEED})", bound=PATIENCE)
            if number % 3 == 2:
                await load.daemon.kill()
                await load.daemon.start()
            else:
                state.free(load.daemon)

    # A log that starts over has room before its end, whatever the disk has.
    settings = SETTINGS | {"store.checkpoint_pages": 1 << 30}
    ledger = await survive(trouble, tmp_path, nursery, settings)
    assert ledger.refused


async def survive(
    trouble: Callable[[Load], Awaitable[None]],
    folder: Path,
    nursery: trio.Nursery,
    settings: Mapping[str, object] = SETTINGS,
) -> Ledger:
    """Let everybody at the daemon, cause trouble, let it calm down, and judge the books."""
    hook = await receiver.start(nursery)
    async with Daemon(folder, settings) as daemon:
        load = Load(daemon, Ledger(), random.Random(SEED))
        ledger = load.ledger
        async with trio.open_nursery() as clients:
            cast = await Cast.enter(load, hook, clients)
            async with trio.open_nursery() as restless:
                restless.start_soon(cast.mover.run)
                async with trio.open_nursery() as producers:
                    for producer in cast.producers():
                        producers.start_soon(producer.run)
                    await trouble(load)
                    load.calm.set()
                restless.cancel_scope.cancel()
            await cast.mover.clear()
            async with explained(daemon, ledger):
                await until(lambda: not ledger.open, f"all arrives (seed {SEED})", bound=PATIENCE)
                await until(
                    partial(all_settled, daemon), f"all is settled (seed {SEED})", bound=PATIENCE
                )
            dead = await daemon.metric("tocsin_dead_letters", type="Webhooks")
            clients.cancel_scope.cancel()
        assert (ledger.missing(), ledger.mistakes(), dead) == ([], [], 0), f"seed {SEED}"
    assert deliveries_in(folder) == 0, f"seed {SEED}"
    assert cast.page.reloads
    assert cast.mover.deleted
    return ledger


@asynccontextmanager
async def explained(daemon: Daemon, ledger: Ledger) -> AsyncIterator[None]:
    """A failure says what the books have to say, and what is left in the store and its lanes."""
    failure = None
    try:
        yield
    except AssertionError as error:
        failure = error
    if failure is not None:
        failure.add_note(f"missing: {ledger.missing()[:9]}, mistakes: {ledger.mistakes()[:9]}")
        failure.add_note(remains_in(daemon.folder))
        with suppress(OSError), trio.move_on_after(1):
            failure.add_note(await lanes(daemon))
        raise failure


async def lanes(daemon: Daemon) -> str:
    """What an operator is shown of the lanes."""
    headers = {"Authorization": f"Bearer {token('operator', 'admin')}"}
    async with http_connection(daemon.admin) as connection:
        answer = await connection.request("GET", "/admin/v1/lanes", b"", headers)
    return answer.body.decode()


def more_refused(ledger: Ledger) -> Callable[[], bool]:
    """Whether more than now has been refused, or so much is open that nobody produces."""
    before = ledger.refused
    return lambda: ledger.refused > before or ledger.open > MOST_OPEN


def more_than(ledger: Ledger, number: int) -> Callable[[], bool]:
    """Whether so many more than now have been promised."""
    enough = ledger.promised + number
    return lambda: ledger.promised >= enough


async def all_settled(daemon: Daemon) -> bool:
    """Whether nothing is left in the store, as far as the daemon knows."""
    kinds = ("websockets", "LongPolling", "Webhooks")
    depths = [await daemon.metric("tocsin_queue_depth", type=kind) for kind in kinds]
    return not any(depths)
