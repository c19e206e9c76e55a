"""Random requests to the two publishing faces: an answer or a refusal, never a crash (CH-121)."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.bench import USER, Bench, bench

from tocsin.delivery.submissions import Submissions
from tocsin.model.errors import RequestError
from tocsin.model.principal import Principal
from tocsin.server.callback import CallbackFace
from tocsin.server.publish import PATH, PublishFace, PublishSettings
from tocsin.wire.integers import dumps
from tocsin.wire.request import Request
from tocsin.wire.response import Response

PLATFORM = Principal("p", frozenset({"publish"}), "p", "p", "t", 2e9)
TYPES = (
    *(None, "application/json", "application/cloudevents+json"),
    *("application/cloudevents-batch+json", "text/plain"),
)
NOTIFICATION = {"chatMessageNotification": {"link": [{"href": "/oneToOne/bob/x"}]}}
ITEM = {"user": USER, "service": "chat", "notification": NOTIFICATION, "id": "a", "priority": "low"}
EVENT = {
    "specversion": "1.0",
    "type": "chat.chatMessageNotification",
    "source": "/s",
    "subject": USER,
    "id": "a",
    "time": "2026-01-01T00:00:00Z",
    "data": NOTIFICATION,
}

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(["id", USER, "urgent", "chat", "2026-01-01T00:00:00Z", "9" * 30, "a.b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("aid\U0001f600", max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def bent(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Something good in which some members are anything."""
    return st.dictionaries(st.sampled_from([*good, "x"]), anything, max_size=2).map(
        lambda wrong: {**good, **wrong}
    )


things = bent(ITEM) | bent(EVENT) | bent(NOTIFICATION) | anything
documents = things | st.lists(things, max_size=4)
bodies = documents.map(dumps) | st.binary(max_size=20)
headers = st.fixed_dictionaries(
    {"content-type": st.sampled_from(TYPES)},
    optional={
        "idempotency-key": st.sampled_from(["k", "l", "", "a b"]),
        "ce-id": st.just("1"),
    },
).map(lambda named: {name: value for name, value in named.items() if value is not None})
queries = st.lists(
    st.sampled_from(
        [
            *("service=sms", "service=presence", "service=", "priority=low", "priority=%ff"),
            *("expires_in=5", "expires_in=%00", "order_key=%E2%82%AC", "collapse_key=+", "x=1", ""),
        ]
    ),
    max_size=3,
).map("&".join)
callable_requests = st.tuples(headers, bodies, queries)


def request(target: str, named: dict[str, str], body: bytes, **values: str) -> Request:
    """A request as a handler sees it."""
    return Request(
        "POST", target, (), named, body, principal=PLATFORM, path_values={"user": USER, **values}
    )


async def judged(handler: Callable[[Request], Awaitable[Response]], asked: Request) -> int:
    """The status; a refusal's body is as it must be, an answer's is JSON."""
    try:
        answer = await handler(asked)
    except RequestError as error:
        answer = Response(error.status, error.body())
    assert answer.status in {202, 204, 400, 403, 409, 413, 415}
    if answer.body:
        orjson.loads(answer.body)
    return answer.status


def publish_face(it: Bench) -> PublishFace:
    """The face under test."""
    return PublishFace(
        it.ingest,
        Submissions(it.store),
        PublishSettings(),
        most_bytes=65_536,
        metrics=it.metrics,
        clock=it.clock,
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(headers, bodies), min_size=10, max_size=20))
def test_publish(requests: Sequence[tuple[dict[str, str], bytes]]) -> None:
    """Whatever stands in items, events, lists and headers, repeats among them."""

    async def all_of_them() -> None:
        async with bench() as it:
            await it.channel()
            face = publish_face(it)
            for named, body in requests:
                await judged(face.publish, request(PATH, named, body))
            assert await judged(face.publish, request(PATH, {}, dumps([ITEM]))) == 202

    trio.run(all_of_them)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(callable_requests, min_size=10, max_size=20))
def test_callback(requests: Sequence[tuple[dict[str, str], bytes, str]]) -> None:
    """Whatever stands in bodies, queries and headers."""

    async def all_of_them() -> None:
        async with bench() as it:
            channel = await it.channel()
            face = CallbackFace(
                it.directory,
                it.ingest,
                Submissions(it.store),
                most_bytes=65_536,
                metrics=it.metrics,
                clock=it.clock,
            )
            for named, body, query in requests:
                asked = request(f"/x?{query}", named, body, channelId=channel.id)
                await judged(face.call, asked)
            good = request("/x", {}, dumps(NOTIFICATION), channelId=channel.id)
            assert await judged(face.call, good) == 204

    trio.run(all_of_them)


@pytest.mark.parametrize(("kind", "good"), [(TYPES[1], ITEM), (TYPES[2], EVENT)])
async def test_what_is_bent_was_good(kind: str, good: dict[str, Any]) -> None:
    """So that the fuzz above reaches what lies behind the checks."""
    async with bench() as it:
        await it.channel()
        asked = request(PATH, {"content-type": kind}, dumps(good))
        assert await judged(publish_face(it).publish, asked) == 202
