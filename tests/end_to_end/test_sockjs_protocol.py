"""What the protocol authors' suite for SockJS 0.3.3 demands, against the test services.

Written from sockjs.md; grouped as that suite is. The services run in this process, on the
daemon's own listener and on either engine; everything is asserted from outside, over a socket.
"""

import re
import uuid
from collections.abc import AsyncIterator

import orjson
import pytest
import trio
from tests.fakes import client_frames
from tests.fakes.raw_http import (
    BOUND,
    UPGRADE,
    Answer,
    Head,
    RawConnection,
    RawWebSocket,
    connected,
)
from tests.fakes.raw_http import fetch as fetch_from
from tests.fakes.sockjs_services import Options, Services, running

UNCACHEABLE = "no-store, no-cache, no-transform, must-revalidate, max-age=0"
SCRIPT = "application/javascript; charset=UTF-8"
PLAIN = "text/plain; charset=UTF-8"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PRELUDE = b"h" * 2048 + b"\n"
CLOSED = b'c[3000,"Go away!"]'
HTMLFILE = b"""<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.callback;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>"""
IFRAME = b"""<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="/sockjs.js"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>"""


@pytest.fixture(params=["reactor", "trio-websocket"])
async def services(request: pytest.FixtureRequest) -> AsyncIterator[Services]:
    """The four services with response_limit 4096."""
    async with running(Options(port=0, engine=request.param, disconnect=60)) as services:
        yield services


