"""Headers for pages of other origins, and for caches."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest

from tocsin.wire.sockjs.cors import UNCACHEABLE, cacheable, cors, is_allowed, preflight
from tocsin.wire.sockjs.urls import METHODS, Kind

ORIGIN = "https://page.example"
NOW = 1_767_607_200_120
YEAR_LATER = datetime(2027, 1, 5, 10, tzinfo=UTC)


@pytest.mark.parametrize("origin", [ORIGIN, "null"])
def test_an_origin_is_echoed(origin: str) -> None:
    """With credentials, `null` too, and caches know of it (SJ-7)."""
    assert cors(origin) == (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    )


@pytest.mark.parametrize("origin", [None, ""])
def test_no_origin(origin: str | None) -> None:
    """Everyone may read, without credentials (SJ-7)."""
    assert cors(origin) == (("Access-Control-Allow-Origin", "*"), ("Vary", "Origin"))


def test_asked_headers() -> None:
    """Echoed if there are any (SJ-7)."""
    assert ("Access-Control-Allow-Headers", "a, b, c") in cors(ORIGIN, "a, b, c")
    assert "Access-Control-Allow-Headers" not in dict(cors(ORIGIN, ""))
    assert "Access-Control-Allow-Headers" not in dict(cors(ORIGIN, None))


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [(Kind.INFO, "OPTIONS, GET"), (Kind.XHR, "OPTIONS, POST"), (Kind.XHR_SEND, "OPTIONS, POST")],
)
def test_preflight(kind: Kind, allowed: str) -> None:
    """Methods of the URL, for a year (SJ-8)."""
    headers = dict(preflight(METHODS[kind], now=NOW))
    expires = headers.pop("Expires")
    assert headers == {
        "Access-Control-Allow-Methods": allowed,
        "Access-Control-Max-Age": "31536000",
        "Cache-Control": "public, max-age=31536000",
    }
    assert parsedate_to_datetime(expires) == YEAR_LATER
    assert expires.endswith("GMT")


def test_cache_headers() -> None:
    """Exactly these words where nothing may be kept, and a year where it may (SJ-8, SJ-9)."""
    assert UNCACHEABLE == (
        ("Cache-Control", "no-store, no-cache, no-transform, must-revalidate, max-age=0"),
    )
    assert dict(cacheable(NOW)) == {
        "Cache-Control": "public, max-age=31536000",
        "Expires": "Tue, 05 Jan 2027 10:00:00 GMT",
    }


@pytest.mark.parametrize(
    ("origin", "allowed", "expected"),
    [
        (None, [], True),
        ("", [], True),
        (ORIGIN, ["*"], True),
        (ORIGIN, [ORIGIN], True),
        (ORIGIN, ["https://other.example"], False),
        (ORIGIN, [], False),
        ("null", [ORIGIN], False),
        ("null", ["null"], True),
        ("https://Self.example:8443", [], True),
        ("http://self.example:8443", [], True),
        ("https://self.example", [], False),
        ("self.example:8443", [], False),
        ("https://self.example:8443.evil.example", [], False),
    ],
)
def test_origins(origin: str | None, allowed: list[str], expected: bool) -> None:
    """Those of the list, the server's own, and whoever is no page (SJ-10)."""
    assert is_allowed(origin, "self.example:8443", allowed) is expected


def test_a_request_without_host() -> None:
    """Nothing is the own origin then, and a page without authority does not match it (SJ-10)."""
    assert not is_allowed("null", None, [ORIGIN])
    assert not is_allowed("null", "", [ORIGIN])
