"""Providers that fail, and a daemon that dies, while pushes are under way (push.md, C and F)."""

import time
from collections import Counter, deque
from pathlib import Path

import orjson
import pytest
import trio
from tests.end_to_end.clients import QUEUED, SENT, Caller
from tests.end_to_end.daemon import BOUND, Daemon, command, environment, token, until
from tests.end_to_end.provider import (
    DROID,
    GRANTS,
    LANE,
    PHONE,
    TABLET,
    Provider,
    apns,
    device,
    fcm,
    grant,
    on,
    shown,
    waiting,
)
from tests.fakes import pushkeys, receiver

from tocsin.store.sqlite import SqliteStore, StoreSettings
from tocsin.transports.push.apns_credential import KIND
from tocsin.wire.push.assertion import provider_token
from tocsin.wire.push.keys import apns_key

pytestmark = pytest.mark.end_to_end


async def paused_keys(daemon: Daemon) -> float:
    """How many of Apple's keys are paused."""
    return await daemon.metric("tocsin_push_keys_paused", provider="apns")


async def lanes(daemon: Daemon, *arguments: str) -> list[dict[str, object]]:
    """What `tocsin lanes` says."""
    with trio.fail_after(BOUND):
        ended = await trio.run_process(
            command("lanes", *arguments, "--json"),
            capture_stdout=True,
            env={
                **environment(),
                "TOCSIN_ADMIN_URL": f"http://{daemon.admin}",
                "TOCSIN_TOKEN": token("operator", "admin"),
            },
        )
    return [orjson.loads(line) for line in ended.stdout.splitlines()]


