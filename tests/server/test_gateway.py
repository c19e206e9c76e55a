"""The gateway over HTTP: examples, refusals, who may push (push.md, A.1 to A.6)."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import orjson
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from tests.fakes.gatewayapps import APP, APPS, OTHER_TOKEN, TOKEN, VOIP, call, text
from tests.fakes.gatewayworld import GatewayWorld, gateway_world
from tests.fakes.http_client import Answer, Client, Front, serving
from tests.fakes.revocations import revocations
from tests.fakes.tokens import NOW, SECRET, signed

from tocsin.delivery.settings import DeliveryLimits
from tocsin.model.outcome import Deferred, Gone, Refused
from tocsin.server.auth import Authenticator, AuthSettings
from tocsin.server.gateway import Admission, GatewayFace
from tocsin.server.jwks import FixedKeys
from tocsin.server.peers import Networks, Proxies
from tocsin.server.router import Router
from tocsin.wire.jwk import KeySet, shared_secret
from tocsin.wire.push.pnm2 import Endpoint

SEND, MULTISEND, FORM = (one.path for one in Endpoint)
JSON = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"
LOOPBACK, PROXY, STRANGER = "127.0.0.1", "192.0.2.7", "198.51.100.9"
VALID = {
    "DeviceToken": TOKEN,
    "Selector": "ValidSelector",
    "AppId": APP,
    "verb": "NotifyGenericTextMessage",
    "Message": "Some message",
}
LEGACY = f"verb=NotifyTextMessage&AppId={APP}&DeviceToken={TOKEN}&Selector=s"


def reply(code: int, response: str) -> dict[str, object]:
    return {"code": code, "status": code, "response": response}


SENT = reply(200, "Your message was sent.")
QUEUED = reply(200, "Your message was queued.")
BAD_REQUEST = reply(400, "Bad Request")
BUSY = reply(500, "Busy, try again later")
NOT_AUTHORIZED = reply(400, "Not authorized")


@attrs.define
class Served:
    """A gateway behind its face and its HTTP server."""

    world: GatewayWorld
    front: Front
    is_draining: bool = False

    async def post(
        self,
        path: str,
        body: object,
        *headers: tuple[str, str],
        method: str = "POST",
        peer: str = LOOPBACK,
        content_type: str | None = None,
    ) -> Answer:
        """The answer to a request on a connection of its own."""
        return await (
            await self.begin(
                path, body, *headers, method=method, peer=peer, content_type=content_type
            )
        ).answer(method)

    async def begin(
        self,
        path: str,
        body: object,
        *headers: tuple[str, str],
        method: str = "POST",
        peer: str = LOOPBACK,
        content_type: str | None = None,
    ) -> Client:
        """A client that has asked and may wait for its answer."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        kind = content_type or (FORM_TYPE if path.rstrip("/") == FORM else JSON)
        lines = [("Host", "x"), ("Content-Length", str(len(raw))), *headers]
        if kind != "none":
            lines.append(("Content-Type", kind))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        client = self.front.connect(peer=peer)
        await client.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + raw)
        return client

    def replies(self, endpoint: str, code: int) -> int:
        """How often the gateway has said so."""
        return self.world.sample("push_gateway_replies_total", endpoint=endpoint, code=str(code))


@asynccontextmanager
async def gateway(*, rate: float = 0, **members: Any) -> AsyncIterator[Served]:
    """`members` are those of the world; `rate` is in elements a second and caller."""
    async with gateway_world(**members) as world:
        keys = FixedKeys(KeySet(shared_secret(SECRET), ()))
        settings = AuthSettings(shared_secret=SECRET)
        tokens = Authenticator(settings, keys, revocations=revocations(), now=lambda: NOW)
        router = Router()
        face = GatewayFace(
            world.gateway,
            world.submissions,
            APPS,
            Admission(tokens, Networks(["127.0.0.0/8", "::1/128"]), Proxies(Networks([PROXY]))),
            pass_verbs=["Ours"],
            rate_per_caller=rate,
            is_draining=lambda: served.is_draining,
            metrics=world.metrics,
        )
        face.add_routes(router)
        async with serving(router, trusted_proxies=(PROXY,)) as front:
            served = Served(world, front)
            yield served
            assert front.errors == []


