"""The callback's name, which ends up inside a script."""

import pytest

from tocsin.wire.sockjs.callback import callback_name
from tocsin.wire.sockjs.refusals import Refusal


@pytest.mark.parametrize("name", ["c", "_jp.a1b2", "Func-1", "x" * 32, ".", "-"])
def test_good_names(name: str) -> None:
    """1-32 of letters, digits, `-`, `_`, `.`, in `c` or in `callback` (SJ-21)."""
    assert callback_name({"c": name}) == name
    assert callback_name({"callback": name, "t": "1"}) == name


@pytest.mark.parametrize(
    "name", ["", " ", "*", "abc(", "abc()", "a b", "é", "a\n", "x" * 33, "</script>", "a;b", "٣"]
)
def test_bad_names(name: str) -> None:
    """Anything else is refused and never put into a page (SJ-21)."""
    assert callback_name({"c": name}) is callback_name({"callback": name})
    assert callback_name({"c": name}) is Refusal.CALLBACK_INVALID


def test_none_at_all() -> None:
    """Missing is told apart from bad, and `c` goes before `callback` (SJ-21)."""
    assert callback_name({}) is callback_name({"C": "x"}) is Refusal.CALLBACK_REQUIRED
    assert callback_name({"c": "a", "callback": "b"}) == "a"


def test_texts() -> None:
    """As SJ-21 words them."""
    assert Refusal.CALLBACK_REQUIRED.value == '"callback" parameter required'
    assert Refusal.CALLBACK_INVALID.value == 'invalid "callback" parameter'