class Fetch:
    """Requests to the services, each over a connection of its own."""

    def __init__(self, services: Services) -> None:
        self.address = services.address
        self._open: list[RawConnection | RawWebSocket] = []

    async def __call__(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        return await fetch_from(self.address, method, target, headers, body)

    async def stream(
        self, method: str, target: str, *, http: str = "1.1"
    ) -> tuple[RawConnection, Head]:
        """A connection on which a streaming answer has begun."""
        connection = await RawConnection.open(self.address)
        self._open.append(connection)
        return connection, await connection.begin(method, target, None, None, http)

    async def websocket(self, target: str) -> RawWebSocket:
        """A WebSocket."""
        socket = await RawWebSocket.open(self.address, target)
        self._open.append(socket)
        return socket

    async def aclose(self) -> None:
        """Hang up wherever a test has not."""
        for connection in self._open:
            await connection.aclose()


@pytest.fixture
async def fetch(services: Services) -> AsyncIterator[Fetch]:
    """Requests."""
    fetch = Fetch(services)
    yield fetch
    await fetch.aclose()


def session(service: str = "/echo") -> str:
    """The URL of a new session."""
    return f"{service}/000/{uuid.uuid4()}"


def check_cors(answer: Head, origin: str | None = None) -> None:
    """SJ-7"""
    assert answer["Access-Control-Allow-Origin"] == (origin or "*")
    assert answer["Access-Control-Allow-Credentials"] == ("true" if origin else None)
    assert answer["Vary"] == "Origin"


def check_uncacheable(answer: Head) -> None:
    """SJ-9"""
    assert answer["Cache-Control"] == UNCACHEABLE
    assert answer["Expires"] is answer["Last-Modified"] is None


def check_cacheable(answer: Head) -> None:
    """SJ-8, SJ-38"""
    assert answer["Cache-Control"] == "public, max-age=31536000"
    assert str(answer["Expires"]).endswith("GMT")
    assert answer["Last-Modified"] is answer["Set-Cookie"] is None


async def check_options(fetch: Fetch, target: str, methods: str) -> None:
    """SJ-8"""
    for origin in (None, "http://a.example", "null"):
        answer = await fetch("OPTIONS", target, {"Origin": origin} if origin else {})
        assert (answer.status, answer.body) == (204, b"")
        check_cacheable(answer)
        check_cors(answer, origin)
        assert answer["Access-Control-Allow-Methods"] == methods
        assert answer["Access-Control-Max-Age"] == "31536000"


# -- greeting, iframe page, info ---------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "/", "?a=b"])
async def test_the_greeting(fetch: Fetch, suffix: str) -> None:
    """Section 1: the greeting, with and without a slash, without a cookie."""
    answer = await fetch("GET", f"/cookie_needed_echo{suffix}")
    assert (answer.status, answer.body) == (200, b"Welcome to SockJS!\n")
    assert answer["Content-Type"] == PLAIN
    assert answer["Set-Cookie"] is None


@pytest.mark.parametrize("suffix", ["/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/"])
async def test_there_is_nothing_else(fetch: Fetch, suffix: str) -> None:
    """SJ-2: 404 without body and content type."""
    answer = await fetch("GET", f"/echo{suffix}")
    assert (answer.status, answer.body, answer["Content-Type"]) == (404, b"", None)


@pytest.mark.parametrize(
    "name", ["iframe", "iframe-a", "iframe-", "iframe-0.1.2", "iframe-0.1.2abc-dirty.2144"]
)
async def test_the_iframe_page(fetch: Fetch, name: str) -> None:
    """SJ-37, SJ-38: the page to the byte, whatever its version, and the query does not matter."""
    for query in ("", "?t=1234"):
        answer = await fetch("GET", f"/echo/{name}.html{query}")
        assert (answer.status, answer.body) == (200, IFRAME)
        assert answer["Content-Type"] == "text/html; charset=UTF-8"
        assert answer["Referrer-Policy"] == "no-referrer"
        check_cacheable(answer)


@pytest.mark.parametrize(
    "name", ["iframe.htm", "iframe", "IFRAME.HTML", "IFRAME", "iframe.HTML", "iframe.xml"]
)
async def test_no_iframe_page(fetch: Fetch, name: str) -> None:
    """SJ-2: names that come close are 404, as is `iframe-/.html`."""
    assert (await fetch("GET", f"/echo/{name}")).status == 404
    assert (await fetch("GET", "/echo/iframe-/.html")).status == 404


async def test_the_iframe_page_is_known_by_its_tag(fetch: Fetch) -> None:
    """SJ-38: the same strong tag each time; 304 without content type and body."""
    tags = {(await fetch("GET", "/echo/iframe.html"))["ETag"] for _ in range(2)}
    [tag] = tags
    assert tag is not None
    assert tag.startswith('"')
    answer = await fetch("GET", "/echo/iframe.html", {"If-None-Match": f'"x", {tag}'})
    assert (answer.status, answer.body, answer["Content-Type"]) == (304, b"", None)
    assert (await fetch("GET", "/echo/iframe.html", {"If-None-Match": '"x"'})).status == 200


async def test_info(fetch: Fetch) -> None:
    """SJ-5, SJ-7, SJ-9: what the client asks first, new entropy each time."""
    answer = await fetch("GET", "/echo/info", {"Origin": "http://a.example"})
    assert (answer.status, answer["Content-Type"]) == (200, "application/json; charset=UTF-8")
    check_cors(answer, "http://a.example")
    check_uncacheable(answer)
    assert answer["Set-Cookie"] is None
    members = orjson.loads(answer.body)
    entropy = members.pop("entropy")
    assert members == {"websocket": True, "cookie_needed": False, "origins": ["*:*"]}
    assert 0 <= entropy < 1 << 32
    assert orjson.loads((await fetch("GET", "/echo/info")).body)["entropy"] != entropy


async def test_info_options(fetch: Fetch) -> None:
    """SJ-7, SJ-8: pages of every origin may ask, files too (`null`)."""
    await check_options(fetch, "/echo/info", "OPTIONS, GET")


async def test_a_service_without_websocket(fetch: Fetch) -> None:
    """SJ-40, section 7: `/info` says so, and both URLs are gone."""
    info = orjson.loads((await fetch("GET", "/disabled_websocket_echo/info")).body)
    assert info["websocket"] is False
    for target in ("/websocket", "/0/0/websocket"):
        assert (await fetch("GET", f"/disabled_websocket_echo{target}", UPGRADE)).status == 404


# -- session URLs ------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["/a/{}", "/_/{}_", "/1/{}", "/abcdefgh_i-j%20/{}_i-j%20"])
async def test_any_server_and_session(fetch: Fetch, part: str) -> None:
    """SJ-1: anything names a session; a slash at the end is tolerated."""
    target = f"/echo{part.format(uuid.uuid4().hex)}/xhr"
    assert (await fetch("POST", target)).body == b"o\n"
    assert (await fetch("POST", f"/echo{part.format(uuid.uuid4().hex)}/xhr/")).body == b"o\n"


@pytest.mark.parametrize("part", ["//", "/a./a", "/a/a.", "/./.", "/", "///"])
async def test_no_session(fetch: Fetch, part: str) -> None:
    """SJ-1: no empty parts, no dots."""
    for method in ("GET", "POST"):
        assert (await fetch(method, f"/echo{part}/xhr")).status == 404


async def test_the_server_part_is_ignored(fetch: Fetch) -> None:
    """SJ-1: the session's id alone names the session."""
    name = uuid.uuid4()
    assert (await fetch("POST", f"/echo/000/{name}/xhr")).body == b"o\n"
    assert (await fetch("POST", f"/echo/000/{name}/xhr_send", None, b'["a"]')).status == 204
    assert (await fetch("POST", f"/echo/999/{name}/xhr")).body == b'a["a"]\n'


async def test_one_receiver_at_a_time(fetch: Fetch) -> None:
    """SJ-22, SJ-23: a second receiver is sent away, the first goes on."""
    url = session()
    assert (await fetch("POST", f"{url}/xhr")).body == b"o\n"
    first, _head = await fetch.stream("POST", f"{url}/xhr")
    assert (await fetch("POST", f"{url}/xhr")).body == b'c[2010,"Another connection still open"]\n'
    assert (await fetch("POST", f"{url}/xhr_send", None, b'["a"]')).status == 204
    assert await first.chunk() == b'a["a"]\n'


async def test_a_closed_session_keeps_saying_so(fetch: Fetch) -> None:
    """SJ-26: every receiver gets the close frame, and a send is dropped as if taken (SJ-18)."""
    url = session("/close")
    assert (await fetch("POST", f"{url}/xhr")).body == b"o\n"
    for _ in range(2):
        assert (await fetch("POST", f"{url}/xhr")).body == CLOSED + b"\n"
    assert (await fetch("POST", f"{url}/xhr_send", None, b'["a"]')).status == 204


# -- WebSockets --------------------------------------------------------------------------------


async def test_websocket_needs_an_upgrade(fetch: Fetch) -> None:
    """Section 6: 400 in words and the end of the connection; other methods are 405."""
    for target in ("/echo/0/0/websocket", "/echo/websocket"):
        for headers in ({}, {"Upgrade": "WebSocket", "Connection": "close"}):
            answer = await fetch("GET", target, headers)
            assert (answer.status, answer["Connection"]) == (400, "close")
            assert b"Upgrade" in answer.body
        for headers in ({}, {"Upgrade": "WebSocket", "Connection": "Upgrade"}):
            answer = await fetch("POST", target, headers)
            assert (answer.status, answer.body, answer["Content-Type"]) == (405, b"", None)
            assert answer["Allow"] == "GET"


@pytest.mark.parametrize("version", ["7", "8", None])
async def test_old_versions_of_websocket(fetch: Fetch, version: str | None) -> None:
    """Section 6: 426 names the version; without one (hixie-76) too."""
    headers = {**UPGRADE, "Sec-WebSocket-Version": version or ""}
    answer = await fetch("GET", "/echo/0/0/websocket", headers)
    assert (answer.status, answer["Sec-WebSocket-Version"]) == (426, "13")


@pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, Upgrade", "upgrade"])
async def test_the_handshake(fetch: Fetch, connection: str) -> None:
    """Section 6, trap 5: 101, whatever else `Connection` lists; nothing is negotiated."""
    headers = {
        **UPGRADE,
        "Connection": connection,
        "Sec-WebSocket-Protocol": "a, b",
        "Sec-WebSocket-Extensions": "permessage-deflate",
    }
    async with connected(fetch.address) as client:
        head = await client.begin("GET", f"{session()}/websocket", headers)
    assert (head.status, str(head["Connection"]).lower(), head["Upgrade"]) == (
        101,
        "upgrade",
        "websocket",
    )
    assert head["Sec-WebSocket-Accept"] == "HSmrc0sMlYUkAGmm5OPpG2HaGWk="
    assert head["Sec-WebSocket-Protocol"] is head["Sec-WebSocket-Extensions"] is None
    assert head["Content-Length"] is None


async def test_websocket(fetch: Fetch) -> None:
    """SJ-17, SJ-31: framed both ways; empty texts and arrays are ignored; one string will do."""
    socket = await fetch.websocket(f"{session()}/websocket")
    assert await socket.text() == "o"
    for text in ("", "[]", '["a"]', '"b"'):
        await socket.send(text)
    assert [await socket.text(), await socket.text()] == ['a["a"]', 'a["b"]']


async def test_websocket_closed_by_the_server(fetch: Fetch) -> None:
    """SJ-32: `o`, `c`, a Close frame that says the same, and the end once it is answered."""
    socket = await fetch.websocket(f"{session('/close')}/websocket")
    assert [await socket.text(), await socket.text()] == ["o", CLOSED.decode()]
    assert await socket.frame() == ("close", (3000, "Go away!"))
    await socket.send_frame(client_frames.close(3000))
    assert await socket.frame() == ("end", None)


async def test_websockets_may_share_an_id(fetch: Fetch) -> None:
    """SJ-31: at once and in turn."""
    url = f"{session()}/websocket"
    first, second = await fetch.websocket(url), await fetch.websocket(url)
    for socket, name in ((first, "1"), (second, "2")):
        assert await socket.text() == "o"
        await socket.send(f'["{name}"]')
        assert await socket.text() == f'a["{name}"]'
        await socket.aclose()
    third = await fetch.websocket(url)
    assert await third.text() == "o"


@pytest.mark.parametrize("text", ['["a', "{}", "1", "null", "[1]", '[["a"]]', "true"])
async def test_websocket_with_broken_framing(fetch: Fetch, text: str) -> None:
    """SJ-17: 3000, without a `c` frame."""
    socket = await fetch.websocket(f"{session()}/websocket")
    assert await socket.text() == "o"
    await socket.send(text)
    assert await socket.frame() == ("close", (3000, "Broken framing."))


async def test_raw_websocket(fetch: Fetch) -> None:
    """SJ-34: texts unchanged both ways, U+FFFF and what looks like frames included."""
    socket = await fetch.websocket("/echo/websocket")
    for text in ("Hello world!\uffff", '["a"]', "", "h"):
        await socket.send(text)
        assert await socket.text() == text


async def test_raw_websocket_closed_by_the_server(fetch: Fetch) -> None:
    """SJ-32: the Close frame alone."""
    socket = await fetch.websocket("/close/websocket")
    assert await socket.frame() == ("close", (3000, "Go away!"))


# -- xhr-polling -------------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["xhr", "xhr_send", "xhr_streaming"])
async def test_xhr_options(fetch: Fetch, last: str) -> None:
    """SJ-8"""
    await check_options(fetch, f"/echo/abc/abc/{last}", "OPTIONS, POST")


async def test_xhr_polling(fetch: Fetch) -> None:
    """Section 3, SJ-7, SJ-9: `o`, then what was sent, with the right headers."""
    url, page = session(), {"Origin": "http://a.example"}
    opened = await fetch("POST", f"{url}/xhr", page)
    assert (opened.status, opened.body, opened["Content-Type"]) == (200, b"o\n", SCRIPT)
    sent = await fetch("POST", f"{url}/xhr_send", page, b'["x"]')
    assert (sent.status, sent.body, sent["Content-Type"]) == (204, b"", PLAIN)
    for answer in (opened, sent):
        check_cors(answer, "http://a.example")
        check_uncacheable(answer)
    assert (await fetch("POST", f"{url}/xhr")).body == b'a["x"]\n'


async def test_sending_to_no_session(fetch: Fetch) -> None:
    """SJ-18, SJ-20: 404, and no session comes of it."""
    url = session()
    for _ in range(2):
        assert (await fetch("POST", f"{url}/xhr_send", None, b'["x"]')).status == 404


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'["x', b"Broken JSON encoding."),
        (b"[1]", b"Broken JSON encoding."),
        (b'["\xff"]', b"Broken JSON encoding."),
        (b"", b"Payload expected."),
        (b"{}", b"Payload expected."),
        (b'"x"', b"Payload expected."),
        (b"null", b"Payload expected."),
    ],
)
async def test_a_bad_xhr_body(fetch: Fetch, body: bytes, text: bytes) -> None:
    """SJ-18, SJ-19: 500 with the reason, no effect, and the session lives on."""
    url = session()
    assert (await fetch("POST", f"{url}/xhr")).body == b"o\n"
    answer = await fetch("POST", f"{url}/xhr_send", None, body)
    assert (answer.status, answer.body) == (500, text)
    check_uncacheable(answer)
    check_cors(answer)
    assert (await fetch("POST", f"{url}/xhr_send", None, b'["a"]')).status == 204
    assert (await fetch("POST", f"{url}/xhr")).body == b'a["a"]\n'


