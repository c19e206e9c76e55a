"""tocsin.wire.rfc3339: points in time, against the standard library's reading of them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.rfc3339 import epoch_ms

UNIX = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1985-04-12T23:20:50.52Z", 482_196_050_520),
        ("1996-12-19T16:39:57-08:00", 851_042_397_000),
        ("1990-12-31T23:59:60Z", 662_688_000_000),
        ("1990-12-31T15:59:60-08:00", 662_688_000_000),
        ("1937-01-01T12:00:27.87+00:20", -1_041_337_172_130),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000),
        ("9999-12-31T23:59:59-23:59", 253_402_387_139_000),
        ("2000-02-29T00:00:00.1239999999999999999Z", 951_782_400_123),
    ],
)
def test_what_it_means(text: str, expected: int) -> None:
    """The examples of RFC 3339, 5.8, and the edges."""
    assert epoch_ms(text) == expected


@pytest.mark.parametrize(
    "thing",
    [
        *(None, 5, True, [], "", "now", "2026-01-01", "2026-01-01T00:00:00", "20260101T000000Z"),
        *("2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z"),
        *("2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z"),
        *("2026-01-01T00:00:60Z", "2026-01-01T23:59:60+01:00", "0000-01-01T00:00:00Z"),
        *("2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+01:60", "2026-01-01T00:00:00+0100"),
        *("2026-01-01T00:00:00.Z", "2026-01-01T00:00:00,5Z", "2026-01-01 00:00:00Z"),
        *("2026-01-01T00:00:00Z\n", " 2026-01-01T00:00:00Z", "٢٠٢٦-01-01T00:00:00Z"),
        "2026-01-01T00:00Z",
    ],
)
def test_what_is_no_point_in_time(thing: object) -> None:
    """Anything outside the grammar, the calendar and the clock."""
    assert epoch_ms(thing) is None


@given(st.datetimes(), st.integers(-1439, 1439))
def test_any_date_time(naive: datetime, minutes: int) -> None:
    """Every moment in every zone means what it means to `datetime`, cut to milliseconds."""
    aware = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (naive.replace(tzinfo=UTC) - UNIX - timedelta(minutes=minutes)) // timedelta(
        milliseconds=1
    )
    assert epoch_ms(aware.isoformat()) == expected
