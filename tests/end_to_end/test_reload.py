"""SIGHUP: the configuration is read again while everything goes on (OP-7)."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.end_to_end.clients import SENT, Caller, Platform, User, chat, text_of
from tests.end_to_end.daemon import Daemon, defaults, until, write_config
from tests.end_to_end.notification_socket import open_socket
from tests.end_to_end.provider import DROID, PHONE, TABLET, Provider, apns, device, shown, text

pytestmark = pytest.mark.end_to_end

DONE = '"event":"config.reloaded"'
FAILED = '"event":"config.reload_failed"'
APP = f'push.apps."{TABLET}".'


async def reload(daemon: Daemon, settings: Mapping[str, object], *, says: str = DONE) -> None:
    """Write these settings, and have them read; returns when the log says so once more."""
    before = daemon.log.count(says)
    write_config(daemon.config, {**defaults(daemon.folder), **settings})
    daemon.signal(signal.SIGHUP)
    await until(lambda: daemon.log.count(says) > before, f"the log says {says}")


def without(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Settings less those whose path begins like this."""
    return {name: value for name, value in settings.items() if not name.startswith(prefix)}


async def test_apps_come_and_go_and_a_mistake_changes_nothing(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """OP-7, PU-20, CH-32: a new app can be pushed to and registered, a removed one cannot; a file
    with mistakes leaves all as it was, and says each of them."""
    provider = await Provider.start(nursery, tmp_path)
    settings = provider.settings()
    fewer = without(settings, APP)
    alice = "alice@example.com"
    async with Daemon(tmp_path, fewer) as daemon:
        caller, user = Caller(daemon), User(daemon, alice)
        assert (await caller.send(shown("one", app=TABLET)))[0] == 400
        await reload(daemon, settings)
        assert await caller.send(shown("one", app=TABLET)) == SENT
        await user.push_channel(TABLET, device("one"))

        await reload(daemon, fewer | {"push.lane_width": 0, "log.levle": "info"}, says=FAILED)
        assert "push.lane_width: " in daemon.log
        assert "log.levle: unknown option, did you mean log.level?" in daemon.log
        assert await daemon.metric("tocsin_config_reload_failures_total") == 1
        assert await caller.send(shown("two", app=TABLET)) == SENT

        await reload(daemon, fewer | {"ws.window": 3}, says='"event":"config.restart_needed"')
        assert '"options":["ws.window"]' in daemon.log
        assert (await caller.send(shown("three", app=TABLET)))[0] == 400
        assert await caller.send(shown("four", app=PHONE)) == SENT
        with pytest.raises(AssertionError, match="channelData"):
            await user.push_channel(TABLET, device("three"), clientCorrelator="other")
        daemon.terminate()
        assert await daemon.exit_status() == 0


async def test_another_key(tmp_path: Path, nursery: trio.Nursery) -> None:
    """PU-20, PU-53: a changed key ends the pause of the one before it and has connections of its
    own; those of the old one drain, and another key keeps its connection."""
    provider = await Provider.start(nursery, tmp_path)
    await provider.follow(apns("refused", 403, "InvalidProviderToken", times=1))
    settings = provider.settings()
    async with Daemon(tmp_path, settings) as daemon:
        caller = Caller(daemon)
        assert await caller.send(shown("unaware", app=TABLET)) == SENT
        async with trio.open_nursery() as impatient:
            impatient.start_soon(caller.send, shown("refused"))
            await until(lambda: paused(daemon), "the key is paused")
            impatient.cancel_scope.cancel()
        await reload(daemon, settings | {"push.keys.apple.key_id": "ZZZZZZZZZZ"})
        assert not await paused(daemon)
        assert await caller.send(shown("after")) == SENT
        assert await caller.send(shown("unaware", app=TABLET)) == SENT
        pushes = await provider.pushes(4)
    unaware = {push.connection for push in pushes if push.is_for("unaware")}
    assert len(unaware) == 1
    before, *others = [push for push in pushes if push.connection not in unaware]
    assert {push.connection for push in others}.isdisjoint({before.connection})
    assert all(push.headers["authorization"] != before.headers["authorization"] for push in others)


async def paused(daemon: Daemon) -> float:
    """How many of Apple's keys are paused."""
    return await daemon.metric("tocsin_push_keys_paused", provider="apns")


async def test_nothing_is_lost_under_load(tmp_path: Path, nursery: trio.Nursery) -> None:
    """OP-7: while keys, apps and limits change again and again, every push that is asked for is
    sent, a socket stays open, and gets each notification once."""
    provider = await Provider.start(nursery, tmp_path)
    settings = provider.settings()
    alice = "alice@example.com"
    rounds, callers = 6, 4
    settings["ws.window"] = 10_000
    async with Daemon(tmp_path, settings) as daemon:
        caller, user, platform = Caller(daemon), User(daemon, alice), Platform(daemon)
        channel = await user.socket_channel()
        answers: list[tuple[int, str]] = []
        published: list[str] = []
        is_over = trio.Event()

        async def push(number: int) -> None:
            while not is_over.is_set():
                name = f"{number}-{len(answers)}"
                element = shown(name) if number % 2 else text(f"token-{name}", DROID)
                answers.append(await caller.send(element))

        async def publish() -> None:
            while not is_over.is_set():
                words = f"message {len(published)}"
                await platform.publish(chat(alice, words))
                published.append(words)

        async with open_socket(user, channel) as socket:
            async with trio.open_nursery() as load:
                load.start_soon(publish)
                for number in range(callers):
                    load.start_soon(push, number)
                for turn in range(rounds):
                    enough = len(answers) + 2 * callers
                    await until(lambda least=enough: len(answers) >= least, "the load goes on")
                    await reload(
                        daemon,
                        settings
                        | {
                            "push.keys.apple.key_id": f"ZZZZZZZZZ{turn}",
                            "push.keys.google.connections": 1 + turn % 2,
                            "limits.channels_per_user": 10 + turn,
                        },
                    )
                is_over.set()
            got = [text_of(frame) for frame in await socket.texts(len(published))]
        assert set(answers) == {SENT}
        assert got == published
        report = await provider.peer.report()
        assert report["requests"] >= len(answers)
