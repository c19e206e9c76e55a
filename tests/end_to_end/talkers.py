"""People who write to each other: their tokens, their channels, and what they ask over REST."""

import json
import time
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlencode

from tests.end_to_end.clients import User
from tests.end_to_end.daemon import SECRET, Daemon, token
from tests.end_to_end.http_connection import Answer, http_connection
from tests.fakes.messaging_client import RAW, Message, MessagingClient, connected

from tocsin.wire.jwk import shared_secret
from tocsin.wire.jwt import mint

DOMAIN = "local"
"""That of tokens that name none."""


def pass_of(
    name: str, scope: str = "messaging", *, issued: float = 0, lifetime: int = 3600, **claims: str
) -> str:
    """A token of a subscriber, issued `issued` seconds from now."""
    members = {"sub": name, "client_id": "e2e", "scope": scope, **claims}
    return mint(members, shared_secret(SECRET), now=time.time() + issued, lifetime=lifetime)


def core_user(name: str, domain: str = DOMAIN) -> str:
    """What he is called by channels and pushes (MS-3)."""
    return f"{name}@{domain}"


def device_of(daemon: Daemon, name: str, domain: str = DOMAIN) -> User:
    """He as a user of channels."""
    return User(daemon, core_user(name, domain))


def talk(
    daemon: Daemon,
    name: str,
    *,
    transport: str = RAW,
    bearer: str | None = None,
    correlator: str | None = None,
    greeted: bool = True,
) -> AbstractAsyncContextManager[MessagingClient]:
    """Somebody's connection, which has had its `welcome` unless it is not wanted yet."""
    return connected(
        daemon.public,
        bearer or pass_of(name),
        transport=transport,
        correlator=correlator,
        greeted=greeted,
    )


def direct(to: str, content: str, **members: str) -> Message:
    """A message to one subscriber."""
    return {
        "type": "direct-message",
        "subscriber-id": to,
        "content": content,
        **{name.replace("_", "-"): value for name, value in members.items()},
    }


def to_room(room: str, content: str, **members: str) -> Message:
    """A message to a Room."""
    return {**direct("", content, **members), "type": "channel-message", "subscriber-id": None} | {
        "channel-id": room
    }


async def send(client: MessagingClient, message: Message) -> str:
    """Send it, which must be done; its id."""
    reply = await client.ask(message)
    assert reply.is_ok, reply
    return str(reply.messages[-1]["message-id"])


async def open_room(client: MessagingClient, name: str, *invited: str) -> str:
    """A Room of these, who have yet to join; its id."""
    made = await client.ask({"type": "create-channel", "name": name})
    room = str(made.one["channel-id"])
    if invited:
        asked = {"type": "invite", "channel-id": room, "subscriber-ids": list(invited)}
        assert (await client.ask(asked)).is_ok
    return room


async def join(client: MessagingClient, room: str) -> None:
    """Accept the invitation."""
    assert (await client.ask({"type": "join-channel", "channel-id": room})).is_ok


class Rest:
    """`/v1/messaging` for one token."""

    def __init__(self, daemon: Daemon, bearer: str) -> None:
        self._daemon = daemon
        self._headers = {"Authorization": f"Bearer {bearer}"}

    async def get(self, path: str, **query: str | int) -> Answer:
        """GET a resource; `_` in names is `-`."""
        named = {name.replace("_", "-"): value for name, value in query.items()}
        return await self.call("GET", f"{path}?{urlencode(named)}")

    async def found(self, path: str, **query: str | int) -> dict[str, Any]:
        """GET what must be there."""
        answer = await self.get(path, **query)
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json()
        return found

    async def call(self, method: str, path: str, document: object = None, **headers: str) -> Answer:
        """Any request."""
        body = b"" if document is None else json.dumps(document).encode()
        kind = {} if document is None else {"Content-Type": "application/json"}
        async with http_connection(self._daemon.public) as connection:
            fields = {**self._headers, **kind, **headers}
            return await connection.request(method, f"/v1/messaging{path}", body, fields)


def operator(daemon: Daemon) -> Rest:
    """Whoever may do everything, in every domain."""
    return Rest(daemon, token("root", "admin"))


async def revoke(daemon: Daemon, **wanted: str) -> None:
    """Have tokens ended, of this domain."""
    named = {name.replace("_", "-"): value for name, value in wanted.items()}
    answer = await operator(daemon).call("POST", f"/revoke?domain={DOMAIN}", named)
    assert answer.status == 204, answer
