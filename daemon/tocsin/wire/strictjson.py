"""Strict JSON (channels.md, CH-4), at the speed of orjson for ordinary documents.

orjson refuses NaN, Infinity, numbers beyond a double, bad UTF-8, lone surrogates and everything
RFC 8259 forbids, but it lets three things pass: repeated names (the last wins), depth, and
integers beyond 64 bits (which become floats). Each is found without walking the values:

- A name that was lost takes its colon along. Written again by orjson, a document without `\\u003a`
  in it has as many colons as before if and only if no name was lost.
- Only brackets nest: few of them cannot nest deeply, and of many it is counted how often the
  innermost pairs can be taken away.
- An integer beyond 64 bits has 19 digits in a row. Such documents are read once more by `json`.
"""

import json
import re
from typing import Any, Final

import orjson

MAX_DEPTH: Final = 32
STRING: Final = re.compile(rb'"[^"]*"')
BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b'"[]{}'))
DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
LONG_NUMBER: Final = b"0" * 19
ESCAPED_COLON: Final = b"\\u003"  # or one of its neighbours


def loads(data: bytes) -> Any:
    """The value of a JSON document. Integers are exact; numbers beyond a double are refused.

    Raises ValueError for anything that CH-4 does not let pass.
    """
    value = orjson.loads(data)
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _too_deep(data):
        raise ValueError("nested too deeply")
    if ESCAPED_COLON in data or LONG_NUMBER in data.translate(DIGITS):
        return json.loads(data, object_pairs_hook=_without_repetition)
    if data.count(b":") != orjson.dumps(value).count(b":"):
        raise ValueError("a name stands there twice")
    return value


def _too_deep(data: bytes) -> bool:
    """Exact for valid JSON, where a backslash stands only in strings and escapes one character."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes side by side can go: what stands in a string is a matter of parity.
    brackets = data.translate(BRACKETS, NOT_STRUCTURE).replace(b'""', b"")
    if b'"' in brackets:
        brackets = STRING.sub(b"", brackets)
    levels = 0
    while brackets and levels < MAX_DEPTH:
        brackets = brackets.replace(b"[]", b"")
        levels += 1
    return bool(brackets)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands there twice")
    return members
