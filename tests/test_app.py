"""The daemon as a whole: what holds on every route, in every order, for any bytes."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import pushkeys
from tests.fakes.daemon import (
    CHANNELS,
    CHAT,
    INBOUND,
    PUBLISH,
    RECEIPTS,
    USER,
    Answer,
    Daemon,
    configured,
    daemon,
    dial,
    read_answer,
    request_bytes,
    token,
)

from tocsin.app import App
from tocsin.model.errors import StartupError
from tocsin.server.router import Route
from tocsin.wire.integers import dumps

CHANNEL = "ws-00000000-0000-4000-8000-000000000000"
VALUES = {
    "user": USER,
    "channelId": CHANNEL,
    "subscriptionId": CHANNEL[3:],
    "sender": "+1613",
    "listId": "L1",
    "acct": "acct",
    "proj": "proj",
}
ENVELOPES = {
    CHANNELS: "notificationChannel",
    INBOUND: "subscription",
    RECEIPTS: "deliveryReceiptSubscription",
    CHAT: "chatNotificationSubscription",
}
JSON = ("Content-Type", "application/json")
BUILTIN = {"builtin": {"enabled": True}}
DESCRIPTIONS = ("/openapi.json", "/asyncapi.json")


def routes(running: Daemon) -> list[Route]:
    """Every route of the public listener."""
    return list(running.app._server._router.routes())


def refusing_in_json(running: Daemon) -> list[Route]:
    """Those that refuse as CH-120 says: all but the descriptions, which refuse nobody, and the push
    gateway's, which has an answer of its own and trusts loopback."""
    apart = ("/pnm2", *DESCRIPTIONS)
    return [one for one in routes(running) if not one.pattern.startswith(apart)]


def path_of(route: Route, user: str = USER) -> str:
    """A path that matches a route's pattern."""
    values = {**VALUES, "user": user}
    return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], route.pattern)


async def test_the_routes_and_their_scopes(tmp_path: Path) -> None:
    """Each route declares its scope; only the token endpoint, descriptions, health and metrics ask
    for none, and what is a user's own asks for that user (SE-2)."""
    async with daemon(tmp_path, auth=BUILTIN) as running:
        declared = {(one.method, one.pattern): one for one in routes(running)}
        assert len(declared) == len(routes(running)) > 30
        unguarded = {key for key, one in declared.items() if one.scope is None}
        gateway = ("/pnm2", "/pnm2/send", "/pnm2/multisend")
        # Of the gateway only what refuses other methods (PU-4).
        described = {("GET", path) for path in DESCRIPTIONS}
        others = {("*", path) for path in gateway}
        assert unguarded == {("POST", "/cpaas/auth/v1/token"), *described, *others}
        push = {key for key, one in declared.items() if one.scope == "push"}
        assert push == {("POST", path) for path in gateway}
        publish = {key for key, one in declared.items() if one.scope == "publish"}
        callback = CHANNELS.replace(USER, "{user}") + "/{channelId}/callback"
        assert publish == {("POST", "/v1/notifications"), ("POST", callback)}
        for key in declared.keys() - unguarded - publish - push:
            assert declared[key].scope == "channels"
            # A project's own token speaks for it (CH-96).
            assert declared[key].own_user != ("{proj}" in declared[key].pattern)
        admin = list(running.app._admin_server._router.routes())
        open_to_all = {(one.method, one.pattern) for one in admin if one.scope is None}
        health = ("/metrics", "/livez", "/readyz", "/openapi.json")
        assert open_to_all == {("GET", path) for path in health}
        assert {one.scope for one in admin if one.pattern.startswith("/admin/")} == {"admin"}
        assert len(admin) > len(open_to_all)


