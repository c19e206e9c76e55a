"""Tests of attempts at FCM: what goes over the wire, and what is sent twice (push.md, C.4)."""

import attrs
import orjson
import pytest
import trio
from tests.fakes.push_world import FCM, GOOGLE_KEY, Act, PushWorld, Result
from tests.fakes.pushes import gateway, published
from trio.testing import MockClock

from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.transports.push.call import NotSent, Unknown
from tocsin.transports.push.tokenfetch import TokenFetchError
from tocsin.wire.http2.events import Answer

NO_TOKEN = Deferred("oauth", sign=Sign.NOTHING)
KEY_PAUSED = Deferred("credential", 60.0, 401, sign=Sign.CONTACT, words=frozenset({Word.PAUSE_KEY}))


def answer(status: int, code: str = "", *, message: str = "", wait: str = "") -> Answer:
    """An answer of FCM."""
    detail = {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}
    error = {"message": message, "details": [detail] if code else []}
    headers = {b"retry-after": wait.encode()} if wait else {}
    return Answer(1, status, headers, orjson.dumps({"error": error}))


def paused(seconds: float = 60.0) -> Deferred:
    words = frozenset({Word.PAUSE_QUOTA})
    return Deferred("quota", seconds, 429, sign=Sign.CONTACT, words=words)


async def test_a_push(autojump_clock: MockClock) -> None:
    """PU-45, PU-31: path, token and target; the first push waits for the first access token."""
    world = PushWorld()
    async with world.running():
        delivery = world.delivery("android", token="dev:1", seconds=30.5)
        assert await world.transport.attempt(delivery) == Delivered(200)
    (post,) = world.posts
    assert post.headers == {
        ":path": "/v1/projects/p-1/messages:send",
        ":method": "POST",
        ":scheme": "https",
        ":authority": FCM,
        "authorization": "Bearer T1",
        "content-type": "application/json",
    }
    message = post.json["message"]
    assert (message["token"], message["android"]["ttl"]) == ("dev:1", "30s")
    assert post.deadline == pytest.approx(10)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (answer(404, "UNREGISTERED"), Gone("unregistered", 404)),
        (answer(400, "INVALID_ARGUMENT"), Gone("bad_token", 400, is_guarded=True)),
        (answer(503), Deferred("unavailable", 10.0, 503)),
        (answer(429, wait="7"), paused(7.0)),
        (NotSent("connect"), Deferred("connect")),
        (Unknown("reset"), Deferred("unknown")),
    ],
    ids=str,
)
async def test_sent_once(autojump_clock: MockClock, act: Act, expected: Outcome) -> None:
    """PU-52, PU-54, PU-62: these are outcomes of the attempt."""
    world = PushWorld()
    world.script[FCM] = [act]
    async with world.running():
        assert await world.transport.attempt(world.delivery("android")) == expected
    assert len(world.posts) == 1


@pytest.mark.parametrize("seconds", [0, 1, 60])
async def test_a_refused_access_token(autojump_clock: MockClock, seconds: float) -> None:
    """C.4: renewed at any age, the push goes again with the new one; a second refusal pauses the
    key."""
    world = PushWorld()
    async with world.running():
        await trio.sleep(seconds)
        world.script[FCM] = [answer(401)]
        assert await world.transport.attempt(world.delivery("android")) == Delivered(200)
        assert [post.authorization for post in world.posts] == ["Bearer T1", "Bearer T2"]
        await trio.sleep(seconds)
        world.script[FCM] = [answer(401)] * 2
        assert await world.transport.attempt(world.delivery("android")) == KEY_PAUSED
    tokens = [post.authorization for post in world.posts[2:]]
    assert tokens == ["Bearer T2", "Bearer T3"]
    assert len(world.fetches) == 3


async def test_refused_together(autojump_clock: MockClock) -> None:
    """C.4: pushes under way that are all refused share one renewal, be it that some of them hear
    of it when it is over; if Google refuses them again each says so, and nothing more is tried."""
    world = PushWorld()
    outcomes: list[Outcome] = []

    def refused(seconds: float) -> Act:
        async def act() -> Result:
            await trio.sleep(seconds)
            return answer(401)

        return act

    async def push() -> None:
        outcomes.append(await world.transport.attempt(world.delivery("android")))

    async with world.running():
        await world.transport.attempt(world.delivery("android"))
        for repeats, expected in ((0, Delivered(200)), (20, KEY_PAUSED)):
            world.script[FCM] = [refused(number / 20) for number in range(20)]
            world.script[FCM] += [answer(401)] * repeats
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(push)
            assert outcomes == [expected] * 20
            outcomes.clear()
    assert len(world.posts) == 1 + 40 + 40
    assert len(world.fetches) == 3


async def test_refused_for_an_app_of_another_provider(autojump_clock: MockClock) -> None:
    """C.4: what Apple refuses inside the project is not mended by another token of Google's."""
    world = PushWorld()
    world.script[FCM] = [answer(401, "THIRD_PARTY_AUTH_ERROR")]
    async with world.running():
        outcome = await world.transport.attempt(world.delivery("android"))
    words = frozenset({Word.PAUSE_APP, Word.ALARM})
    assert outcome == Deferred("credential", 60.0, 401, sign=Sign.CONTACT, words=words)
    assert (len(world.posts), len(world.fetches)) == (1, 1)


