"""Fetching key sets from a real server on loopback."""

import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs
from tests.fakes.daemon import CHAT, USER, daemon
from tests.fakes.jwks_server import JwksServer, jwks_server
from tests.fakes.revocations import revocations
from tests.fakes.tokens import NOW, SECRET, jwks, public_jwk, signed
from trio.testing import wait_all_tasks_blocked

from tocsin.model.errors import StartupError
from tocsin.ops.metrics import Metrics
from tocsin.ops.service import Progress
from tocsin.server import jwks as module
from tocsin.server.auth import Authenticator, AuthSettings
from tocsin.server.jwks import FixedKeys, JwksError, RemoteKeys, fetch_keys, read_key_file
from tocsin.wire.jwk import Key, KeySet, shared_secret

FIRST = jwks(public_jwk("EdDSA", "1"))
SECOND = jwks(public_jwk("EdDSA", "2"))


@pytest.fixture
async def server() -> AsyncIterator[JwksServer]:
    async with jwks_server(FIRST) as running:
        yield running


def started(nursery: trio.Nursery, server: JwksServer, **options: float) -> RemoteKeys:
    keys = RemoteKeys(server.url, metrics=Metrics(), secret=shared_secret(SECRET), **options)
    nursery.start_soon(keys.run, Progress(lambda _: None))
    return keys


def names(keys: RemoteKeys) -> list[str | None]:
    return [key.kid for key in keys.keys.public]


def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute passes, for the limit on refreshes only."""
    monkeypatch.setattr(module, "ASKED_GAP", 0.0)


async def test_keys_are_fetched_at_start(server: JwksServer, nursery: trio.Nursery) -> None:
    """CH-11: the set is there without anybody asking, next to the shared secret."""
    keys = started(nursery, server)
    assert not keys.ready
    assert keys.keys.secret is not None
    await keys.refresh()
    assert keys.ready
    assert names(keys) == ["1"]
    assert keys.keys.secret is not None


async def test_the_service_is_ready_before_the_keys(server: JwksServer) -> None:
    """CH-11: the daemon starts although the provider is slow."""
    server.gate = trio.Event()
    keys = RemoteKeys(server.url, metrics=Metrics())
    ready: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keys.run, Progress(ready.append))
        await wait_all_tasks_blocked()
        assert ready
        assert not keys.ready
        nursery.cancel_scope.cancel()


async def test_rotation(server: JwksServer, nursery: trio.Nursery) -> None:
    """CH-11: asking gets a newer set at once, though the first was fetched just now."""
    keys = started(nursery, server)
    await keys.refresh()
    server.body = SECOND
    await keys.refresh()
    assert names(keys) == ["2"]


async def test_asking_is_limited(
    server: JwksServer, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CH-11, SE-1: who makes up key names causes one fetch in 60 s and no more."""
    keys = started(nursery, server)
    await keys.refresh()
    for _ in range(5):
        await keys.refresh()
    assert len(server.requests) == 2
    later(monkeypatch)
    await keys.refresh()
    assert len(server.requests) == 3


async def test_single_flight(server: JwksServer, nursery: trio.Nursery) -> None:
    """SE-1: many callers wait for one fetch, and one that goes away does not end it."""
    keys = started(nursery, server)
    await keys.refresh()
    server.body, server.gate = SECOND, trio.Event()
    async with trio.open_nursery() as callers:
        with trio.CancelScope() as gone:
            async with trio.open_nursery() as inner:
                inner.start_soon(keys.refresh)
                await wait_all_tasks_blocked()
                inner.cancel_scope.cancel()
        assert not gone.cancel_called
        for _ in range(10):
            callers.start_soon(keys.refresh)
        await wait_all_tasks_blocked()
        server.gate.set()
    assert names(keys) == ["2"]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        ("500 Oops", [], FIRST),
        ("302 Found", ["Location: /other"], FIRST),
        ("200 OK", [], b"<html>"),
        ("200 OK", [], jwks()),
        ("200 OK", [], SECOND + b" " * (module.REPLY_BYTES + 1)),
        ("200 OK", ["Content-Encoding: gzip"], b"\x1f\x8b" + bytes(50)),
    ],
    ids=["error", "redirect", "no JSON", "no keys", "too large", "compressed"],
)
async def test_last_good_set_stays(
    server: JwksServer, nursery: trio.Nursery, status: str, headers: list[str], body: bytes
) -> None:
    """CH-11: a refresh that fails, in whatever way, leaves the keys as they are, and is told."""
    keys = started(nursery, server)
    assert await keys.refresh()
    server.status, server.headers, server.body = status, headers, body
    assert not await keys.refresh()
    assert not await keys.refresh()
    assert names(keys) == ["1"]
    assert len(server.requests) == 2


