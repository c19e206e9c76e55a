"""Clients for the tests that kill, good and bad at being clients.

Each comes back for ever, whatever happens; once it is calm, it behaves, and stays.
"""

from contextlib import suppress

import attrs
import orjson
import trio
from tests.end_to_end.clients import PREFIX, ROOT, User
from tests.end_to_end.http_connection import Answer
from tests.end_to_end.load import PAUSE, Load
from tests.end_to_end.notification_socket import (
    HandshakeRefusedError,
    NotificationSocket,
    SocketClosedError,
    open_socket,
)
from wsproto.utilities import LocalProtocolError

MOST_LIVING = 5


class UnavailableError(Exception):
    """503: come back later."""


# The last: what crosses the daemon's Close.
FAILURES = (
    OSError,
    UnavailableError,
    SocketClosedError,
    HandshakeRefusedError,
    LocalProtocolError,
)


async def new_channel(user: User, correlator: str) -> str:
    """A websockets channel; UnavailableError if there is none to be had now."""
    wanted = {"channelType": "websockets", "clientCorrelator": correlator}
    answer = await user.call("POST", user.channels, {"notificationChannel": wanted})
    return str(created(answer)["notificationChannel"]["callbackURL"])


async def subscribe(user: User, channel: str) -> None:
    """Subscribe a channel to the user's chat messages; UnavailableError as above."""
    path = f"{PREFIX}/chat/v1/{user.name}/subscriptions"
    wanted = {"callbackReference": {"notifyURL": channel}}
    created(await user.call("POST", path, {"chatNotificationSubscription": wanted}))


def created(answer: Answer) -> dict[str, dict[str, str]]:
    """What a 201 has to say."""
    if answer.status == 503:
        raise UnavailableError
    assert answer.status == 201, answer
    document: dict[str, dict[str, str]] = answer.json()
    return document


@attrs.define
class Listener:
    """A socket that is opened again and again. It answers no Ping on a share `mute` of its
    connections; a restless one leaves early."""

    load: Load
    user: User
    channel: str
    mailbox: str
    mute: float = 0.0
    restless: bool = False

    async def run(self) -> None:
        """See the class."""
        while True:
            with suppress(*FAILURES), trio.move_on_after(self._patience()):
                await self._listen(ponging=not self.load.happens(self.mute))
            await trio.sleep(PAUSE)

    def _patience(self) -> float:
        leaves = self.restless and not self.load.calm.is_set()
        return self.load.rng.uniform(0.02, 0.5) if leaves else float("inf")

    async def _listen(self, *, ponging: bool) -> None:
        async with open_socket(self.user, self.channel, ponging=ponging) as socket:
            while True:
                self.load.ledger.arrive(self.mailbox, await socket.receive())


@attrs.define
class Counter(Listener):
    """A socket whose client says where it is, and is to be told that it has missed nothing."""

    position: str = "0:0"

    async def _listen(self, *, ponging: bool) -> None:
        since = self.position
        async with open_socket(self.user, self.channel, ponging=ponging, since=since) as socket:
            await self._begin(socket)
            while True:
                self.load.ledger.arrive(self.mailbox, await socket.receive())
                epoch, _, seq = self.position.partition(":")
                self.position = f"{epoch}:{int(seq) + 1}"

    async def _begin(self, socket: NotificationSocket) -> None:
        told = orjson.loads(await socket.receive())["channelResumed"]
        if (told["recovered"], told["missed"]) != (True, 0):
            self.load.ledger.mistake(f"{self.mailbox} at {self.position} was told {told}")
        self.position = f"{told['epoch']}:{told['seq']}"


