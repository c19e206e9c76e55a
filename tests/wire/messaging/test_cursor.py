"""Cursors: written, read back, and nothing else taken for one (MS-60, MS-63)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.wire.messaging.cursor import OLDEST, cursor, seq_of

EPOCHS = st.from_regex(r"[0-9A-Za-z_-]{1,64}", fullmatch=True)


@given(EPOCHS, st.integers(0, 10**18 - 1))
def test_round_trip(epoch: str, seq: int) -> None:
    """What a client was given tells its number in its own epoch alone (MS-63)."""
    text = cursor(epoch, seq)
    assert seq_of(text, epoch) == seq
    assert seq_of(text, f"{epoch}x") is None


def test_example() -> None:
    """As section 10 shows them."""
    assert cursor("k3", 8841) == "k3:8841"
    assert seq_of("k3:8841", "k3") == 8841


@pytest.mark.parametrize(
    "text",
    [
        OLDEST,
        "k3",
        "k3:",
        ":1",
        "k3:01",
        "k3:-1",
        "k3:+1",
        "k3: 1",
        "k3:1\n",
        "k3:1:1",
        "k3:٣",
        "k3:1e3",
        "k3:" + "9" * 19,
        "K3:1",
        "k4:1",
        "\x00",
        "k3:1" * 100_000,
    ],
)
def test_not_ours(text: str) -> None:
    """Another epoch's, and what we would not have written so, are none of ours (MS-63)."""
    assert seq_of(text, "k3") is None


@pytest.mark.parametrize(
    ("epoch", "seq"), [("", 1), ("a:b", 1), ("é", 1), ("k", -1), ("k", 10**18)]
)
def test_cannot_be_written(epoch: str, seq: int) -> None:
    """No cursor is handed out that could not be read again."""
    with pytest.raises(ValueError, match="no cursor"):
        cursor(epoch, seq)


@given(st.text(), st.text())
def test_any_text(text: str, epoch: str) -> None:
    """Whatever a client sends, it is a number or None, and a number comes from our own text."""
    seq = seq_of(text, epoch)
    assert seq is None or text == cursor(epoch, seq)
