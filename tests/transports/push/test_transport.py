"""Tests of the push transport: which credential, when, and what is counted (push.md, C)."""

import ssl
from unittest.mock import ANY

import attrs
import orjson
import pytest
import trio
from structlog.testing import capture_logs
from tests.fakes import pushkeys
from tests.fakes.h2_provider import Provider, Request
from tests.fakes.push_world import (
    APPLE_KEY,
    APPS,
    FCM,
    GOOGLE_KEY,
    PRODUCTION,
    TOKEN,
    PushWorld,
    Result,
    answer,
)
from tests.fakes.pushes import gateway
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.pushapps import AppRegistry
from tocsin.model.errors import StartupError, StoreError
from tocsin.model.outcome import Deferred, Delivered, Sign, Word
from tocsin.ops.metrics import PUSH_REASONS
from tocsin.ops.service import Progress
from tocsin.transports.push.pool import Http2Pool, OnGoaway, PoolStatistics
from tocsin.transports.push.senders import MakePool, authority, origin_of
from tocsin.transports.push.tls import Origin
from tocsin.transports.push.tokenfetch import TokenFetchError
from tocsin.transports.push.transport import UNKNOWN_APP
from tocsin.wire.push.app import PushRules


async def test_an_app_nobody_knows(autojump_clock: MockClock) -> None:
    """PU-3, PU-20: our configuration is at fault: somebody should look, the channel stays."""
    world = PushWorld({"google": GOOGLE_KEY})
    async with world.running():
        for app in ("unknown", "alert"):
            outcome = await world.transport.attempt(world.delivery(app))
            words = frozenset({Word.ALARM})
            assert outcome == Deferred("app_unknown", 60.0, sign=Sign.NOTHING, words=words)
    assert UNKNOWN_APP.reason in PUSH_REASONS


async def test_what_is_counted(autojump_clock: MockClock) -> None:
    """PU-57, OP-15: outcome, reason and time of each attempt; connections, streams, expiry."""
    world = PushWorld()
    value = world.metrics.registry.get_sample_value

    async def slowly() -> Result:
        await trio.sleep(2)
        return answer(410, "Unregistered")

    async with world.running():
        world.script[PRODUCTION] = [slowly]
        await world.transport.attempt(world.delivery())
        await world.transport.attempt(world.delivery("android"))
        world.metrics.refresh()
    apns, google = {"provider": "apns"}, {"provider": "fcm"}
    gone = {**apns, "outcome": "gone", "reason": "unregistered"}
    sent = {**google, "outcome": "delivered", "reason": ""}
    assert value("tocsin_push_attempts_total", gone) == 1
    assert value("tocsin_push_attempts_total", sent) == 1
    assert value("tocsin_push_attempt_duration_seconds_sum", apns) == pytest.approx(2)
    assert value("tocsin_push_connections", apns) == 2
    assert value("tocsin_push_connections", google) == 1
    assert value("tocsin_push_streams", google) == 2
    expiry = "tocsin_provider_credential_expiry_timestamp_seconds"
    ends = [value(expiry, labels) for labels in (apns, google)]
    assert ends == pytest.approx([world.clock() / 1000 + 3600] * 2, abs=5)
    assert world.transport.statistics() == {
        "apns": PoolStatistics(ANY, 4, 0, 0),
        "fcm": PoolStatistics(ANY, 2, 0, 0),
    }


async def test_attempts_that_nobody_loads_for(autojump_clock: MockClock) -> None:
    """PU-43: without credentials an attempt ends at its deadline, and counts as not made."""
    world = PushWorld()
    outcome = await world.transport.attempt(world.delivery())
    assert outcome == Deferred("not_sent", sign=Sign.NOTHING)
    assert trio.current_time() == 10


async def test_attempts_before_the_credentials_are_loaded(nursery: trio.Nursery) -> None:
    """PU-43: they wait for them."""
    world = PushWorld()
    ready: list[object] = []
    nursery.start_soon(world.transport.run, Progress(ready.append))
    assert await world.transport.attempt(world.delivery()) == Delivered(200)
    assert ready
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (attrs.evolve(APPLE_KEY, private_key="no key"), "is not a private key in PEM form"),
        (attrs.evolve(GOOGLE_KEY, service_account="{}"), "has no private_key"),
        (attrs.evolve(APPLE_KEY, ca_file="/nowhere.pem"), "No such file or directory"),
    ],
)
async def test_credentials_that_cannot_be_read(settings: object, problem: str) -> None:
    """PU-20, PU-43: one line says which and why, and shows nothing of it."""
    world = PushWorld({"main": settings})  # type: ignore[dict-item]
    with pytest.raises(StartupError, match=r"^push\.keys\.main: ") as caught:
        await world.transport.load()
    assert problem in str(caught.value)


