"""People who write to each other through one real daemon, for the tests of messaging.

    async with town.talking("ann", "bob") as (ann, bob):
        await bob.ask(direct("ann", "hi"))

Each town is a domain of its own, in which nobody has been heard of. Tests of a module share a
daemon, which takes longer to start than most of them.
"""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import trio
from tests.end_to_end.daemon import SECRET, Daemon
from tests.fakes.messaging_client import RAW, Message, MessagingClient, Reply, connected

from tocsin.wire.jwk import shared_secret
from tocsin.wire.jwt import mint

SETTINGS: Final[Mapping[str, object]] = {
    "messaging.limits.rate": 10_000,
    "messaging.limits.burst": 10_000,
    "messaging.limits.flood": 100_000,
    "messaging.sockjs.prove_within": 0.1,
    "messaging.sockjs.disconnect_delay": 20,
    "messaging.resume_hold": 3600,
}
"""Nobody is too fast, and none too slow, to poll again or to say whether he resumes; receipts come
soon on every transport."""


def running(folder: Path, settings: Mapping[str, object] | None = None) -> Iterator[Daemon]:
    """A daemon for the tests of a module, from within a fixture; it must not log any error."""
    daemon = Daemon(folder, {**SETTINGS, **(settings or {})})
    trio.run(daemon.start)
    try:
        yield daemon
    finally:
        trio.run(daemon.__aexit__, None, None, None)
    errors = [line for line in daemon.log.splitlines() if '"level":"error"' in line]
    assert errors == []


class Town:
    """One domain of a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.domain = uuid4().hex

    def token(self, name: str) -> str:
        """What somebody of this town is let in with."""
        claims = {"sub": name, "domain": self.domain, "client_id": "e2e", "scope": "messaging"}
        return mint(claims, shared_secret(SECRET), now=time.time(), lifetime=3600)

    @asynccontextmanager
    async def arriving(self, name: str, transport: str = RAW) -> AsyncIterator[MessagingClient]:
        """Somebody who has been welcomed and has not said anything."""
        token = self.token(name)
        async with connected(self.daemon.public, token, transport=transport) as client:
            yield client

    @asynccontextmanager
    async def talking(
        self, *names: str, transport: str = RAW
    ) -> AsyncIterator[Sequence[MessagingClient]]:
        """People who are there, each sent what there is for him from now on (MS-61)."""
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(self.arriving(name, transport)) for name in names
            ]
            for client in clients:
                await fence(client)
            yield clients


# -- what is said ------------------------------------------------------------------------------


def direct(to: str, content: str = "hi", **more: object) -> Message:
    """A message to somebody; `_` for `-`."""
    return said("direct-message", subscriber_id=to, content=content, **more)


def to_room(room: str, content: str = "hi", **more: object) -> Message:
    """A message to a Room."""
    return said("channel-message", channel_id=room, content=content, **more)


def said(type_: str, **members: object) -> Message:
    """A message of a client; `_` for `-`."""
    return {"type": type_, **{name.replace("_", "-"): v for name, v in members.items()}}


async def write(client: MessagingClient, message: Message) -> str:
    """Send a message; its id."""
    id_: str = (await client.ask(message)).one["message-id"]
    return id_


async def new_room(
    founder: MessagingClient, *others: MessagingClient, name: str = "R", **more: object
) -> str:
    """A Room that all of these have joined, in this order, as the others have been told."""
    room: str = (
        await founder.ask(said("create-channel", name=name, invite_token="s3", **more))
    ).one["channel-id"]
    inside = [founder]
    for one in others:
        joining = said("join-channel", channel_id=room, invite_token="s3")
        assert (await one.ask(joining)).is_ok
        for member in inside:
            await member.until("subscriber", change="joined")
        inside.append(one)
    return room


# -- what is heard -----------------------------------------------------------------------------


async def fence(client: MessagingClient) -> Reply:
    """Ask something that changes nothing: whatever was for this client before has come then."""
    return await client.ask(said("list-subscribers"))


async def heard(client: MessagingClient) -> list[Message]:
    """What has come by itself up to now, and nobody has taken."""
    await fence(client)
    return [await client.next() for _ in client.waiting]


async def history(client: MessagingClient, **members: object) -> Message:
    """A page of a conversation."""
    return (await client.ask(said("history", **members))).one


async def members_of(client: MessagingClient, room: str) -> dict[str, dict[str, Any]]:
    """The members of a Room by id, in the order listed."""
    listed = (await client.ask(said("list-subscribers", channel_id=room))).one
    return {one["id"]: one for one in listed["subscribers"]}


def of_log(messages: Sequence[Message]) -> list[Message]:
    """Those that have a place in the Log, in the order they came."""
    return [
        one for one in messages if "cursor" in one and one["type"] not in {"welcome", "resumed"}
    ]


def place(message: Message) -> int:
    """Its number in the Log."""
    return int(message["cursor"].rpartition(":")[2])


def bare(message: Message) -> Message:
    """A message without what depends on how it came."""
    return {name: value for name, value in message.items() if name not in {"reply-to", "cursor"}}
