"""Strict JSON against the standard library taught CH-4, and notification text against CH-100."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tocsin.wire.notification import render, root_of
from tocsin.wire.strictjson import MAX_DEPTH, loads

PROFILE = settings(max_examples=400, deadline=None, derandomize=True)

letters = st.characters(exclude_categories=["Cs"])
names = st.text(letters, max_size=4) | st.sampled_from(["id", "a", "b:", "\x00", '"', "\\", "é"])
integers = st.integers() | st.integers(-(10**60), 10**60) | st.sampled_from([2**63, 2**64, 10**19])
doubles = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | doubles | st.text(letters, max_size=6)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


class Refused(ValueError):
    """Not JSON as CH-4 has it."""


def reference(data: bytes) -> Any:
    """The slow way: what `json` reads, without what it lets pass."""
    if data.startswith(b"\xef\xbb\xbf"):
        raise Refused("a byte order mark")
    value = json.loads(
        data.decode("utf-8"),
        object_pairs_hook=_unique,
        parse_constant=_never,
        parse_float=_double,
        parse_int=_integer,
    )
    _walk(value, 0)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise Refused("a repeated name")
    return dict(pairs)


def _never(text: str) -> None:
    raise Refused(text)


def _double(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Refused(text)
    return value


def _integer(text: str) -> int:
    """Exact, and no larger than the largest double: other readers would see infinity."""
    _double(text)
    return int(text)


def _walk(value: Any, depth: int) -> None:
    """Depth, and strings that are Unicode."""
    if isinstance(value, str):
        value.encode("utf-8")
    if isinstance(value, dict | list):
        if depth == MAX_DEPTH:
            raise Refused("too deep")
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            _walk(inner, depth + 1)


def judged(read: Any, data: bytes) -> Any:
    """The value with its types told apart, or that it was refused."""
    try:
        value = read(data)
    except (ValueError, RecursionError):
        return Refused
    return typed(value)


def typed(value: Any) -> Any:
    """So that 1, 1.0 and True differ, and so do 0.0 and -0.0."""
    if isinstance(value, dict):
        return [(name, typed(inner)) for name, inner in value.items()]
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return type(value), repr(value)


tokens = st.sampled_from(
    [
        *("{", "}", "[", "]", ":", ",", '"a"', '"b"', '"\\u0061"', '"\\u003a"', '"a:"', '""'),
        *(
            "1",
            "-0",
            "-0.0",
            "1e5",
            "1E400",
            "0.1",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "9" * 19,
            "9" * 400,
        ),
        *("true", "false", "null", "NaN", "Infinity", "-Infinity", "nul", "True", "'a'", "//"),
        *(" ", "\t", "\n", "\r", "\x0b", "\x00", "\u00a0", "\u2028", "\ufeff"),
        *('"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\x"', '"\t"', '"\x7f"', '"\\/"'),
    ]
)
raw = st.lists(tokens, max_size=14).map(lambda parts: "".join(parts).encode())


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A document in one of its spellings, maybe with a few bytes changed."""
    text = json.dumps(
        draw(values),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, None, 1])),
    )
    data = text.encode()
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        new = draw(st.sampled_from([b"", b'"', b"\\", b"\xff", b"\xed\xa0\x80", b"{", b"0", b","]))
        data = data[:at] + new + data[at + draw(st.integers(0, 1)) :]
    return data


def nested(depth: int, kinds: str, core: str) -> bytes:
    """So many levels of lists and objects, as `kinds` has them in turn."""
    opening = [kinds[level % len(kinds)] for level in range(depth)]
    text = "".join('{"k":' if kind == "o" else "[" for kind in opening) + core
    return (text + "".join("}" if kind == "o" else "]" for kind in reversed(opening))).encode()


deep = st.builds(
    nested,
    st.integers(29, 36),
    st.sampled_from(["o", "l", "ol", "oll"]),
    st.sampled_from(["1", '"[["', '"\\"[{"', "{}", "[]", '"\\\\"', '{"[":"]"}']),
)


@PROFILE
@given(raw | spoiled() | deep | st.binary(max_size=12))
@example(b'{"a":1,"\\u0061":2}')
@example(b'{"\\u003a":1,"b":{}}')
@example(b"123456789012345678901234567890")
@example(b"-0")
@example(b"1e-400")
def test_accepts_exactly_what_the_reference_does(data: bytes) -> None:
    """The same documents pass, with the same values, integers exact and members in order (CH-4)."""
    assert judged(loads, data) == judged(reference, data)


@PROFILE
@given(st.dictionaries(names, values, max_size=5), st.booleans(), st.sampled_from([None, 2]))
def test_notifications_pass_untouched(
    body: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    """Member order, integers of any size, fractions as doubles and unknown members come out as
    they came in; `id` and `dateTime` are added behind them only where absent (CH-100)."""
    for ours in ("id", "dateTime"):
        if body.get(ours) is None:
            body.pop(ours, None)
    data = json.dumps({"someNotification": body}, ensure_ascii=ascii_only, indent=indent).encode()
    root_key, read = root_of(loads(data))
    text = render(root_key, read, id_="n1", date_time=5, most_bytes=1 << 20)
    expected = {**body, "id": body.get("id", "n1"), "dateTime": body.get("dateTime", 5)}
    assert judged(reference, text) == typed({"someNotification": expected})
    assert b"\n" not in text
