"""tocsin.delivery.gateway: calls that are over."""

import pytest
import trio
import trio.testing
from tests.fakes.gatewayapps import ANDROID, APP, ELSEWHERE, MISSED, OTHER_TOKEN, TOKEN, call
from tests.fakes.gatewayworld import (
    gateway_world,
)

from tocsin.model.outcome import Deferred
from tocsin.wire.push.pnm2 import (
    QUEUED,
    SENT,
    Reply,
)


@pytest.mark.parametrize("verb", [MISSED, ELSEWHERE])
async def test_calls_are_withdrawn(autojump_clock: trio.testing.MockClock, verb: str) -> None:
    """Undelivered invitations to a call that is over go, on all tokens and apps; other calls,
    accounts and verbs stay; whoever waits is told (PU-13)."""
    async with gateway_world() as world:
        down = Deferred("unavailable", 20, 503)
        phones = [call(), call(DeviceToken=OTHER_TOKEN), call(AppId=ANDROID, DeviceToken="tok")]
        others = [call(Id="call-2"), call(Selector="bob", DeviceToken="ef" * 32)]
        for token in (TOKEN, OTHER_TOKEN, "tok", "ef" * 32):
            world.provider.script[token] = [down] * (2 if token == TOKEN else 1)
        replies: list[list[Reply]] = []

        async def ask() -> None:
            replies.append(await world.ask(*phones, *others))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(2)
            assert await world.pending() == 5
            start = trio.current_time()
            assert await world.send(call(verb, DeviceToken="12" * 32)) == SENT
            assert trio.current_time() == start
            assert await world.pending() == 2
        assert replies == [[QUEUED] * 5]
        assert world.sample("deliveries_total", type="OMAPush", outcome="collapsed") == 3
        await trio.sleep(60)
        assert len(world.provider.attempts) == 8
        assert world.late[0][1].result == "delivered"


async def test_a_withdrawn_call_is_not_attempted(autojump_clock: trio.testing.MockClock) -> None:
    """Neither one that waits behind another of its call, nor one that a lane holds (PU-13)."""
    async with gateway_world() as world:
        world.provider.script[TOKEN] = [3.0]
        waiting = [call(MISSED, AppId=APP), call(AppId=APP)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.ask, *waiting)
            await trio.sleep(1)
            assert await world.send(call(ELSEWHERE, DeviceToken=OTHER_TOKEN)) == SENT
        await trio.sleep(60)
        assert world.provider.verbs() == [MISSED, ELSEWHERE]


async def test_what_stood_behind_a_withdrawn_call(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is attempted at once, though nothing new has come for its lane (PU-13)."""
    async with gateway_world() as world:
        world.provider.script[TOKEN] = [Deferred("unavailable", 40, 503)]
        waiting = [call(AppId=APP), call(AppId=APP, Selector="bob")]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.ask, *waiting)
            await trio.sleep(2)
            over = call(MISSED, AppId=ANDROID, DeviceToken="tok")
            assert await world.send(over) == SENT
            await trio.sleep(1)
            assert len(world.provider.attempts) == 3


async def test_calls_without_an_id_are_not_withdrawn(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nothing says that they are the same call (PU-13)."""
    async with gateway_world() as world:
        world.provider.script[TOKEN] = [Deferred("unavailable", 10, 503)]
        assert await world.send(call(Id=None)) == QUEUED
        assert await world.send(call(MISSED, Id=None, DeviceToken=OTHER_TOKEN)) == SENT
        assert await world.pending() == 1