async def test_every_route_wants_the_right_token(tmp_path: Path) -> None:
    """Each refuses no token, a broken one, an expired one, a wrong scope and another user's, each
    with its challenge, before it looks at anything else (CH-13, SE-2)."""
    cases: list[tuple[str | None, int, str, str]] = [
        (None, 401, "token_missing", "Bearer"),
        ("x", 401, "token_invalid", 'Bearer error="invalid_token"'),
        (f"{token()}A", 401, "token_invalid", 'Bearer error="invalid_token"'),
        (token(expires_in=-31), 401, "token_expired", 'Bearer error="invalid_token"'),
    ]
    async with daemon(tmp_path) as running:
        before = await running.stored()
        for route in refusing_in_json(running):
            wrong = "push" if route.scope == "publish" else "publish"
            scope = f'Bearer error="insufficient_scope", scope="{route.scope}"'
            more = [(token(scope=wrong), 403, "scope_missing", scope)]
            if route.own_user:
                more.append((token("bob"), 403, "user_mismatch", ""))
            for bearer, status, code, challenge in [*cases, *more]:
                answer = await running.ask(
                    route.method,
                    path_of(route),
                    b"[" if route.method == "POST" else None,
                    bearer=bearer,
                    headers=[("Accept", "text/html"), ("Content-Type", "x/y")],
                )
                assert answer.refusal == (status, "POL0001", [code]), route
                assert answer.headers.get("www-authenticate", "") == challenge
        assert await running.stored() == before


async def test_admin_acts_for_any_user(tmp_path: Path) -> None:
    """Scope `admin` opens the channel faces of every user, and not the publish API (CH-12)."""
    async with daemon(tmp_path) as running:
        for route in refusing_in_json(running):
            answer = await running.ask(route.method, path_of(route), bearer=token("x", "admin"))
            assert (answer.status == 403) == (route.scope == "publish")
            assert answer.status != 401


async def test_a_token_without_our_scopes(tmp_path: Path) -> None:
    """It gets the default scope: deployed clients only ever ask for openid (CH-12)."""
    async with daemon(tmp_path) as running:
        assert (await running.get(CHANNELS, scope="openid")).status == 200
        answer = await running.post(PUBLISH, [], scope="openid")
        assert answer.refusal == (403, "POL0001", ["scope_missing"])


async def test_the_order_of_checks(tmp_path: Path) -> None:
    """Path, method, token, scope, user, Accept, body: a request with everything wrong is told the
    first, and as each is put right, the next (CH-13)."""
    steps: list[tuple[dict[str, Any], tuple[int, str, list[str]]]] = [
        ({"target": "/cpaas/nowhere"}, (404, "SVC0001", ["unknown_path"])),
        ({"target": CHANNELS}, (405, "SVC0001", ["method"])),
        ({"method": "POST"}, (401, "POL0001", ["token_missing"])),
        ({"bearer": "x"}, (401, "POL0001", ["token_invalid"])),
        ({"bearer": token("bob", "publish")}, (403, "POL0001", ["scope_missing"])),
        ({"bearer": token("bob")}, (403, "POL0001", ["user_mismatch"])),
        ({"bearer": token()}, (406, "SVC0001", ["not_acceptable"])),
        ({"accept": "*/*"}, (415, "SVC0001", ["media_type"])),
        ({"kind": "application/json"}, (400, "SVC0002", ["body"])),
        ({"body": b"{}"}, (400, "SVC0002", ["notificationChannel"])),
    ]
    asked: dict[str, Any] = {
        "method": "PATCH",
        "target": "/",
        "bearer": None,
        "accept": "text/html",
        "kind": "text/plain",
        "body": b"{",
    }
    async with daemon(tmp_path) as running:
        for change, expected in steps:
            asked |= change
            answer = await running.ask(
                asked["method"],
                asked["target"],
                asked["body"],
                bearer=asked["bearer"],
                headers=[("Accept", asked["accept"]), ("Content-Type", asked["kind"])],
            )
            assert answer.refusal == expected


async def test_unknown_paths_and_methods(tmp_path: Path) -> None:
    """Unknown paths, those of the back end and of later releases are 404; a known one with the
    wrong method 405 with what is allowed (CH-8)."""
    async with daemon(tmp_path) as running:
        for path in (
            *("/", "/cpaas", f"{CHANNELS}x", f"{CHANNELS}//", f"{CHANNELS}/a/b", "/%ff", "/%"),
            *(CHANNELS.removeprefix("/cpaas"), f"/cpaas/call/v1/{USER}/subscriptions"),
            *(f"/cpaas/presence/v1/{USER}/presenceLists", f"{CHANNELS}/../channels"),
        ):
            assert (await running.get(path)).refusal == (404, "SVC0001", ["unknown_path"]), path
        for route in refusing_in_json(running):
            answer = await running.ask("PATCH", path_of(route), b"{}")
            assert answer.refusal == (405, "SVC0001", ["method"])
            assert route.method in answer.headers["allow"].split(", ")