async def test_xhr_content_types(fetch: Fetch) -> None:
    """SJ-18, SJ-25: whatever the type says; what has queued comes in one frame."""
    url = session()
    assert (await fetch("POST", f"{url}/xhr")).body == b"o\n"
    types = ["text/plain", "T", "application/json", "application/xml", "", "text/xml"]
    for kind in [*types, "application/json; charset=utf-8", None]:
        headers = {} if kind is None else {"Content-Type": kind}
        answer = await fetch("POST", f"{url}/xhr_send", headers, b'["a"]')
        assert (answer.status, answer.body) == (204, b"")
    frame = b"a[" + b",".join([b'"a"'] * 8) + b"]\n"
    assert (await fetch("POST", f"{url}/xhr")).body == frame


@pytest.mark.parametrize("asked", ["a, b, c", "", None])
async def test_request_headers_are_allowed(fetch: Fetch, asked: str | None) -> None:
    """SJ-7: what is asked for is echoed; nothing for nothing."""
    headers = {"Origin": "http://a.example"}
    if asked is not None:
        headers["Access-Control-Request-Headers"] = asked
    for method in ("POST", "OPTIONS"):
        answer = await fetch(method, f"{session()}/xhr", headers)
        check_cors(answer, "http://a.example")
        assert answer["Access-Control-Allow-Headers"] == (asked or None)


