"""Providers that fail, and a daemon that dies, while pushes are under way (push.md, C and F)."""

from collections import Counter
from pathlib import Path

import orjson
import pytest
import trio
from tests.end_to_end.clients import QUEUED, SENT, Caller
from tests.end_to_end.daemon import BOUND, Daemon, command, environment, token, until
from tests.end_to_end.provider import (
    DROID,
    LANE,
    PHONE,
    TABLET,
    Provider,
    apns,
    grant,
    on,
    shown,
    waiting,
)
from tests.fakes import receiver

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
    it is queued; another key never notices. An operator has it probed, and all flows again."""
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
        assert (await provider.pushes(3))[2].is_for("behind")
        await until(lambda: is_flowing(daemon), "the key is not paused any more")
        assert await caller.send(shown("after")) == SENT
        assert await waiting(daemon, 1)
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
    has answered any, gets each of a thousand once."""
    provider = await Provider.start(nursery, tmp_path, "--goaway-every", "100", "--delay", "20")
    async with Daemon(tmp_path, provider.settings()) as daemon:
        replies = await Caller(daemon).multisend(*(shown(str(number)) for number in range(1000)))
        report = await provider.peer.report()
        assert await daemon.metric("tocsin_push_goaways_total", provider="apns") >= 10
    assert Counter(replies) == {SENT: 1000}
    assert report["requests"] == report["distinct"] == 1000


async def test_no_access_token(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-16, PU-42: while Google gives no access token its lane is blocked and nothing is pushed; a
    caller is told at once that it is queued. Apple's lanes go on. When it gives one again, what
    waits goes out."""
    is_up = False

    async def perhaps(stream: trio.abc.Stream, request: receiver.Received) -> bool:
        answer = grant if is_up else receiver.reply(503)
        return await answer(stream, request)

    provider = await Provider.start(nursery, tmp_path)
    provider.tokens.answers.extendleft([perhaps] * 20)
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