@attrs.define
class Poller:
    """A client that polls; with `counting` it says which answer it has, and loses some."""

    load: Load
    user: User
    channel: str
    mailbox: str
    counting: bool = False
    position: str = "0:0"

    async def run(self) -> None:
        """See the class."""
        while True:
            with suppress(OSError):
                await self._poll()
            await trio.sleep(PAUSE)

    async def _poll(self) -> None:
        lost = self.counting and self.load.happens(0.3)
        with trio.move_on_after(self.load.rng.uniform(0, 0.3) if lost else float("inf")):
            query = f"?since={self.position}" if self.counting else ""
            path = f"{self.user.channels}/{self.channel}/notifications{query}"
            answer = await self.user.call("GET", path)
            if answer.status == 200 and not lost:
                self._take(answer)
            elif answer.status not in {200, 503}:
                self.load.ledger.mistake(f"{self.mailbox} at {self.position}: {answer}")

    def _take(self, answer: Answer) -> None:
        for one in answer.json()["notificationList"]:
            assert list(one) == [ROOT]
            self.load.ledger.arrive(self.mailbox, orjson.dumps(one))
        self.position = answer.headers["x-channel-position"]


@attrs.define
class Page:
    """A page in a browser, reloaded now and then: each time a new channel of the same client,
    which has to get what waits at the channels before it. All of them are one mailbox."""

    load: Load
    user: User
    mailbox: str
    reloads: int = 0

    async def run(self) -> None:
        """See the class."""
        while True:
            with suppress(*FAILURES):
                channel = await new_channel(self.user, "page")
                await subscribe(self.user, channel)
                self.reloads += 1
                await self._stay(channel)
            await trio.sleep(PAUSE)

    async def _stay(self, channel: str) -> None:
        while True:
            leaves = self.load.happens(0.7)
            patience = self.load.rng.uniform(0.02, 0.5) if leaves else float("inf")
            with suppress(*FAILURES), trio.move_on_after(patience):
                async with open_socket(self.user, channel) as socket:
                    await self._read(socket, leaves=leaves)
            if leaves:
                return
            await trio.sleep(PAUSE)

    async def _read(self, socket: NotificationSocket, *, leaves: bool) -> None:
        """A few with a good-bye at the end, or for ever."""
        for _ in range(self.load.rng.randint(0, 50) if leaves else 1 << 30):
            self.load.ledger.arrive(self.mailbox, await socket.receive())
        await socket.close()


@attrs.define
class Mover:
    """A user who creates channels and deletes them, and believes every answer. A channel whose
    DELETE was cut off may be there or not, until the next one is answered."""

    load: Load
    user: User
    living: list[str] = attrs.field(factory=list)
    leaving: list[str] = attrs.field(factory=list)
    deleted: list[str] = attrs.field(factory=list)
    _created: int = 0

    async def run(self) -> None:
        """See the class."""
        while True:
            with suppress(OSError, UnavailableError):
                await self._turn()
            await trio.sleep(PAUSE)

    async def clear(self) -> None:
        """See that everything is as the last answer about it had it, and delete what is left."""
        for channel in self.living:
            await self._expect(channel, 200)
        for channel in self.deleted:
            await self._expect(channel, 404)
        self.leaving += self.living
        self.living.clear()
        await self._delete_all()

    async def _turn(self) -> None:
        await self._delete_all()
        if len(self.living) < MOST_LIVING:
            self._created += 1
            correlator = f"{self.user.name}-{self._created}"
            channel = await new_channel(self.user, correlator)
            self.living.append(channel)
            await subscribe(self.user, channel)
        await self._expect(self.load.rng.choice(self.living), 200)
        if self.deleted:
            await self._expect(self.load.rng.choice(self.deleted), 404)
        if self.load.happens(0.5):
            self.leaving.append(self.living.pop(self.load.rng.randrange(len(self.living))))

    async def _delete_all(self) -> None:
        while self.leaving:
            status = await self.user.delete(self.leaving[0])
            if status not in {204, 404}:
                return
            self.deleted.append(self.leaving.pop(0))

    async def _expect(self, channel: str, status: int) -> None:
        answer = await self.user.call("GET", f"{self.user.channels}/{channel}")
        if answer.status not in {status, 503}:
            self.load.ledger.mistake(f"{channel} ought to be {status} and is {answer}")
