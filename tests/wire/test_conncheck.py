"""tocsin.wire.conncheck: what a client's text frame means (CH-53 to CH-55)."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.conncheck import ConnAck, ConnCheck, Ignored, conn_check, parse


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        (b'{"connCheck":{"interval":30}}', 30.0),
        (b'{"connCheck":{"interval":0.7}}', 0.7),
        (b'{"connCheck":{"interval":3600}}', 3600.0),
        (b'{"connCheck":{"interval":3600.1}}', None),
        (b'{"connCheck":{"interval":0}}', None),
        (b'{"connCheck":{"interval":-1}}', None),
        (b'{"connCheck":{"interval":true}}', None),
        (b'{"connCheck":{"interval":"30"}}', None),
        (b'{"connCheck":{"interval":null}}', None),
        (b'{"connCheck":{"interval":1e300}}', None),
        (b'{"connCheck":{"interval":18446744073709551615}}', None),
        (b'{"connCheck":{"interval":1e400}}', None),
        (b'{"connCheck":{"interval":-1e400}}', None),
        (b'{"connCheck":{"interval":' + b"9" * 5000 + b"}}", None),
        (b'{"connCheck":{"interval":30,"x":1e400}}', 30.0),
        (b'{"connCheck":{}}', None),
        (b'{"connCheck":[]}', None),
        (b'{"connCheck":null}', None),
    ],
)
def test_a_check_and_its_interval(text: bytes, interval: float | None) -> None:
    """T5: a fraction is fine; what is out of 0 < N <= 3600 is a check all the same (CH-54)."""
    assert parse(text) == ConnCheck(interval)


@pytest.mark.parametrize("text", [b'{"connAck":{}}', b'{"connAck":{"interval":5}}'])
def test_an_answer(text: bytes) -> None:
    """CH-55."""
    assert parse(text) == ConnAck()


def test_the_old_ping_is_tolerated() -> None:
    """T16: not counted as rubbish (CH-53)."""
    assert parse(b'{"message_type":"ping"}') == Ignored(legacy=True)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"[]",
        b"5",
        b'"connCheck"',
        b"{}",
        b'{"message_type":"pong"}',
        b'{"x":1}',
        b"[" * 4000,
        b"\xff",
        b'{"connCheck":NaN}',
        b'{"connCheck":{"interval":-Infinity}}',
        b'{"connCheck":' + b"[" * 4000,
        b'{"connCheck":1e400',
    ],
)
def test_anything_else_is_ignored(text: bytes) -> None:
    """CH-53."""
    assert parse(text) == Ignored()


@given(st.binary() | st.text().map(str.encode))
def test_no_text_is_an_error(text: bytes) -> None:
    """Whatever a client sends."""
    assert isinstance(parse(text), ConnCheck | ConnAck | Ignored)


@given(st.floats(0.001, 3600) | st.integers(1, 3600))
def test_our_own_check_is_understood(interval: float) -> None:
    """One root key, and a whole number without a fraction (CH-52, CH-55)."""
    text = conn_check(interval)
    assert parse(text) == ConnCheck(interval)
    [(root, body)] = orjson.loads(text).items()
    assert (root, list(body)) == ("connCheck", ["interval"])


def test_whole_seconds_are_whole() -> None:
    """Deployed clients compare text."""
    assert conn_check(30.0) == b'{"connCheck":{"interval":30}}'
