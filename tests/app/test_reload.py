"""Another configuration while everything runs (OP-7; push.md, PU-20)."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from structlog.testing import capture_logs
from tests.fakes import pushkeys
from tests.fakes.daemon import CHANNELS, Daemon, configured, daemon
from tests.fakes.tokens import SECRET

from tocsin.app import App
from tocsin.config import Config
from tocsin.model.errors import StoreError

OTHER_SECRET = "another secret, also long enough for HS256"
JSON = ("Content-Type", "application/json")
PHONE = "com.example.app"
APP = {PHONE: {"provider": "apns"}}
FAILURES = "tocsin_config_reload_failures_total"
DONE = "tocsin_config_last_reload_success_timestamp_seconds"


@pytest.fixture(autouse=True)
def _log_restored() -> Iterator[None]:
    """A reload may configure the log of the whole process."""
    yield
    structlog.reset_defaults()


def push(**more: Any) -> dict[str, Any]:
    """`[push]` with one app."""
    return pushkeys.push_section(APP, **more)


async def reload(running: Daemon, **tables: Any) -> list[Any]:
    """Have it take over what these tables say; what it logs."""
    with capture_logs() as logs:
        await running.app.reloads.reload(lambda: configured(running.folder, **tables))
    return [one for one in logs if one["event"].startswith("config.")]


async def take_over(running: Daemon, **tables: Any) -> None:
    """The same, with nothing wrong and nothing left."""
    told = await reload(running, **tables)
    assert [one["event"] for one in told] == ["config.reloaded"], told


async def register(running: Daemon, **options: Any) -> int:
    """A channel of the app; the status."""
    data = {"appId": PHONE, "x-provider": "apns", "x-deviceToken": "ab" * 32}
    wanted = {"channelType": "OMAPush", "clientCorrelator": "phone", "channelData": data}
    return (await running.post(CHANNELS, {"notificationChannel": wanted}, **options)).status


async def test_an_app_comes_and_goes(tmp_path: Path) -> None:
    """PU-20, CH-32: an app is known to channels, to the gateway and to operators as soon as the
    configuration has it, and no longer."""
    element = {
        "verb": "NotifyGenericTextMessage",
        "AppId": PHONE,
        "DeviceToken": "ab" * 32,
        "Selector": "a1",
        "Message": "hello",
    }
    async with daemon(tmp_path) as running:

        async def known() -> tuple[int, int, bool]:
            answer = await running.post("/pnm2/send", element, bearer=None, headers=[JSON])
            gates = running.app._parts.pushing.gates.of(f"apns/{PHONE}")
            return await register(running), answer.json["code"], gates is not None

        assert await known() == (400, 400, False)
        section = push()
        section["apps"][PHONE]["ack"] = "durable"
        await take_over(running, push=section)
        assert await known() == (201, 200, True)
        await take_over(running)
        assert await known() == (400, 400, False)


async def test_a_mistake_changes_nothing(tmp_path: Path) -> None:
    """OP-7: every mistake is told at once, in the log and in a metric, and all stays as it is."""
    async with daemon(tmp_path, push=push()) as running:
        before = running.app.reloads.config
        [told] = await reload(running, push={"lane_width": 0, "pass_verb": []}, ws={"window": "1"})
        assert (told["event"], told["log_level"]) == ("config.reload_failed", "error")
        assert told["mistakes"] == 3
        assert [line.partition(":")[0] for line in told["problems"]] == [
            *("ws.window", "push.lane_width", "push.pass_verb"),
        ]
        assert running.app.reloads.config is before
        assert await register(running) == 201
        assert await running.metric(FAILURES) == 1


async def test_a_credential_that_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PU-20: what is wrong with one of the credentials keeps all the others, and the apps, back."""
    section = push()
    name = "apns"
    async with daemon(tmp_path, push=section) as running:
        transport = running.app._parts.pushing.transport
        await transport._loaded.wait()
        before = dict(transport._tenures)

        async def fail(_kind: str) -> dict[str, bytes]:
            await trio.lowlevel.checkpoint()
            raise StoreError("disk full")

        monkeypatch.setattr(running.app.store, "recall", fail)
        changed = section | {"apps": {}, "keys": {name: section["keys"][name] | {"connections": 1}}}
        [told] = await reload(running, push=changed, limits={"rate": 5})
        assert told["problems"] == ["disk full"]
        assert transport._tenures == before
        assert await register(running) == 201
        assert running.app.reloads.config.limits.rate == 0


async def test_a_changed_key_is_a_new_one(tmp_path: Path) -> None:
    """PU-20, PU-53: a credential that has changed has another sender and an open gate, one that
    has not keeps both."""
    section = push()
    name = "apns"
    keys = {name: section["keys"][name], "second": section["keys"][name]}
    section["keys"] = keys
    section["apps"] = section["apps"] | {"com.example.b": {"provider": "apns", "key": "second"}}
    async with daemon(tmp_path, push=section) as running:
        pushing = running.app._parts.pushing
        await pushing.transport._loaded.wait()
        before = dict(pushing.transport._tenures)
        for key in keys:
            pushing.gates.close(key, "key_paused")
        changed = section | {"keys": keys | {name: keys[name] | {"key_id": "ZZZZZZZZZZ"}}}
        await take_over(running, push=changed)
        after = pushing.transport._tenures
        assert after["second"] is before["second"]
        assert after[name] is not before[name]
        assert before[name].over.is_set()
        reasons = [pushing.queue.blocked(f"apns/{app}") for app in (PHONE, "com.example.b")]
        assert reasons == [None, "key_paused"]
        assert await running.metric('tocsin_push_keys_paused{provider="apns"}') == 1


