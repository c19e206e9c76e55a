"""How long a subscription lives (CH-95), by a clock the test sets."""

from typing import Any

import orjson
import pytest
import trio
from tests.fakes.deliveries import T0, socket_channel, webhook_channel
from tests.fakes.world import World

from tocsin.delivery.submissions import Accepted
from tocsin.model.channel import Channel
from tocsin.model.errors import RequestError
from tocsin.server.router import Router
from tocsin.server.subscriptions import SubscriptionFace
from tocsin.wire.request import Request, split_path
from tocsin.wire.response import Response

PATH = "/smsmessaging/v1/u/inbound/subscriptions"


class Now:
    """A clock that stands still."""

    def __init__(self) -> None:
        self._now = T0

    def __call__(self) -> int:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += int(seconds * 1000)


class Face:
    """The routes of the subscriptions of `u`, asked without HTTP."""

    def __init__(self, world: World) -> None:
        self._router = Router()
        SubscriptionFace(world.directory, prefix="", clock=world.clock).add_routes(self._router)

    async def ask(self, method: str, target: str, body: object = None) -> Any:
        """What is answered, as JSON; a refusal is raised."""
        segments = split_path(target)
        match = self._router.match(method, segments)
        assert match.route is not None
        data = b"" if body is None else orjson.dumps(body)
        request = Request(method, target, segments, {}, data, path_values=match.path_values)
        answer = await match.route.handler(request)
        assert isinstance(answer, Response)
        return orjson.loads(answer.body) if answer.body else None

    async def subscribe(self, channel: Channel, **members: object) -> str:
        """The resourceURL of a subscription."""
        members = {"callbackReference": {"notifyURL": channel.id}, **members}
        answer = await self.ask("POST", PATH, {"subscription": members})
        where: str = answer["subscription"]["resourceURL"]
        return where

    async def is_there(self, where: str) -> bool:
        """Whether GET and the list know it; they have to agree, and DELETE with them."""
        content = (await self.ask("GET", PATH))["subscriptionList"]["subscription"]
        known = where in [one["resourceURL"] for one in content]
        if known:
            await self.ask("GET", where)
            return True
        for method in ("GET", "DELETE"):
            with pytest.raises(RequestError) as refused:
                await self.ask(method, where)
            assert (refused.value.status, refused.value.variables) == (404, ("subscriptionId",))
        return False


async def opened(world: World, channel: Channel) -> Channel:
    account = await world.directory.account(channel.user)
    return await world.directory.open_channel(account, channel)


async def goes_to(world: World, id_: str) -> int:
    """How many channels an sms for `u` goes to."""
    [verdict] = await world.ingest.accept([world.note(id_)])
    assert isinstance(verdict, Accepted)
    return verdict.channels


async def test_a_webhooks_ends_after_its_duration(nursery: trio.Nursery) -> None:
    """To the millisecond: 404, not listed, nothing goes there; and it may be had anew (CH-95)."""
    now = Now()
    world = World(clock=now)
    await world.start(nursery)
    face = Face(world)
    channel = await opened(world, webhook_channel())
    where = await face.subscribe(channel, duration="60")
    now.advance(59.5)
    assert await face.is_there(where)
    assert await goes_to(world, "a") == 1
    now.advance(0.5)
    assert not await face.is_there(where)
    assert await goes_to(world, "b") == 0
    anew = await face.subscribe(channel, duration=60)
    assert anew != where
    assert await face.is_there(anew)
    nursery.cancel_scope.cancel()


async def test_posted_again_it_lives_on(nursery: trio.Nursery) -> None:
    """The same one, its time starting again with the duration of the latest POST (CH-92, CH-95)."""
    now = Now()
    world = World(clock=now)
    await world.start(nursery)
    face = Face(world)
    channel = await opened(world, webhook_channel())
    where = await face.subscribe(channel, duration=60)
    now.advance(50)
    assert await face.subscribe(channel, duration=100) == where
    now.advance(99)
    assert await face.is_there(where)
    assert await face.subscribe(channel) == where
    now.advance(10_000)
    assert await face.is_there(where)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("duration", [None, 10**30, "9" * 40])
async def test_a_webhooks_without_end(nursery: trio.Nursery, duration: object) -> None:
    """None given, or one that nobody will live to see (CH-95)."""
    now = Now()
    world = World(clock=now)
    await world.start(nursery)
    face = Face(world)
    channel = await opened(world, webhook_channel())
    members = {} if duration is None else {"duration": str(duration)}
    where = await face.subscribe(channel, **members)
    now.advance(10 * 365 * 86_400)
    assert await face.is_there(where)
    nursery.cancel_scope.cancel()


async def test_on_a_socket_the_duration_is_only_echoed(nursery: trio.Nursery) -> None:
    """It lives as long as its channel, for deployed clients never renew it (CH-95)."""
    now = Now()
    world = World(clock=now)
    await world.start(nursery)
    face = Face(world)
    channel = await opened(world, socket_channel(lifetime=3600))
    where = await face.subscribe(channel, duration=1)
    now.advance(3599)
    assert await face.is_there(where)
    assert (await face.ask("GET", where))["subscription"]["duration"] == 1
    now.advance(1)
    assert not await face.is_there(where)
    nursery.cancel_scope.cancel()
