"""Tests of Retry-After."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.retryafter import retry_after

NOON = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
NOW = int(NOON.timestamp() * 1000)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("86401", 86400),
        ("9" * 60, 86400),
        ("Mon, 02 Mar 2026 12:01:00 GMT", 60),
        ("Monday, 02-Mar-26 12:01:00 GMT", 60),
        ("Mon Mar  2 12:01:00 2026", 60),
        ("Mon, 02 Mar 2026 12:00:60 GMT", 60),
        ("Mon, 02 Mar 2026 11:59:00 GMT", 0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0),
        ("Mon, 02 Mar 2099 12:00:00 GMT", 86400),
    ],
)
def test_seconds_and_dates(value: str, seconds: float) -> None:
    """PU-79: seconds and the three HTTP dates, clamped to a day, the past is now."""
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "soon",
        "-1",
        "1.5",
        "+5",
        "1e3",
        "١٢",
        "9" * 65,
        "Mon, 02 Mar 2026 12:01:00",
        "Mon, 02 Mar 2026 12:01:00 CET",
        "Mon, 31 Feb 2026 12:01:00 GMT",
        "Mon, 02 Foo 2026 12:01:00 GMT",
        "Mon, 02 Mar 2026 25:01:00 GMT",
        "Mon, 02 Mar 2026 12:01:61 GMT",
        "Mon, 02 Mar 0000 12:01:00 GMT",
    ],
)
def test_garbage_is_ignored(value: str | None) -> None:
    """PU-79: what is neither seconds nor a date asks for nothing."""
    assert retry_after(value, NOW) is None


def test_the_maximum_is_the_caller_s() -> None:
    """PU-79: another maximum clamps both forms."""
    assert retry_after("100", NOW, maximum=10) == 10
    assert retry_after("Mon, 02 Mar 2026 12:01:00 GMT", NOW, maximum=10) == 10


@given(st.integers(0, 86_400))
def test_dates_round_trip(seconds: int) -> None:
    """PU-79: a date made by the standard library is that many seconds away."""
    date = (NOON + timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert retry_after(date, NOW) == seconds


@given(st.text())
def test_any_text_gives_a_number_in_range_or_none(value: str) -> None:
    """SE-6: no header value raises or leaves the range."""
    seconds = retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 86_400
