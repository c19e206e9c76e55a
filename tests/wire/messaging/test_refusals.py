"""Refusals as data: codes, statuses, challenges, bodies (MS-6, sections 3 and 11)."""

import orjson
import pytest

from tocsin.model import errors
from tocsin.wire.messaging.refusals import (
    INVALID_TOKEN,
    NO_TOKEN,
    NOT_ALLOWED,
    STATUS,
    TOKEN_TWICE,
    ErrorCode,
    MessageError,
    Refusal,
    RestError,
    in_our_words,
)


@pytest.mark.parametrize(
    ("refusal", "status", "code", "headers"),
    [
        (NO_TOKEN, 401, "unauthorized", [("WWW-Authenticate", "Bearer")]),
        (
            INVALID_TOKEN,
            401,
            "unauthorized",
            [("WWW-Authenticate", 'Bearer error="invalid_token"')],
        ),
        (
            TOKEN_TWICE,
            400,
            "bad-request",
            [("WWW-Authenticate", 'Bearer error="invalid_request"')],
        ),
        (
            NOT_ALLOWED,
            403,
            "forbidden",
            [("WWW-Authenticate", 'Bearer error="insufficient_scope"')],
        ),
    ],
)
def test_at_the_door(
    refusal: Refusal, status: int, code: str, headers: list[tuple[str, str]]
) -> None:
    """Section 3's table: status, challenge, and a body that a page can read (MS-6, MS-14)."""
    error = refusal.refused()
    assert (error.status, list(error.headers)) == (status, headers)
    body = orjson.loads(error.body())
    assert body["error"].keys() == {"code", "text"}
    assert body["error"]["code"] == code
    assert refusal.refused() is not error


def test_statuses() -> None:
    """Each code has a status of its own (section 11)."""
    assert set(STATUS) == set(ErrorCode)
    assert len(set(STATUS.values())) == len(STATUS)


def test_rest_error() -> None:
    """The code settles the status; how long to wait stands in a header, not in the body."""
    error = RestError(MessageError(ErrorCode.RATE_LIMITED, "slowly", retry_after=3))
    assert (error.status, error.headers) == (429, (("Retry-After", "3"),))
    assert orjson.loads(error.body()) == {"error": {"code": "rate-limited", "text": "slowly"}}
    assert error.label == "rate-limited"


@pytest.mark.parametrize(
    ("theirs", "code"),
    [
        (errors.invalid("body"), "bad-request"),
        (errors.unauthorized("token_expired"), "unauthorized"),
        (errors.scope_missing("messaging"), "forbidden"),
        (errors.service_error(404, "unknown_path"), "not-found"),
        (errors.method_not_allowed(["GET"]), "not-found"),
        (errors.service_error(413, "too_large"), "too-large"),
        (errors.service_error(415, "media_type"), "bad-request"),
        (errors.rate_limited(retry_after=3), "rate-limited"),
        (errors.service_error(500, "internal"), "unavailable"),
        (errors.unavailable("drain", retry_after=3), "unavailable"),
    ],
)
def test_in_our_words(theirs: errors.RequestError, code: str) -> None:
    """Refusals of other layers keep status and headers and get this face's body (MS-6)."""
    ours = in_our_words(theirs)
    assert (ours.status, ours.headers) == (theirs.status, theirs.headers)
    assert orjson.loads(ours.body())["error"]["code"] == code
    assert in_our_words(ours) is ours
