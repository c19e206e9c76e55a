"""Integers in the JSON of clients."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire import strictjson
from tocsin.wire.integers import dumps, integer

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("aé:{", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.integers())
def test_numbers_and_digits(number: int) -> None:
    """A number is itself, its digits are it too within what any option can mean (CH-4)."""
    assert integer(number) == number
    if 0 <= number < 10**19:
        assert integer(str(number)) == integer(f"000{number}") == number


@given(st.from_regex(r"[1-9][0-9]{19,5000}", fullmatch=True))
def test_very_many_digits(digits: str) -> None:
    """A number too long to matter is still a very large one, and costs no long computation."""
    assert 10**18 <= (integer(digits) or 0) < 10**19


@pytest.mark.parametrize(
    "value", [None, True, False, 1.0, 1.5, "", "-1", "+1", " 1", "1.0", "1e3", "٣", "²", [], {}]
)
def test_what_is_no_integer(value: object) -> None:
    """Booleans are never numbers, and only ASCII digits make one (CH-4)."""
    assert integer(value) is None


@given(JSON, st.integers(min_value=2**64, max_value=2**200))
def test_dumps_round_trips(value: object, large: int) -> None:
    """What is written reads back the same, integers beyond 64 bits too (CH-100)."""
    assert json.loads(dumps([value, large])) == [value, large]
    assert strictjson.loads(dumps({"a": large})) == {"a": large}
