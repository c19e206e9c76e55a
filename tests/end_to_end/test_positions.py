"""Clients that count what they get: nothing missed or guessed, through SIGKILL (CH-58, CH-67)."""

import os
import random
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest
from tests.end_to_end.clients import ROOT, Platform, User, chat, id_of
from tests.end_to_end.daemon import Daemon
from tests.end_to_end.http_connection import Answer
from tests.end_to_end.notification_socket import NotificationSocket, open_socket
from tests.fakes.chance import SEED

pytestmark = pytest.mark.end_to_end

ROUNDS = int(os.environ.get("TOCSIN_TORTURE_ROUNDS", "8"))


@attrs.define
class Counter:
    """A client that knows nothing but what it was told and how much came after that."""

    position: str = "0:0"
    received: list[str] = attrs.field(factory=list)

    async def begin(self, socket: NotificationSocket) -> dict[str, Any]:
        """Read `channelResumed`, which must say that nothing is missing."""
        told: dict[str, Any] = orjson.loads((await socket.texts(1))[0])["channelResumed"]
        assert (told["recovered"], told["missed"]) == (True, 0), f"seed {SEED}"
        self.position = f"{told['epoch']}:{told['seq']}"
        return told

    async def read(self, socket: NotificationSocket, count: int) -> None:
        """So many notifications."""
        for text in await socket.texts(count):
            self.received.append(id_of(text))
            epoch, _, seq = self.position.partition(":")
            self.position = f"{epoch}:{int(seq) + 1}"


async def test_counting_through_kills(tmp_path: Path) -> None:
    """Whoever comes back with its count gets all the rest in order, and is never told of a gap,
    whatever was receipted, however the connection and the daemon ended; from one daemon, nothing
    comes twice (CH-50, CH-52, CH-58)."""
    rng, client = random.Random(SEED), Counter()
    published: list[str] = []
    async with Daemon(tmp_path, {"limits.buffer_count": 20 * (ROUNDS + 1)}) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.socket_channel()
        alive: list[str] = []
        for number in range(ROUNDS):
            published += await platform.publish(*(chat("alice", str(n)) for n in range(20)))
            since, ponging = client.position, rng.random() < 0.5
            before = len(client.received)
            async with open_socket(user, channel, ponging=ponging, since=since) as socket:
                await client.begin(socket)
                await client.read(socket, rng.randint(0, 20))
                if number % 3 == 2:
                    await daemon.kill()
            alive += client.received[before:]
            assert len(set(alive)) == len(alive), f"seed {SEED}"
            if number % 3 == 2:
                await daemon.start()
                alive = []
        published += await platform.publish(chat("alice", "last"))
        async with open_socket(user, channel, since=client.position) as socket:
            await client.begin(socket)
            while client.received[-1:] != published[-1:]:
                await client.read(socket, 1)
    assert list(dict.fromkeys(client.received)) == published, f"seed {SEED}"


async def test_polling_through_kills(tmp_path: Path) -> None:
    """Each poll gives back the position of the last answer it has, some answers are lost and the
    daemon is killed: all comes in order, and nothing twice that was claimed (CH-67)."""
    rng = random.Random(SEED)
    position, received, published = "0:0", list[str](), list[str]()
    async with Daemon(tmp_path, {"longpoll.hold": 0}) as daemon:
        user, platform = User(daemon, "alice"), Platform(daemon)
        channel = await user.open_channel("LongPolling")
        await user.subscribe(channel)
        path = f"{user.channels}/{channel}/notifications"
        for number in range(ROUNDS * 2):
            published += await platform.publish(*(chat("alice", str(n)) for n in range(15)))
            answer = await user.call("GET", f"{path}?since={position}")
            if rng.random() < 0.7:
                received += ids_of(answer)
                position = dict(answer.headers)["x-channel-position"]
            if number % 4 == 3:
                await daemon.kill()
                await daemon.start()
        while len(received) < len(published):
            answer = await user.call("GET", f"{path}?since={position}")
            received += ids_of(answer)
            position = dict(answer.headers)["x-channel-position"]
    assert received == published, f"seed {SEED}"


def ids_of(answer: Answer) -> list[str]:
    """The ids in an answer to a poll."""
    assert answer.status == 200, answer.body
    return [one[ROOT]["id"] for one in answer.json()["notificationList"]]
