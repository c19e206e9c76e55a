"""tocsin.server.reporter: device tokens reported over HTTP (A.8)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import attrs
import orjson
import pytest
import structlog
import trio
from tests.fakes.fault import Fault
from tests.fakes.http_client import ALICE, Answer, Front, serving
from tests.fakes.world import World

from tocsin.delivery.pushapps import AppRegistry, PushAppSettings
from tocsin.delivery.pushsettings import ReporterFields, ReporterSettings
from tocsin.delivery.reporters import Reporter
from tocsin.model.channel import Channel
from tocsin.model.errors import unauthorized
from tocsin.model.principal import Principal
from tocsin.ops.metrics import Metrics
from tocsin.server.limits import FailedAuthentications
from tocsin.server.peers import Networks, Proxies
from tocsin.server.reporter import ReporterFace
from tocsin.server.requestlog import RequestLog
from tocsin.server.router import Route, Router
from tocsin.server.trusted import is_trusted
from tocsin.store.sqlite import SqliteStore, StoreSettings
from tocsin.wire.request import Request

SECRET = "plänted-s3cret"
TOKEN = "ab" * 32
SETTINGS = {
    "main": ReporterSettings(secret=SECRET, subscribe=["sms"]),
    "proven": ReporterSettings("bearer"),
    "inside": ReporterSettings("network", fields=ReporterFields(account="user")),
}
APPS = AppRegistry({"com.x": PushAppSettings("apns"), "droid": PushAppSettings("fcm")})
REPORT = {
    "username": "u@x",
    "selector": "s",
    "pushTokenIncomingCall": TOKEN,
    "pushappid_incoming_call": "com.x.voip",
    "pushTokenOther": TOKEN[::-1],
    "pushappid_other": "com.x",
}
PROVEN = {**REPORT, "key": SECRET}
FORM = "application/x-www-form-urlencoded"
LOCAL = "127.0.0.1"


async def authorize(request: Request, _route: Route) -> Principal:
    """`Bearer push` has that scope, `Bearer publish` another one."""
    await trio.lowlevel.checkpoint()
    word = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not word:
        raise unauthorized("token_missing")
    if word not in {"push", "publish"}:
        raise unauthorized("token_invalid")
    return attrs.evolve(ALICE, scopes=frozenset({word}))


async def admit(request: Request) -> Principal:
    """A peer on this host needs no token (PU-9)."""
    networks, proxies = Networks(["127.0.0.0/8"]), Proxies(Networks([]))
    if is_trusted(request.tcp_peer, request.headers, networks, proxies):
        await trio.lowlevel.checkpoint()
        return attrs.evolve(ALICE, scopes=frozenset({"push"}))
    return await authorize(request, Route("POST", "/", None, "push"))  # type: ignore[arg-type]


@attrs.define
class Reports:
    """A server of three reporters, and the world behind it."""

    world: World
    front: Front

    async def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        peer: str = "192.0.2.1",
        **headers: str,
    ) -> Answer:
        """The answer to one request on a connection of its own."""
        lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        client = self.front.connect(peer=peer)
        await client.send("\r\n".join([*lines, "", ""]).encode() + body)
        with trio.fail_after(30):
            return await client.answer(method)

    async def get(self, members: dict[str, str], name: str = "main", **more: str) -> Answer:
        """A report in a query."""
        return await self.send("GET", f"/push/report/{name}?{urlencode(members)}", **more)

    async def channels(self, user: str = "u@x") -> list[Channel]:
        """What the store has."""
        [record] = await self.world.store.load_accounts([user])
        return record.channels


@asynccontextmanager
async def reporting(world: World) -> AsyncIterator[Reports]:
    async with trio.open_nursery() as nursery:
        await nursery.start(world.store.run)
        face = ReporterFace(
            {
                name: (
                    one,
                    Reporter(world.directory, APPS, subscribe=one.subscribe, clock=world.clock),
                )
                for name, one in SETTINGS.items()
            },
            admit=admit,
            failures=FailedAuthentications(1, unlimited=Networks([])),
        )
        router = Router()
        face.add_routes(router)
        async with serving(router, authorize=authorize) as front:
            yield Reports(world, front)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def reports() -> AsyncIterator[Reports]:
    """A server over a store in memory."""
    async with reporting(World()) as made:
        yield made


async def test_in_every_way(reports: Reports) -> None:
    """By query, form and JSON, with or without a slash at the end: 200, nothing in the body, and
    the same two channels each time (PU-1, PU-24, PU-25)."""
    form, document = urlencode(PROVEN).encode(), orjson.dumps(PROVEN)
    answers = [
        await reports.get(PROVEN),
        await reports.send("POST", "/push/report/main", form, content_type=FORM),
        await reports.send("POST", "/push/report/main/", document, content_type="application/json"),
        await reports.send("POST", "/push/report/main", document, accept="text/html"),
    ]
    assert [(one.status, one.body) for one in answers] == [(200, b"")] * 4
    first, second = await reports.channels()
    assert {one.client_correlator for one in (first, second)} == {"s"}
    account = await reports.world.directory.account("u@x")
    assert [one.channel.id for one in account.subscriptions.values()] == [second.id]


async def test_removal(reports: Reports) -> None:
    """What was reported goes; nothing to remove is 200 as well (PU-26)."""
    await reports.get(PROVEN)
    for suffix in ("remove", "remove/"):
        body = orjson.dumps({"username": "u@x", "key": SECRET})
        answer = await reports.send("POST", f"/push/report/main/{suffix}", body)
        assert (answer.status, answer.body) == (200, b"")
        assert await reports.channels() == []


@pytest.mark.parametrize("suffix", ["", "/remove"])
@pytest.mark.parametrize(
    ("changed", "challenge"),
    [
        ({"key": ""}, "Bearer"),
        ({"key": "guess"}, 'Bearer error="invalid_token"'),
        ({"key": SECRET[:-1]}, 'Bearer error="invalid_token"'),
        ({"key": f"{SECRET} "}, 'Bearer error="invalid_token"'),
    ],
)
async def test_a_wrong_secret(
    reports: Reports, suffix: str, changed: dict[str, str], challenge: str
) -> None:
    """401 before anything else is looked at, and nothing changes; no token makes up for it
    (PU-24)."""
    body = orjson.dumps({**PROVEN, **changed, "username": ""})
    target = f"/push/report/main{suffix}"
    answer = await reports.send("POST", target, body, peer=LOCAL, authorization="Bearer push")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, challenge)


async def test_guessing(reports: Reports) -> None:
    """An address that keeps failing is told to wait (SE-5)."""
    statuses = [(await reports.get({**PROVEN, "key": "guess"})).status for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert (await reports.get({**PROVEN, "key": "guess"}, peer="192.0.2.2")).status == 401


async def test_bearers(reports: Reports) -> None:
    """A token with the scope `push`, whatever the network, where that is what proves a report."""
    for headers, status in (
        ({}, 401),
        ({"authorization": "Bearer x"}, 401),
        ({"authorization": "Bearer publish"}, 403),
        ({"authorization": "Bearer push"}, 200),
    ):
        answer = await reports.get(REPORT, "proven", peer=LOCAL, **headers)
        assert answer.status == status


async def test_networks(reports: Reports) -> None:
    """No token is needed from inside, but a page in a browser needs one, and so does everybody
    behind a proxy that is none of ours (PU-9)."""
    report = {"user": "u@x", **REPORT}
    for peer, headers, status in (
        (LOCAL, {}, 200),
        ("192.0.2.1", {}, 401),
        ("192.0.2.1", {"authorization": "Bearer push"}, 200),
        (LOCAL, {"authorization": "Bearer publish"}, 403),
        (LOCAL, {"origin": "https://evil.example"}, 401),
        (LOCAL, {"x_forwarded_for": LOCAL}, 401),
    ):
        answer = await reports.get(report, "inside", peer=peer, **headers)
        assert answer.status == status, (peer, headers)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"username": ""}, "username"),
        ({"selector": ""}, "selector"),
        ({"pushTokenIncomingCall": "", "pushTokenOther": ""}, "pushToken"),
        ({"pushTokenOther": "zz"}, "pushTokenOther"),
        ({"pushappid_other": "nobody"}, "pushappid_other"),
    ],
)
async def test_what_is_missing(reports: Reports, changed: dict[str, str], named: str) -> None:
    """400 naming the field, and nothing is stored (PU-24)."""
    answer = await reports.get({**PROVEN, **changed})
    error = orjson.loads(answer.body)["requestError"]["serviceException"]
    assert (answer.status, error["variables"]) == (400, [named])
    assert await reports.channels() == []


async def test_what_is_not_there(reports: Reports) -> None:
    """A reporter nobody named is an unknown path; a method that reports nothing is none."""
    assert (await reports.get(PROVEN, "other")).status == 404
    assert (await reports.send("GET", "/push/report/main/remove")).status == 405
    assert (await reports.send("DELETE", "/push/report/main")).status == 405


async def test_a_store_that_fails(tmp_path: Path) -> None:
    """503, for the app to try again; nothing stays half done (PU-25)."""
    path = str(tmp_path / "store.db")
    async with reporting(World(store=SqliteStore(StoreSettings(path=path)))) as reports:
        fault = Fault(path)
        fault.begin()
        assert (await reports.get(PROVEN)).status == 503
        account = await reports.world.directory.account("u@x")
        assert account.channels == {}
        fault.end()
        assert (await reports.get(PROVEN)).status == 200
        assert len(await reports.channels()) == 2
        fault.close()


async def test_nothing_secret_is_logged(reports: Reports) -> None:
    """Neither secret nor tokens reach the log, whatever becomes of a report (PU-24, PU-43)."""
    metrics = Metrics()
    requests = RequestLog(metrics)
    server = reports.front.server
    server.on_request = requests.answered
    with structlog.testing.capture_logs() as lines:
        await reports.get(PROVEN)
        await reports.get({**PROVEN, "key": "planted-guess"})
        await reports.get({**PROVEN, "selector": ""})
        await reports.get({**PROVEN, "pushappid_other": "nobody"})
        await reports.get(PROVEN, "other")
        await reports.send("POST", "/push/report/main", urlencode(PROVEN).encode())
    assert len(lines) == 5
    for planted in (SECRET, urlencode({"": SECRET})[1:], TOKEN, TOKEN[::-1], "planted-guess"):
        assert planted not in repr(lines)