async def test_without_an_access_token(autojump_clock: MockClock) -> None:
    """PU-42: nothing is sent, the lanes are blocked, and go on when there is one."""
    world = PushWorld()
    world.grants = [TokenFetchError("answered 500")] * 3
    async with world.running():
        assert await world.transport.attempt(world.delivery("android")) == NO_TOKEN
        assert not world.posts
        await trio.sleep(10)
        assert await world.transport.attempt(world.delivery("android")) == Delivered(200)
    assert world.states == [("google", "oauth"), ("google", None)]


async def test_the_quota_of_the_project(autojump_clock: MockClock) -> None:
    """PU-46: after a complaint nothing is sent for as long; what cannot wait is not sent."""
    world = PushWorld()
    async with world.running():
        world.script[FCM] = [answer(429)]
        assert await world.transport.attempt(world.delivery("android")) == paused()
        rate = Deferred("rate", sign=Sign.NOTHING)
        assert await world.transport.attempt(world.delivery("android")) == rate
        await trio.sleep(55)
        before = trio.current_time()
        assert await world.transport.attempt(world.delivery("android")) == Delivered(200)
        assert trio.current_time() - before == pytest.approx(5)
    assert len(world.posts) == 2


async def test_the_quota_of_a_device(autojump_clock: MockClock) -> None:
    """C.4, PU-55: its complaint holds nobody else up."""
    world = PushWorld()
    violation = {"subject": "device:x", "description": "Device message rate exceeded"}
    detail = {"@type": "x/google.rpc.QuotaFailure", "violations": [violation]}
    body = orjson.dumps({"error": {"details": [detail]}})
    world.script[FCM] = [Answer(1, 429, {}, body)]
    async with world.running():
        outcome = await world.transport.attempt(world.delivery("android"))
        assert isinstance(outcome, Deferred)
        assert outcome.words == frozenset({Word.DELAY})
        before = trio.current_time()
        assert await world.transport.attempt(world.delivery("android")) == Delivered(200)
        assert trio.current_time() == before


async def test_the_rate_of_the_project(autojump_clock: MockClock) -> None:
    """PU-46, PU-36: normal pushes are spread, an urgent one goes at once."""
    world = PushWorld({"google": attrs.evolve(GOOGLE_KEY, rate=10)})
    async with world.running():
        await trio.sleep(1)
        begin = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(world.transport.attempt, world.delivery("android"))
            await trio.sleep(0.05)
            urgent = world.delivery("android", priority=Priority.URGENT)
            nursery.start_soon(world.transport.attempt, urgent)
    sent = {post.priority: post.at - begin for post in world.posts}
    assert sent[Priority.URGENT] == pytest.approx(0.05)
    assert sent[Priority.NORMAL] == pytest.approx(1.9, abs=0.1)


async def test_what_is_over_when_its_slot_comes(autojump_clock: MockClock) -> None:
    """PU-31: the time a push waited is taken off; with less than 1 s left it is not sent."""
    world = PushWorld({"google": attrs.evolve(GOOGLE_KEY, rate=1)})
    async with world.running():
        await trio.sleep(1)
        for _ in range(3):
            await world.transport.attempt(world.delivery("android", seconds=10))
        late = await world.transport.attempt(world.delivery("android", seconds=1.5))
    assert late == Deferred("expired", sign=Sign.NOTHING)
    assert [post.json["message"]["android"]["ttl"] for post in world.posts] == ["10s", "9s", "9s"]


async def test_too_large(autojump_clock: MockClock) -> None:
    """PU-40: trimmed to nine tenths of the limit, once, in the same attempt."""
    world = PushWorld()
    long = gateway("NotifyTextMessage", Selector="s", Message="x" * 5000)
    too_big = answer(400, "INVALID_ARGUMENT", message="Android message is too big")
    world.script[FCM] = [too_big]
    async with world.running():
        outcome = await world.transport.attempt(world.delivery("android", pushed=long))
        assert outcome == Delivered(200)
        data = [len(orjson.dumps(post.json["message"]["data"])) for post in world.posts]
        assert data[0] <= 4096
        assert data[1] <= 4096 * 0.9
        world.script[FCM] = [too_big] * 2
        outcome = await world.transport.attempt(world.delivery("android", pushed=long))
    assert outcome == Refused("payload_too_large", 400)


async def test_what_is_not_sent_at_all(autojump_clock: MockClock) -> None:
    """PU-38, PU-39: not for the app, or too long whatever is left out."""
    world = PushWorld()
    presence = published("presenceNotification", {})
    long = gateway("NotifyTextMessage", Selector="s", Id="i" * 5000, Message="x")
    async with world.running():
        outcomes = [
            await world.transport.attempt(world.delivery("android", pushed=pushed))
            for pushed in (presence, long)
        ]
    assert outcomes == [
        Refused("not_for_app", sign=Sign.NOTHING),
        Refused("payload_too_large", sign=Sign.NOTHING),
    ]
    assert not world.posts


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.6, 0.75])
async def test_cancelled_attempts(autojump_clock: MockClock, seconds: float) -> None:
    """PU-66: cancelled while it waits for a token, an answer or a new token, it leaves nothing
    that the next one trips over."""
    world = PushWorld()

    async def slowly() -> Result:
        await trio.sleep(0.5)
        return answer(401)

    world.script[FCM] = [slowly]
    async with world.running():
        with trio.move_on_after(seconds):
            await world.transport.attempt(world.delivery("android"))
        await trio.sleep(1)
        world.script[FCM] = []
        assert await world.transport.attempt(world.delivery("android")) == Delivered(200)