# -- streaming ---------------------------------------------------------------------------------


async def test_xhr_streaming(fetch: Fetch) -> None:
    """SJ-16, section 3: head, prelude and each frame on their own, while the client sends."""
    url = session()
    client, head = await fetch.stream("POST", f"{url}/xhr_streaming")
    assert (head.status, head["Content-Type"]) == (200, SCRIPT)
    check_cors(head)
    check_uncacheable(head)
    assert [await client.chunk(), await client.chunk()] == [PRELUDE, b"o\n"]
    for text in (b'["x"]', b'["y","z"]'):
        assert (await fetch("POST", f"{url}/xhr_send", None, text)).status == 204
        assert await client.chunk() == b"a" + text + b"\n"


async def test_streaming_ends_at_the_limit(fetch: Fetch) -> None:
    """SJ-15: after the frame that crosses 4096 bytes; the session goes on with the next."""
    url, message = session(), b'["' + b"x" * 128 + b'"]'
    client, _head = await fetch.stream("POST", f"{url}/xhr_streaming")
    assert [await client.chunk(), await client.chunk()] == [PRELUDE, b"o\n"]
    for _ in range(31):
        assert (await fetch("POST", f"{url}/xhr_send", None, message)).status == 204
        assert await client.chunk() == b"a" + message + b"\n"
    assert await client.chunk() == b""
    assert (await fetch("POST", f"{url}/xhr_send", None, b'["a"]')).status == 204
    assert (await fetch("POST", f"{url}/xhr")).body == b'a["a"]\n'


