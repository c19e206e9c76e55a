"""Encoding and close codes (RFC 6455 sections 5 and 7.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close
from wsproto.frame_protocol import FrameProtocol, Opcode

from tocsin.wire.websocket import (
    CloseCode,
    close_code,
    encode_close,
    encode_ping,
    encode_pong,
    encode_text,
    is_sendable,
)

SENDABLE = [
    1000,
    1001,
    1002,
    1003,
    1007,
    1008,
    1009,
    1010,
    1011,
    1012,
    1013,
    1014,
    3000,
    4401,
    4999,
]
UNSENDABLE = [0, 999, 1004, 1006, 1015, 1016, 2999, 5000, 65535]


def as_a_client_reads(data: bytes) -> list[tuple[Opcode, object]]:
    """What wsproto's client makes of our bytes; long payloads arrive in one piece here."""
    protocol = FrameProtocol(client=True, extensions=[])
    protocol.receive_bytes(data)
    return [(frame.opcode, frame.payload) for frame in protocol.received_frames()]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_text_of_every_length_form(size: int) -> None:
    """A client reads back what was encoded, at both sides of each length form's border."""
    payload = b"x" * size
    assert as_a_client_reads(encode_text(payload)) == [(Opcode.TEXT, payload.decode())]


@given(payload=st.binary(max_size=125))
def test_ping_and_pong_carry_any_payload(payload: bytes) -> None:
    """Pings and Pongs of any payload up to 125 bytes arrive as they are."""
    assert as_a_client_reads(encode_ping(payload)) == [(Opcode.PING, payload)]
    assert as_a_client_reads(encode_pong(payload)) == [(Opcode.PONG, payload)]


def test_control_payloads_are_bounded() -> None:
    """Section 5.5: a control frame over 125 bytes is refused here and not by the peer."""
    with pytest.raises(ValueError, match="125"):
        encode_ping(b"x" * 126)
    with pytest.raises(ValueError, match="125"):
        encode_pong(b"x" * 126)


@pytest.mark.parametrize("code", SENDABLE)
def test_codes_that_may_be_sent(code: int) -> None:
    """Each registered code, ours of CH-59 included, travels with its reason."""
    assert is_sendable(code)
    frame = encode_close(code, "so")
    assert frame == b"\x88\x04" + code.to_bytes(2) + b"so"
    assert Close.parse(frame[2:]) == Close(code, "so")


@pytest.mark.parametrize("code", UNSENDABLE)
def test_codes_that_must_not_be_sent(code: int) -> None:
    """Section 7.4: reserved and local codes are a mistake of ours."""
    assert not is_sendable(code)
    with pytest.raises(ValueError, match="not a code"):
        encode_close(code)


def test_no_status_is_an_empty_close() -> None:
    """1005 stands for a Close without a code, in both directions (section 7.1.5)."""
    assert encode_close(CloseCode.NO_STATUS) == b"\x88\x00"
    assert close_code(b"") == 1005
    assert close_code(b"\x03\xe8bye") == 1000


@given(reason=st.text(alphabet="aß€😀", max_size=140))
def test_a_long_reason_is_cut_between_characters(reason: str) -> None:
    """Whatever the reason, the frame fits and its reason is a prefix in valid UTF-8."""
    frame = encode_close(1000, reason)
    assert len(frame) <= 2 + 125
    kept = frame[4:].decode()
    assert reason.startswith(kept)
    assert kept == reason or len(kept.encode()) > 123 - 4