async def test_a_changed_app_proves_itself_anew(tmp_path: Path) -> None:
    """PU-49: until it has been pushed to with success as it is now."""
    section = push()
    async with daemon(tmp_path, push=section) as running:
        devices = running.app._parts.pushing.devices
        watched = devices._watch(PHONE)
        assert watched is not None
        watched.is_proven = True
        await take_over(running, push=section | {"ack_deadline": 7})
        assert devices._watch(PHONE) is watched
        await take_over(
            running, push=section | {"apps": {PHONE: section["apps"][PHONE] | {"topic": "b"}}}
        )
        again = devices._watch(PHONE)
        assert again is not None
        assert not again.is_proven


async def test_whose_tokens_are_accepted(tmp_path: Path) -> None:
    """OP-7: another secret, on both listeners; tokens of before are refused though they were
    cached."""
    async with daemon(tmp_path) as running:
        assert (await running.get(CHANNELS)).status == 200
        await take_over(running, auth={"shared_secret": OTHER_SECRET})
        assert (await running.get(CHANNELS)).status == 401
        admin = running.app.admin_addresses[0]
        answer = await running.get("/admin/v1/channels", scope="admin", address=admin)
        assert answer.status == 401
        await take_over(running, auth={"shared_secret": SECRET})
        assert (await running.get(CHANNELS)).status == 200


async def test_limits_and_faces(tmp_path: Path) -> None:
    """OP-7: requests that come from now on meet the new limits, origins and widths."""
    async with daemon(tmp_path) as running:
        parts = running.app._parts
        await running.open_channel()
        webhooks = {"allow_http": [], "signing_secret": f"whsec_{'A' * 32}"}
        await take_over(
            running,
            cors={"origins": ["https://a.example"]},
            limits={"channels_per_user": 1, "body": 1024, "backlog": 7},
            webhooks=webhooks,
            push={"lane_width": 3, "max_waiting": 5, "token_exclusive": True},
        )
        answer = await running.post(CHANNELS, b" " * 2000)
        assert answer.status == 413
        origin = [("Origin", "https://b.example")]
        assert (
            "access-control-allow-origin"
            not in (await running.get(CHANNELS, headers=origin)).headers
        )
        assert parts.queue._width("https://a.example") == 8
        assert parts.pushing.queue._width("apns/a") == 3
        with pytest.raises(ValueError, match="http"):
            parts.guard.parse("http://127.0.0.1/hook")
        assert parts.webhooks._signer is not None


async def test_what_takes_a_restart_is_named_each_time(tmp_path: Path) -> None:
    """OP-7: in one warning, again at the next reload, while the rest is taken over."""
    tables: dict[str, Any] = {"ws": {"engine": "trio-websocket"}, "store": {"path": "other.db"}}
    async with daemon(tmp_path) as running:
        for rate in (5, 6):
            done, warned = await reload(running, limits={"rate": rate}, **tables)
            assert (done["event"], done["changed"]) == ("config.reloaded", ["limits.rate"])
            assert (warned["event"], warned["log_level"]) == ("config.restart_needed", "warning")
            assert warned["options"] == ["store.path", "ws.engine"]
        assert running.app.reloads.config.store == running.app.config.store


async def test_asked_during_a_reload(tmp_path: Path) -> None:
    """OP-7: there is one more after it, however often it was asked for, and the last word holds."""
    loaded: list[int] = []

    def loader(running: Daemon, number: int, *, asking: int = 0) -> Callable[[], Config]:
        def load() -> Config:
            loaded.append(number)
            for one in range(asking):
                again = loader(running, number + one + 1)
                trio.from_thread.run_sync(running.app.reloads.ask, again)
            return configured(running.folder, limits={"rate": number})

        return load

    async with daemon(tmp_path) as running:
        reloads = running.app.reloads
        reloads.ask(loader(running, 1, asking=3))
        with trio.fail_after(30):
            while reloads.config.limits.rate != 4:  # noqa: ASYNC110 - it has no event for this
                await trio.lowlevel.checkpoint()
        assert loaded == [1, 4]


async def test_a_stop_wins(tmp_path: Path) -> None:
    """OP-7, OP-12: who is told to stop during a reload stops, however long the file takes to be
    read, and takes nothing over."""
    began, ready, going_on = trio.Event(), trio.Event(), threading.Event()
    app, changed = App(configured(tmp_path)), configured(tmp_path, limits={"rate": 9})

    def load() -> Config:
        trio.from_thread.run_sync(began.set)
        going_on.wait(60)
        return changed

    try:
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(app.run, on_ready=ready.set))
                await ready.wait()
                app.reloads.ask(load)
                await began.wait()
                app.stop()
    finally:
        going_on.set()
    assert app.reloads.config.limits.rate == 0
