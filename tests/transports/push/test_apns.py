"""Tests of attempts at APNs: what goes over the wire, and what is sent twice (push.md, C.3)."""

import pytest
import trio
from structlog.testing import capture_logs
from tests.fakes.push_world import (
    PRODUCTION,
    SANDBOX,
    TOKEN,
    Act,
    PushWorld,
    Result,
    ScriptedPool,
    answer,
)
from tests.fakes.pushes import gateway, published
from trio.testing import MockClock

from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.transports.push.call import NotSent, Unknown
from tocsin.transports.push.environments import Environments
from tocsin.wire.push.trimming import APNS_LIMIT

BAD_TOKEN = Gone("bad_token", 400, is_guarded=True)
PAUSED = Deferred("credential", 60.0, 403, sign=Sign.CONTACT, words=frozenset({Word.PAUSE_KEY}))


async def test_a_push(autojump_clock: MockClock) -> None:
    """PU-45, PU-41: all headers, one token for all, an id that stays and a deadline of 10 s."""
    world = PushWorld()
    async with world.running():
        delivery = world.delivery()
        for _ in range(2):
            assert await world.transport.attempt(delivery) == Delivered(200)
    first, second = world.posts
    assert first.headers == second.headers
    assert list(first.headers)[:4] == [":path", ":method", ":scheme", ":authority"]
    assert {name: first.headers[name] for name in list(first.headers) if "auth" not in name} == {
        ":path": f"/3/device/{TOKEN}",
        ":method": "POST",
        ":scheme": "https",
        "apns-topic": "com.example",
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": str(delivery.notification.expires_at // 1000),
        "apns-id": first.headers["apns-id"],
        "apns-collapse-id": "m-1",
    }
    assert first.headers[":authority"] == PRODUCTION
    assert first.authorization.startswith("bearer eyJ")
    assert first.json["aps"]["alert"]
    assert (first.deadline - first.at, first.priority) == (10.0, Priority.NORMAL)


async def test_an_urgent_push_has_its_own_deadline(autojump_clock: MockClock) -> None:
    """PU-66: nobody waits for a call that is over."""
    world = PushWorld()
    async with world.running():
        await world.transport.attempt(world.delivery(seconds=5, priority=Priority.URGENT))
        await world.transport.attempt(world.delivery(seconds=5))
    urgent, normal = world.posts
    assert urgent.deadline - urgent.at == pytest.approx(5, abs=0.01)
    assert normal.deadline - normal.at == pytest.approx(10)


async def test_what_is_nearly_over_is_not_sent(autojump_clock: MockClock) -> None:
    """PU-31: less than 1 s left is expired, also when sending again."""
    world = PushWorld()
    late = Deferred("expired", sign=Sign.NOTHING)

    async def slow_shutdown() -> Result:
        await trio.sleep(1.5)
        return answer(503, "Shutdown")

    async with world.running():
        assert await world.transport.attempt(world.delivery(seconds=0.9)) == late
        assert not world.posts
        world.script[PRODUCTION] = [slow_shutdown]
        assert await world.transport.attempt(world.delivery(seconds=2.4)) == late
        assert len(world.posts) == 1


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        ([answer(410, "Unregistered", timestamp=5)], Gone("unregistered", 410, since=5)),
        ([answer(400, "BadDeviceToken")], BAD_TOKEN),
        ([answer(403, "InvalidProviderToken")], PAUSED),
        ([NotSent("connect")], Deferred("connect")),
        ([NotSent("not_sent")], Deferred("not_sent", sign=Sign.NOTHING)),
        ([Unknown("timeout")], Deferred("unknown")),
        ([Unknown("cut")], Deferred("unknown")),
    ],
    ids=str,
)
async def test_sent_once(autojump_clock: MockClock, acts: list[Act], expected: Outcome) -> None:
    """PU-47, PU-52, PU-54, PU-62: these are outcomes of the attempt."""
    world = PushWorld()
    world.script[PRODUCTION] = acts
    async with world.running():
        assert await world.transport.attempt(world.delivery()) == expected
    assert len(world.posts) == 1


async def test_an_unknown_outcome_may_be_an_end(autojump_clock: MockClock) -> None:
    """PU-54: for an app that would rather lose a push than see it twice."""
    world = PushWorld()
    world.script[PRODUCTION] = [Unknown("cut")]
    async with world.running():
        outcome = await world.transport.attempt(world.delivery("fails"))
    assert outcome == Refused("unknown_outcome", sign=Sign.FAILURE)