def bearer(scope: str = "push", **claims: object) -> tuple[str, str]:
    return "Authorization", f"Bearer {signed('HS256', scope=scope, **claims)}"


# -- the seed's own examples -------------------------------------------------------------------


async def test_the_examples_of_the_seed(autojump_clock: trio.testing.MockClock) -> None:
    """Requests and answers as they stand there, and `status` (PU-1, PU-2, PU-6, PU-92)."""
    async with gateway() as it:
        assert (await it.world.send(VALID)).code == 200
        answer = await it.post(SEND, VALID)
        assert (answer.status, json.loads(answer.body)) == (200, SENT)
        it.world.provider.script[TOKEN] = [Gone("unregistered", 410)]
        answer = await it.post(SEND, VALID)
        gone = "Pnmediator returned unknown error: ERR:404 Not Found"
        assert (answer.status, json.loads(answer.body)) == (200, reply(404, gone))
        second = {**VALID, "DeviceToken": OTHER_TOKEN, "Message": "some other message"}
        answer = await it.post(MULTISEND, [second, VALID, None])
        assert answer.status == 200
        assert json.loads(answer.body) == [
            SENT,
            reply(404, "Pnmediator returned an error: ERR:404 Not Found\n"),
            reply(400, "Bad object you sent here"),
        ]
        assert json.loads((await it.post(MULTISEND, second)).body) == [SENT]
        answer = await it.post(MULTISEND, None)
        assert (answer.status, json.loads(answer.body)) == (400, BAD_REQUEST)
        answer = await it.post(MULTISEND, [None])
        assert (answer.status, json.loads(answer.body)) == (
            200,
            [reply(400, "Bad object you sent here")],
        )
        assert (await it.post(MULTISEND, [])).body == b"[]"


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ({"Selector": None, "verb": "NotifyTextMessage"}, SENT),
        ({"Badge": "7"}, SENT),
        ({"Badge": None}, SENT),
        ({"anything": {"else": []}, "verb": "NotifyTextMessage"}, SENT),
        ({"DeviceToken": "ab+cd/" * 10}, SENT),
        ({"DeviceToken": "ab cd/" * 10}, reply(400, "Malformed DeviceToken")),
        ({"verb": "Ours"}, SENT),
        ({"Message": ""}, reply(400, "Missing attribute: Message")),
        ({"AppId": "who"}, reply(400, "AppId is not registered")),
        ({"AppId": VOIP}, reply(400, "Verb not allowed for this AppId")),
    ],
)
async def test_json(
    autojump_clock: trio.testing.MockClock, element: dict[str, Any], expected: object
) -> None:
    """What callers send beside the examples, with any charset parameter that says UTF-8 and with
    or without a trailing slash (PU-1, PU-4, PU-10, PU-92)."""
    async with gateway() as it:
        body = {name: one for name, one in {**VALID, **element}.items() if one is not None}
        kind = f"{JSON}; charset=utf-8"
        for path in (SEND, f"{SEND}/"):
            answer = await it.post(path, body, content_type=kind)
            assert (answer.status, json.loads(answer.body)) == (200, expected)


