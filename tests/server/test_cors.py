"""CORS headers for each kind of origin."""

import pytest

from tocsin.server.cors import Cors
from tocsin.server.settings import CorsSettings

LISTED = Cors(CorsSettings(origins=["https://a.example"], headers=["X-Mine"]))


def names(lines: bytes) -> list[str]:
    return [line.partition(":")[0] for line in lines.decode().splitlines()]


def test_every_origin() -> None:
    """By default every page may call, and every answer says so (CH-6)."""
    cors = Cors(CorsSettings())
    for origin in (None, "https://x"):
        assert cors.allows(origin)
        assert b"Access-Control-Allow-Origin: *\r\n" in cors.answer(origin)
        exposed = b"Access-Control-Expose-Headers: Location, Retry-After\r\n"
        assert exposed in cors.answer(origin)


def test_a_listed_origin() -> None:
    """With a list, a listed origin is named, the answer varies, and extra headers are allowed."""
    assert LISTED.allows("https://a.example")
    lines = LISTED.preflight("https://a.example")
    assert b"Access-Control-Allow-Origin: https://a.example\r\nVary: Origin\r\n" in lines
    assert b"Idempotency-Key, X-Mine\r\n" in lines


@pytest.mark.parametrize("origin", ["https://b.example", "https://a.example.evil", "null"])
def test_another_origin(origin: str) -> None:
    """An origin outside the list gets no CORS headers (CH-6)."""
    assert not LISTED.allows(origin)
    assert names(LISTED.preflight(origin)) == names(LISTED.answer(origin)) == ["Vary"]


def test_no_origin() -> None:
    """A request without an origin comes from no page."""
    assert LISTED.allows(None)
