"""`POST /v1/messaging/revoke`: tokens that end before their time (MS-12, MS-66, SE-3)."""

from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio
from structlog.testing import capture_logs
from tests.fakes.messaging_rest import RestWorld, admin, of, rest_world
from tests.fakes.tokens import NOW

from tocsin.model.principal import Principal


@attrs.define(eq=False)
class Told:
    """Something alive by a token."""

    principal: Principal
    times: int = 0

    def token_revoked(self) -> None:
        self.times += 1


@pytest.fixture
async def world(nursery: trio.Nursery) -> AsyncIterator[RestWorld]:
    async with rest_world(nursery) as made:
        yield made


async def live(world: RestWorld, token: str) -> Told:
    """Something that lives by a token."""
    told = Told(await world.tokens.judge(token))
    assert world.revocations.bear(told)
    return told


async def revoke(world: RestWorld, body: object, path: str = "/revoke", **claims: Any) -> None:
    """Done by an operator, without a word."""
    answer = await world.http("POST", path, admin(**claims), body=body)
    assert (answer.status, answer.body) == (204, b"")


async def is_void(world: RestWorld, token: str) -> bool:
    """Whether a token lets nobody in any more."""
    answer = await world.http("GET", "/channels", token)
    assert answer.status in {200, 401}
    return answer.status == 401


MINE = {"jti": "j1", "iat": NOW - 5}


@pytest.mark.parametrize(
    "body", [{"token": of("12", **MINE)}, {"jti": "j1"}, {"subscriber-id": "12"}]
)
@pytest.mark.parametrize("claims", [{}, {"domain": None}])
async def test_at_once(world: RestWorld, body: dict[str, str], claims: dict[str, Any]) -> None:
    """MS-12, SE-3: before the answer what lives by it is told, and it lets nobody in; whoever it
    does not mean goes on."""
    mine, other = of("12", **MINE), of("13", jti="j2", iat=NOW - 5)
    told, spared = await live(world, mine), await live(world, other)
    assert not await is_void(world, mine)
    await revoke(world, body, "/revoke?domain=acme", **claims)
    assert (told.times, spared.times) == (1, 0)
    assert await is_void(world, mine)
    assert not await is_void(world, other)


async def test_up_to_now(world: RestWorld) -> None:
    """MS-66: a token issued to the subscriber later is valid."""
    await revoke(world, {"subscriber-id": "12"})
    world.wall += 5
    assert await is_void(world, of("12", iat=NOW))
    assert not await is_void(world, of("12", iat=NOW + 1))


@pytest.mark.parametrize(
    "body", [{"token": of("12", **MINE)}, {"jti": "j1"}, {"subscriber-id": "12"}]
)
async def test_only_in_his_domain(world: RestWorld, body: dict[str, str]) -> None:
    """MS-2, MS-66: an operator of one domain ends nothing in another, though the token is shown or
    an id is the same; not even where his token would have him act nowhere else."""
    mine = of("12", **MINE)
    told = await live(world, mine)
    await revoke(world, body, domain="other")
    await revoke(world, body, "/revoke?domain=other", domain=None)
    assert told.times == 0
    assert not await is_void(world, mine)
    told_ = await world.refused("POST", "/revoke?domain=acme", admin(domain="other"), body=body)
    assert told_ == (403, "forbidden")


async def test_tokens_of_no_domain_in_particular(world: RestWorld) -> None:
    """MS-66: who acts in every domain need not know whose token it is; of a subscriber he must."""
    for body in ({"token": of("12", **MINE)}, {"jti": "j2"}):
        await revoke(world, body, domain=None)
    assert await is_void(world, of("12", **MINE))
    assert await is_void(world, of("13", jti="j2"))
    told = await world.refused("POST", "/revoke", admin(domain=None), body={"subscriber-id": "12"})
    assert told == (400, "bad-request")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"token": "opaque"},
        {"token": ""},
        {"token": "x" * 9000},
        {"jti": "x" * 129},
        {"jti": "a", "token": "b"},
        {"subscriber-id": "a\nb"},
        {"subscriber": "12"},
    ],
)
async def test_what_cannot_be_meant(world: RestWorld, body: object) -> None:
    """CH-4, MS-23: exactly one, and what can be no token of ours is a mistake."""
    assert await world.refused("POST", "/revoke", admin(), body=body) == (400, "bad-request")
    assert len(world.revocations) == 0


async def test_the_log(world: RestWorld) -> None:
    """MS-13: a token by the first 8 hex digits of its hash."""
    mine = of("12", **MINE)
    with capture_logs() as lines:
        await revoke(world, {"token": mine})
        await revoke(world, {"subscriber-id": "12"})
    assert mine not in repr(lines)
    first, second = [line for line in lines if line["event"] == "token.revoked"]
    assert (first["by"], len(first["token"]), first["domain"]) == ("token", 8, "acme")
    assert (second["by"], second["subscriber"]) == ("subscriber", "12")


async def test_how_long_it_took(world: RestWorld) -> None:
    """MS-71: from the revocation to the last one told."""
    await live(world, of("12"))
    await revoke(world, {"subscriber-id": "12"})
    count = world.core.metrics.registry.get_sample_value("tocsin_messaging_revoke_seconds_count")
    assert count == 1
