"""tocsin.wire.position: `<epoch>:<seq>` (CH-50, CH-52, CH-67)."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.position import Claim, channel_resumed, parse_claim, position


@given(st.from_regex(r"[0-9a-f]{1,64}", fullmatch=True), st.integers(0, 10**18 - 1))
def test_what_was_told_is_read(epoch: str, seq: int) -> None:
    """There and back."""
    assert parse_claim(position(epoch, seq)) == Claim(epoch, seq)


@pytest.mark.parametrize(
    "text",
    ["", ":", "a", "a:", ":1", "a:-1", "a:+1", "a:1.0", "a:1:2", "a b:1", "a:1 ", "a:\u0661"],
)
def test_what_is_malformed(text: str) -> None:
    """Nothing else passes, digits of other scripts included."""
    assert parse_claim(text) is None


@given(st.text())
def test_any_text(text: str) -> None:
    """Never raises; what it takes is what it would write, but for leading zeros."""
    claim = parse_claim(text)
    if claim is not None:
        assert position(claim.epoch, claim.seq).partition(":")[0] == text.partition(":")[0]


def test_a_question() -> None:
    """Only `0:0` claims nothing."""
    claims = [parse_claim(text) for text in ("0:0", "0:1", "a:0")]
    assert [claim is not None and claim.is_question for claim in claims] == [True, False, False]


def test_the_first_frame() -> None:
    """One root key, four members."""
    message = orjson.loads(channel_resumed("c0de", 7, missed=2, recovered=False))
    told = {"epoch": "c0de", "seq": 7, "recovered": False, "missed": 2}
    assert message == {"channelResumed": told}
