"""The frames we send, read by hyperframe, and padding taken off those we get."""

import pytest
from hyperframe.frame import (
    Frame,
    GoAwayFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tocsin.wire.http2.frames import (
    ACK,
    HAS_PRIORITY,
    PADDED,
    PING,
    ConnectionViolation,
    ErrorCode,
    frame,
    goaway,
    rst_stream,
    settings,
    window_update,
    without_padding,
)


def parse(data: bytes) -> Frame:
    """The one frame in `data`, by an independent reader."""
    parsed, length = Frame.parse_frame_header(memoryview(data[:9]))
    parsed.parse_body(memoryview(data[9:]))
    assert length == len(data) - 9
    return parsed


def test_control_frames() -> None:
    """Each of our control frames says what it was made to say (RFC 9113, section 6)."""
    ping = parse(frame(PING, ACK, 0, b"12345678"))
    assert isinstance(ping, PingFrame)
    assert (ping.opaque_data, "ACK" in ping.flags) == (b"12345678", True)
    reset = parse(rst_stream(7, ErrorCode.CANCEL))
    assert isinstance(reset, RstStreamFrame)
    assert (reset.stream_id, reset.error_code) == (7, ErrorCode.CANCEL)
    update = parse(window_update(7, 32_768))
    assert isinstance(update, WindowUpdateFrame)
    assert (update.stream_id, update.window_increment) == (7, 32_768)
    away = parse(goaway(ErrorCode.PROTOCOL_ERROR))
    assert isinstance(away, GoAwayFrame)
    assert (away.last_stream_id, away.error_code) == (0, ErrorCode.PROTOCOL_ERROR)
    ours = parse(settings({2: 0, 6: 16_384}))
    assert isinstance(ours, SettingsFrame)
    assert ours.settings == {2: 0, 6: 16_384}


@pytest.mark.parametrize(
    ("flags", "payload", "content"),
    [
        (0, b"abc", b"abc"),
        (PADDED, b"\x00abc", b"abc"),
        (PADDED, b"\x02abc\0\0", b"abc"),
        (PADDED, b"\x02\0\0", b""),
        (HAS_PRIORITY, b"12345abc", b"abc"),
        (PADDED | HAS_PRIORITY, b"\x0112345abc\0", b"abc"),
    ],
)
def test_padding_and_priority_are_taken_off(flags: int, payload: bytes, content: bytes) -> None:
    """PU-59: what is left is the content."""
    assert without_padding(flags, payload) == content


@pytest.mark.parametrize(
    ("flags", "payload", "code"),
    [
        (PADDED, b"", ErrorCode.FRAME_SIZE_ERROR),
        (HAS_PRIORITY, b"1234", ErrorCode.FRAME_SIZE_ERROR),
        (PADDED | HAS_PRIORITY, b"\x001234", ErrorCode.FRAME_SIZE_ERROR),
        (PADDED, b"\x01", ErrorCode.PROTOCOL_ERROR),
        (PADDED | HAS_PRIORITY, b"\x0112345", ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_more_padding_than_frame(flags: int, payload: bytes, code: ErrorCode) -> None:
    """RFC 9113, sections 6.1 and 4.2: what does not fit ends the connection."""
    with pytest.raises(ConnectionViolation) as caught:
        without_padding(flags, payload)
    assert caught.value.code == code