async def test_killed_before_the_provider_has_answered(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """PU-41, PU-90: of what was answered 200 before a SIGKILL nothing is lost; what the provider
    had not answered comes once more, by the same id, and what it had does not. The provider sees
    the same token as before."""
    provider = await Provider.start(nursery, tmp_path)
    names = [f"phone {number}" for number in range(20)]
    await provider.follow(*(on(name, do="hold", times=1) for name in names[:10]))
    settings = provider.settings() | {f'push.apps."{PHONE}".ack': "durable"}
    async with Daemon(tmp_path, settings) as daemon:
        caller = Caller(daemon)
        assert await caller.multisend(*map(shown, names)) == [QUEUED] * 20
        await provider.pushes(20)
        await until(lambda: waiting(daemon, 10), "what was answered is settled")
        await daemon.kill()
        await daemon.start()
        await until(lambda: waiting(daemon, 0), "all is settled")
        pushes = await provider.pushes()
    ids = {name: [push.id for push in pushes if push.is_for(name)] for name in names}
    assert [len(found) for found in ids.values()] == [2] * 10 + [1] * 10
    assert all(len(set(found)) == 1 for found in ids.values())
    assert len({push.headers["authorization"] for push in pushes}) == 1


async def test_a_stop_does_not_lose_what_a_caller_waits_for(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """OP-12, PU-14, PU-31: who waits when the daemon is told to stop is told that it is queued, and
    it is: after the restart it comes again, by the same id."""
    provider = await Provider.start(nursery, tmp_path)
    await provider.follow(on("slow", do="hold", times=1))
    async with Daemon(tmp_path, provider.settings()) as daemon:
        replies: list[tuple[int, str]] = []

        async def send() -> None:
            replies.append(await Caller(daemon).send(shown("slow")))

        async with trio.open_nursery() as callers:
            callers.start_soon(send)
            await provider.pushes(1)
            daemon.terminate()
        assert await daemon.exit_status() == 0
        assert replies == [QUEUED]
        await daemon.start()
        first, second = await provider.pushes(2)
    assert first.id == second.id


async def test_a_refused_key(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-16, PU-53: a key Apple refuses is tried no more, and who pushes by it is told at once that
    it is queued; another key never notices. An operator has it probed, and what waits goes out."""
    provider = await Provider.start(nursery, tmp_path)
    await provider.follow(apns("refused", 403, "InvalidProviderToken", times=1))
    async with Daemon(tmp_path, provider.settings()) as daemon:
        caller = Caller(daemon)
        async with trio.open_nursery() as impatient:
            impatient.start_soon(caller.send, shown("refused"))
            await until(lambda: paused_keys(daemon), "the key is paused")
            impatient.cancel_scope.cancel()
        assert await caller.send(shown("behind")) == QUEUED
        assert await caller.send(shown("unaware", app=TABLET)) == SENT
        [blocked] = await lanes(daemon, "list", "--blocked")
        assert (blocked["name"], blocked["blocked"]) == (LANE, "key_paused")
        assert {push.is_for("behind") for push in await provider.pushes(2)} == {False}

        await lanes(daemon, "resume", LANE)
        flowing = (await provider.pushes(4))[2:]
        for name in ("refused", "behind"):
            assert [push.is_for(name) for push in flowing].count(True) == 1
        await until(lambda: is_flowing(daemon), "the key is not paused any more")
        assert await caller.send(shown("after")) == SENT
        await until(lambda: waiting(daemon, 0), "all is settled")
    assert '"event":"push.key.paused","key":"apple"' in daemon.log
    assert '"event":"push.key.resumed","key":"apple"' in daemon.log


async def is_flowing(daemon: Daemon) -> bool:
    return not await paused_keys(daemon)


async def test_a_provider_that_hangs(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-14, PU-17, PU-56, PU-87: what Apple does not answer, or puts off, is queued for its caller
    when the time is up, and holds up nobody else; what became of it later is told."""
    provider = await Provider.start(nursery, tmp_path)
    keeper = await receiver.start(nursery)
    await provider.follow(on("silent", do="hold"), apns("down", 500, "InternalServerError"))
    feedback = f"http://127.0.0.1:{keeper.port}/feedback"
    settings = provider.settings(ack_deadline=0.2, feedback_url=feedback)
    async with Daemon(tmp_path, settings) as daemon:
        caller = Caller(daemon)
        assert await caller.multisend(shown("silent", Id="i"), shown("down")) == [QUEUED] * 2
        await caller.send(shown("good"))
        await until(lambda: waiting(daemon, 2), "the third is settled")
        assert "i" not in outcomes(keeper)
        await provider.release()
        await until(lambda: waiting(daemon, 1), "the first is settled")
        await until(lambda: outcomes(keeper).get("i"), "the keeper is told")
        assert len(await provider.pushes()) == 3
    assert outcomes(keeper)["i"] == {
        "app_id": PHONE,
        "verb": "NotifyGenericTextMessage",
        "id": "i",
        "outcome": "delivered",
        "reason": None,
    }


def outcomes(keeper: receiver.Receiver) -> dict[object, dict[str, object]]:
    """What became of pushes whose callers had been answered, by their Id."""
    told = [orjson.loads(one.body) for one in keeper.requests]
    found = [one["data"] for one in told if one["type"] == "push.outcome"]
    assert all(one.pop("notification_id") for one in found)
    return {one["id"]: one for one in found}


async def test_connections_cut_in_flight(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-54, PU-62: what was under way when the connection was cut is pushed again by the same id,
    and its callers are told that it was sent."""
    provider = await Provider.start(nursery, tmp_path)
    names = [f"phone {number}" for number in range(5)]
    await provider.follow(*(on(name, do="hold", times=1) for name in names))
    async with Daemon(tmp_path, provider.settings()) as daemon:
        replies: list[tuple[int, str]] = []

        async def send() -> None:
            replies.extend(await Caller(daemon).multisend(*map(shown, names)))

        async with trio.open_nursery() as callers:
            callers.start_soon(send)
            before = await provider.pushes(5)
            await provider.cut()
        after = (await provider.pushes(10))[5:]
    assert replies == [SENT] * 5
    assert {push.id for push in after} == {push.id for push in before}
    assert {push.connection for push in after}.isdisjoint(push.connection for push in before)


async def test_goaways_without_end(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-64, PU-84: a provider that sends every connection away after 100 pushes, before it
    has answered any, gets each of five hundred once."""
    provider = await Provider.start(nursery, tmp_path, "--goaway-every", "100", "--delay", "20")
    async with Daemon(tmp_path, provider.settings()) as daemon:
        replies = await Caller(daemon).multisend(*(shown(str(number)) for number in range(500)))
        report = await provider.peer.report()
        # Of the last hundreds, each of the two connections may have had a part.
        assert await daemon.metric("tocsin_push_goaways_total", provider="apns") >= 4
    assert Counter(replies) == {SENT: 500}
    assert report["requests"] == report["distinct"] == 500


@pytest.mark.parametrize(
    ("status", "reason", "end"),
    [(503, "Shutdown", "unavailable"), (400, "IdleTimeout", "shutdown")],
)
async def test_connections_of_no_more_use(
    tmp_path: Path, nursery: trio.Nursery, status: int, reason: str, end: str
) -> None:
    """C.3, PU-91: each connection that Apple answers so drains, however soon after the last one,
    and the push goes again over another; nothing goes over it any more, also when it was the
    second in a row and its push has to wait."""
    provider = await Provider.start(nursery, tmp_path)
    times = {"b": 1, "c": 1, "twice": 2}
    await provider.follow(*(apns(name, status, reason, times=n) for name, n in times.items()))
    async with Daemon(tmp_path, provider.settings() | {"push.keys.apple.connections": 1}) as daemon:
        caller = Caller(daemon)
        for name in ("a", "b", "c"):
            assert await caller.send(shown(name)) == SENT

        async def is_put_off() -> float:
            of = {"provider": "apns", "outcome": "deferred", "reason": end}
            return await daemon.metric("tocsin_push_attempts_total", **of)

        async with trio.open_nursery() as impatient:
            impatient.start_soon(caller.send, shown("twice"))
            await until(is_put_off, "the third of them is put off")
            impatient.cancel_scope.cancel()
        assert await caller.send(shown("d")) == SENT
        pushes = await provider.pushes(8)
    took = {
        name: [push.connection for push in pushes if push.is_for(name)]
        for name in ("a", "b", "c", "twice", "d")
    }
    # What waits may be back by the end: over the last one, too.
    assert (took["twice"][:2], set(took["twice"][2:]) <= {5}) == ([3, 4], True)
    assert (took["a"], took["b"], took["c"], took["d"]) == ([1], [1, 2], [2, 3], [5])


async def test_a_provider_token_that_ends_in_flight(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-41, PU-91, C.3: the daemon goes on with the token of its last run; when Apple finds it too
    old for pushes under way they all go again, with one new token, and their callers are told
    that they were sent."""
    provider = await Provider.start(nursery, tmp_path)
    settings = provider.settings()
    store = tmp_path / "state" / "tocsin.db"
    store.parent.mkdir()
    old = await kept_token(store, settings, age=25 * 60)
    names = [f"phone {number}" for number in range(5)]
    expired = [apns(name, 403, "ExpiredProviderToken", times=1) for name in names]
    await provider.follow(*({**rule, "do": "hold"} for rule in expired))
    async with Daemon(tmp_path, settings) as daemon:
        replies: list[tuple[int, str]] = []

        async def send() -> None:
            replies.extend(await Caller(daemon).multisend(*map(shown, names)))

        async with trio.open_nursery() as callers:
            callers.start_soon(send)
            await provider.pushes(5)
            await provider.release()
        pushes = await provider.pushes(10)
    assert replies == [SENT] * 5
    tokens = [push.headers["authorization"] for push in pushes]
    assert tokens[:5] == [f"bearer {old}"] * 5
    [new] = set(tokens[5:])
    assert new != tokens[0]
    assert {push.id for push in pushes[5:]} == {push.id for push in pushes[:5]}


async def kept_token(path: Path, settings: dict[str, object], *, age: int) -> str:
    """A provider token of the key `apple`, made so many seconds ago and kept in the store."""
    team, key_id = (str(settings[f"push.keys.apple.{name}"]) for name in ("team_id", "key_id"))
    key = apns_key(pushkeys.p8())
    token = provider_token(key, team=team, key_id=key_id, now=int(time.time()) - age)
    store = SqliteStore(StoreSettings(path=str(path)))
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        await store.remember(KIND, {f"{team}/{key_id}": token.encode()})
        nursery.cancel_scope.cancel()
    return token


async def test_a_refused_access_token(tmp_path: Path, nursery: trio.Nursery) -> None:
    """C.4, PU-53, PU-91: the first token of all is refused at once: it is renewed, the push goes
    again and its caller is told that it was sent. Refused once more, the key is paused."""
    provider = await Provider.start(nursery, tmp_path)
    refused = {name: fcm(device(name), 401, "", times=n) for name, n in (("a", 1), ("b", 2))}
    await provider.follow(*refused.values())
    async with Daemon(tmp_path, provider.settings()) as daemon:
        caller = Caller(daemon)
        assert await caller.send(shown("a", app=DROID)) == SENT
        assert (len(await provider.pushes()), len(provider.tokens.requests)) == (2, 2)
        async with trio.open_nursery() as impatient:
            impatient.start_soon(caller.send, shown("b", app=DROID))
            await until(lambda: blocked_for(daemon, "key_paused"), "the key is paused")
            impatient.cancel_scope.cancel()
        assert (len(await provider.pushes()), len(provider.tokens.requests)) == (4, 3)
        assert await caller.send(shown("behind", app=DROID)) == QUEUED
        assert await caller.send(shown("unaware")) == SENT
        assert len(await provider.pushes()) == 5


async def test_no_access_token(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-16, PU-42: while Google gives no access token its lane is blocked and nothing is pushed; a
    caller is told at once that it is queued. Apple's lanes go on. When it gives one again, what
    waits goes out."""
    is_up = False

    async def perhaps(stream: trio.abc.Stream, request: receiver.Received) -> bool:
        answer = grant if is_up else receiver.reply(503)
        return await answer(stream, request)

    provider = await Provider.start(nursery, tmp_path)
    provider.tokens.answers = deque([perhaps] * GRANTS)
    async with Daemon(tmp_path, provider.settings()) as daemon:
        caller = Caller(daemon)
        push = shown("a", app=DROID)
        async with trio.open_nursery() as impatient:
            impatient.start_soon(caller.send, push)
            await until(lambda: "push.credential.failing" in daemon.log, "it is told")
            impatient.cancel_scope.cancel()
        await until(lambda: blocked_for(daemon, "oauth"), "its lane is blocked")
        assert await caller.send(push) == QUEUED
        assert await caller.send(shown("unaware")) == SENT
        assert [push.is_for("unaware") for push in await provider.pushes()] == [True]
        is_up = True
        assert len(await provider.pushes(3)) == 3
        await until(lambda: waiting(daemon, 0), "all is settled")
        assert await caller.send(push) == SENT
        assert len(await provider.pushes()) == 4


async def blocked_for(daemon: Daemon, reason: str) -> bool:
    """Whether a lane is."""
    return reason in [one["blocked"] for one in await lanes(daemon, "list", "--blocked")]
