"""`Retry-After`: seconds or an HTTP date (RFC 9110, sections 10.2.3 and 5.6.7; PU-79)."""

import re
from datetime import UTC, datetime

DAY = 86400.0
_SECONDS = re.compile(r"[0-9]+")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = r"(?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
_FORMS = (
    # IMF-fixdate, and RFC 850 with its dashes and two-digit year
    re.compile(
        r"[a-z]{3,9}, (?P<day>[0-9]{2})[ -](?P<month>[a-z]{3})[ -](?P<year>[0-9]{2}|[0-9]{4}) "
        + _TIME
        + r" gmt"
    ),
    # asctime
    re.compile(r"[a-z]{3} (?P<month>[a-z]{3}) (?P<day>[ 0-9][0-9]) " + _TIME + r" (?P<year>\d{4})"),
)


def retry_after(value: str | None, now: int, *, maximum: float = DAY) -> float | None:
    """Seconds from `now` (epoch milliseconds) until one may come again.

    Clamped to 0 and `maximum`; None when the header is absent or garbage.
    """
    text = (value or "").strip().lower()
    if len(text) > 64 or not text.isascii():
        return None
    if _SECONDS.fullmatch(text):
        return min(float(text), maximum)
    moment = _http_date(text, now)
    if moment is None:
        return None
    return min(max(moment - now / 1000, 0.0), maximum)


def _http_date(text: str, now: int) -> float | None:
    """Epoch seconds of a date in one of the three forms, None when it is none of them."""
    match = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if match is None or match["month"] not in _MONTHS:
        return None
    hour, minute, second = map(int, match["time"].split(":"))
    month = _MONTHS.index(match["month"]) + 1
    try:
        moment = datetime(
            _full_year(match["year"], now), month, int(match["day"]), hour, minute, tzinfo=UTC
        )
    except ValueError:
        return None
    # A leap second is a valid date that datetime cannot hold.
    return moment.timestamp() + second if second <= 60 else None


def _full_year(year: str, now: int) -> int:
    """RFC 850's two digits mean the past when they look more than 50 years ahead."""
    if len(year) == 4:
        return int(year)
    this_year = datetime.fromtimestamp(now / 1000, tz=UTC).year
    full = this_year - this_year % 100 + int(year)
    return full - 100 if full > this_year + 50 else full