@pytest.mark.parametrize("reason", ["IdleTimeout", "Shutdown"])
async def test_another_connection(autojump_clock: MockClock, reason: str) -> None:
    """C.3: the connection is replaced and the push sent again, once, under the same id; after a
    Shutdown a moment later."""
    world = PushWorld()
    bad = answer(503 if reason == "Shutdown" else 400, reason)
    async with world.running():
        world.script[PRODUCTION] = [bad]
        assert await world.transport.attempt(world.delivery()) == Delivered(200)
        pool = world.pool(PRODUCTION)
        first, second = world.posts
        assert len(pool.replaced) == 1
        assert first.headers == second.headers
        wait = second.at - first.at
        assert 0.1 <= wait <= 1.0 if reason == "Shutdown" else wait == 0
        assert second.deadline == first.deadline
        world.script[PRODUCTION] = [bad, bad]
        outcome = await world.transport.attempt(world.delivery())
    assert isinstance(outcome, Deferred)
    assert outcome.reason == ("unavailable" if reason == "Shutdown" else "shutdown")
    assert len(world.posts) == 4
    # The last one, too: what is pushed next is not to go there.
    assert len(pool.replaced) == 3


async def test_a_token_that_expires_in_flight(autojump_clock: MockClock) -> None:
    """PU-91, C.3: all pushes under way are refused, one new token is made, all go again with it."""
    world = PushWorld()
    outcomes: list[Outcome] = []

    async def refused() -> Result:
        await trio.sleep(0.1)
        return answer(403, "ExpiredProviderToken")

    async def push() -> None:
        outcomes.append(await world.transport.attempt(world.delivery()))

    async with world.running():
        await world.transport.attempt(world.delivery())
        await trio.sleep(25 * 60)
        world.script[PRODUCTION] = [refused] * 20
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(push)
    assert outcomes == [Delivered(200)] * 20
    tokens = [post.authorization for post in world.posts]
    assert len(set(tokens[:21])) == len(set(tokens[21:])) == 1
    assert tokens[0] != tokens[-1]


async def test_a_young_token_that_has_expired(autojump_clock: MockClock) -> None:
    """C.3: it cannot have; deferred by 60 s, and somebody is told once to look at the clock."""
    world = PushWorld()
    words = frozenset({Word.ALARM})
    async with world.running():
        with capture_logs() as logs:
            for _ in range(2):
                world.script[PRODUCTION] = [answer(403, "ExpiredProviderToken")]
                outcome = await world.transport.attempt(world.delivery())
                expected = Deferred("credential", 60.0, 403, sign=Sign.CONTACT, words=words)
                assert outcome == expected
    assert len(world.posts) == 2
    assert [(entry["event"], entry["hint"]) for entry in logs] == [
        ("push.jwt_expired_early", "check the clock")
    ]


async def test_too_many_tokens(autojump_clock: MockClock) -> None:
    """C.3: the old token stays in use for 20 minutes more."""
    world = PushWorld()
    async with world.running():
        await trio.sleep(39 * 60)
        world.script[PRODUCTION] = [answer(429, "TooManyProviderTokenUpdates")]
        outcome = await world.transport.attempt(world.delivery())
        assert outcome == Deferred("credential", status=429, sign=Sign.CONTACT)
        await trio.sleep(10 * 60)
        await world.transport.attempt(world.delivery())
    first, second = world.posts
    assert first.authorization == second.authorization


async def test_too_large(autojump_clock: MockClock) -> None:
    """PU-40: trimmed to nine tenths of the limit, once, in the same attempt."""
    world = PushWorld()
    long = gateway("NotifyGenericTextMessage", Message="x" * 5000)
    world.script[PRODUCTION] = [answer(413, "PayloadTooLarge")]
    async with world.running():
        assert await world.transport.attempt(world.delivery(pushed=long)) == Delivered(200)
        sizes = [len(post.body) for post in world.posts]
        assert sizes[0] <= APNS_LIMIT
        assert sizes[1] <= APNS_LIMIT * 0.9
        world.script[PRODUCTION] = [answer(413, "PayloadTooLarge")] * 2
        outcome = await world.transport.attempt(world.delivery(pushed=long))
    assert outcome == Refused("payload_too_large", 413)
    assert len(world.posts) == 4


