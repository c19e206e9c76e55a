"""Thousands of clients that come back at the same moment (SE-12, CH-51, CH-58)."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from tests.end_to_end.clients import Platform, User, chat, text_of
from tests.end_to_end.daemon import BOUND, Daemon, token, until
from tests.end_to_end.notification_socket import (
    HandshakeRefusedError,
    SocketClosedError,
    open_socket,
)
from tests.end_to_end.process import resident_bytes

pytestmark = pytest.mark.end_to_end

CLIENTS = int(os.environ.get("TOCSIN_TORTURE_CLIENTS", "1000"))
ROUNDS = 2
USERS = 10
AT_ONCE = 50
MIB = 1 << 20
# A crowd takes its time where the machine has other things to do.
PATIENCE = BOUND * (1 + CLIENTS // 500)
# Ten users have them all, so that making them costs no more than it must.
SETTINGS = {
    "limits.channels_per_user": 60_000,
    "limits.subscriptions_per_user": 60_000,
    "ws.max_connections_per_user": 50_000,
}


class Crowd:
    """Clients with a channel each, who are all connected or all not."""

    def __init__(self, daemon: Daemon) -> None:
        self.users = [User(daemon, f"u{n}", bearer=token(f"u{n}")) for n in range(USERS)]
        self.channels: list[tuple[User, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.arrived = 0

    async def enter(self, count: int) -> None:
        """Create so many channels."""
        room = trio.CapacityLimiter(AT_ONCE)

        async def create(user: User, number: int) -> None:
            async with room:
                channel = await user.socket_channel(clientCorrelator=f"c{number}")
            self.channels.append((user, channel))
            self.texts[channel] = []

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(create, self.users[number % USERS], number)

    async def stay(self, user: User, channel: str) -> None:
        """One client: come, read, and come back at once when it is cut off."""
        while True:
            try:
                async with open_socket(user, channel) as socket:
                    while True:
                        text = text_of(await socket.receive())
                        if text not in self.texts[channel]:
                            self.texts[channel].append(text)
                            self.arrived += 1
            except (OSError, SocketClosedError, HandshakeRefusedError):
                await trio.sleep(0.05)


async def test_all_come_back_at_once(tmp_path: Path, nursery: trio.Nursery) -> None:
    """SE-12, CH-58: when the daemon is killed again and again under a crowd, all of it comes back
    at once, and each client gets everything that was published meanwhile, in order."""
    async with Daemon(tmp_path, SETTINGS) as daemon:
        crowd, platform = Crowd(daemon), Platform(daemon)
        await crowd.enter(CLIENTS)
        for user, channel in crowd.channels:
            nursery.start_soon(crowd.stay, user, channel)
        expected: list[str] = []
        for number in range(ROUNDS):
            await until(lambda: all_are_here(daemon), "all are here", bound=PATIENCE)
            expected.append(str(number))
            await platform.publish(*(chat(user.name, str(number)) for user in crowd.users))
            await daemon.kill()
            await daemon.start()
        everything = CLIENTS * ROUNDS
        await until(lambda: crowd.arrived == everything, "all have everything", bound=PATIENCE)
        nursery.cancel_scope.cancel()
    assert all(texts == expected for texts in crowd.texts.values())


async def test_coming_and_going_costs_no_memory(tmp_path: Path) -> None:
    """SE-12: a crowd that comes, gets something and goes, again and again, leaves nothing behind
    in the daemon's memory but what the first time left."""
    held: list[int] = []
    async with Daemon(tmp_path, SETTINGS) as daemon:
        crowd, platform = Crowd(daemon), Platform(daemon)
        await crowd.enter(CLIENTS)
        for number in range(2 + ROUNDS):
            async with trio.open_nursery() as visit:
                for user, channel in crowd.channels:
                    visit.start_soon(crowd.stay, user, channel)
                await until(lambda: all_are_here(daemon), "all are here", bound=PATIENCE)
                await platform.publish(*(chat(user.name, str(number)) for user in crowd.users))
                everything = CLIENTS * (number + 1)
                await until(lambda: crowd.arrived == everything, "all have it", bound=PATIENCE)  # noqa: B023
                await until(lambda: nothing_waits(daemon), "all have receipted", bound=PATIENCE)
                visit.cancel_scope.cancel()
            await until(lambda: nobody_is_here(daemon), "all have gone", bound=PATIENCE)
            held.append(resident_bytes(daemon))
    # What leaks does so each time; the allocator may want more once, for a larger heap of work.
    grown = [later - earlier for earlier, later in pairwise(held[1:])]
    assert min(grown) < max(4 * MIB, CLIENTS * 1024) / ROUNDS, held


async def all_are_here(daemon: Daemon) -> bool:
    """Whether every client has a connection."""
    return await daemon.metric("tocsin_ws_connections") == CLIENTS


async def nobody_is_here(daemon: Daemon) -> bool:
    """Whether no client has one."""
    return await daemon.metric("tocsin_ws_connections") == 0


async def nothing_waits(daemon: Daemon) -> bool:
    """Whether all deliveries are over."""
    return await daemon.metric("tocsin_queue_depth", type="websockets") == 0
