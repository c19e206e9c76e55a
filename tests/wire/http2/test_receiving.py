"""What servers may not do, and which code they are told (PU-59, PU-91; RFC 9113)."""

import pytest
from tests.fakes.h2_server import BLOCK, connected, exchange

from tocsin.wire.http2.connection import Http2Connection
from tocsin.wire.http2.events import Answer, Broken, Event, LimitsChanged, Reset
from tocsin.wire.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    GREATEST,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTING,
    SETTINGS,
    WINDOW_UPDATE,
    WORD,
    ErrorCode,
    frame,
    goaway,
    rst_stream,
    settings,
    window_update,
)

OK = b"\x88"
WHOLE = END_HEADERS | END_STREAM
PROTOCOL, SIZE = ErrorCode.PROTOCOL_ERROR, ErrorCode.FRAME_SIZE_ERROR
FLOW, CALM = ErrorCode.FLOW_CONTROL_ERROR, ErrorCode.ENHANCE_YOUR_CALM


def with_streams(count: int = 2) -> Http2Connection:
    """A connection whose streams 1, 3, ... are open; everything so far was handed out."""
    client = Http2Connection()
    client.receive(settings({}), 0.0)
    for _ in range(count):
        client.request(BLOCK, b"{}")
    client.outgoing()
    return client


def pair(last_id: int, code: int = 0) -> bytes:
    """The payload of GOAWAY."""
    return WORD.pack(last_id) + WORD.pack(code)


VIOLATIONS = {
    "no SETTINGS first": (b"", PROTOCOL),
    "DATA of stream 0": (frame(DATA, 0, 0, b"x"), PROTOCOL),
    "DATA of an even stream": (frame(DATA, 0, 2, b"x"), PROTOCOL),
    "DATA of a stream never opened": (frame(DATA, 0, 99, b"x"), PROTOCOL),
    "DATA of padding only": (frame(DATA, PADDED, 1, b"\x05x"), PROTOCOL),
    "DATA without pad length": (frame(DATA, PADDED, 1, b""), SIZE),
    "HEADERS of stream 0": (frame(HEADERS, WHOLE, 0, OK), PROTOCOL),
    "HEADERS of an even stream": (frame(HEADERS, WHOLE, 2, OK), PROTOCOL),
    "HEADERS of a stream never opened": (frame(HEADERS, WHOLE, 99, OK), PROTOCOL),
    "HEADERS with too much padding": (frame(HEADERS, WHOLE | PADDED, 1, b"\x05x"), PROTOCOL),
    "HEADERS that do not decode": (
        frame(HEADERS, WHOLE, 1, b"\xff\xff\xff\xff\xff\xff\xff"),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "HEADERS that do not decode, late": (
        rst_stream(1, 0) + frame(HEADERS, WHOLE, 1, b"\x80"),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "HEADERS interrupted": (frame(HEADERS, 0, 1, OK) + frame(PING, 0, 0, bytes(8)), PROTOCOL),
    "HEADERS interrupted by the unknown": (
        frame(HEADERS, 0, 1, OK) + frame(0xEE, 0, 1, b""),
        PROTOCOL,
    ),
    "CONTINUATION of another stream": (
        frame(HEADERS, 0, 1, OK) + frame(CONTINUATION, END_HEADERS, 3, b""),
        PROTOCOL,
    ),
    "CONTINUATION of nothing": (frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL),
    "PRIORITY of stream 0": (frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL),
    "PRIORITY too short": (frame(PRIORITY, 0, 99, bytes(4)), SIZE),
    "RST_STREAM of stream 0": (frame(RST_STREAM, 0, 0, bytes(4)), PROTOCOL),
    "RST_STREAM of a stream never opened": (rst_stream(99, 0), PROTOCOL),
    "RST_STREAM too short": (frame(RST_STREAM, 0, 1, bytes(3)), SIZE),
    "SETTINGS of a stream": (frame(SETTINGS, 0, 1, b""), PROTOCOL),
    "SETTINGS cut short": (frame(SETTINGS, 0, 0, bytes(5)), SIZE),
    "SETTINGS acknowledged with content": (frame(SETTINGS, ACK, 0, bytes(6)), SIZE),
    "SETTINGS that enable push": (settings({2: 1}), PROTOCOL),
    "SETTINGS with a window too large": (settings({4: GREATEST + 1}), FLOW),
    "SETTINGS that overflow a stream": (
        window_update(1, GREATEST - 65_535) + settings({4: 65_600}),
        FLOW,
    ),
    "SETTINGS with frames too small": (settings({5: 16_383}), PROTOCOL),
    "SETTINGS with frames too large": (settings({5: 1 << 24}), PROTOCOL),
    "PUSH_PROMISE": (frame(PUSH_PROMISE, END_HEADERS, 1, WORD.pack(2) + OK), PROTOCOL),
    "PING of a stream": (frame(PING, 0, 1, bytes(8)), PROTOCOL),
    "PING too short": (frame(PING, 0, 0, bytes(7)), SIZE),
    "GOAWAY of a stream": (frame(GOAWAY, 0, 1, pair(0)), PROTOCOL),
    "GOAWAY too short": (frame(GOAWAY, 0, 0, bytes(7)), SIZE),
    "GOAWAY with a higher last id": (
        frame(GOAWAY, 0, 0, pair(1)) + frame(GOAWAY, 0, 0, pair(3)),
        PROTOCOL,
    ),
    "WINDOW_UPDATE of nothing": (window_update(0, 0), PROTOCOL),
    "WINDOW_UPDATE too large": (window_update(0, GREATEST), FLOW),
    "WINDOW_UPDATE too short": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), SIZE),
    "WINDOW_UPDATE of a stream never opened": (window_update(99, 1), PROTOCOL),
    "a frame too large": (frame(DATA, 0, 1, bytes(16_385)), SIZE),
    "an unknown frame too large": (frame(0xEE, 0, 1, bytes(16_385)), SIZE),
}