@pytest.mark.parametrize(
    ("form", "status", "expected"),
    [
        (LEGACY, 200, SENT),
        (LEGACY.replace("&Selector=s", ""), 200, SENT),
        (f"{LEGACY}&Badge=3&Message=a+b&unknown=1&password=hunter2", 200, SENT),
        (f"{LEGACY}&Badge=", 200, SENT),
        (f"{LEGACY}&Badge=many", 200, reply(400, "Bad value: Badge")),
        (LEGACY.replace(TOKEN, "ab+cd"), 200, reply(400, "Malformed DeviceToken")),
        (LEGACY.replace("verb", "Verb"), 400, reply(400, "Missing attribute: verb")),
        (LEGACY.replace("AppId", "x"), 400, reply(400, "Missing attribute: AppId")),
        (LEGACY.replace(TOKEN, ""), 400, reply(400, "Missing attribute: DeviceToken")),
        (f"{LEGACY}&verb=x", 400, BAD_REQUEST),
        (f"{LEGACY}&pw=1&pw=2", 400, BAD_REQUEST),
    ],
)
async def test_legacy_form(
    autojump_clock: trio.testing.MockClock, form: str, status: int, expected: object
) -> None:
    """The same attributes and reply; what old callers send along goes nowhere (PU-7, PU-92)."""
    async with gateway() as it:
        for path in (FORM, f"{FORM}/"):
            answer = await it.post(path, form.encode())
            assert (answer.status, json.loads(answer.body)) == (status, expected)
        assert not any(b"hunter2" in one.body for one in it.world.provider.attempts)


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [SEND, MULTISEND, FORM])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "PROPFIND"])
async def test_other_methods(path: str, method: str) -> None:
    """400 with a reply object, not 405 (PU-4)."""
    async with gateway() as it:
        answer = await it.post(path, b"", method=method, peer=STRANGER)
        assert (answer.status, json.loads(answer.body)) == (400, BAD_REQUEST)


@pytest.mark.parametrize(
    ("path", "body", "content_type", "status", "expected"),
    [
        (SEND, [VALID], JSON, 400, BAD_REQUEST),
        (SEND, VALID, "none", 400, BAD_REQUEST),
        (SEND, VALID, "text/plain", 400, BAD_REQUEST),
        (SEND, VALID, f"{JSON}; charset=latin-1", 400, BAD_REQUEST),
        (SEND, b'{"verb":1,"verb":1}', JSON, 400, BAD_REQUEST),
        (SEND, b"\xff", JSON, 400, BAD_REQUEST),
        (MULTISEND, b"[" * 40 + b"]" * 40, JSON, 400, BAD_REQUEST),
        (MULTISEND, [None] * 1001, JSON, 413, reply(400, "Payload too large")),
        (MULTISEND, b"[" + b" " * 1_048_576 + b"]", JSON, 413, reply(400, "Payload too large")),
        (FORM, VALID, JSON, 400, BAD_REQUEST),
    ],
)
async def test_requests_that_are_refused(
    path: str, body: object, content_type: str, status: int, expected: object
) -> None:
    """As a whole, with a reply object, and nothing is stored (PU-4, PU-5)."""
    async with gateway() as it:
        answer = await it.post(path, body, content_type=content_type)
        assert (answer.status, json.loads(answer.body)) == (status, expected)
        assert "access-control-allow-origin" in answer.headers
        assert await it.world.pending() == 0
        assert it.world.provider.attempts == []


async def test_large_elements(autojump_clock: trio.testing.MockClock) -> None:
    """One over 64 KiB costs only itself; a request of 1 MiB passes (PU-5)."""
    async with gateway() as it:
        large = text(Message="x" * 66_000)
        answer = await it.post(MULTISEND, [text(), large])
        assert json.loads(answer.body) == [SENT, reply(400, "Payload too large")]
        body = b"[" + b" " * 1_048_574 + b"]"
        assert (await it.post(MULTISEND, body)).body == b"[]"


async def test_draining_and_a_full_backlog(autojump_clock: trio.testing.MockClock) -> None:
    """503 with `Retry-After` and a reply object; nothing is stored (PU-5)."""
    async with gateway(limits=DeliveryLimits(backlog=1)) as it:
        for is_draining, body in ((True, [text()]), (False, [text(), text(OTHER_TOKEN)])):
            it.is_draining = is_draining
            answer = await it.post(MULTISEND, body)
            assert (answer.status, json.loads(answer.body)) == (503, BUSY)
            assert int(answer.headers["retry-after"]) >= 1
        assert await it.world.pending() == 0


