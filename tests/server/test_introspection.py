"""Asking about tokens: a real server on loopback, what is made of it, and the whole daemon."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from structlog.testing import capture_logs
from tests.fakes.daemon import CHANNELS, USER, daemon
from tests.fakes.daemon import token as signed_now
from tests.fakes.introspection_server import IntrospectionServer, introspection_server
from tests.fakes.notification_socket import NotificationSocket, handshake
from tests.fakes.revocations import revocations
from tests.fakes.tokens import NOW, SECRET, signed
from trio.testing import wait_all_tasks_blocked

from tocsin.delivery.revocations import By, Revocations
from tocsin.model.errors import RequestError, StartupError
from tocsin.model.principal import Principal
from tocsin.ops.metrics import Metrics
from tocsin.server import introspection as module
from tocsin.server.auth import Authenticator, AuthSettings, check, key_source
from tocsin.server.introspection import IntrospectionSettings, Introspector
from tocsin.store.interface import Store
from tocsin.store.sqlite import SqliteStore, StoreSettings

ALICE = {"sub": "alice", "scope": "channels", "client_id": "app"}


@attrs.define
class Clock:
    """Wall time as a test wants it."""

    time: float = NOW

    def __call__(self) -> float:
        return self.time


@attrs.define
class World:
    """An authenticator that has somebody to ask."""

    server: IntrospectionServer
    tokens: Authenticator
    introspector: Introspector
    revocations: Revocations
    metrics: Metrics
    clock: Clock

    async def ask(self, token: str, **options: Any) -> Principal:
        """Who a token speaks for."""
        return await self.tokens.authenticate(
            authorization=f"Bearer {token}", query_token=None, **options
        )

    async def refusal(self, token: str) -> tuple[int, str]:
        """Why it speaks for nobody."""
        with pytest.raises(RequestError) as refused:
            await self.ask(token)
        return refused.value.status, refused.value.label

    def counted(self) -> dict[str, float]:
        """How often what came of asking."""
        read = self.metrics.registry.get_sample_value
        found = {one: read("tocsin_introspections_total", {"result": one}) for one in RESULTS}
        return {one: count for one, count in found.items() if count}


RESULTS = ("active", "inactive", "failed", "full")
FAILED = (503, "introspection")


@pytest.fixture
async def server() -> AsyncIterator[IntrospectionServer]:
    async with introspection_server() as running:
        running.tokens["opaque"] = dict(ALICE)
        yield running


async def world(
    server: IntrospectionServer,
    *,
    keys: bool = True,
    store: Store | None = None,
    **options: Any,
) -> World:
    """`keys`: signed tokens can be verified here, too. `options` are those of the asking."""
    settings = AuthSettings(
        shared_secret=SECRET if keys else None,
        introspection=IntrospectionSettings(url=server.url, **options),
    )
    assert check(settings) == []
    metrics, clock = Metrics(), Clock()
    introspector = Introspector(settings.introspection, metrics=metrics)
    revoked = revocations(store, now=clock)
    tokens = Authenticator(
        settings, key_source(settings), revocations=revoked, introspector=introspector, now=clock
    )
    await trio.lowlevel.checkpoint()
    return World(server, tokens, introspector, revoked, metrics, clock)


async def test_an_opaque_token(server: IntrospectionServer) -> None:
    """SE-1: its issuer says who it is; who asks says who he is."""
    there = await world(server, client_id="us", client_secret="s:1")
    principal = await there.ask("opaque")
    assert (principal.user, principal.scopes, principal.producer) == ("alice", {"channels"}, "app")
    [request] = server.requests
    assert request.startswith(b"POST /introspect HTTP/1.1\r\n")
    assert b"authorization: Basic dXM6cyUzQTE=\r\n" in request
    assert request.endswith(b"token=opaque&token_type_hint=access_token")
    assert there.tokens.is_introspected("opaque")
    assert there.counted() == {"active": 1}


def test_nobody_there_to_be_asked() -> None:
    """MS-7: signed tokens that must be asked about are never let in unchecked: without an address
    it does not start."""
    settings = AuthSettings(shared_secret=SECRET)
    with pytest.raises(StartupError):
        Authenticator(
            settings, key_source(settings), revocations=revocations(), asks_again=True, now=Clock()
        )


async def test_a_token_that_is_not_active(server: IntrospectionServer) -> None:
    """CH-13: 401, however often it comes; what can be no token is not asked about."""
    there = await world(server)
    for _ in range(2):
        assert await there.refusal("unknown") == (401, "token_invalid")
    assert await there.refusal("a?b") == (401, "token_invalid")
    assert server.asked == ["unknown", "unknown"]
    assert there.counted() == {"inactive": 2}


async def test_answers_are_kept_for_a_moment(server: IntrospectionServer) -> None:
    """SE-1, MS-7: at most 30 s and not beyond the token's end, then the issuer is asked again, and
    what it takes back is void."""
    there = await world(server)
    server.tokens["short"] = {**ALICE, "exp": NOW + 10}
    await there.ask("opaque")
    await there.ask("short")
    there.clock.time += 9.9
    await there.ask("short")
    there.clock.time += 0.1
    await there.ask("short")
    there.clock.time += 19.9
    await there.ask("opaque")
    assert server.asked == ["opaque", "short", "short"]
    del server.tokens["opaque"]
    there.clock.time += 0.1
    assert await there.refusal("opaque") == (401, "token_invalid")
    assert await there.ask("short")
    there.clock.time = NOW + 40
    assert await there.refusal("short") == (401, "token_expired")


async def test_signed_tokens_need_nobody(server: IntrospectionServer) -> None:
    """CH-11: what our keys verify is not asked about, unless that is wanted; a signed token that
    they do not verify is not believed because somebody else might."""
    there = await world(server)
    assert (await there.ask(signed("HS256"))).user == "alice"
    assert not there.tokens.is_introspected(signed("HS256"))
    forged = signed("HS256")[:-4] + "AAAA"
    server.tokens[forged] = dict(ALICE)
    assert await there.refusal(forged) == (401, "token_invalid")
    assert server.asked == []


async def test_signed_tokens_are_asked_about_where_wanted(server: IntrospectionServer) -> None:
    """MS-7: `introspect_jwt`: verified here first, and then confirmed; the issuer can take scopes
    away, and adds none."""
    there = await world(server, introspect_jwt=True)
    good, bad = signed("HS256", scope="channels publish", jti="1"), signed("HS256", jti="2")
    server.tokens[good] = {"scope": "channels admin"}
    principal = await there.ask(good)
    assert (principal.user, principal.scopes, principal.token_id) == ("alice", {"channels"}, "1")
    assert await there.refusal(bad) == (401, "token_invalid")
    forged = signed("HS256")[:-4] + "AAAA"
    assert await there.refusal(forged) == (401, "token_invalid")
    assert server.asked == [good, bad]
    assert there.tokens.is_introspected(good)


async def test_without_keys_every_token_is_asked_about(server: IntrospectionServer) -> None:
    """SE-1: introspection is a source of trust by itself."""
    there = await world(server, keys=False)
    token = signed("HS256")
    server.tokens[token] = dict(ALICE)
    assert (await there.ask(token)).user == "alice"
    assert server.asked == [token]


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "500 Oops"},
        {"status": "401 Who are you"},
        {"status": "302 Found", "headers": ["Location: /other"]},
        {"body": b"<html>"},
        {"body": b"{}"},
        {"body": b'{"active":"yes"}'},
        {"body": b'{"active":true}' + b" " * (module.REPLY_BYTES + 1)},
        {"body": b"\x1f\x8b" + bytes(50), "headers": ["Content-Encoding: gzip"]},
    ],
    ids=["error", "denied", "redirect", "no JSON", "empty", "odd", "too large", "compressed"],
)
async def test_no_answer(server: IntrospectionServer, answer: dict[str, Any]) -> None:
    """MS-7: 503 with Retry-After, never let in and never sent away for good: the next one asks
    again."""
    there = await world(server)
    good = {name: getattr(server, name) for name in answer}
    for name, value in answer.items():
        setattr(server, name, value)
    with pytest.raises(RequestError) as refused, capture_logs() as lines:
        await there.ask("opaque")
    assert (refused.value.status, refused.value.label) == FAILED
    assert dict(refused.value.headers) == {"Retry-After": "5"}
    assert await there.refusal("opaque") == FAILED
    assert [line["event"] for line in lines] == ["introspection.failing"]
    assert "opaque" not in str(lines)
    for name, value in good.items():
        setattr(server, name, value)
    with capture_logs() as lines:
        assert (await there.ask("opaque")).user == "alice"
    assert [line["event"] for line in lines] == ["introspection.working"]
    assert there.counted() == {"failed": 2, "active": 1}


async def test_nobody_listening() -> None:
    """SE-12: an issuer that cannot be reached is no answer, either; nor is one by a proxy of the
    environment."""
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        there = await world(IntrospectionServer(unused.getsockname()[1]))
        assert await there.refusal("opaque") == FAILED


async def test_environment_proxies_are_ignored(
    server: IntrospectionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SE-4: the configured address is asked, whatever the environment says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert (await (await world(server)).ask("opaque")).user == "alice"


async def test_an_issuer_that_hangs(
    server: IntrospectionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SE-12: costs one deadline, those included that wait for a place."""
    server.gate = trio.Event()
    there = await world(server, concurrency=1)
    found: list[tuple[int, str]] = []

    async def ask(token: str) -> None:
        found.append(await there.refusal(token))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "a")
        await arrived(server, 1)
        monkeypatch.setattr(module, "ASK_TIMEOUT", 0.2)
        await ask("b")
        assert server.asked == ["a"]
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(ask, "c")
    assert found == [FAILED] * 3


