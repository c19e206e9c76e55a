"""Media types and JSON bodies."""

import pytest

from tocsin.model.errors import RequestError
from tocsin.wire.content import accepts_json, is_json, json_body
from tocsin.wire.request import Request


def post(body: bytes, content_type: str | None = None) -> Request:
    headers = {} if content_type is None else {"content-type": content_type}
    return Request("POST", "/", (), headers, body)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "Application/JSON ; charset=UTF-8",
        'application/json; charset="utf-8"',
        "application/json; profile=x",
    ],
)
def test_json_is_taken(content_type: str | None) -> None:
    """JSON in UTF-8, or no Content-Type at all (CH-4)."""
    assert json_body(post(b'{"a":1}', content_type)) == {"a": 1}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/json; charset=latin-1",
        "application/jsonp",
        "",
        "application/x-www-form-urlencoded",
    ],
)
def test_other_types_are_415(content_type: str) -> None:
    """Anything else is 415 `media_type` (CH-4)."""
    with pytest.raises(RequestError) as caught:
        json_body(post(b"{}", content_type))
    assert (caught.value.status, caught.value.label) == (415, "media_type")


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":1,"a":2}', b"\xff"])
def test_bad_json_is_400_body(body: bytes) -> None:
    """What is not strict JSON is 400 SVC0002 `body` (CH-4)."""
    with pytest.raises(RequestError) as caught:
        json_body(post(body))
    assert (caught.value.status, caught.value.message_id) == (400, "SVC0002")
    assert caught.value.variables == ("body",)


def test_another_media_type_can_be_asked_for() -> None:
    """CloudEvents have their own type (CH-113)."""
    assert is_json("application/cloudevents+json; charset=utf-8", "application/cloudevents+json")


@pytest.mark.parametrize(
    ("accept", "allowed"),
    [
        ("", True),
        ("*/*", True),
        ("application/*", True),
        ("text/html, application/json;q=0.1", True),
        ("APPLICATION/JSON; charset=utf-8", True),
        ("text/html,*/*;q=0.01", True),
        ("text/html", False),
        ("application/json;q=0, */*", False),
        ("*/*;q=0", False),
        ("application/*;q=0.0, */*", False),
        ("application/json;q=rubbish", True),
        (";;,,", False),
    ],
)
def test_accept(accept: str, allowed: bool) -> None:
    """The most specific range decides whether JSON may be sent (CH-8)."""
    assert accepts_json(accept) is allowed