async def test_eventsource(fetch: Fetch) -> None:
    """SJ-12, SJ-13: events of one line; a percent sign is escaped, for the client decodes it."""
    url = session()
    client, head = await fetch.stream("GET", f"{url}/eventsource")
    assert (head.status, head["Content-Type"]) == (200, "text/event-stream; charset=UTF-8")
    check_uncacheable(head)
    check_cors(head)
    assert [await client.chunk(), await client.chunk()] == [b"\r\n", b"data: o\r\n\r\n"]
    for sent, received in (
        (rb'["x"]', rb'a["x"]'),
        (rb'["  \u0000\n\r "]', rb'a["  \u0000\n\r "]'),
        (b'["100 % sure"]', b'a["100 %25 sure"]'),
    ):
        assert (await fetch("POST", f"{url}/xhr_send", None, sent)).status == 204
        assert await client.chunk() == b"data: " + received + b"\r\n\r\n"


async def test_htmlfile(fetch: Fetch) -> None:
    """SJ-14, SJ-39: the page, more than 1 KiB of it in one chunk, then scripts that cannot end."""
    url = session()
    client, head = await fetch.stream("GET", f"{url}/htmlfile?c=%63allback")
    assert (head.status, head["Content-Type"]) == (200, "text/html; charset=UTF-8")
    assert (head["X-Content-Type-Options"], head["Referrer-Policy"]) == ("nosniff", "no-referrer")
    check_uncacheable(head)
    page = await client.chunk()
    assert (page.strip(), page[-4:]) == (HTMLFILE, b"\r\n\r\n")
    assert len(page) > 1024
    assert await client.chunk() == b'<script>\np("o");\n</script>\r\n'
    assert (await fetch("POST", f"{url}/xhr_send", None, b'["</script>"]')).status == 204
    frame = b'<script>\np("a[\\"\\u003c/script>\\"]");\n</script>\r\n'
    assert await client.chunk() == frame