async def test_single_flight(server: IntrospectionServer) -> None:
    """SE-1: many requests with one new token cost one question."""
    there = await world(server)
    server.gate = trio.Event()
    found: list[str] = []

    async def ask() -> None:
        found.append((await there.ask("opaque")).user)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
        await arrived(server, 1)
        server.gate.set()
    assert found == ["alice"] * 20
    assert server.asked == ["opaque"]


async def test_who_asks_first_may_leave(server: IntrospectionServer) -> None:
    """SE-1: then one of those who wait asks, and all get their answer."""
    there = await world(server)
    server.gate = trio.Event()
    found: list[str] = []

    async def ask() -> None:
        found.append((await there.ask("opaque")).user)

    async with trio.open_nursery() as waiting:
        async with trio.open_nursery() as first:
            first.start_soon(ask)
            await arrived(server, 1)
            for _ in range(3):
                waiting.start_soon(ask)
            await wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        await arrived(server, 2)
        server.gate.set()
    assert found == ["alice"] * 3
    assert server.asked == ["opaque"] * 2


async def test_questions_are_bounded(
    server: IntrospectionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SE-5: so many at once; others wait, and beyond another bound they are told so at once."""
    monkeypatch.setattr(module, "MOST_ASKED", 5)
    there = await world(server, concurrency=2)
    server.gate = trio.Event()
    found: list[tuple[int, str]] = []

    async def ask(token: str) -> None:
        found.append(await there.refusal(token))

    async with trio.open_nursery() as nursery:
        for number in range(7):
            nursery.start_soon(ask, f"t{number}")
        await arrived(server, 2)
        with trio.fail_after(30):
            while len(found) < 2:  # noqa: ASYNC110 - from outside
                await trio.sleep(0.01)
        assert found == [FAILED] * 2
        server.gate.set()
    assert found[2:] == [(401, "token_invalid")] * 5
    assert server.most_under_way == 2
    assert there.counted() == {"full": 2, "inactive": 5}


async def arrived(server: IntrospectionServer, count: int) -> None:
    """Wait until so many questions have come."""
    with trio.fail_after(30):
        while len(server.asked) < count:  # noqa: ASYNC110 - from outside
            await trio.sleep(0.01)


async def started(nursery: trio.Nursery) -> SqliteStore:
    """A store that takes revocations."""
    store = SqliteStore(StoreSettings(path=":memory:"), threaded=False)
    await nursery.start(store.run)
    return store


def name_of(there: World, by: By) -> str:
    """What the opaque token is revoked by."""
    names = {By.TOKEN: there.tokens.named("opaque").token_id, By.JTI: "j1", By.CLIENT: "app"}
    return names.get(by, "alice")


@pytest.mark.parametrize("by", By)
async def test_a_revoked_token_that_its_issuer_likes(
    server: IntrospectionServer, nursery: trio.Nursery, by: By
) -> None:
    """SE-3: it is void here by each of its names, kept answer or not."""
    there = await world(server, store=await started(nursery))
    server.tokens["opaque"] = {**ALICE, "jti": "j1"}
    assert (await there.ask("opaque")).token_id == "j1"
    domain = "local" if by is By.SUBSCRIBER else None
    await there.revocations.revoke(by, name_of(there, by), domain=domain)
    assert await there.refusal("opaque") == (401, "token_invalid")
    there.clock.time += 100
    assert await there.refusal("opaque") == (401, "token_invalid")


@pytest.mark.parametrize("by", [By.TOKEN, By.JTI])
async def test_revoked_while_its_issuer_is_asked(
    server: IntrospectionServer, nursery: trio.Nursery, by: By
) -> None:
    """SE-3: the answer comes too late to let it in."""
    there = await world(server, store=await started(nursery))
    server.tokens["opaque"] = {**ALICE, "jti": "j1"}
    server.gate = trio.Event()
    found: list[tuple[int, str]] = []

    async def ask() -> None:
        found.append(await there.refusal("opaque"))

    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        await arrived(server, 1)
        await there.revocations.revoke(by, name_of(there, by))
        server.gate.set()
    assert found == [(401, "token_invalid")]


async def test_the_whole_daemon(tmp_path: Path, server: IntrospectionServer) -> None:
    """SE-1, SE-3, MS-7: opaque tokens open sockets like others, are refused with 503 while their
    issuer is away, and are revoked like others; signed ones need no issuer."""
    tables = {"auth": {"introspection": {"url": server.url, "cache": 0}}}
    async with daemon(tmp_path, **tables) as running:
        server.tokens["opaque"] = {"sub": USER, "scope": "channels"}
        server.tokens["boss"] = {"sub": "root", "scope": "admin"}
        channel = await running.open_channel()
        socket = await handshake(running, channel["callbackURL"], bearer="opaque")
        assert isinstance(socket, NotificationSocket)
        server.status = "500 Oops"
        away = await running.get(CHANNELS, bearer="opaque")
        assert away.refusal == (503, "SVC1000", [])
        assert away.headers["retry-after"] == "5"
        assert (await running.get(CHANNELS, bearer=signed_now())).status == 200
        server.status = "200 OK"
        answer = await running.ask(
            "POST",
            "/admin/v1/tokens/revoke",
            {"token": "opaque"},
            bearer="boss",
            address=running.app.admin_addresses[0],
        )
        assert answer.status == 204
        assert await socket.closed() == 4401
        assert (await running.get(CHANNELS, bearer="opaque")).status == 401
        assert await running.metric('tocsin_introspections_total{result="failed"}') == 1
        await trio.aclose_forcefully(socket.stream)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"url": "idp.example"}, "url"),
        ({"url": "ftp://idp.example/i"}, "url"),
        ({"introspect_jwt": True}, "url"),
        ({"url": "https://x/i", "client_id": "a"}, "client_secret"),
        ({"url": "https://x/i", "client_secret": "a"}, "client_secret"),
    ],
)
def test_settings_that_cannot_work(options: dict[str, Any], path: str) -> None:
    """OP-4: a mistake is told with its path before anything starts."""
    settings = AuthSettings(shared_secret=SECRET, introspection=IntrospectionSettings(**options))
    [problem] = check(settings)
    assert problem.startswith(f"auth.introspection.{path}: ")
    assert "client_secret='a'" not in repr(settings)
