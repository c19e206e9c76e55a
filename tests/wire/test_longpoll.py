"""tocsin.wire.longpoll: what a poll sends and is answered (CH-65)."""

import orjson
import pytest

from tocsin.model.errors import RequestError
from tocsin.wire.longpoll import check_body, notification_list
from tocsin.wire.request import Request


def request(method: str, body: bytes, **headers: str) -> Request:
    return Request(method, "/", (), dict(headers), body=body)


@pytest.mark.parametrize("bodies", [[], [b'{"a":{"id":"1"}}'], [b'{"a":{}}', b'{"b":{}}']])
def test_the_texts_are_kept(bodies: list[bytes]) -> None:
    """A list of one object each, byte for byte; never null."""
    answer = notification_list(bodies)
    assert answer == b'{"notificationList":[' + b",".join(bodies) + b"]}"
    assert len(orjson.loads(answer)["notificationList"]) == len(bodies)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"longPollingRequestParameters":{"x":1}}'])
def test_bodies_that_pass(body: bytes) -> None:
    """Nothing, or any object."""
    check_body(request("POST", body))


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"1", b'"x"', b"\xff"])
def test_bodies_that_do_not(body: bytes) -> None:
    """But the body of a GET is not looked at (CH-121)."""
    with pytest.raises(RequestError) as refused:
        check_body(request("POST", body))
    assert (refused.value.status, refused.value.variables) == (400, ("body",))
    check_body(request("GET", body))


def test_another_media_type() -> None:
    """415, where there is a body at all (CH-4)."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    with pytest.raises(RequestError) as refused:
        check_body(request("POST", b"{}", **form))
    assert refused.value.status == 415
    check_body(request("POST", b"", **form))