async def test_rates(autojump_clock: trio.testing.MockClock) -> None:
    """Elements, not requests, for each token or address: 429 with `Retry-After` and a reply
    object; a large list is let in and paid for (PU-5)."""
    async with gateway(rate=10) as it:
        assert (await it.post(MULTISEND, [None] * 100)).status == 200
        answer = await it.post(SEND, text())
        assert (answer.status, json.loads(answer.body)) == (429, BUSY)
        assert int(answer.headers["retry-after"]) == 8
        assert (await it.post(SEND, text(), bearer(jti="a"))).status == 200
        assert (await it.post(SEND, text(), peer="127.0.0.2")).status == 200
        await trio.sleep(8)
        assert (await it.post(SEND, text())).status == 200


# -- who may push ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        (LOOPBACK, [], 200),
        ("::1", [], 200),
        (STRANGER, [], 401),
        ("", [], 401),
        (STRANGER, [bearer()], 200),
        (STRANGER, [bearer("channels")], 403),
        (STRANGER, [bearer("admin publish")], 403),
        (LOOPBACK, [bearer("channels")], 403),
        (LOOPBACK, [bearer(exp=NOW - 60)], 401),
        (LOOPBACK, [("Authorization", "Bearer x")], 401),
        (LOOPBACK, [("Origin", "https://evil.example")], 401),
        (LOOPBACK, [("Origin", "null"), bearer()], 200),
        (LOOPBACK, [("X-Forwarded-For", LOOPBACK)], 401),
        (LOOPBACK, [("X-Real-IP", LOOPBACK)], 401),
        (LOOPBACK, [("Forwarded", f"for={LOOPBACK}")], 401),
        (PROXY, [], 401),
        (PROXY, [("X-Forwarded-For", LOOPBACK)], 200),
        (PROXY, [("X-Real-IP", LOOPBACK)], 200),
        (PROXY, [("X-Forwarded-For", f"{LOOPBACK}, {STRANGER}")], 401),
        (PROXY, [("X-Real-IP", STRANGER)], 401),
        (STRANGER, [("X-Forwarded-For", LOOPBACK)], 401),
    ],
)
async def test_admission(
    autojump_clock: trio.testing.MockClock,
    peer: str,
    headers: Sequence[tuple[str, str]],
    status: int,
) -> None:
    """A token with scope push, or none at all from a trusted network; never by the word of
    somebody who is no proxy, never from a page (PU-9)."""
    async with gateway() as it:
        answer = await it.post(SEND, text(), *headers, peer=peer)
        assert answer.status == status
        assert json.loads(answer.body) == (SENT if status == 200 else NOT_AUTHORIZED)
        assert ("www-authenticate" in answer.headers) is (status != 200)


async def test_cors() -> None:
    """As everywhere: a preflight is answered, though every other method is 400 (PU-4, PU-9)."""
    async with gateway() as it:
        for path in (SEND, MULTISEND, FORM):
            answer = await it.post(path, b"", ("Origin", "https://a.example"), method="OPTIONS")
            assert (answer.status, answer.body) == (204, b"")
            assert answer.headers["access-control-allow-origin"] == "*"


# -- waiting, repeating ------------------------------------------------------------------------


async def test_a_caller_that_hangs_up(autojump_clock: trio.testing.MockClock) -> None:
    """Cancels nothing (PU-8)."""
    async with gateway() as it:
        it.world.provider.script[TOKEN] = [Deferred("unavailable", 2, 503)]
        client = await it.begin(SEND, text())
        await trio.sleep(1)
        client.sock.close()
        await trio.sleep(5)
        assert len(it.world.provider.attempts) == 2
        assert await it.world.pending() == 0


async def test_waiting(autojump_clock: trio.testing.MockClock) -> None:
    """The answer comes when the provider has spoken, or after 4 s (PU-14)."""
    async with gateway() as it:
        it.world.provider.script[TOKEN] = [2.0, 9.0]
        start = trio.current_time()
        assert json.loads((await it.post(SEND, text())).body) == SENT
        assert trio.current_time() - start == pytest.approx(2, abs=0.2)
        assert json.loads((await it.post(SEND, text())).body) == QUEUED
        assert trio.current_time() - start == pytest.approx(6, abs=0.3)


