"""Device tokens in their one spelling (PU-22)."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.devicetoken import ENCODINGS, normal_apns, normal_fcm

RAW = bytes(range(224, 256))
HEX = RAW.hex()
STANDARD = base64.b64encode(RAW).decode()
URLSAFE = base64.urlsafe_b64encode(RAW).decode()


@pytest.mark.parametrize(
    ("token", "encoding"),
    [
        (HEX, "auto"),
        (HEX.upper(), "auto"),
        (HEX.upper(), "hex"),
        (STANDARD, "auto"),
        (URLSAFE, "auto"),
        (STANDARD.rstrip("="), "base64"),
        (URLSAFE, "base64"),
    ],
)
def test_spellings_of_one_apns_token(token: str, encoding: str) -> None:
    """Hex in any case and both alphabets of base64 are one token in lower-case hex (PU-22)."""
    assert normal_apns(token, encoding) == HEX


@pytest.mark.parametrize(
    ("token", "encoding"),
    [
        ("", "auto"),
        ("g" * 64, "hex"),
        (HEX[:62], "hex"),
        (f"{HEX}a", "hex"),
        ("a" * 202, "hex"),
        (HEX, "raw"),
        (STANDARD, "hex"),
        (base64.b64encode(bytes(31)).decode(), "auto"),
        (base64.b64encode(bytes(101)).decode(), "auto"),
        (f"{STANDARD[:-2]}=", "auto"),
        (f"{STANDARD}=", "auto"),
        ("A" * 45, "auto"),
        (f"+_{'A' * 42}", "auto"),
        (f"{HEX}\n", "auto"),
        (f" {HEX}", "auto"),
        ("../" * 20, "auto"),
        ("\u0661" * 64, "auto"),
    ],
)
def test_malformed_apns_tokens(token: str, encoding: str) -> None:
    """Wrong lengths, alphabets and paddings are malformed, and the message has no token (PU-22)."""
    with pytest.raises(ValueError, match=r"^malformed device token$"):
        normal_apns(token, encoding)


@pytest.mark.parametrize("size", [32, 33, 100])
def test_lengths_of_apns_tokens(size: int) -> None:
    """From 32 to 100 bytes, in either form (PU-22)."""
    raw = bytes([0xAB]) * size
    assert normal_apns(raw.hex(), "auto") == raw.hex()
    assert normal_apns(base64.b64encode(raw).decode(), "base64") == raw.hex()


@given(st.text() | st.from_regex(r"[A-Za-z0-9+/_=-]*", fullmatch=True), st.sampled_from(ENCODINGS))
def test_an_apns_token_is_fit_for_a_path(token: str, encoding: str) -> None:
    """Whatever comes in, what comes out is lower-case hex and stays as it is (PU-22)."""
    try:
        normal = normal_apns(token, encoding)
    except ValueError:
        return
    assert re.fullmatch("[0-9a-f]{64,200}", normal)
    assert normal_apns(normal, "hex") == normal


@pytest.mark.parametrize("encoding", ["auto", "raw"])
def test_fcm_tokens_are_taken_as_they_are(encoding: str) -> None:
    """Printable ASCII without space, up to 4,096 characters (PU-22)."""
    token = "c1:APA91b-_x" + "~" * 4084
    assert normal_fcm(token, encoding) == token
    for wrong in ("", "a b", "a\n", "é", f"{token}x"):
        with pytest.raises(ValueError, match=r"^malformed device token$"):
            normal_fcm(wrong, encoding)


def test_fcm_tokens_in_base64() -> None:
    """Their encoding is taken off, and what is inside must be a token (PU-22)."""
    assert normal_fcm(base64.b64encode(b"c1:APA91b").decode(), "base64") == "c1:APA91b"
    for wrong in ("%", "AA", base64.b64encode(b"a b").decode(), base64.b64encode(RAW).decode()):
        with pytest.raises(ValueError, match=r"^malformed device token$"):
            normal_fcm(wrong, "base64")
