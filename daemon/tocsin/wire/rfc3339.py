"""Points in time as RFC 3339 writes them."""

import re
from datetime import date
from typing import Final

FORM: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
EPOCH: Final = date(1970, 1, 1).toordinal()
DAY: Final = 86_400


def epoch_ms(text: object) -> int | None:
    """The epoch milliseconds of a date-time, finer fractions cut off; None if it is none.

    A leap second counts as the second after it, as in POSIX. The year 0 does not exist.
    """
    match = FORM.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, *zone = match.groups()[6:]
    zone_hour, zone_minute = (int(digits or 0) for digits in zone)
    if hour > 23 or minute > 59 or second > 60 or zone_hour > 23 or zone_minute > 59:
        return None
    try:
        days = date(year, month, day).toordinal() - EPOCH
    except ValueError:
        return None
    offset = (zone_hour * 60 + zone_minute) * (-60 if sign == "-" else 60)
    seconds = days * DAY + hour * 3600 + minute * 60 + second - offset
    if second == 60 and seconds % DAY:
        return None
    return seconds * 1000 + int(f"{fraction or ''}000"[:3])
