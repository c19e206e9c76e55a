"""tocsin.server.sockjs.service and exchange: who may, from where, and in which order it is said."""

import json

import orjson
import pytest
from structlog.testing import capture_logs
from tests.fakes.raw_http import UPGRADE, Answer
from tests.fakes.sockjs_services import Echo
from tests.server.sockjs.conftest import Bench, Start
from trio.testing import MockClock

from tocsin.server.sockjs.application import Connection

URL = "/echo/0/session-of-a-test"
PAGE = "https://app.example"
MIB = 1_048_576
GUARDED = [
    ("GET", "/echo/info"),
    ("POST", f"{URL}/xhr"),
    ("POST", f"{URL}/xhr_streaming"),
    ("POST", f"{URL}/xhr_send"),
    ("GET", f"{URL}/eventsource"),
    ("GET", f"{URL}/htmlfile?c=c"),
    ("GET", f"{URL}/jsonp?c=c"),
    ("POST", f"{URL}/jsonp_send"),
    ("GET", f"{URL}/websocket"),
    ("GET", "/echo/websocket"),
]


def bearer(token: str) -> dict[str, str]:
    """The header."""
    return {"Authorization": f"Bearer {token}"}


def check_refusal(answer: Answer, status: int, code: str, challenge: str) -> None:
    """MS-6 and the table of section 3."""
    assert answer.status == status
    assert orjson.loads(answer.body)["error"]["code"] == code
    assert answer["WWW-Authenticate"] == challenge


@pytest.mark.parametrize(("method", "target"), GUARDED)
async def test_a_guarded_service(start: Start, method: str, target: str) -> None:
    """SJ-4, SJ-42, MS-4 to MS-6: the whole table of refusals at every guarded URL."""
    mark = "&" if "?" in target else "?"
    async with start(token="right") as bench:
        for headers, query, status, code, challenge in (
            ({}, "", 401, "unauthorized", "Bearer"),
            (bearer("wrong"), "", 401, "unauthorized", 'Bearer error="invalid_token"'),
            ({}, "access_token=wrong", 401, "unauthorized", 'Bearer error="invalid_token"'),
            (
                bearer("right"),
                "access_token=right",
                400,
                "bad-request",
                'Bearer error="invalid_request"',
            ),
            (
                {},
                "access_token=right&access_token=right",
                400,
                "bad-request",
                'Bearer error="invalid_request"',
            ),
        ):
            answer = await bench.fetch(
                method, f"{target}{mark}{query}", {"Origin": PAGE, **headers}
            )
            check_refusal(answer, status, code, challenge)
            assert "no-store" in str(answer["Cache-Control"])
            if "xhr" in target or "info" in target or "eventsource" in target:
                assert answer["Access-Control-Allow-Origin"] == PAGE


async def test_the_token_lets_in(start: Start) -> None:
    """MS-4: as a header or in the query; greeting, iframe page and OPTIONS want none (MS-5)."""
    async with start(token="right") as bench:
        assert (await bench.fetch("GET", "/echo/info", bearer("right"))).status == 200
        assert (await bench.fetch("POST", f"{URL}/xhr?access_token=right")).body == b"o\n"
        sent = await bench.fetch("POST", f"{URL}/xhr_send", bearer("right"), b'["a"]')
        assert sent.status == 204
        client = await bench.websocket("/echo/websocket?access_token=right")
        await client.send("x")
        assert await client.text() == "x"
        for method, target in (
            ("GET", "/echo"),
            ("HEAD", "/echo"),
            ("GET", "/echo/iframe.html"),
            ("OPTIONS", "/echo/info"),
            ("OPTIONS", f"{URL}/xhr"),
        ):
            assert (await bench.fetch(method, target)).status in {200, 204}


async def test_a_session_is_its_keys_own(start: Start) -> None:
    """MS-8: another token of the service gets 404 from the session, whatever it asks."""
    async with start(token="right") as bench:
        service = bench.services["/echo"]
        assert (await bench.fetch("POST", f"{URL}/xhr", bearer("right"))).body == b"o\n"
        service.guard._token = "other"  # type: ignore[union-attr]
        for target, body in ((f"{URL}/xhr", b""), (f"{URL}/xhr_send", b'["a"]')):
            answer = await bench.fetch("POST", target, bearer("other"), body)
            assert (answer.status, answer.body) == (404, b"")