async def test_a_key_is_replaced(autojump_clock: MockClock) -> None:
    """PU-20: pushes go by the new one at once; the old one's connections drain."""
    world = PushWorld()
    async with world.running():
        await world.transport.attempt(world.delivery())
        old = world.pool(PRODUCTION)
        await world.replace_key("apple", attrs.evolve(APPLE_KEY, team_id="OTHER"))
        new = world.pool(PRODUCTION)
        await wait_all_tasks_blocked()
        assert (old.is_closed, old.is_running) == (True, False)
        assert (new.is_closed, new.is_running) == (False, True)
        assert await world.transport.attempt(world.delivery()) == Delivered(200)
        first, second = (post.authorization for post in world.posts)
        assert first != second
        await world.replace_key("apple", None)
        assert await world.transport.attempt(world.delivery()) == UNKNOWN_APP


async def test_a_new_key_ends_what_was_wrong_with_the_old() -> None:
    """PU-53: a reload of the key ends its pause."""
    world = PushWorld()
    world.grants = [TokenFetchError("answered 400 invalid_grant")] * 50
    async with world.running():
        await world.transport.attempt(world.delivery("android"))
        assert world.states == [("google", "oauth")]
        await world.replace_key("google", GOOGLE_KEY)
        world.grants.clear()
        assert await world.transport.attempt(world.delivery("android")) == Delivered(200)
    assert world.states == [("google", "oauth"), ("google", None)]


async def test_a_key_that_cannot_replace_another(autojump_clock: MockClock) -> None:
    """PU-20: the old one stays."""
    world = PushWorld()
    async with world.running():
        bad = attrs.evolve(APPLE_KEY, private_key="")
        with pytest.raises(StartupError):
            await world.replace_key("apple", bad)
        assert await world.transport.attempt(world.delivery()) == Delivered(200)


async def test_apps_and_rules_are_replaced(autojump_clock: MockClock) -> None:
    """PU-20: what begins afterwards follows the new ones."""
    world = PushWorld()
    async with world.running():
        moved = attrs.evolve(APPS["alert"], topic="com.moved")
        world.transport.replace_apps(AppRegistry({"alert": moved}), PushRules())
        await world.transport.attempt(world.delivery())
        assert await world.transport.attempt(world.delivery("auto")) == UNKNOWN_APP
    assert [post.headers["apns-topic"] for post in world.posts] == ["com.moved"]


async def test_the_next_run_goes_on_with_the_token(autojump_clock: MockClock) -> None:
    """PU-41: a restart within the 40 minutes makes no new one."""
    first = PushWorld()
    async with first.running():
        await first.transport.attempt(first.delivery())
        await trio.sleep(60)
    second = PushWorld(memory=first.memory, clock=first.clock)
    async with second.running():
        await second.transport.attempt(second.delivery())
    assert first.posts[0].authorization == second.posts[0].authorization


async def test_tokens_of_keys_that_are_gone(autojump_clock: MockClock) -> None:
    """PU-41: what no key uses any more is forgotten at the next start; a store that does not take
    that keeps nobody from pushing."""
    world = PushWorld()
    world.memory.kept["jwt"] = {"TEAM/OLD": b"token"}
    world.memory.fails_with = StoreError("disk full")
    async with world.running():
        assert await world.transport.attempt(world.delivery()) == Delivered(200)
    assert "TEAM/OLD" in world.memory.kept["jwt"]
    world = PushWorld(memory=world.memory)
    world.memory.fails_with = None
    async with world.running():
        await world.transport.attempt(world.delivery())
        await wait_all_tasks_blocked()
    assert [*world.memory.kept["jwt"]] == [f"{APPLE_KEY.team_id}/{APPLE_KEY.key_id}"]


async def test_a_restarted_service(autojump_clock: MockClock) -> None:
    """OP-6: the supervisor may run it again, with what was loaded."""
    world = PushWorld()
    for _ in range(2):
        async with world.running():
            assert await world.transport.attempt(world.delivery("android")) == Delivered(200)
    assert len(world.pools) == 3


async def test_closing(autojump_clock: MockClock) -> None:
    """PU-64: every connection is asked to drain."""
    world = PushWorld()
    async with world.running():
        await world.transport.aclose()
    assert [pool.is_closed for pool in world.pools] == [True] * 3