@pytest.mark.parametrize("target", ["eventsource", "htmlfile?c=callback"])
async def test_the_others_end_at_the_limit(fetch: Fetch, target: str) -> None:
    """SJ-15: one large frame is enough."""
    url, message = session(), b"x" * 4096
    client, _head = await fetch.stream("GET", f"{url}/{target}")
    await client.chunk()
    await client.chunk()
    assert (await fetch("POST", f"{url}/xhr_send", None, b'["' + message + b'"]')).status == 204
    assert message in await client.chunk()
    assert await client.chunk() == b""


# -- jsonp -------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["htmlfile", "jsonp"])
@pytest.mark.parametrize("query", ["", "?c=", "?c=a%20b", "?c=alert(1)", f"?c={'x' * 33}"])
async def test_the_callback_must_be_a_name(fetch: Fetch, last: str, query: str) -> None:
    """SJ-21: checked before anything else."""
    url = session()
    answer = await fetch("GET", f"{url}/{last}{query}")
    text = b'"callback" parameter required' if not query else b'invalid "callback" parameter'
    assert (answer.status, answer.body) == (500, text)
    assert (await fetch("POST", f"{url}/xhr_send", None, b'["a"]')).status == 404


async def test_jsonp(fetch: Fetch) -> None:
    """SJ-14, SJ-18: calls of the page's function, a form back; 200 `ok`, no 204."""
    url = session()
    opened = await fetch("GET", f"{url}/jsonp?c=%63allback")
    assert (opened.status, opened.body) == (200, b'/**/callback("o");\r\n')
    assert (opened["Content-Type"], opened["X-Content-Type-Options"]) == (SCRIPT, "nosniff")
    sent = await fetch("POST", f"{url}/jsonp_send", FORM, b"d=%5B%22x%22%5D")
    assert (sent.status, sent.body, sent["Content-Type"]) == (200, b"ok", PLAIN)
    check_uncacheable(opened)
    check_uncacheable(sent)
    answer = await fetch("GET", f"{url}/jsonp?callback=x")
    assert answer.body == b'/**/x("a[\\"x\\"]");\r\n'


async def test_bad_jsonp_bodies(fetch: Fetch) -> None:
    """SJ-18, SJ-19"""
    url = session()
    assert (await fetch("GET", f"{url}/jsonp?c=x")).body == b'/**/x("o");\r\n'
    for body, text in (
        (b"d=%5B%22x", b"Broken JSON encoding."),
        (b"", b"Payload expected."),
        (b"d=", b"Payload expected."),
        (b"p=p", b"Payload expected."),
    ):
        answer = await fetch("POST", f"{url}/jsonp_send", FORM, body)
        assert (answer.status, answer.body) == (500, text)
    assert (await fetch("POST", f"{url}/jsonp_send", FORM, b"d=%5B%22b%22%5D")).body == b"ok"
    plain = {"Content-Type": "text/plain"}
    assert (await fetch("POST", f"{url}/jsonp_send", plain, b'["%61bc"]')).body == b"ok"
    answer = await fetch("GET", f"{url}/jsonp?c=x")
    assert answer.body == b'/**/x("a[\\"b\\",\\"%61bc\\"]");\r\n'