@pytest.mark.parametrize(("data", "code"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_violations_end_the_connection(data: bytes, code: ErrorCode) -> None:
    """PU-59: GOAWAY with the code of the RFC is the last we write, Broken the last we tell."""
    if data:
        client = with_streams()
    else:
        client, data = Http2Connection(), frame(PING, 0, 0, bytes(8))
    events = client.receive(data, 0.0)
    assert isinstance(events[-1], Broken)
    assert events[-1].code == code
    assert client.outgoing().endswith(goaway(code))
    assert client.is_leaving
    assert not client.admits(0)
    assert client.receive(settings({}), 0.0) == []
    client.ping(bytes(8))
    client.cancel(1)
    client.close()
    assert client.outgoing() == b""


@pytest.mark.parametrize("flags", [ACK, 0], ids=["an acknowledgement", "of a stream"])
def test_the_first_frame_is_settings(flags: int) -> None:
    """RFC 9113, section 3.4: neither an acknowledgement nor one of a stream will do."""
    first = frame(SETTINGS, flags, 0 if flags else 1, b"")
    assert Http2Connection().receive(first, 0.0) == [
        Broken(PROTOCOL, "SETTINGS were due" if flags else "another frame was due")
    ]


def test_a_server_of_another_protocol() -> None:
    """An HTTP/1.1 error page is recognised by its first nine bytes, none of it is kept."""
    events = Http2Connection().receive(b"HTTP/1.1 400 Bad Request\r\n", 0.0)
    assert events == [Broken(PROTOCOL, "another frame was due")]


HEAD = frame(HEADERS, END_HEADERS, 1, OK)
MALFORMED = {
    "DATA before HEADERS": (frame(DATA, END_STREAM, 1, b"x"), PROTOCOL),
    "no status": (frame(HEADERS, WHOLE, 1, b"\x00\x01a\x01b"), PROTOCOL),
    "an interim answer that ends": (frame(HEADERS, WHOLE, 1, b"\x08\x03100"), PROTOCOL),
    "status 101": (frame(HEADERS, END_HEADERS, 1, b"\x08\x03101"), PROTOCOL),
    "trailers that do not end": (
        HEAD + frame(HEADERS, END_HEADERS, 1, b"\x00\x01a\x01b"),
        PROTOCOL,
    ),
    "trailers with a status": (HEAD + frame(HEADERS, WHOLE, 1, OK), PROTOCOL),
    "shorter than announced": (
        frame(HEADERS, END_HEADERS, 1, OK + b"\x0f\x0d\x015") + frame(DATA, END_STREAM, 1, b"1234"),
        PROTOCOL,
    ),
    "longer than announced": (
        frame(HEADERS, END_HEADERS, 1, OK + b"\x0f\x0d\x015")
        + frame(DATA, END_STREAM, 1, b"123456"),
        PROTOCOL,
    ),
    "WINDOW_UPDATE of nothing": (window_update(1, 0), PROTOCOL),
    "WINDOW_UPDATE too large": (window_update(1, GREATEST), FLOW),
    "PRIORITY too short": (frame(PRIORITY, 0, 1, bytes(4)), SIZE),
}


@pytest.mark.parametrize(("data", "code"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_answers_end_their_stream_only(data: bytes, code: ErrorCode) -> None:
    """RFC 9113, section 5.4.2: RST_STREAM with the code, and the next stream is answered."""
    client = with_streams()
    events = client.receive(data + frame(HEADERS, WHOLE, 3, OK), 0.0)
    assert events == [Reset(1, code, was_sent=True), Answer(3, 200, {}, b"")]
    assert client.outgoing() == rst_stream(1, code)


def test_an_answer_without_content_may_announce_some() -> None:
    """RFC 9113, section 8.1.1: 304 has the length of what it does not carry."""
    client = with_streams()
    events = client.receive(frame(HEADERS, WHOLE, 1, b"\x8b\x0f\x0d\x015"), 0.0)
    assert events == [Answer(1, 304, {b"content-length": b"5"}, b"")]


def test_what_is_of_no_use_is_ignored() -> None:
    """RFC 9113, section 5.5: unknown frames, settings and flags, priorities, reserved bits."""
    client = with_streams()
    ignored = [
        frame(0xEE, 0xFF, 0, b"anything"),
        frame(0xEE, 0xFF, 99, b""),
        frame(PRIORITY, 0, 99, bytes(5)),
        frame(SETTINGS, ACK, 0, b""),
        window_update(1, 5),
        frame(HEADERS, WHOLE | 0x20, 1 | 1 << 31, bytes(5) + OK),
        rst_stream(1, 0),
        window_update(1, 0),
        window_update(1, 5),
        frame(DATA, 0x20, 1, b"late"),
    ]
    assert client.receive(b"".join(ignored), 0.0) == [Answer(1, 200, {}, b"")]
    assert client.receive(frame(SETTINGS, 0, 0, SETTING.pack(0xEEEE, 7)), 0.0) == [LimitsChanged()]


@pytest.mark.parametrize(
    "useless",
    [
        frame(PING, 0, 0, bytes(8)),
        frame(PING, ACK, 0, bytes(8)),
        frame(SETTINGS, 0, 0, b""),
        frame(SETTINGS, ACK, 0, b""),
        window_update(0, 1),
        window_update(1, 1),
        frame(PRIORITY, 0, 1, bytes(5)),
        frame(0xEE, 0, 0, b""),
        frame(GOAWAY, 0, 0, pair(GREATEST)),
        HEAD + frame(DATA, 0, 1, b""),
        frame(DATA, 0, 3, b"closed"),
        frame(HEADERS, WHOLE, 3, OK),
        rst_stream(3, 0),
        frame(HEADERS, END_HEADERS, 1, b"\x08\x03100"),
    ],
)
def test_floods(useless: bytes) -> None:
    """PU-59: more than 1,000 frames without an answer in 10 s, and two per open stream, are too
    many; within the bound nothing happens, and our side keeps next to nothing of them.
    """
    client = with_streams()
    client.cancel(3)
    again = useless.removeprefix(HEAD)
    within = client.receive(useless + again * 999, 0.0)
    assert Broken not in map(type, within)
    assert len(client.outgoing()) < 20_000
    events = client.receive(again * 3, 9.9)
    assert events[-1] == Broken(CALM, "frames without an answer")


def test_a_flood_is_forgiven_by_an_answer_and_by_time() -> None:
    """PU-59: the count begins anew with each answer, and after 10 s."""
    client = with_streams()
    flood = frame(PING, ACK, 0, bytes(8)) * 1_000
    client.receive(flood, 0.0)
    client.receive(frame(HEADERS, WHOLE, 1, OK), 1.0)
    assert not client.is_leaving
    client.receive(flood, 2.0)
    client.receive(flood, 12.0)
    assert not client.is_leaving
    assert client.receive(flood, 13.0)[-1] == Broken(CALM, "frames without an answer")


def test_a_flood_of_continuations() -> None:
    """PU-91: empty CONTINUATION frames are counted, full ones end at 64 KiB."""
    client = with_streams()
    start = frame(HEADERS, 0, 1, OK)
    events = client.receive(start + frame(CONTINUATION, 0, 1, b"") * 1_005, 0.0)
    assert events == [Broken(CALM, "frames without an answer")]
    client = with_streams()
    events = client.receive(start + frame(CONTINUATION, 0, 1, bytes(16_384)) * 4, 0.0)
    assert events == [Broken(CALM, "header block too large")]


def test_a_header_block_of_64_kib_is_taken() -> None:
    """PU-59: the bound itself is allowed; here it is filled with changes of the table's size."""
    client = with_streams()
    pieces = [frame(CONTINUATION, 0, 1, b"\x20" * 16_384) for _ in range(3)]
    last = frame(CONTINUATION, END_HEADERS, 1, b"\x20" * 16_382 + OK)
    events = client.receive(frame(HEADERS, END_STREAM, 1, b"\x20") + b"".join(pieces) + last, 0.0)
    assert events == [Answer(1, 200, {}, b"")]


def test_a_server_that_does_not_read_is_broken_off() -> None:
    """What we owe it is bounded even if answers in between forgive the flood."""
    client = with_streams(3)
    events: list[Event] = []
    for stream_id in (1, 3, 5):
        pings = frame(PING, 0, 0, bytes(8)) * 500
        events += client.receive(pings + frame(HEADERS, WHOLE, stream_id, OK), 0.0)
    assert events == [
        Answer(1, 200, {}, b""),
        Answer(3, 200, {}, b""),
        Broken(CALM, "does not read"),
    ]
    assert len(client.outgoing()) < 20_000


def test_a_whole_connection_of_drips() -> None:
    """Bodies of one byte per frame are neither a flood nor slow to put together."""
    client, server = connected()
    stream_id = client.request(BLOCK, b"{}")
    exchange(client, server)
    server.h2.send_headers(stream_id, [(":status", "200")])
    for _ in range(5_000):
        server.h2.send_data(stream_id, b"x")
    server.h2.end_stream(stream_id)
    assert exchange(client, server) == [Answer(stream_id, 200, {}, b"x" * 5_000)]