def test_where_connections_lead() -> None:
    """PU-44, A.7: to the provider, unless the operator names another place."""
    assert origin_of("", FCM) == Origin(FCM, 443)
    for endpoint, origin, shown in [
        ("https://proxy.example", Origin("proxy.example", 443), "proxy.example"),
        ("https://localhost:2197", Origin("localhost", 2197), "localhost:2197"),
        ("https://[::1]:8443", Origin("::1", 8443), "[::1]:8443"),
    ]:
        assert origin_of(endpoint, FCM) == origin
        assert authority(attrs.evolve(GOOGLE_KEY, endpoint=endpoint), FCM) == shown


async def test_each_host_has_its_pool(autojump_clock: MockClock) -> None:
    """PU-44: one per environment and key, of as many connections as configured."""
    world = PushWorld({"apple": attrs.evolve(APPLE_KEY, connections=3), "google": GOOGLE_KEY})
    async with world.running():
        pools = {pool.origin.host: pool.connections for pool in world.pools}
    assert pools == {PRODUCTION: 3, "api.sandbox.push.apple.com": 3, FCM: 2}


def pools_to(provider: Provider) -> MakePool:
    """Real pools that all lead to this provider."""

    def make(origin: Origin, tls: ssl.SSLContext, most: int, on_goaway: OnGoaway) -> Http2Pool:
        return Http2Pool(
            origin, ssl_context=tls, connections=most, on_goaway=on_goaway, dial=provider.dial
        )

    return make


async def test_over_the_real_client(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """PU-58: what pools make of our requests is judged by h2."""

    async def accept(request: Request) -> None:
        await request.answer(200)

    provider = Provider(nursery, on_request=accept)
    world = PushWorld(make=pools_to(provider))
    async with world.running():
        for app in ("alert", "android"):
            assert await world.transport.attempt(world.delivery(app)) == Delivered(200)
    assert [request.path for request in provider.requests] == [
        f"/3/device/{TOKEN}",
        "/v1/projects/p-1/messages:send",
    ]


@pytest.mark.parametrize(
    ("status", "reason", "end"),
    [(503, "Shutdown", "unavailable"), (400, "IdleTimeout", "shutdown")],
)
async def test_connections_of_no_more_use(
    autojump_clock: MockClock, nursery: trio.Nursery, status: int, reason: str, end: str
) -> None:
    """C.3, PU-91: whatever happened to those before it, a connection that answers so drains, and
    the push goes again over another one; nothing goes over it any more, also when it was the
    second in a row and its push is not sent again."""
    bad = (status, orjson.dumps({"reason": reason}))
    answers = [(200, b""), bad, (200, b""), bad, (200, b""), bad, bad, (200, b"")]

    async def act(request: Request) -> None:
        await request.answer(*answers.pop(0))

    provider = Provider(nursery, on_request=act)
    key = attrs.evolve(APPLE_KEY, connections=1)
    world = PushWorld({"apple": key}, make=pools_to(provider))
    async with world.running():
        outcomes = [await world.transport.attempt(world.delivery()) for _ in range(5)]
        took = [provider.connections.index(request.connection) for request in provider.requests]
        await wait_all_tasks_blocked()
        closed = [connection.is_closed for connection in provider.connections]
    shown = ["sent" if isinstance(one, Delivered) else one.reason for one in outcomes]
    assert shown == ["sent", "sent", "sent", end, "sent"]
    assert took == [0, 0, 1, 1, 2, 2, 3, 4]
    assert closed == [True] * 4 + [False]
    assert trio.current_time() < 10


async def test_no_secret_is_logged(autojump_clock: MockClock) -> None:
    """PU-43: no key, provider token, access token, device token or text, whatever happens."""
    world = PushWorld()
    said = gateway("NotifyGenericTextMessage", Message="between us")
    with capture_logs() as logs:
        async with world.running():
            for status in (200, 400, 403, 410, 413, 429, 500):
                world.script[PRODUCTION] = [answer(status, "Whatever")]
                world.script[FCM] = [answer(status, "Whatever")]
                delivery = world.delivery(pushed=said)
                await world.transport.attempt(delivery)
                await world.transport.attempt(world.delivery("android"))
            await world.replace_key("google", GOOGLE_KEY)
            await trio.sleep(4000)
    text = f"{logs} {world.events} {world.states}"
    secrets = [post.authorization.split()[1] for post in world.posts]
    device = delivery.channel.device
    assert device is not None
    secrets += [device.token, "eyJ", "BEGIN", "between us", pushkeys.p8()[30:60]]
    assert len(secrets) > 10
    assert [secret for secret in secrets if secret in text] == []
