"""The text of a message: an object, or the reason why it is ignored (MS-16)."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.messaging.document import REPLACEMENT, Document, Flaw, Reason, read

DEEP = '{"a":' + "[" * 31 + "]" * 31 + "}"
TOO_DEEP = '{"a":' + "[" * 32 + "]" * 32 + "}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.NOT_JSON),
        ("{", Reason.NOT_JSON),
        ("{'a':1}", Reason.NOT_JSON),
        ('{"a":01}', Reason.NOT_JSON),
        ('{"a":1} x', Reason.NOT_JSON),
        ("\ufeff{}", Reason.NOT_JSON),
        ('{"a":"\n"}', Reason.NOT_JSON),
        (b"\xff", Reason.NOT_JSON),
        (b'{"a":"\xed\xa0\x80"}', Reason.NOT_JSON),
        ('{"a":1,"a":1}', Reason.REPEATED_NAME),
        (r'{"a":1,"\u0061":1}', Reason.REPEATED_NAME),
        ('{"x":[{"a":"\ud800","a":1}]}', Reason.REPEATED_NAME),
        ('{"a":NaN}', Reason.NOT_A_NUMBER),
        ('{"a":-Infinity}', Reason.NOT_A_NUMBER),
        ('{"a":1e999,"b":NaN}', Reason.NOT_A_NUMBER),
        ('{"a":1e999,"a":1}', Reason.REPEATED_NAME),
        ('{"a":1e999', Reason.NOT_JSON),
        ('{"n":1e999,' + TOO_DEEP[1:], Reason.TOO_DEEP),
        ('{"n":1e999,"a":' + "[" * 500 + "]" * 500 + "}", Reason.TOO_DEEP),
        ("[1e999]", Reason.NOT_AN_OBJECT),
        (TOO_DEEP, Reason.TOO_DEEP),
        (r'{"b":"\ud800",' + TOO_DEEP[1:], Reason.TOO_DEEP),
        ("[" * 100_000 + "]" * 100_000, Reason.TOO_DEEP),
        ("[]", Reason.NOT_AN_OBJECT),
        ("null", Reason.NOT_AN_OBJECT),
        ('"{}"', Reason.NOT_AN_OBJECT),
        (r'"\ud800"', Reason.NOT_AN_OBJECT),
        ("1", Reason.NOT_AN_OBJECT),
    ],
)
def test_reasons(text: str | bytes, reason: Reason) -> None:
    """Each reason there is, and none is mistaken for another (MS-16)."""
    assert read(text) is reason


def test_objects() -> None:
    """Objects of up to 32 levels are read, integers exactly (section 12)."""
    assert isinstance(read(DEEP), Document)
    assert read(f'{{"a":{2**80}}}') == Document({"a": 2**80})
    assert read(b'{"a":"\xc3\xa9"}') == Document({"a": "é"})


def test_mended() -> None:
    """Lone surrogates become U+FFFD and are told of; pairs and escaped backslashes stay."""
    text = r'{"a":"\ud83d\ude00\ud83d","b":"\\ud800","c":"\\\udc00"}'
    members = {"a": f"\U0001f600{REPLACEMENT}", "b": r"\ud800", "c": f"\\{REPLACEMENT}"}
    assert read(text) == Document(members, Flaw.SURROGATE)


@pytest.mark.parametrize("number", ["1e309", "-1E999", "9" * 310, "-" + "9" * 5000])
def test_numbers_out_of_range(number: str) -> None:
    """They are JSON, so what is said in such a message deserves an answer (MS-16, MS-17)."""
    text = f'{{"id":"{REPLACEMENT}","n":[{number},1],"big":{2**80}}}'
    assert read(text) == Document({"id": REPLACEMENT, "n": [0, 0], "big": 0}, Flaw.NUMBER)
    assert read(f'{{"a":"\\ud800","n":{number}}}') == Document(
        {"a": REPLACEMENT, "n": 0}, Flaw.NUMBER
    )


PIECES = st.sampled_from([r"\ud83d", r"\uDE00", r"\\", r"\"", "u", "d83d", "é", r"\n", r"\uD7FF"])


@given(st.lists(PIECES, max_size=8))
def test_mended_exactly_where_json_finds_one(pieces: list[str]) -> None:
    """Held against the slow way: what is mended had a lone surrogate, and nothing else is
    touched (MS-22)."""
    text = '{"a":"' + "".join(pieces) + '"}'
    slow = json.loads(text)["a"]
    mended = re.sub("[\ud800-\udfff]", REPLACEMENT, slow)
    assert read(text) == Document({"a": mended}, Flaw.SURROGATE if mended != slow else None)