BODIES = [
    (b"", 400, "SVC0002", "body"),
    (b"{", 400, "SVC0002", "body"),
    (b"\xff{}", 400, "SVC0002", "body"),
    (b"\xef\xbb\xbf{}", 400, "SVC0002", "body"),
    (b'{"a":1,"a":2}', 400, "SVC0002", "body"),
    (b'{"a":NaN}', 400, "SVC0002", "body"),
    (b'{"a":Infinity}', 400, "SVC0002", "body"),
    (b'{"a":1e999}', 400, "SVC0002", "body"),
    (b'{"a":"\\ud800"}', 400, "SVC0002", "body"),
    (b"[" * 33 + b"]" * 33, 400, "SVC0002", "body"),
    (b"[" * 10_000, 400, "SVC0002", "body"),
    (b" " * 131_073, 413, "SVC0001", "too_large"),
]


@pytest.mark.parametrize("path", ENVELOPES)
async def test_bodies_that_are_refused(tmp_path: Path, path: str) -> None:
    """What is not strict JSON, not JSON at all or too large is refused on every face with
    nothing stored; no Content-Type and UTF-8 in any spelling are fine (CH-4, CH-121, SE-5)."""
    async with daemon(tmp_path) as running:
        before = await running.stored()
        for body, status, message_id, code in BODIES:
            answer = await running.post(path, body)
            assert answer.refusal == (status, message_id, [code]), body[:20]
        for kind in ("text/plain", "application/json; charset=latin-1", "application/xml", "x"):
            answer = await running.post(path, b"{}", headers=[("Content-Type", kind)])
            assert answer.refusal == (415, "SVC0001", ["media_type"])
        for kind in ("application/json;charset=UTF-8", 'application/json; charset="utf-8"'):
            answer = await running.post(path, b"{}", headers=[("Content-Type", kind)])
            assert answer.refusal == (400, "SVC0002", [ENVELOPES[path]])
        assert (await running.post(path, b"{}")).status == 400
        assert await running.stored() == before


async def test_heads_that_are_refused(tmp_path: Path) -> None:
    """Too large a head is 431, what is no HTTP is 400, both in JSON (section 13, SE-5)."""
    async with daemon(tmp_path) as running:
        answer = await running.get(CHANNELS, headers=[("X", "y" * 17_000)])
        assert answer.refusal == (431, "SVC0001", ["headers_too_large"])
        async with await dial(running.public) as stream:
            await stream.send_all(b"nonsense\r\n\r\n")
            assert (await read_answer(stream))[0].refusal == (400, "SVC0002", ["request"])


async def test_rate(tmp_path: Path) -> None:
    """A token over `limits.rate` is 429 with Retry-After, another one is not (section 15)."""
    async with daemon(tmp_path, limits={"rate": 1}) as running:
        mine, other = token(jti="1"), token(jti="2")
        statuses = [(await running.get(CHANNELS, bearer=mine)).status for _ in range(3)]
        assert statuses == [200] * 3
        answer = await running.get(CHANNELS, bearer=mine)
        assert answer.refusal == (429, "SVC1000", [])
        assert int(answer.headers["retry-after"]) >= 1
        assert (await running.get(CHANNELS, bearer=other)).status == 200


PREFLIGHT = {
    "allow-origin": "*",
    "allow-methods": "GET, POST, PUT, DELETE",
    "allow-headers": "Authorization, Content-Type, Accept, X-Cpaas-Agent, Idempotency-Key",
    "max-age": "86400",
}


async def test_preflight_on_every_path(tmp_path: Path) -> None:
    """OPTIONS needs no token and answers 204 without a body, with what browsers ask for, on every
    path, those with DELETE included (CH-5, CH-6, T12)."""
    async with daemon(tmp_path, auth=BUILTIN) as running:
        for route in refusing_in_json(running):
            asked = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "DELETE")]
            answer = await running.ask("OPTIONS", path_of(route), bearer=None, headers=asked)
            assert (answer.status, answer.body) == (204, b"")
            assert "content-type" not in answer.headers
            told = {name: answer.headers[f"access-control-{name}"] for name in PREFLIGHT}
            assert told == PREFLIGHT
            assert answer.headers["cache-control"] == "no-store"
        lost = await running.ask("OPTIONS", "/nowhere", bearer=None)
        assert lost.refusal == (404, "SVC0001", ["unknown_path"])