async def test_what_does_not_fit_at_all(autojump_clock: MockClock) -> None:
    """PU-39: refused before anything is sent."""
    world = PushWorld()
    long = gateway("NotifyTextMessage", Selector="s", Id="i" * 5000, Message="x")
    async with world.running():
        outcome = await world.transport.attempt(world.delivery(pushed=long))
    assert outcome == Refused("payload_too_large", sign=Sign.NOTHING)
    assert not world.posts


async def test_what_is_not_for_the_app(autojump_clock: MockClock) -> None:
    """PU-38: presence is pushed to nobody."""
    world = PushWorld()
    presence = published("presenceNotification", {})
    async with world.running():
        outcome = await world.transport.attempt(world.delivery(pushed=presence))
    assert outcome == Refused("not_for_app", sign=Sign.NOTHING)
    assert not world.posts


async def test_both_environments(autojump_clock: MockClock) -> None:
    """C.3: an auto app's token is tried in the other environment, and what worked is remembered."""
    world = PushWorld()
    world.script[PRODUCTION] = [answer(400, "BadDeviceToken")]
    async with world.running():
        for _ in range(2):
            assert await world.transport.attempt(world.delivery("auto")) == Delivered(200)
        hosts = [post.host for post in world.posts]
        assert hosts == [PRODUCTION, SANDBOX, SANDBOX]
        assert [post.headers[":authority"] for post in world.posts] == hosts
        # The app on the phone is now the one from the store.
        world.script[SANDBOX] = [answer(400, "BadDeviceToken")]
        for _ in range(2):
            assert await world.transport.attempt(world.delivery("auto")) == Delivered(200)
    assert [post.host for post in world.posts[3:]] == [SANDBOX, PRODUCTION, PRODUCTION]


async def test_known_in_neither_environment(autojump_clock: MockClock) -> None:
    """C.3: then it is gone; each was asked once."""
    world = PushWorld()
    for host in (PRODUCTION, SANDBOX):
        world.script[host] = [answer(400, "BadDeviceToken")]
    async with world.running():
        assert await world.transport.attempt(world.delivery("auto")) == BAD_TOKEN
    assert len(world.posts) == 2


async def test_a_key_that_is_not_for_the_other_environment(autojump_clock: MockClock) -> None:
    """C.3: it works in its own, so it is not paused for a token it cannot reach."""
    world = PushWorld()
    world.script[PRODUCTION] = [answer(400, "BadDeviceToken")]
    world.script[SANDBOX] = [answer(403, "BadEnvironmentKeyIdInToken")]
    async with world.running():
        assert await world.transport.attempt(world.delivery("auto")) == BAD_TOKEN


def test_environments_are_bounded() -> None:
    """C.3: of many tokens those that came last are remembered."""
    environments = Environments(2)
    for token in ("a", "b", "a", "c"):
        environments.note("sandbox", token)
    assert [environments.of("auto", token) for token in "abc"] == [
        "sandbox",
        "production",
        "sandbox",
    ]
    environments.note("production", "a")
    assert environments.of("auto", "a") == "production"
    assert environments.of("sandbox", "b") == "sandbox"


async def test_cancelled_attempts(autojump_clock: MockClock) -> None:
    """PU-66: cancelled at any await, an attempt leaves nothing that the next one trips over."""
    world = PushWorld()

    async def slowly() -> Result:
        await trio.sleep(1)
        return answer(503, "Shutdown")

    async with world.running():
        for seconds in (0, 0.5, 1.05):
            world.script[PRODUCTION] = [slowly, slowly]
            with trio.move_on_after(seconds) as scope:
                await world.transport.attempt(world.delivery())
            assert scope.cancelled_caught
        world.script[PRODUCTION] = []
        assert await world.transport.attempt(world.delivery()) == Delivered(200)


async def test_a_goaway_may_pause_the_key(autojump_clock: MockClock) -> None:
    """PU-47: its debug data is an answer's body; a 403 reason in it pauses."""
    world = PushWorld()
    async with world.running():
        pool: ScriptedPool = world.pool(SANDBOX)
        pool.on_goaway(b"", 0)
        pool.on_goaway(b'{"reason":"Shutdown"}', 0)
        assert not world.states
        pool.on_goaway(b'{"reason":"BadCertificateEnvironment"}', 0)
    assert world.states == [("apple", "key_paused")]
    goaways = world.metrics.registry.get_sample_value
    assert goaways("tocsin_push_goaways_total", {"provider": "apns"}) == 3
