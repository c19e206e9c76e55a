"""tocsin.server.messaging.guard: the table of section 3, alone and behind real sockets."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import attrs
import orjson
import pytest
import trio
from structlog.testing import capture_logs
from tests.fakes.http_client import Answer, Front, serving
from tests.fakes.introspection_server import introspection_server
from tests.fakes.sockjs import Recorder
from tests.fakes.token_watch import TALKER, Watched, talker, watched
from tests.fakes.tokens import NOW
from trio.testing import MockClock, wait_all_tasks_blocked

from tocsin.delivery.revocations import By
from tocsin.model.errors import RequestError
from tocsin.ops.metrics import Metrics
from tocsin.server.heartbeat import SLOT, Wheel
from tocsin.server.messaging.admitted import Admitted
from tocsin.server.reactor import Reactor
from tocsin.server.requestlog import RequestLog
from tocsin.server.router import Router
from tocsin.server.settings import HttpLimits
from tocsin.server.sockjs.application import Connection
from tocsin.server.sockjs.service import Service, Surroundings
from tocsin.server.sockjs.settings import SockJsSettings
from tocsin.store.sqlite import SqliteStore, StoreSettings
from tocsin.wire.messaging.refusals import in_our_words
from tocsin.wire.request import Request

XHR = "/messaging/000/abcdefgh/xhr"
PAGE = "https://app.example"


def asked(query: str = "", **headers: str) -> Request:
    """A request for a connection."""
    return Request("GET", f"/messaging/websocket?{query}", (), headers)


async def refusal(world: Watched, request: Request) -> tuple[int, str, str | None]:
    """Status, code and challenge for who is not let in."""
    with pytest.raises(RequestError) as refused:
        await world.guard.authorise(request)
    error = refused.value
    code = orjson.loads(in_our_words(error).body())["error"]["code"]
    return error.status, code, dict(error.headers).get("WWW-Authenticate")


UNAUTHORIZED = (401, "unauthorized", 'Bearer error="invalid_token"')
FORBIDDEN = (403, "forbidden", 'Bearer error="insufficient_scope"')
TWICE = (400, "bad-request", 'Bearer error="invalid_request"')


@pytest.mark.parametrize(
    ("query", "headers", "told"),
    [
        ("", {}, (401, "unauthorized", "Bearer")),
        ("", {"authorization": "Basic YTpi"}, (401, "unauthorized", "Bearer")),
        ("", {"cookie": "access_token=x"}, (401, "unauthorized", "Bearer")),
        ("access_token=", {}, UNAUTHORIZED),
        ("access_token=typo", {}, UNAUTHORIZED),
        ("", {"authorization": "Bearer typo"}, UNAUTHORIZED),
        ("access_token=a", {"authorization": "Bearer a"}, TWICE),
        ("", {"authorization": "Bearer a, Bearer a"}, TWICE),
        ("", {"authorization": "Bearer a,b"}, UNAUTHORIZED),
        ("access_token=a&access_token=a", {}, TWICE),
        ("access_token=a&access%5Ftoken=a", {}, TWICE),
    ],
)
async def test_tokens_that_are_none(
    query: str, headers: Mapping[str, str], told: tuple[int, str, str]
) -> None:
    """MS-4, MS-6, MS-14: no token, one that is not good, and more than one, each as the table of
    section 3 has it."""
    assert await refusal(await watched(), asked(query, **headers)) == told


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"exp": NOW - 30}, UNAUTHORIZED),
        ({"sub": "a\nb"}, UNAUTHORIZED),
        ({"sub": "x" * 129}, UNAUTHORIZED),
        ({"domain": ""}, UNAUTHORIZED),
        ({"domain": ["acme"]}, UNAUTHORIZED),
        ({"scope": "channels admin"}, FORBIDDEN),
        ({"scope": ""}, FORBIDDEN),
        ({"active": False}, FORBIDDEN),
        ({"subscriber_active": False}, FORBIDDEN),
    ],
)
async def test_good_tokens_that_let_nobody_in(
    claims: dict[str, Any], told: tuple[int, str, str]
) -> None:
    """MS-7 and the table: expired or for nobody who could be a subscriber, 401; without the scope
    or inactive, 403."""
    token = talker(**{"preferred_username": "alice", **claims})
    assert await refusal(await watched(), asked(authorization=f"Bearer {token}")) == told


async def test_who_is_let_in() -> None:
    """MS-2, MS-4, MS-50: subscriber and domain of the token, the device of the query."""
    world = await watched()
    admitted = await world.guard.authorise(
        asked(f"access_token={quote(talker())}&correlator=phone%201")
    )
    assert (admitted.subscriber_id, admitted.domain) == ("12", "acme")
    assert admitted.correlator == "phone 1"
    admitted = await world.admit(talker(domain=None), "correlator=")
    assert (admitted.domain, admitted.correlator) == ("local", None)


async def test_nobody_to_ask() -> None:
    """MS-7, SE-12: never let in unchecked; 503 with when to try again, and a failure is not
    kept."""
    async with introspection_server() as server:
        server.tokens["opaque"] = dict(TALKER)
        server.status = "500 Oops"
        world = await watched(server=server)
        with pytest.raises(RequestError) as refused:
            await world.admit("opaque")
        assert (refused.value.status, refused.value.headers) == (503, (("Retry-After", "5"),))
        server.status = "200 OK"
        assert (await world.admit("opaque")).subscriber_id == "12"


async def test_inactive_by_its_issuer() -> None:
    """MS-7: what it says when asked."""
    async with introspection_server() as server:
        server.tokens["opaque"] = {**TALKER, "subscriber_active": False}
        world = await watched(server=server)
        assert await refusal(world, asked(authorization="Bearer opaque")) == FORBIDDEN


async def test_keys_are_no_tokens() -> None:
    """MS-8: the same for the same token, however it is presented; another for another of the same
    subscriber; and nothing that could be used."""
    world = await watched()
    mine, other = talker(jti="1"), talker(jti="2")
    keys = {
        world.guard.key(asked(f"access_token={mine}")),
        world.guard.key(asked(authorization=f"Bearer {mine}")),
    }
    assert len(keys) == 1
    assert mine not in repr(keys)
    assert world.guard.key(asked(f"access_token={other}")) not in keys
    assert world.guard.key(asked()) is None


# -- behind real sockets ---------------------------------------------------------------------------


@attrs.define
class Face:
    """The service, its clients, and who is connected."""

    world: Watched
    front: Front
    app: Recorder
    metrics: Metrics

    async def ask(
        self,
        method: str,
        target: str,
        *,
        token: str | None = None,
        headers: Iterable[str] = (),
        peer: str = "192.0.2.1",
    ) -> Answer:
        """One request over a connection of its own."""
        client = self.front.connect(peer=peer)
        lines = [f"{method} {target} HTTP/1.1", "Host: x", *headers, "Content-Length: 0"]
        lines += [] if token is None else [f"Authorization: Bearer {token}"]
        await client.send("\r\n".join([*lines, "", ""]).encode())
        with trio.fail_after(30):
            return await client.answer(method)


class Living(Recorder):
    """An application whose connections live by their tokens."""

    def __init__(self, world: Watched) -> None:
        super().__init__()
        self._world = world
        self._lines: dict[Connection, Ended] = {}

    def opened(self, connection: Connection) -> None:
        super().opened(connection)
        admitted = connection.principal
        assert isinstance(admitted, Admitted)
        line = self._lines[connection] = Ended(connection)
        if not self._world.watch.begin(line, admitted):
            connection.close(3000, "Unauthorized")

    def closed(self, connection: Connection, code: int) -> None:
        super().closed(connection, code)
        admitted = connection.principal
        assert isinstance(admitted, Admitted)
        self._world.watch.ended(self._lines.pop(connection), admitted)


@attrs.frozen(eq=False)
class Ended:
    """What ends a connection."""

    connection: Connection

    def end(self, code: int, reason: str) -> None:
        self.connection.close(code, reason)


@pytest.fixture
async def face(nursery: trio.Nursery, mock_clock: MockClock) -> AsyncIterator[Face]:
    """A service with 2 s of disconnect_delay; three failed attempts of an address in a second."""
    store = SqliteStore(StoreSettings(path=":memory:"), threaded=False)
    await nursery.start(store.run)
    world, metrics, wheel = await watched(store=store), Metrics(), Wheel()
    engine, app, router = Reactor(on_error=_crashed), Living(world), Router()
    await nursery.start(engine.run)
    surroundings = Surroundings(
        engine=engine, schedule=wheel.add, metrics=metrics, clock=lambda: NOW * 1000
    )
    settings = SockJsSettings(disconnect_delay=2)
    service = Service("/messaging", app, settings, surroundings, guard=world.guard)
    service.add_routes(router)

    async def turn() -> None:
        while True:
            await trio.sleep(SLOT)
            wheel.turn(trio.current_time())

    nursery.start_soon(turn)
    async with serving(router, limits=HttpLimits(rate=1)) as front:
        front.server.on_request = RequestLog(metrics).answered
        yield Face(world, front, app, metrics)


def _crashed(_link: object, error: Exception) -> None:
    raise error


GUARDED = [
    ("GET", "/messaging/info"),
    ("POST", XHR),
    ("POST", f"{XHR}_streaming"),
    ("POST", f"{XHR}_send"),
    ("GET", "/messaging/000/abcdefgh/eventsource"),
    ("GET", "/messaging/000/abcdefgh/websocket"),
    ("GET", "/messaging/websocket"),
]


@pytest.mark.parametrize(("method", "target"), GUARDED)
async def test_what_is_guarded(face: Face, method: str, target: str) -> None:
    """MS-5, MS-6, MS-13: every URL of a connection, before the upgrade; the page can read the
    status, and nothing of it is kept."""
    answer = await face.ask(method, target, headers=[f"Origin: {PAGE}"], token="typo")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert orjson.loads(answer.body)["error"]["code"] == "unauthorized"
    assert answer.headers["content-type"].startswith("application/json")
    assert "no-store" in answer.headers["cache-control"]
    if "websocket" not in target:
        assert answer.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/messaging"), ("OPTIONS", "/messaging/info"), ("OPTIONS", XHR)]
)
async def test_what_is_open(face: Face, method: str, target: str) -> None:
    """MS-5: greeting and OPTIONS want no token."""
    assert (await face.ask(method, target)).status in {200, 204}


async def test_a_dead_token_gets_the_close_frame(face: Face, mock_clock: MockClock) -> None:
    """MS-9, MS-10: the session of a revoked token answers its next polls, which come with that
    token, with the `c` frame, not 401, until disconnect_delay is over; polls do not prolong it."""
    mine = talker(jti="j1")
    assert (await face.ask("POST", XHR, token=mine)).body == b"o\n"
    assert await face.world.revocations.revoke(By.JTI, "j1") == 1
    for _ in range(3):
        answer = await face.ask("POST", XHR, token=mine)
        assert (answer.status, answer.body) == (200, b'c[3000,"Unauthorized"]\n')
        await _leap(mock_clock, 0.5)
    assert (await face.ask("POST", XHR.replace("abc", "xyz"), token=mine)).status == 401
    await _leap(mock_clock, 2)
    assert (await face.ask("POST", XHR, token=mine)).status == 401
    assert face.app.of("closed") == [3000]
    assert len(face.world.watch) == 0


async def test_another_token_of_the_same_subscriber(face: Face) -> None:
    """MS-8: 404 from the session of the first, whatever is asked; the first goes on."""
    mine, other = talker(jti="j1"), talker(jti="j2")
    assert (await face.ask("POST", XHR, token=mine)).body == b"o\n"
    for target in (XHR, f"{XHR}_streaming"):
        assert (await face.ask("POST", target, token=other)).status == 404
    client = face.front.connect()
    body = b'["hi"]'
    lines = [f"POST {XHR}_send HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"]
    lines.append(f"Authorization: Bearer {mine}")
    await client.send("\r\n".join([*lines, "", ""]).encode() + body)
    assert (await client.answer("POST")).status == 204
    assert face.app.of("received") == ["hi"]


async def test_an_address_that_keeps_failing(face: Face) -> None:
    """MS-6, SE-5: 429 with when to try again, in the words of this face; others are let in."""
    statuses = []
    for _ in range(5):
        answer = await face.ask("GET", "/messaging/info", token="typo")
        statuses.append(answer.status)
    assert statuses == [401, 401, 401, 429, 429]
    assert orjson.loads(answer.body)["error"]["code"] == "rate-limited"
    assert int(answer.headers["retry-after"]) >= 1
    other = await face.ask("GET", "/messaging/info", token=talker(), peer="192.0.2.2")
    assert other.status == 200


async def test_no_token_is_logged(face: Face) -> None:
    """MS-13: `access_token=***`, good or bad; and the word for why."""
    with capture_logs() as lines:
        for token in ("t0psecret", talker(scope="channels")):
            await face.ask("GET", f"{XHR}?access_token={token}&c=1")
            await face.ask("GET", f"/messaging/info?access_token={token}")
            await face.ask("GET", f"/messaging/websocket?x=1&access%5Ftoken={token}")
    text = repr(lines)
    assert "t0psecret" not in text
    assert talker(scope="channels") not in text
    requests = [line for line in lines if "target" in line]
    assert text.count("token=***") == len(requests) == 6
    assert {line["reason"] for line in requests} == {"method", "token_invalid", "scope_missing"}
    metrics = face.metrics.registry.get_sample_value
    assert metrics("tocsin_auth_failures_total", {"reason": "scope_missing"}) == 2
    assert metrics("tocsin_sockjs_refused_total", {"reason": "token_invalid"}) == 2


async def _leap(clock: MockClock, seconds: float) -> None:
    for _ in range(round(seconds / SLOT)):
        await wait_all_tasks_blocked()
        clock.jump(SLOT)
    await wait_all_tasks_blocked()