async def test_first_fetch_is_retried(
    server: JwksServer, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CH-11: without a set the fetch is repeated by itself until there is one."""
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.0)
    server.status = "503 Later"
    keys = started(nursery, server)
    await server.arrived(1)
    assert not keys.ready
    server.status = "200 OK"
    await server.arrived(2)
    await keys.refresh()
    assert keys.ready


async def test_an_outage_is_told(
    server: JwksServer, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OP-15, CH-11: every fetch is counted, and when one last worked; the log has a line for the
    first set, for an outage however long, for its end, and for other keys. Those at hand go on
    verifying meanwhile."""
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.0)
    metrics = Metrics()
    assert counted(metrics) == (0, 0, 0)
    keys = RemoteKeys(server.url, metrics=metrics, refresh_every=0.0)
    settings = AuthSettings(jwks_url=server.url, cache_seconds=0)
    tokens = Authenticator(settings, keys, revocations=revocations(), now=lambda: NOW)
    with capture_logs() as lines:
        nursery.start_soon(keys.run, Progress(lambda _: None))
        await server.arrived(3)
        fetched, failed, at = counted(metrics)
        assert fetched >= 2
        assert failed == 0
        server.status = "503 Later"
        await server.arrived(len(server.requests) + 5)
        assert counted(metrics)[1] >= 3
        bearer = f"Bearer {signed('EdDSA', '1')}"
        principal = await tokens.authenticate(authorization=bearer, query_token=None)
        assert principal.user == "alice"
        server.status = "200 OK"
        await server.arrived(len(server.requests) + 3)
        server.body = SECOND
        await server.arrived(len(server.requests) + 3)
    assert counted(metrics)[2] >= at > 0
    assert [(line["event"], line["log_level"]) for line in lines if "jwks" in line["event"]] == [
        ("jwks.refreshed", "info"),
        ("jwks.refresh_failed", "warning"),
        ("jwks.refreshed", "info"),
        ("jwks.refreshed", "info"),
    ]
    assert [line["keys"] for line in lines if line["event"] == "jwks.refreshed"] == [
        ["1"],
        ["1"],
        ["2"],
    ]


async def test_the_whole_daemon(tmp_path: Path, server: JwksServer) -> None:
    """OP-15: an operator sees that its keys are fetched; who they are of is let in."""
    before = time.time()
    async with daemon(tmp_path, auth={"jwks_url": server.url}) as running:
        token = signed("EdDSA", "1", preferred_username=USER, exp=before + 60)
        assert (await running.get(CHAT, bearer=token)).status == 200
        assert await running.metric('tocsin_token_keys_fetches_total{result="fetched"}') == 1
        last = await running.metric("tocsin_token_keys_last_success_timestamp_seconds")
        assert before <= last <= time.time()


def counted(metrics: Metrics) -> tuple[float, float, float]:
    """Fetches that worked, those that failed, and when the last one worked."""
    read = metrics.registry.get_sample_value
    fetches = "tocsin_token_keys_fetches_total"
    found = (
        read(fetches, {"result": "fetched"}),
        read(fetches, {"result": "failed"}),
        read("tocsin_token_keys_last_success_timestamp_seconds"),
    )
    return found[0] or 0, found[1] or 0, found[2] or 0


