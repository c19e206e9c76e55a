"""Integers in the JSON of clients, however long (channels.md, CH-4)."""

import json

import orjson

MOST_DIGITS = 19


def integer(value: object) -> int | None:
    """A number without a fraction, or a string of digits; None for anything else.

    Of a string with more digits than any bound here has, the first 19 make the number: it stays
    beyond the bound.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value.lstrip("0")[:MOST_DIGITS] or 0)
    return None


def dumps(value: object) -> bytes:
    """JSON text in which integers beyond 64 bits are exact; orjson refuses those."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
