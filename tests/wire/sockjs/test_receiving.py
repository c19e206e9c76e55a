"""What clients send: every row of section 4's table, and JSON held to its grammar."""

import json
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.sockjs.receiving import jsonp_messages, websocket_messages, xhr_messages
from tocsin.wire.sockjs.refusals import Refusal

FORM = "application/x-www-form-urlencoded"
TEXT = st.text()
ANY_TEXT = st.text(st.characters(codec=None)).map(
    # Two surrogates side by side are one character wherever strings are UTF-16.
    lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
)
EXPECTED = Refusal.PAYLOAD_EXPECTED
BROKEN = Refusal.BROKEN_JSON

ACCEPTED: list[tuple[bytes, list[str]]] = [
    (b"[]", []),
    (b' [ "a" , "b" ]\r\n', ["a", "b"]),
    (b'[""]', [""]),
    (rb'["\ud800\udc00","\ud83d","\uDFFF\uD800"]', ["\U00010000", "\ud83d", "\udfff\ud800"]),
    ('["é\uffff\U0001f600\x7f"]'.encode(), ["é\uffff\U0001f600\x7f"]),
]
NO_ARRAY = [b"{}", b'"x"', b"1", b"-0.5", b"1e999", b"9" * 5000, b"null", b"true", b'{"a":["b"]}']
BROKEN_BODIES = [
    b'["a"',
    b'["a",]',
    b"['a']",
    b'["a"] x',
    b"x",
    b" ",
    b"NaN",
    b"[NaN]",
    b"-Infinity",
    b"01",
    b'["\x01"]',
    b'["\n"]',
    rb'["\x41"]',
    rb'["\ud8"]',
    b'["\xff"]',
    b'["\xed\xa0\x80"]',
    b'\xef\xbb\xbf["a"]',
    '["a"]'.encode("utf-16"),
    b'["a",1]',
    b'["a",null]',
    b'["a",["b"]]',
    b"[{}]",
    b"[1e999]",
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
]


@pytest.mark.parametrize(("body", "messages"), ACCEPTED)
def test_arrays_of_strings(body: bytes, messages: list[str]) -> None:
    """Taken by every framed transport, lone surrogates included (SJ-12, SJ-17, SJ-18)."""
    assert xhr_messages(body) == messages
    assert jsonp_messages(body, None) == messages
    assert websocket_messages(body) == messages


@pytest.mark.parametrize("body", [b"", *NO_ARRAY])
def test_payload_expected(body: bytes) -> None:
    """Nothing, or JSON but no array: 500 `Payload expected.` (SJ-18)."""
    assert xhr_messages(body) is jsonp_messages(body, "text/plain") is EXPECTED


@pytest.mark.parametrize("body", BROKEN_BODIES)
def test_broken_json(body: bytes) -> None:
    """No JSON, no UTF-8, or an element that is no string: 500 `Broken JSON encoding.` (SJ-18)."""
    assert xhr_messages(body) is jsonp_messages(body, None) is BROKEN


def test_texts_of_refusals() -> None:
    """As section 4 words them (SJ-18)."""
    assert EXPECTED.value == "Payload expected."
    assert BROKEN.value == "Broken JSON encoding."


@pytest.mark.parametrize(
    ("content_type", "body", "messages"),
    [
        (FORM, b"d=%5B%22x%22%5D", ["x"]),
        (FORM, b'd=["a+b","%2B"]', ["a b", "+"]),
        (f"{FORM}; charset=utf-8", b'd=["a"]', ["a"]),
        (FORM.upper(), b'd=["a"]', ["a"]),
        (FORM, b'x=1&d=["a"]&d=["b"]', ["a"]),
        (FORM, b'd=["%C3%A9"]', ["é"]),
        (FORM, b"d=[]", []),
        ("text/plain", b'["a+b"]', ["a+b"]),
        ("application/json", b'["%41"]', ["%41"]),
        ("", b'["a"]', ["a"]),
        (None, b'["a"]', ["a"]),
    ],
)
def test_jsonp_bodies(content_type: str | None, body: bytes, messages: list[str]) -> None:
    """Field `d` of a form, else the plain body (SJ-18)."""
    assert jsonp_messages(body, content_type) == messages


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"", EXPECTED),
        (b"d", EXPECTED),
        (b"d=", EXPECTED),
        (b"dd=%5B%5D", EXPECTED),
        (b"d=&d=[]", EXPECTED),
        (b"d=1", EXPECTED),
        (b"d=%5B", BROKEN),
        (b'd=["%FF"]', BROKEN),
        (b"d=%5B1%5D", BROKEN),
    ],
)
def test_refused_forms(body: bytes, refusal: Refusal) -> None:
    """A field that is missing or empty is no payload; else it is judged like a body (SJ-18)."""
    assert jsonp_messages(body, FORM) is refusal


@given(st.lists(ANY_TEXT))
def test_forms_carry_any_text(messages: list[str]) -> None:
    """What a client encodes as a form comes out as it was (SJ-12, SJ-18)."""
    body = f"d={quote_plus(json.dumps(messages))}".encode()
    assert jsonp_messages(body, FORM) == messages


@pytest.mark.parametrize(
    ("text", "messages"),
    [(b"", []), (b"[]", []), (b'"a"', ["a"]), (b'""', [""]), (rb'"\udc00"', ["\udc00"])],
)
def test_websocket_texts(text: bytes, messages: list[str]) -> None:
    """Empty text is nothing, one string is one message (SJ-17)."""
    assert websocket_messages(text) == messages


@pytest.mark.parametrize("text", [one for one in [*NO_ARRAY, *BROKEN_BODIES] if one != b'"x"'])
def test_broken_framing(text: bytes) -> None:
    """Whatever is neither closes the connection (SJ-17)."""
    assert websocket_messages(text) is None


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(VALUES, st.booleans())
def test_any_json(value: object, ascii_only: bool) -> None:
    """Strings in an array are taken, every other JSON is told apart from what is none (SJ-18)."""
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    if not isinstance(value, list):
        assert xhr_messages(body) is EXPECTED
    elif all(isinstance(one, str) for one in value):
        assert xhr_messages(body) == value
    else:
        assert xhr_messages(body) is BROKEN


@given(st.binary(max_size=40) | st.text('[]",\\ud8a0 \n', max_size=20).map(str.encode))
def test_any_bytes(body: bytes) -> None:
    """Nothing raises, and what is taken is what `json` reads (SJ-18)."""
    found = xhr_messages(body)
    if isinstance(found, list):
        assert json.loads(body.decode()) == found
    else:
        assert found in {EXPECTED, BROKEN}