async def test_the_set_is_fetched_anew_from_time_to_time(
    server: JwksServer, nursery: trio.Nursery
) -> None:
    """SE-1: a key that its provider has withdrawn is forgotten, though nobody asks."""
    keys = started(nursery, server, refresh_every=0.0)
    await server.arrived(2)
    server.body = SECOND
    await server.arrived(len(server.requests) + 2)
    assert names(keys) == ["2"]


async def test_a_fetch_that_hangs_is_given_up(
    server: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SE-12: a provider that accepts and never answers costs one deadline, not the service."""
    server.gate = trio.Event()
    monkeypatch.setattr(module, "FETCH_TIMEOUT", 0.5)
    with pytest.raises(JwksError, match="not complete"):
        await fetch_keys(server.url, ssl.create_default_context())


async def test_nobody_listening(nursery: trio.Nursery) -> None:
    """CH-11: a provider that cannot be reached is a failure like others."""
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        keys = RemoteKeys(f"http://127.0.0.1:{unused.getsockname()[1]}/keys", metrics=Metrics())
        nursery.start_soon(keys.run, Progress(lambda _: None))
        await keys.refresh()
        assert not keys.ready


async def test_environment_proxies_are_ignored(
    server: JwksServer, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SE-4: keys come from the configured address, whatever the environment says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    keys = started(nursery, server)
    await keys.refresh()
    assert keys.ready


async def test_waiting_ends_without_the_service(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A caller is not held for ever while the service is being restarted."""
    keys = RemoteKeys("http://127.0.0.1:1/keys", metrics=Metrics())
    before = trio.current_time()
    assert not await keys.refresh()
    assert trio.current_time() - before == module.PATIENCE


async def test_nobody_waits_for_long_for_a_provider_that_hangs(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CH-11, SE-5: who comes with a name of no key waits for 2 s from the beginning of the fetch
    on, and is told that there may be newer keys; who comes later is told at once. There is one
    fetch for all of them."""
    fetches = []
    has_begun = trio.Event()

    async def hang(url: str, _tls: object) -> tuple[Key, ...]:
        fetches.append(url)
        has_begun.set()
        await trio.sleep(module.FETCH_TIMEOUT)
        raise JwksError("not complete")

    monkeypatch.setattr(module, "fetch_keys", hang)
    keys = RemoteKeys("http://127.0.0.1:1/keys", metrics=Metrics())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keys.run, Progress(lambda _: None))
        await has_begun.wait()
        began = trio.current_time()
        await trio.sleep(0.5)
        assert not await keys.refresh()
        assert trio.current_time() - began == pytest.approx(module.PATIENCE)
        for _ in range(50):
            assert not await keys.refresh()
        assert trio.current_time() - began == pytest.approx(module.PATIENCE)
        assert len(fetches) == 1
        nursery.cancel_scope.cancel()


def test_pauses_grow_to_a_minute() -> None:
    """CH-11: the pauses between retries double from 1 s up to 60 s."""
    keys = RemoteKeys("http://x/", metrics=Metrics(), refresh_every=3600)
    pauses = [keys._pause()]
    for _ in range(2000):
        keys._note_failure(module.JwksError("down"))
        pauses.append(keys._pause())
    assert pauses[:9] == [3600, 1, 2, 4, 8, 16, 32, 60, 60]
    assert pauses[-1] == 60


def test_key_file(tmp_path: Path) -> None:
    """CH-11: a file with a set is read at start."""
    file = tmp_path / "keys.json"
    file.write_bytes(FIRST)
    assert [key.kid for key in read_key_file(str(file))] == ["1"]


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_bad_key_file(tmp_path: Path, content: bytes | None) -> None:
    """CH-11: a missing or bad file stops the start with one line that names it."""
    file = tmp_path / "keys.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartupError) as refusal:
        read_key_file(str(file))
    line = str(refusal.value)
    assert line.startswith(f"auth.jwks_file: {file}: ")
    assert "\n" not in line


async def test_fixed_keys_have_nothing_newer() -> None:
    """CH-11: without an address, refreshing is pointless and harmless."""
    assert await FixedKeys(KeySet()).refresh()
