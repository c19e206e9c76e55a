"""Load for the tests that kill: publishers, and clients good and bad at being clients."""

import random
from collections.abc import Callable

import attrs
import trio
from tests.end_to_end.accounting import Ledger
from tests.end_to_end.clients import Platform, User
from tests.end_to_end.daemon import Daemon
from tests.end_to_end.http_connection import HttpConnection, http_connection
from tests.end_to_end.notification_socket import (
    HandshakeRefusedError,
    SocketClosedError,
    open_socket,
)
from tests.fakes.receiver import Answer, Received, Receiver, ok, raw, reply

PRIORITIES = ("urgent", "normal", "low")
MOST_OPEN = 1500
PAUSE = 0.01


@attrs.define
class Load:
    """What all parts share. While `calm` is unset clients misbehave and publishers publish."""

    daemon: Daemon
    ledger: Ledger
    rng: random.Random
    calm: trio.Event = attrs.field(factory=trio.Event)

    # -- publishers ----------------------------------------------------------------------------

    async def publish(self, name: str, users: list[str], *, batch: int) -> None:
        """Publish until it is calm, `batch` items a request (0: one object), whatever happens."""
        platform = Platform(self.daemon)
        while not self.calm.is_set():
            try:
                async with http_connection(self.daemon.public) as connection:
                    await self._publish_over(connection, platform, name, users, batch)
            except OSError:
                await trio.sleep(PAUSE)

    async def _publish_over(
        self,
        connection: HttpConnection,
        platform: Platform,
        name: str,
        users: list[str],
        batch: int,
    ) -> None:
        while not self.calm.is_set():
            if self.ledger.open > MOST_OPEN:
                await trio.sleep(PAUSE)
                continue
            items = [self._item(name, users) for _ in range(batch or 1)]
            answer = await platform.post_over(connection, items if batch else items[0])
            assert answer.status == 202, answer
            for promise in answer.json() if batch else [answer.json()]:
                self.ledger.promise(promise)

    def _item(self, name: str, users: list[str]) -> dict[str, object]:
        """One order key of four per publisher and user; all of a key have one priority."""
        user, key = self.rng.choice(users), self.rng.randrange(4)
        return self.ledger.send(
            user, f"{name} {user} {key}", priority=PRIORITIES[key % len(PRIORITIES)]
        )

    # -- clients of sockets --------------------------------------------------------------------

    async def listen(self, user: User, channel: str, *, mute: float, restless: bool) -> None:
        """Come back to a channel for ever, answering no Ping on a share `mute` of the
        connections. Once it is calm: answer Pings, and stay."""
        while True:
            calm = self.calm.is_set()
            ponging = calm or self.rng.random() >= mute
            patience = self.rng.uniform(0.02, 0.5) if restless and not calm else float("inf")
            try:
                with trio.move_on_after(patience):
                    async with open_socket(user, channel, ponging=ponging) as socket:
                        while True:
                            self.ledger.arrive(channel, await socket.receive())
            except (OSError, SocketClosedError, HandshakeRefusedError):
                await trio.sleep(PAUSE)

    # -- receivers of webhooks -----------------------------------------------------------------

    def keep_books(self, receiver: Receiver, channel_of: Callable[[str], str]) -> None:
        """Have a receiver fail now and then; what it answers 200 has arrived."""

        def decide(request: Received) -> None:
            receiver.answers.append(self._answer(channel_of(request.target), request))

        receiver.on_request = decide

    def _answer(self, channel: str, request: Received) -> Answer:
        luck = 1.0 if self.calm.is_set() else self.rng.random()
        if luck < 0.1:
            return reply(500)
        if luck < 0.15:
            return reply(503, "Retry-After: 0")
        if luck < 0.2:
            return raw(keep=False)
        self.ledger.arrive(channel, request.body)
        return ok
