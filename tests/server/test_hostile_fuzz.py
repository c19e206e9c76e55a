"""Fuzzed bodies, paths, queries and headers: an answer or a refusal, never our fault (CH-121)."""

import tempfile
from pathlib import Path
from typing import Any

import attrs
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.daemon import (
    CHANNELS,
    CHAT,
    HOOK,
    INBOUND,
    PUBLISH,
    USER,
    Answer,
    Daemon,
    chat,
    daemon,
    dial,
    read_answer,
    token,
)
from tests.fakes.subscriptions import CALL, ENVELOPES, PRESENCE, PROJECT, PUSH

from tocsin.wire.integers import dumps

TABLES: dict[str, Any] = {
    "push": PUSH,
    "public_base_url": "https://api.example",
    "limits": {"body": 4096, "header_bytes": 4096},
}
BEARER = f"Bearer {token(USER, 'channels publish admin', expires_in=86_400)}".encode()


def created(kind: str, data: dict[str, object], **members: object) -> dict[str, Any]:
    """A channel to be created."""
    wanted = {"channelType": kind, "clientCorrelator": "c", "channelData": data, **members}
    return {"notificationChannel": wanted}


@attrs.frozen
class Call:
    """A request; `target` and headers are bytes that may be anything but a line's end."""

    method: str
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def raw(self) -> bytes:
        """As it goes over the wire."""
        lines = [
            b"%s %s HTTP/1.1" % (self.method.encode(), self.target),
            *(b"%s: %s" % header for header in self.headers),
            b"Content-Length: %d" % len(self.body),
        ]
        return b"\r\n".join([*lines, b"", b""]) + self.body


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, -(10**30), 1e308, 0.5, "", "websockets", "9" * 40, "x" * 5000, USER])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "a", ""]), inner)
    ),
    max_leaves=6,
)
DEVICE = {"appId": "app", "x-provider": "apns", "x-deviceToken": "AB" * 32}
GOOD: tuple[tuple[str, dict[str, Any]], ...] = (
    (CHANNELS, created("LongPolling", {"maxNotifications": 5}, channelLifetime=60)),
    (CHANNELS, created("Webhooks", {"x-webhookURL": HOOK})),
    (CHANNELS, created("OMAPush", DEVICE)),
    (CHAT, {ENVELOPES[CHAT]: {"callbackReference": {"notifyURL": "ws-x"}, "duration": 60}}),
    (CALL, {ENVELOPES[CALL]: {"clientCorrelator": "c", "x-deliveryPolicy": "all"}}),
    (PUBLISH, chat("n", priority="low", expires_in=60, order_key="k")),
)
TARGETS = [path for path, _ in GOOD] + [
    *(f"{CHANNELS}/ws-x", f"{CHANNELS}/ws-x/channelLifetime", f"{CHANNELS}/ws-x/callback"),
    *(f"{CHANNELS}/ws-x/websocket", f"{CHANNELS}/ws-x/notifications", f"{CHAT}/x", "/", "*"),
    *(PRESENCE, PROJECT, INBOUND, "/cpaas", "//", "http://x/", "/v1", "/cpaas/auth/v1/token"),
]


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something in a document may be replaced."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """The document with something else in one place."""
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def bent(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good document with something else at one place, or with a few bytes changed."""
    path, good = draw(st.sampled_from(GOOD))
    body = dumps(replaced(good, draw(st.sampled_from(places(good))), draw(anything)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        at = draw(st.integers(0, len(body)))
        wrong = draw(st.sampled_from([b"", b"\xff", b"\\ud800", b'"', b"{", b"\x00", b"NaN", b","]))
        body = body[:at] + wrong + body[at + 1 :]
    return path, body


SCRAPS = [
    *(b"%", b"%zz", b"%00", b"%2F", b"%ff", b"%C3%A9", b"..", b"/", b"//", b"+", b"@", b"?", b"#"),
    *(
        b"&",
        b"=",
        b"since=",
        b"access_token=x",
        b"\xe9",
        b"{",
        b"x" * 3000,
        b";",
        b"%0d%0a",
        b"\x7f",
    ),
]
targets = st.builds(
    lambda path, at, scraps: path[:at] + b"".join(scraps) + path[at:],
    st.sampled_from(TARGETS).map(str.encode),
    st.integers(0, 90),
    st.lists(st.sampled_from(SCRAPS), max_size=4),
)
headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *(b"Authorization", b"Content-Type", b"Accept", b"Origin", b"Idempotency-Key"),
                *(b"Upgrade", b"Connection", b"Expect", b"X-Forwarded-For", b"ce-id", b"Cookie"),
            ]
        ),
        st.sampled_from([b"", b"*/*", b"application/json", b"websocket", b"\xff", b"a" * 3000])
        | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=12).map(
            lambda text: text.encode("latin-1").strip().replace(b"\x7f", b"")
        ),
    ),
    max_size=4,
).map(tuple)


def calls(bearer: bytes) -> st.SearchStrategy[Call]:
    """Requests that get past the token most of the time."""
    usual = ((b"Host", b"x"), (b"Authorization", bearer))
    methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "X"])
    documents = bent().map(lambda pair: Call("POST", pair[0].encode(), usual, pair[1]))
    garbage = st.builds(
        lambda method, target, more, body: Call(method, target, (*usual, *more), body),
        methods.filter(lambda method: method != "HEAD"),
        targets,
        headers,
        st.sampled_from([b"", b"{}", b"[]", b"x" * 5000]) | st.binary(max_size=9),
    )
    return documents | garbage


async def sent(running: Daemon, call: Call) -> Answer:
    """What one request on a connection of its own is answered."""
    async with await dial(running.public) as stream:
        await stream.send_all(call.raw)
        return (await read_answer(stream))[0]


def judge(call: Call, answer: Answer) -> None:
    """An answer of section 13, or a good one; never our fault."""
    assert answer.status < 500, (call, answer)
    if answer.status >= 400 and b"auth/v1/token" not in call.target:
        assert answer.refusal[0] == answer.status
    elif answer.body:
        assert answer.json is not None
    if not any(name == b"Origin" for name, _ in call.headers):
        assert answer.headers["access-control-allow-origin"] == "*"


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(calls(BEARER), min_size=15, max_size=25))
def test_anything(requests: list[Call]) -> None:
    """Whatever is asked: no 5xx, JSON in the form of CH-120, CORS headers, nothing stored by what
    is refused, and a daemon that is ready for the next one (CH-5, CH-6, CH-120, CH-121)."""

    async def ask() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with daemon(Path(folder), **TABLES) as running:
                stored = await running.stored()
                for call in requests:
                    answer = await sent(running, call)
                    judge(call, answer)
                    before, stored = stored, await running.stored()
                    assert answer.status < 300 or stored == before, call
                assert (await running.admin("/readyz")).status == 200

    trio.run(ask)
