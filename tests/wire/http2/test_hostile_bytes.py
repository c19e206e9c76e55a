"""Bytes that are cut anywhere, damaged or made up (PU-59)."""

import tracemalloc
from itertools import pairwise

import hpack
from hypothesis import given
from hypothesis import settings as running
from hypothesis import strategies as st
from tests.fakes.h2_server import BLOCK, H2Server, exchange

from tocsin.wire.http2.connection import Http2Connection
from tocsin.wire.http2.events import Answer, Broken, Event, LimitsChanged, Ready
from tocsin.wire.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    frame,
    rst_stream,
    settings,
    window_update,
)

STREAMS = 5
FRAMES = st.builds(
    frame,
    st.integers(0, 10),
    st.sampled_from([0, 1, 4, 5, 8, 0x0D, 0x20, 0x2D, 0xFF]),
    st.integers(0, 12),
    st.one_of(
        st.sampled_from([b"", b"\x88", bytes(4), bytes(5), bytes(8)]), st.binary(max_size=40)
    ),
)
DAMAGE = st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 255)), max_size=6)


def ready() -> Http2Connection:
    """A client with five open streams."""
    client = Http2Connection()
    client.receive(settings({}), 0.0)
    for _ in range(STREAMS):
        client.request(BLOCK, b"{}")
    client.outgoing()
    return client


def script() -> bytes:
    """What a lively server says to `ready`."""
    encoder = hpack.Encoder()
    answer = encoder.encode([(":status", "200"), ("apns-id", "7")])
    other = encoder.encode([(":status", "200"), ("apns-id", "7")])
    return b"".join(
        [
            frame(HEADERS, END_HEADERS | END_STREAM, 1, answer),
            window_update(0, 70),
            frame(PING, 0, 0, b"12345678"),
            frame(HEADERS, 0, 3, other[:1]),
            frame(CONTINUATION, 0, 3, b""),
            frame(CONTINUATION, END_HEADERS, 3, other[1:]),
            settings({3: 50, 4: 100_000}),
            frame(DATA, 0, 3, b"a" * 10_000),
            frame(DATA, PADDED | END_STREAM, 3, b"\x02b\0\0"),
            rst_stream(5, 7),
            frame(0xEE, 0, 0, b"new"),
            frame(HEADERS, END_HEADERS, 7, encoder.encode([(":status", "103")])),
            frame(HEADERS, END_HEADERS, 7, encoder.encode([(":status", "400")])),
            frame(HEADERS, END_HEADERS | END_STREAM, 7, encoder.encode([("x-trailer", "1")])),
            frame(PING, 1, 0, b"abcdefgh"),
            window_update(9, 100),
            frame(7, 0, 0, b"\0\0\0\x09\0\0\0\x0bdebug"),
            frame(HEADERS, END_HEADERS | END_STREAM, 9, encoder.encode([(":status", "503")])),
            frame(DATA, 0, 0, b"a violation"),
        ]
    )


def feed(chunks: list[bytes]) -> tuple[list[Event], bytes]:
    """The events, less those of limits, whose number may depend on the cuts, and what we write."""
    client = ready()
    events = [event for chunk in chunks for event in client.receive(chunk, 0.0)]
    return [event for event in events if event != LimitsChanged()], client.outgoing()


@running(deadline=None)
@given(data=st.data())
def test_cuts_change_nothing(data: st.DataObject) -> None:
    """Wherever the stream is cut, the events and what we write are those of the whole."""
    whole = script()
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=30))
    chunks = [whole[start:end] for start, end in pairwise([0, *sorted(cuts), len(whole)])]
    assert feed(chunks) == feed([whole])


def test_byte_by_byte() -> None:
    """The finest cut of all; and the script is what it is meant to be."""
    events, _ = feed([bytes([byte]) for byte in script()])
    assert events == feed([script()])[0]
    answers = [event for event in events if isinstance(event, Answer)]
    assert [answer.status for answer in answers] == [200, 200, 400, 503]
    assert answers[1].body == b"a" * 10_000 + b"b"
    assert isinstance(events[-1], Broken)


@running(deadline=None)
@given(damage=DAMAGE, chunk=st.integers(1, 500))
def test_damaged_streams(damage: list[tuple[int, int]], chunk: int) -> None:
    """Bits may flip anywhere: receive does not raise, and each stream has one end at most."""
    data = bytearray(script())
    for position, value in damage:
        data[position % len(data)] = value
    client = ready()
    ended: list[int] = []
    for start in range(0, len(data), chunk):
        for event in client.receive(bytes(data[start : start + chunk]), 0.0):
            if stream_id := getattr(event, "stream_id", 0):
                ended.append(stream_id)
            ended += getattr(event, "refused", ())
    assert len(ended) == len(set(ended))
    assert set(ended) <= set(range(1, 2 * STREAMS, 2))


@running(deadline=None)
@given(frames=st.lists(FRAMES, max_size=60))
def test_any_frames(frames: list[bytes]) -> None:
    """Frames of all kinds in any order: no exception, one end per stream, open ones still count."""
    client = ready()
    ended: list[int] = []
    is_broken = False
    for data in frames:
        for event in client.receive(data, 0.0):
            assert not is_broken
            is_broken = isinstance(event, Broken)
            if stream_id := getattr(event, "stream_id", 0):
                ended.append(stream_id)
            ended += getattr(event, "refused", ())
    assert len(ended) == len(set(ended))
    assert client.open_streams == STREAMS - len(ended)


@running(deadline=None)
@given(data=st.binary(max_size=300), is_ready=st.booleans())
def test_any_bytes(data: bytes, is_ready: bool) -> None:
    """Bytes without any sense do not raise either."""
    client = ready() if is_ready else Http2Connection()
    for event in client.receive(data, 0.0):
        assert not isinstance(event, Answer)


def test_nothing_grows() -> None:
    """10,000 pushes, resets and cancelled streams leave a connection as small as 1,000 did."""
    client, server = Http2Connection(), H2Server(MAX_CONCURRENT_STREAMS=100)
    assert exchange(client, server)[0] == Ready()
    encoder = hpack.Encoder()

    def push(number: int) -> None:
        stream_id = client.request(BLOCK, b"{}")
        client.outgoing()
        if number % 3 == 0:
            client.cancel(stream_id)
        if number % 3 == 1:
            client.receive(rst_stream(stream_id, 8), number / 100)
        block = encoder.encode([(":status", "200"), ("apns-id", str(number))])
        client.receive(frame(HEADERS, END_HEADERS, stream_id, block), number / 100)
        client.receive(frame(DATA, END_STREAM, stream_id, b"{}"), number / 100)
        assert client.open_streams == 0

    tracemalloc.start()
    try:
        for number in range(1_000):
            push(number)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1_000, 10_000):
            push(number)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert client.admits(2)
    assert after - before < 20_000
