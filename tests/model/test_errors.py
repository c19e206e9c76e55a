"""tocsin.model.errors: the catalogue keeps the promises of section 13."""

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model import errors
from tocsin.model.errors import RequestError

CATALOGUE = [
    (errors.invalid("channelType"), 400, "SVC0002", ("channelType",)),
    (errors.not_one_of("priority", ["a", "b"]), 400, "SVC0003", ("priority", "a, b")),
    (errors.unauthorized("token_missing"), 401, "POL0001", ("token_missing",)),
    (errors.scope_missing("publish"), 403, "POL0001", ("scope_missing",)),
    (errors.forbidden("quota_channels"), 403, "POL0001", ("quota_channels",)),
    (errors.not_found("channelId"), 404, "SVC0004", ("channelId",)),
    (errors.method_not_allowed(["GET", "PUT"]), 405, "SVC0001", ("method",)),
    (errors.duplicate("v", "id"), 409, "SVC0005", ("v", "id")),
    (errors.service_error(413, "too_large"), 413, "SVC0001", ("too_large",)),
    (errors.rate_limited(retry_after=1), 429, "SVC1000", ()),
    (errors.unavailable("backlog", retry_after=5), 503, "SVC1000", ()),
]


@pytest.mark.parametrize(("error", "status", "message_id", "variables"), CATALOGUE)
def test_every_entry(
    error: RequestError, status: int, message_id: str, variables: tuple[str, ...]
) -> None:
    """Status, id and variables; the envelope is that of the id; placeholders match (CH-120)."""
    assert (error.status, error.message_id, error.variables) == (status, message_id, variables)
    kind = "policyException" if message_id.startswith("POL") else "serviceException"
    document = orjson.loads(error.body())
    text = document["requestError"][kind]["text"]
    assert document == {"requestError": {kind: error.as_dict()}}
    assert re.findall(r"%\d", text) == [f"%{n}" for n in range(1, len(variables) + 1)]
    assert not set(text) & set("{}")


@given(st.text())
def test_variables_are_presentable(variable: str) -> None:
    """At most 100 characters, no braces, no controls, always JSON (CH-120)."""
    [shown] = errors.invalid(variable).variables
    assert len(shown) <= 100
    assert not set(shown) & set("{}")
    assert shown.isprintable()


def test_even_lone_surrogates_are_answered() -> None:
    """A member's name that is no Unicode text cannot break the answer."""
    assert b"SVC0002" in errors.invalid("a\ud800b").body()


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (errors.unauthorized("token_missing"), ("WWW-Authenticate", "Bearer")),
        (
            errors.unauthorized("token_expired"),
            ("WWW-Authenticate", 'Bearer error="invalid_token"'),
        ),
        (
            errors.scope_missing("push"),
            ("WWW-Authenticate", 'Bearer error="insufficient_scope", scope="push"'),
        ),
        (errors.method_not_allowed(["GET", "PUT"]), ("Allow", "GET, PUT")),
        (errors.unavailable("drain", retry_after=5), ("Retry-After", "5")),
        (errors.rate_limited(retry_after=2), ("Retry-After", "2")),
    ],
)
def test_what_comes_with_an_answer(error: RequestError, header: tuple[str, str]) -> None:
    """CH-8, CH-13 and section 13."""
    assert list(error.headers) == [header]