async def test_headers_of_every_answer(tmp_path: Path) -> None:
    """Good or bad, an answer with a body is JSON, a 204 has none and no type, nothing is cached,
    and pages may read it (CH-5, CH-6, T12)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        subscription = await running.subscribe(channel)
        answers = [
            *[
                await running.ask(one.method, path_of(one), b"{}")
                for one in refusing_in_json(running)
            ],
            *[await running.ask("PUT", path_of(one)) for one in refusing_in_json(running)],
            *[await running.get(CHANNELS, bearer=bearer) for bearer in ("", None, "x")],
            await running.get("/nowhere"),
            await running.get(channel["resourceURL"]),
            await running.get(f"{channel['resourceURL']}/websocket"),
            await running.delete(subscription["resourceURL"]),
            await running.delete(channel["resourceURL"]),
        ]
        for answer in answers:
            check_headers(answer)
        statuses = {answer.status for answer in answers}
        assert statuses >= {200, 204, 400, 401, 403, 404, 405, 426}


def check_headers(answer: Answer) -> None:
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "Location, Retry-After"
    assert answer.headers["cache-control"] == "no-store"
    if answer.status == 204:
        assert answer.body == b""
        assert "content-type" not in answer.headers
    else:
        assert answer.headers["content-type"] == "application/json"
        assert isinstance(answer.json, dict | list)


async def test_accept(tmp_path: Path) -> None:
    """An Accept that lets JSON through passes, one that excludes it is 406 (CH-8)."""
    async with daemon(tmp_path) as running:
        for accept in ("*/*", "application/*", "text/html, application/json;q=0.1", ""):
            answer = await running.get(CHANNELS, headers=[("Accept", accept)])
            assert answer.status == 200, accept
        for accept in ("text/html", "application/json;q=0, */*", "application/xml"):
            answer = await running.get(CHANNELS, headers=[("Accept", accept)])
            assert answer.refusal == (406, "SVC0001", ["not_acceptable"])


async def test_a_body_on_get_and_delete_is_ignored(tmp_path: Path) -> None:
    """It is no mistake, whatever it is (section 13)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel()
        kind = [("Content-Type", "text/plain")]
        for method, status in (("GET", 200), ("DELETE", 204)):
            answer = await running.ask(method, channel["resourceURL"], b"{", headers=kind)
            assert answer.status == status


async def test_stop(tmp_path: Path) -> None:
    """`stop` ends `run` by itself, frees ports and store, and writes where it listened (OP-8,
    OP-12)."""
    app = App(configured(tmp_path))
    public, admin = app.public_addresses, app.admin_addresses
    with trio.fail_after(30):
        await app.run(on_ready=app.stop)
    listened = orjson.loads((tmp_path / "listen.json").read_bytes())
    assert listened == {"public": public, "admin": admin}
    with pytest.raises(OSError, match="connect"):
        await dial(public[0])
    async with daemon(tmp_path) as running:
        assert (await running.get(CHANNELS)).status == 200


async def test_who_waits_for_a_push_is_answered_at_the_end(tmp_path: Path) -> None:
    """What is stored and will be pushed after the restart is told so, although its caller would
    have waited longer than the daemon lasts (PU-14, OP-12)."""
    unreachable = {"provider": "apns", "team_id": "ABCDE12345", "key_id": "F6G7H8J9K0"}
    unreachable |= {"private_key": pushkeys.p8(), "endpoint": "https://127.0.0.1:1"}
    app = {"provider": "apns", "key": "k", "topic": "com.example"}
    push = {"ack_deadline": 20.0, "keys": {"k": unreachable}, "apps": {"com.example": app}}
    element = {"verb": "NotifyReprovision", "AppId": "com.example", "DeviceToken": "ab" * 32}
    kind = [("Content-Type", "application/json")]
    answers: list[Answer] = []
    async with daemon(tmp_path, push=push) as running, trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await running.post("/pnm2/send", element, bearer=None, headers=kind))

        nursery.start_soon(ask)
        with trio.fail_after(30):
            while not running.app.store.backlog:  # noqa: ASYNC110 - nobody tells
                await trio.sleep(0.01)
            running.app.stop()
    [answer] = answers
    assert (answer.status, answer.json["code"]) == (200, 200)