async def test_a_closing_session_answers_a_dead_token(start: Start, mock_clock: MockClock) -> None:
    """MS-10, SJ-4: the `c` frame with 200 until disconnect_delay is over, then 401; a send is
    dropped as if taken; any other token gets 401."""
    async with start(token="right") as bench:
        assert (await bench.fetch("POST", f"{URL}/xhr", bearer("right"))).body == b"o\n"
        service = bench.services["/echo"]
        await bench.settle()
        service.guard._token = "new"  # type: ignore[union-attr]
        session = service.session("session-of-a-test")
        assert session is not None
        session.close(3000, "Unauthorized")
        for _ in range(2):
            answer = await bench.fetch("POST", f"{URL}/xhr", bearer("right"))
            assert (answer.status, answer.body) == (200, b'c[3000,"Unauthorized"]\n')
        sent = await bench.fetch("POST", f"{URL}/xhr_send", bearer("right"), b'["a"]')
        assert sent.status == 204
        assert bench.metric("refused_total", reason="closing") == 1
        assert (await bench.fetch("POST", f"{URL}/xhr", bearer("third"))).status == 401
        await bench.leap(5.5)
        assert (await bench.fetch("POST", f"{URL}/xhr", bearer("right"))).status == 401


@pytest.mark.parametrize(("method", "target"), [*GUARDED, ("GET", "/echo/iframe.html")])
async def test_a_foreign_origin(start: Start, method: str, target: str) -> None:
    """SJ-10: 403 without CORS headers everywhere but at the greeting; before any token is judged.
    Our own origin and those allowed pass."""
    async with start(allowed_origins=(PAGE,), token="right") as bench:
        for origin in ("https://evil.example", "null", f"{PAGE}.evil.example"):
            answer = await bench.fetch(method, target, {"Origin": origin})
            assert (answer.status, answer.body) == (403, b"")
            assert answer["Access-Control-Allow-Origin"] is None
            assert (await bench.fetch("GET", "/echo", {"Origin": origin})).status == 200
        for origin in (PAGE, "http://localhost"):
            answer = await bench.fetch(method, target, {"Origin": origin})
            assert answer.status == (200 if "iframe" in target else 401)


async def test_pages_may_be_framed_by_allowed_origins(start: Start) -> None:
    """SJ-38: only where origins are restricted; on the iframe page and on htmlfile."""
    async with start(allowed_origins=(PAGE,)) as bench:
        page = await bench.fetch("GET", "/echo/iframe.html")
        stream = await bench.connect()
        head = await stream.begin("GET", f"{URL}/htmlfile?c=c")
        for one in (page, head):
            assert one["Content-Security-Policy"] == f"frame-ancestors {PAGE} 'self'"
    async with start() as bench:
        page = await bench.fetch("GET", "/echo/iframe.html")
        assert page["Content-Security-Policy"] is None


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"),
    [
        ("DELETE", "/echo/0/0/nothing", {"Origin": "https://evil.example"}, 404),
        ("DELETE", f"{URL}/xhr", {"Origin": "https://evil.example"}, 405),
        ("GET", "/disabled_websocket_echo/websocket", {"Origin": "https://evil.example"}, 404),
        ("GET", "/echo/websocket", {"Origin": "https://evil.example"}, 403),
        ("POST", f"{URL}/xhr", {}, 401),
        ("GET", f"{URL}/jsonp", {}, 401),
        ("GET", f"{URL}/jsonp", bearer("right"), 500),
        ("POST", f"{URL}/xhr_send", bearer("right"), 500),
        ("GET", "/echo/websocket", bearer("right"), 400),
    ],
)
async def test_the_order_of_checks(
    start: Start, method: str, target: str, headers: dict[str, str], status: int
) -> None:
    """SJ-3: URL, method, transport, origin, authorization, then the rest."""
    async with start(allowed_origins=(PAGE,), token="right") as bench:
        assert (await bench.fetch(method, target, headers)).status == status


