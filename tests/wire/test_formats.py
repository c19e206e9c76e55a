"""tocsin.wire.formats: media types of the publish path (CH-4, CH-110, CH-113)."""

import pytest

from tocsin.model.errors import RequestError
from tocsin.wire.cloudevents import parse_event
from tocsin.wire.formats import Parse, read
from tocsin.wire.notification import parse_item
from tocsin.wire.request import Request

JSON = "application/json"
EVENT = "application/cloudevents+json"
EVENTS = "application/cloudevents-batch+json"


def request(content_type: str | None, body: bytes = b"{}", **headers: str) -> Request:
    """A publish request; `ce_id` is the header `ce-id`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        named["content-type"] = content_type
    return Request("POST", "/v1/notifications", (), named, body)


def refusal(thing: Request) -> tuple[int, tuple[str, ...]]:
    """What is said about a request that is refused."""
    with pytest.raises(RequestError) as refused:
        read(thing)
    return refused.value.status, refused.value.variables


@pytest.mark.parametrize(
    ("content_type", "body", "parse"),
    [
        (None, b"{}", parse_item),
        (JSON, b"[]", parse_item),
        ("Application/JSON ; charset=UTF-8", b"5", parse_item),
        (EVENT, b"{}", parse_event),
        (EVENT + "; charset=utf-8", b"5", parse_event),
        (EVENTS, b"[]", parse_event),
        (EVENTS.upper(), b"[5]", parse_event),
    ],
)
def test_the_media_type_says_how_to_read(
    content_type: str | None, body: bytes, parse: Parse
) -> None:
    """Items in JSON, alone or listed; events in their two media types."""
    assert read(request(content_type, body))[1] is parse


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/cloudevents", EVENT + "; charset=latin-1", "text/json"],
)
def test_anything_else(content_type: str) -> None:
    """415 (CH-4); an empty Content-Type is one too."""
    assert refusal(request(content_type)) == (415, ("media_type",))


@pytest.mark.parametrize("content_type", [None, JSON, "text/plain", "application/xml"])
def test_binary_mode(content_type: str | None) -> None:
    """Attributes in headers with data of any type of its own: 415 of its own (CH-113)."""
    assert refusal(request(content_type, ce_id="1")) == (415, ("cloudevents_binary",))


def test_attributes_in_headers_beside_an_event() -> None:
    """Mean nothing: what is structured is not binary."""
    assert read(request(EVENT, ce_id="1"))[0] == {}
    assert read(request(EVENTS, b"[]", ce_id="1"))[0] == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        *((EVENT, body) for body in (b"[]", b"[{}]")),
        *((EVENTS, body) for body in (b"{}", b"5", b"null")),
        *(
            (kind, body)
            for kind in (JSON, EVENT, EVENTS, None)
            for body in (b"", b"[{}", b'{"a":NaN}', b'{"a":1,"a":2}', b"\xff", b"[" * 40)
        ),
    ],
)
def test_a_body_of_another_shape(content_type: str | None, body: bytes) -> None:
    """One event is an object, a batch is a list, everything is strict JSON (CH-4, CH-121)."""
    assert refusal(request(content_type, body)) == (400, ("body",))