async def test_one_daemon_per_store(tmp_path: Path) -> None:
    """A second one on the same store does not start, and the first is not disturbed (SE-12)."""
    async with daemon(tmp_path) as running:
        with pytest.raises(StartupError, match="in use"):
            App(configured(tmp_path))
        assert (await running.get(CHANNELS)).status == 200


async def test_restart_grace(tmp_path: Path) -> None:
    """A channel whose clock ran out while the daemon was down gets a grace at start (CH-44)."""
    async with daemon(tmp_path) as running:
        channel = await running.open_channel(channelLifetime=60)
        await running.app.store._perform(
            lambda db: db.execute("UPDATE channel SET expires_at = 1").close()
        )
    async with daemon(tmp_path) as running:
        assert (await running.get(channel["resourceURL"])).status == 200


WORDS = st.sampled_from(
    [
        *("notificationChannel", "channelType", "websockets", "Webhooks", "clientCorrelator", "c"),
        *("channelData", "x-webhookURL", "https://127.0.0.1/", "channelLifetime", "subscription"),
        *("callbackReference", "notifyURL", "/channels/", "user", USER, "service", "chat", "sms"),
        *("notification", "a", "id", "priority", "expires_in", "order_key", "duration", "tel:"),
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | WORDS
)
VALUE = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
FUZZ = settings(max_examples=20, deadline=None)


@FUZZ
@given(st.lists(VALUE, min_size=1, max_size=8))
def test_any_json(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    """Whatever JSON comes to whichever face: never a 500, and what is refused stores nothing
    (CH-121, SE-6)."""
    trio.run(_send_all, tmp_path_factory.mktemp("fuzz"), [dumps(value) for value in values])


@FUZZ
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=8))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes]) -> None:
    """The same for bytes that need not be JSON (SE-6)."""
    trio.run(_send_all, tmp_path_factory.mktemp("fuzz"), bodies)


async def _send_all(folder: Path, bodies: list[bytes]) -> None:
    with structlog.testing.capture_logs() as lines:
        async with daemon(folder) as running:
            channel = (await running.open_channel())["callbackURL"]
            for body in bodies:
                for path, envelope in ENVELOPES.items():
                    reference = b'{"callbackReference":{"notifyURL":"%s"},"x":' % channel.encode()
                    for sent in (
                        body,
                        b'{"%s":%s}' % (envelope.encode(), body),
                        b'{"%s":%s%s}}' % (envelope.encode(), reference, body),
                    ):
                        await _send(running, path, sent, "channels")
                item = b'{"user":"u","service":"chat","notification":{"a":{"x":%s}}}' % body
                for sent in (body, b"[%s]" % body, item):
                    await _send(running, PUBLISH, sent, "publish")
    assert not [line for line in lines if line["log_level"] in {"error", "critical"}]


async def _send(running: Daemon, path: str, body: bytes, scope: str) -> None:
    before = await running.stored()
    answer = await running.post(path, body, scope=scope)
    assert answer.status in {201, 202, 400, 413}, body
    if answer.status not in {201, 202}:
        assert answer.refusal[0] == answer.status
        assert await running.stored() == before


SEGMENT = st.text(st.characters(codec="ascii", exclude_characters=" \r\n\t\x00"), max_size=10)
PATHS = st.lists(SEGMENT | WORDS | st.just("%2F") | st.just(".."), max_size=8)


@FUZZ
@given(st.lists(st.tuples(st.sampled_from([*ENVELOPES, ""]), PATHS), min_size=1, max_size=20))
def test_any_path(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[str, list[str]]]
) -> None:
    """Whatever is behind a known path or instead of it: an answer of the catalogue, no 500
    (SE-6)."""
    trio.run(
        _ask_all,
        tmp_path_factory.mktemp("fuzz"),
        ["/".join([start, *rest]) or "/" for start, rest in plan],
    )


async def _ask_all(folder: Path, targets: list[str]) -> None:
    with structlog.testing.capture_logs() as lines:
        async with daemon(folder) as running:
            auth = ("Authorization", f"Bearer {token('x', 'admin')}")
            for target in targets:
                for method in ("GET", "DELETE", "OPTIONS"):
                    async with await dial(running.public) as stream:
                        await stream.send_all(request_bytes(method, target, headers=[auth]))
                        answer, _ = await read_answer(stream)
                    if answer.status not in {200, 204}:
                        assert answer.refusal[0] in {400, 404, 405, 426}, target
    assert not [line for line in lines if line["log_level"] in {"error", "critical"}]