async def test_idempotency_keys(autojump_clock: trio.testing.MockClock) -> None:
    """The first answer byte for byte, also while the first is waited for; another body is 409, a
    bad key 400, both with a reply object; another caller is another (PU-19, CH-114)."""
    async with gateway() as it:
        it.world.provider.script[TOKEN] = [2.0, Refused("bad_request", 400)]
        key = ("Idempotency-Key", "k1")
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await it.post(MULTISEND, [text(), None], key))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(1)
            nursery.start_soon(ask)
        first, again = answers
        assert (first.status, again.status) == (200, 200)
        assert first.body == again.body
        assert json.loads(first.body) == [SENT, reply(400, "Bad object you sent here")]
        assert ["idempotency-replayed" in one.headers for one in answers] == [False, True]
        assert len(it.world.provider.attempts) == 1
        for header, status in ((key, 409), (("Idempotency-Key", "a b"), 400)):
            answer = await it.post(MULTISEND, [], header)
            assert (answer.status, json.loads(answer.body)) == (status, BAD_REQUEST)
        answer = await it.post(MULTISEND, [text(), None], key, bearer(client_id="other"))
        assert json.loads(answer.body)[0]["code"] == 500
        assert "idempotency-replayed" not in answer.headers


async def test_metrics(autojump_clock: trio.testing.MockClock) -> None:
    """Every reply counts, those of refused requests too (PU-57)."""
    async with gateway() as it:
        await it.post(MULTISEND, [text(), None, call()])
        await it.post(SEND, [None])
        await it.post(SEND, text(), peer=STRANGER)
        await it.post(FORM, LEGACY.encode())
        await it.post(FORM, b"", method="GET")
        assert (it.replies("multisend", 200), it.replies("multisend", 400)) == (2, 1)
        assert (it.replies("send", 400), it.replies("send", 200)) == (2, 0)
        assert (it.replies("form", 200), it.replies("form", 400)) == (1, 1)


# -- anything ----------------------------------------------------------------------------------

ATTRIBUTES = [
    "verb",
    "AppId",
    "DeviceToken",
    "Message",
    "Id",
    "Badge",
    "Ttl",
    "Selector",
    "pn-prid",
]
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    | st.sampled_from([TOKEN, APP, VOIP, "NotifyIncomingCall", "NotifyReprovision", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)
bent = st.dictionaries(st.sampled_from(ATTRIBUTES), anything, max_size=3).map(
    lambda wrong: {**VALID, **wrong}
)
documents = (bent | anything | st.lists(bent | anything, max_size=4)).map(
    lambda one: json.dumps(one).encode()
)
bodies = documents | st.binary(max_size=40) | st.just(LEGACY.encode())
requests = st.tuples(
    st.sampled_from([SEND, MULTISEND, FORM]), st.sampled_from([JSON, FORM_TYPE]), bodies
)


@examples(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(requests, min_size=5, max_size=12))
def test_any_bytes(asked: Sequence[tuple[str, str, bytes]]) -> None:
    """400, 413 or 200 with replies of the closed list, never a crash; and what was not accepted
    was not stored (PU-3, PU-4, PU-6)."""

    async def all_of_them() -> None:
        async with gateway() as it:
            for path, kind, body in asked:
                before = len(it.world.provider.attempts)
                answer = await it.post(path, body, content_type=kind)
                assert answer.status in {200, 400}
                found = json.loads(answer.body)
                replies = found if isinstance(found, list) else [found]
                accepted = sum(one["code"] == 200 for one in replies)
                assert accepted == 0 or answer.status == 200
                assert all(one["code"] in {200, 400} for one in replies)
                assert len(it.world.provider.attempts) - before <= accepted
            assert await it.world.pending() == 0

    trio.run(all_of_them, clock=trio.testing.MockClock(autojump_threshold=0.01))
