"""Strict JSON, held against the slow and obvious way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.strictjson import loads

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


def refused(document: bytes) -> bool:
    try:
        loads(document)
    except ValueError:
        return True
    return False


@given(_VALUES, st.booleans())
def test_every_value_comes_back(value: Any, ascii_only: bool) -> None:
    """What json writes is read exactly, integers of any size included."""
    assert loads(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.text('{}[]":,\\u003aA 1.eE-+"ab', max_size=30))
def test_agrees_with_the_slow_way(document: str) -> None:
    """Where this accepts, json with a check for repeated names accepts and reads the same."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    data = document.encode()
    if not refused(data):
        assert loads(data) == json.loads(data, object_pairs_hook=unique)


@given(
    st.lists(st.sampled_from(["a", "b:", "\\u0061", "\\u003a", ":", '\\"']), min_size=1, max_size=6)
)
def test_repeated_names(names: list[str]) -> None:
    """A name twice in one object is refused, however it is spelled, at any level (CH-4)."""
    inner = ",".join(f'"{name}":{{":": ":"}}' for name in names)
    decoded = [json.loads(f'"{name}"') for name in names]
    document = f'[{{"outer": {{{inner}}}}}]'.encode()
    assert refused(document) is (len(set(decoded)) < len(decoded))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b" ",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"{'a':1}",
        b"[1,]",
        b"01",
        b"{}{}",
        b"// c\n{}",
        "{}".encode("utf-16"),
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"\\u0062":2}}',
        b'{"id":12345678901234567890123,"id":1}',
        b"1" * 5000,
    ],
)
def test_what_is_not_strict(document: bytes) -> None:
    """Everything CH-4 names, and what only lenient parsers read, is refused."""
    assert refused(document)


@pytest.mark.parametrize("text", ["", "[[[", '\\"[[', "\\\\", '\\\\\\"{'])
@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"[":', "}")])
def test_depth(text: str, open_: str, close: str) -> None:
    """32 levels pass and 33 do not; brackets and quotes inside strings do not count."""
    core = json.dumps({text: [text] * 30}) if text else "{}"
    levels = 2 if text else 1
    fits = (open_ * (32 - levels) + core + close * (32 - levels)).encode()
    assert not refused(fits)
    assert refused((open_ + fits.decode() + close).encode())


def test_many_brackets_are_not_deep() -> None:
    """A long list of small objects is not mistaken for a deep one."""
    assert loads(b"[" + b",".join([b'{"a":[{}]}'] * 1000) + b"]") == [{"a": [{}]}] * 1000


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**30, -(10**200)])
def test_large_integers_are_exact(number: int) -> None:
    """Integers beyond 64 bits are neither rounded nor refused."""
    value = loads(b'{"n": %d}' % number)["n"]
    assert value == number
    assert isinstance(value, int)