async def test_jsonp_closed(fetch: Fetch) -> None:
    """SJ-26"""
    url = session("/close")
    assert (await fetch("GET", f"{url}/jsonp?c=x")).body == b'/**/x("o");\r\n'
    for _ in range(2):
        answer = await fetch("GET", f"{url}/jsonp?c=x")
        assert answer.body == b'/**/x("c[3000,\\"Go away!\\"]");\r\n'


# -- cookies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "last"),
    [
        ("POST", "xhr"),
        ("POST", "xhr_streaming"),
        ("GET", "eventsource"),
        ("GET", "htmlfile?c=c"),
        ("GET", "jsonp?c=c"),
    ],
)
@pytest.mark.parametrize(
    ("cookie", "echoed"),
    [
        (None, "dummy"),
        ("JSESSIONID=abcdef", "abcdef"),
        ("a=b; JSESSIONID=ab.c~d; e=f", "ab.c~d"),
        ("JSESSIONID=a b", "dummy"),
        ("XJSESSIONID=a", "dummy"),
        (f"JSESSIONID={'x' * 129}", "dummy"),
    ],
)
async def test_jsessionid(
    fetch: Fetch, method: str, last: str, cookie: str | None, echoed: str
) -> None:
    """SJ-11: every session URL sets it, to what the client sent if that is harmless."""
    info = await fetch("GET", "/cookie_needed_echo/info")
    assert orjson.loads(info.body)["cookie_needed"] is True
    assert info["Set-Cookie"] is None
    headers = {} if cookie is None else {"Cookie": cookie}
    async with connected(fetch.address) as client:
        head = await client.begin(method, f"{session('/cookie_needed_echo')}/{last}", headers)
    assert head["Set-Cookie"] == f"JSESSIONID={echoed}; path=/"


# -- HTTP --------------------------------------------------------------------------------------


@pytest.mark.parametrize("http", ["1.0", "1.1"])
async def test_plain_answers_keep_the_connection(fetch: Fetch, http: str) -> None:
    """SJ-16: a length, no chunks; another request may follow."""
    async with connected(fetch.address) as client:
        for _ in range(2):
            answer = await client.request("GET", "/echo", {"Connection": "keep-alive"}, None, http)
            assert (answer.status, answer["Content-Length"]) == (200, "19")
            assert answer["Transfer-Encoding"] is None


@pytest.mark.parametrize("last", ["xhr_streaming", "xhr"])
async def test_http_10_has_no_chunks(fetch: Fetch, last: str) -> None:
    """SJ-16: the end of the connection is the end of the body."""
    client, head = await fetch.stream("POST", f"{session('/close')}/{last}", http="1.0")
    assert (head.status, head["Connection"]) == (200, "close")
    assert head["Transfer-Encoding"] is head["Content-Length"] is None
    body = PRELUDE + b"o\n" + CLOSED + b"\n" if last == "xhr_streaming" else b"o\n"
    assert await client.rest() == body


async def test_http_11_is_chunked(fetch: Fetch) -> None:
    """SJ-16, SJ-26: frames on their own, then the last chunk."""
    client, head = await fetch.stream("POST", f"{session('/close')}/xhr_streaming")
    assert (head["Transfer-Encoding"], head["Content-Length"]) == ("chunked", None)
    chunks = [await client.chunk() for _ in range(4)]
    assert chunks == [PRELUDE, b"o\n", CLOSED + b"\n", b""]


async def test_sockjs_answers_differ_from_the_daemons_own(fetch: Fetch) -> None:
    """SJ-2: beyond the prefixes it is the daemon's catalogue that answers."""
    answer = await fetch("GET", "/echoes")
    assert (answer.status, answer["Content-Type"]) == (404, "application/json")
    assert re.search(rb"unknown_path", answer.body)
    with trio.fail_after(BOUND):
        assert (await fetch("DELETE", "/echo")).status == 405