async def test_a_body_is_refused_before_it_is_read(start: Start) -> None:
    """SJ-3: what the head decides does not wait for the body; 413 beyond 1 MiB (SJ-18)."""
    async with start(token="right") as bench:
        for target, headers, status in (
            (f"{URL}/nothing", bearer("right"), 404),
            (f"{URL}/xhr_send", {}, 401),
            (f"{URL}/xhr_send", bearer("right"), 413),
        ):
            client = await bench.connect()
            fields = {**headers, "Host": "x", "Content-Length": str(MIB + 1), "Origin": PAGE}
            lines = [f"POST {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
            await client.stream.send_all("\r\n".join([*lines, "", ""]).encode())
            answer = await client.answer()
            assert answer.status == status
            if "xhr" in target:
                assert answer["Access-Control-Allow-Origin"] == PAGE


async def test_expect_continue(bench: Bench) -> None:
    """Trap 5: a client that asks before it sends its body is told to go on."""
    assert (await bench.fetch("POST", f"{URL}/xhr")).body == b"o\n"
    client = await bench.connect()
    lines = [f"POST {URL}/xhr_send HTTP/1.1", "Host: x", "Content-Length: 5"]
    await client.stream.send_all("\r\n".join([*lines, "Expect: 100-continue", "", ""]).encode())
    assert (await client.head()).status == 100
    await client.stream.send_all(b'["a"]')
    assert (await client.answer()).status == 204


async def test_headers_nobody_can_echo(bench: Bench) -> None:
    """SJ-7: what could not stand in an answer is not echoed, and no crash."""
    headers = {"Origin": "\x85", "Access-Control-Request-Headers": "\xad"}
    client = await bench.connect()
    raw = f"OPTIONS {URL}/xhr HTTP/1.1\r\nHost: x\r\n"
    raw += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    await client.stream.send_all(f"{raw}\r\n".encode("latin-1"))
    answer = await client.answer()
    assert (answer.status, answer["Access-Control-Allow-Origin"]) == (204, "*")


async def test_the_id_of_a_session_is_not_logged(bench: Bench) -> None:
    """SJ-30, MS-13: neither the whole id nor a token is in a line about a refusal, nor what leads
    nowhere."""
    with capture_logs() as lines:
        await bench.fetch("GET", "/echo/abcdefghijklmnop")
        await bench.fetch("GET", "/echo/000/abcdefghijklmnop/xhr?access_token=secret")
    text = json.dumps(lines)
    assert "/echo/000/abcd***/xhr?access_token=***" in text
    assert "/echo/***" in text
    assert "efgh" not in text


async def test_base_url(start: Start) -> None:
    """SJ-6: the configured URL with the query of the request but `t`."""
    async with start(base_url="https://b.example/echo") as bench:
        answer = await bench.fetch("GET", "/echo/info?t=123&access_token=T&x=%20")
        assert orjson.loads(answer.body)["base_url"] == (
            "https://b.example/echo?access_token=T&x=%20"
        )


class Busy(Echo):
    """Takes nothing until it is told to."""

    def __init__(self) -> None:
        self.received_all: list[str] = []
        self.connection: Connection | None = None

    def opened(self, connection: Connection) -> None:
        self.connection = connection
        connection.pause()

    def received(self, connection: Connection, message: str) -> None:
        self.received_all.append(message)


async def fill(bench: Bench) -> None:
    """A session whose inbox is full."""
    assert (await bench.fetch("POST", "/busy/0/full/xhr")).body == b"o\n"
    body = orjson.dumps(["x"] * 256)
    assert (await bench.fetch("POST", "/busy/0/full/xhr_send", None, body)).status == 204


async def test_a_send_waits_for_room(start: Start) -> None:
    """SJ-19: answered when the messages have been handed over, in order and whole."""
    busy = Busy()
    async with start(more=[("/busy", busy)]) as bench:
        await fill(bench)
        client = await bench.connect()
        await client.send("POST", "/busy/0/full/xhr_send", None, b'["1","2"]')
        await bench.settle()
        assert busy.connection is not None
        busy.connection.resume()
        assert (await client.answer()).status == 204
        assert busy.received_all == [*["x"] * 256, "1", "2"]


async def test_no_room(start: Start, mock_clock: MockClock) -> None:
    """SJ-19: after 10 s the session is closed with 1013 and the send answered as to a closing
    session."""
    async with start(more=[("/busy", Busy())], disconnect=60) as bench:
        await fill(bench)
        client = await bench.connect()
        await client.send("POST", "/busy/0/full/xhr_send", None, b'["1","2"]')
        await bench.leap(9.5)
        await bench.leap(1)
        assert (await client.answer()).status == 204
        answer = await bench.fetch("POST", "/busy/0/full/xhr")
        assert answer.body == b'c[1013,"Try again later"]\n'


async def test_a_handshake_of_http_10(bench: Bench) -> None:
    """Section 6: a WebSocket needs HTTP/1.1."""
    answer = await bench.fetch("GET", "/echo/websocket", UPGRADE, http="1.0")
    assert answer.status == 400
