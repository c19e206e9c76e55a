"""`/v1/messaging` on a desk's world, asked by HTTP.

async with rest_world(nursery) as world:
    alice, bob = await world.people("alice", "bob")
    answer = await world.get("/log", "alice")
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import orjson
import trio
from tests.fakes.http_client import Answer, Front, serving
from tests.fakes.messaging_desk import EPOCH, DeskWorld
from tests.fakes.messaging_world import DOMAIN
from tests.fakes.revocations import revocations
from tests.fakes.tokens import NOW, SECRET, signed

from tocsin.delivery.deliverylog import DeliveryLog
from tocsin.delivery.revocations import Revocations
from tocsin.delivery.settings import DeliverySettings
from tocsin.messaging.receipts import Receipts
from tocsin.messaging.settings import MessagingLimits
from tocsin.server.auth import Authenticator, AuthSettings, key_source
from tocsin.server.messaging.oversight import Oversight
from tocsin.server.messaging.rates import Rates
from tocsin.server.messaging.readouts import Readouts
from tocsin.server.messaging.rest import PREFIX, MessagingRestFace
from tocsin.server.messaging.revoke import Revoker
from tocsin.server.router import Router

AUTH = AuthSettings(shared_secret=SECRET)


@attrs.define
class RestWorld(DeskWorld):
    """A desk's world with a REST face. Rates are those of `limits`, at one moment; `wall` is what
    tokens go by."""

    wall: float = NOW
    only_domain: str | None = None
    receipts: Receipts = attrs.field(init=False)
    revocations: Revocations = attrs.field(init=False)
    tokens: Authenticator = attrs.field(init=False)
    front: Front = attrs.field(init=False)

    def router(self) -> Router:
        """The face, mounted."""
        self.receipts = Receipts(self.store, clock=self.now)
        self.revocations = revocations(self.store, now=lambda: self.wall, metrics=self.core.metrics)
        self.tokens = Authenticator(
            AUTH, key_source(AUTH), revocations=self.revocations, now=lambda: self.wall
        )
        readouts = Readouts(
            store=self.store,
            register=self.register,
            rooms=self.rooms,
            histories=self.histories,
            receipts=self.receipts,
            limits=self.limits,
            epoch=EPOCH,
        )
        oversight = Oversight(
            store=self.store,
            register=self.register,
            live=self.live,
            presence=self.presence,
            log=DeliveryLog(self.store, settings=DeliverySettings(), clock=self.now),
            revoker=Revoker(self.revocations, self.tokens),
            epoch=EPOCH,
            only_domain=self.only_domain,
        )
        router = Router()
        rates = Rates(self.limits)
        MessagingRestFace(self.tokens, readouts, oversight, rates, now=lambda: 0.0).add_routes(
            router
        )
        return router

    async def http(
        self,
        method: str,
        path: str,
        token: str | None = None,
        *,
        body: object = None,
        headers: tuple[str, ...] = (),
        peer: str = "192.0.2.1",
    ) -> Answer:
        """One request below the prefix, over a connection of its own."""
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        client = self.front.connect(peer=peer)
        lines = [f"{method} {PREFIX}{path} HTTP/1.1", "Host: x", *headers]
        lines += [f"Content-Length: {len(data)}"] if data or method == "POST" else []
        lines += [] if token is None else [f"Authorization: Bearer {token}"]
        await client.send("\r\n".join([*lines, "", ""]).encode() + data)
        with trio.fail_after(30):
            return await client.answer(method)

    async def get(self, path: str, who: str, **claims: Any) -> dict[str, Any]:
        """What somebody reads; it must be given."""
        answer = await self.http("GET", path, of(who, **claims))
        assert answer.status == 200, answer
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        return dict(orjson.loads(answer.body))

    async def refused(
        self, method: str, path: str, token: str | None, **more: Any
    ) -> tuple[int, str]:
        """Status and code of what is refused, in the form of this face."""
        return told(await self.http(method, path, token, **more))


def told(answer: Answer) -> tuple[int, str]:
    """Status and code of a refusal, whose form is checked (MS-6)."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    document = orjson.loads(answer.body)
    assert set(document) == {"error"}
    assert set(document["error"]) == {"code", "text"}
    return answer.status, document["error"]["code"]


def of(subscriber: str, **claims: Any) -> str:
    """A token of a subscriber of the world's domain."""
    return signed("HS256", **{"sub": subscriber, "domain": DOMAIN, "scope": "messaging", **claims})


def admin(**claims: Any) -> str:
    """A token of an operator of the world's domain."""
    return of("root", **{"scope": "admin", **claims})


@asynccontextmanager
async def rest_world(
    nursery: trio.Nursery, *, limits: MessagingLimits | None = None, **options: Any
) -> AsyncIterator[RestWorld]:
    """A world that is asked over sockets."""
    world = RestWorld(limits=limits or MessagingLimits(), **options)
    async with serving(world.router()) as front:
        world.front = front
        yield world
