"""What the decoder accepts, and what it refuses with which code (RFC 6455, SE-5, SE-6)."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.client_frames import (
    binary,
    client_frame,
    close,
    continuation,
    ping,
    pong,
    text,
)

from tocsin.wire.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from tocsin.wire.websocket_decoder import FRAGMENT, Decoder, Frame, ProtocolViolation

LIMIT = 4096


def decode(*chunks: bytes, limit: int = LIMIT) -> tuple[list[Frame], int | None]:
    """All frames, and the code of the violation that ended them, through a shared buffer."""
    decoder = Decoder(max_message=limit)
    shared = bytearray(1 << 20)
    frames: list[Frame] = []
    try:
        for chunk in chunks:
            shared[: len(chunk)] = chunk
            for frame in decoder.feed(memoryview(shared)[: len(chunk)]):
                frames.append(frame)
                if frame[0] == CLOSE:
                    return frames, None
            shared[: len(chunk)] = bytes(len(chunk))
    except ProtocolViolation as violation:
        return frames, violation.code
    return frames, None


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70000])
def test_messages_of_every_length_form(size: int) -> None:
    """Text and binary arrive whole at both sides of each length form's border."""
    payload = bytes(index % 128 for index in range(size))
    frames, code = decode(text(payload) + binary(payload), limit=1 << 20)
    assert (frames, code) == ([(TEXT, payload), (BINARY, payload)], None)


@given(payload=st.binary(max_size=300), mask=st.binary(min_size=4, max_size=4))
def test_unmasking_undoes_any_mask(payload: bytes, mask: bytes) -> None:
    """Any payload under any mask comes out as it went in (section 5.3)."""
    assert decode(client_frame(0x82, payload, mask=mask)) == ([(BINARY, payload)], None)


def test_fragments_become_one_message() -> None:
    """Section 5.4: one event per frame, the message with the last of them."""
    stream = text(b"a", final=False) + continuation(b"", final=False) + continuation(b"b")
    assert decode(stream + text(b"c")) == ([FRAGMENT, FRAGMENT, (TEXT, b"ab"), (TEXT, b"c")], None)


def test_binary_fragments_are_not_judged_as_text() -> None:
    """A fragmented binary message after a text one may hold anything."""
    stream = text(b"a", final=False) + continuation(b"b") + client_frame(0x02, b"\xff")
    assert decode(stream + continuation(b"\xc3"))[0][-1] == (BINARY, b"\xff\xc3")


def test_control_frames_between_fragments() -> None:
    """Section 5.5: Ping, Pong and even Close may stand inside a fragmented message."""
    stream = text(b"a", final=False) + ping(b"1") + pong(b"2") + continuation(b"b", final=False)
    assert decode(stream + close(1000)) == (
        [FRAGMENT, (PING, b"1"), (PONG, b"2"), FRAGMENT, (CLOSE, b"\x03\xe8")],
        None,
    )


def test_a_character_may_span_fragments() -> None:
    """UTF-8 is judged over the message: a character cut by a fragment is whole again."""
    euro = "€".encode()
    stream = text(euro[:1], final=False) + ping() + continuation(euro[1:])
    assert decode(stream) == ([FRAGMENT, (PING, b""), (TEXT, euro)], None)


@pytest.mark.parametrize(
    "frame",
    [
        client_frame(0x81, b"a", mask=None),
        client_frame(0x88, b"", mask=None),
        client_frame(0xC1, b"a"),
        client_frame(0xA1, b"a"),
        client_frame(0x91, b"a"),
        *(client_frame(0x80 | opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        client_frame(0x08),
        client_frame(0x09),
        client_frame(0x0A),
        client_frame(0x89, b"x" * 126),
        client_frame(0x8A, b"x", form=64),
        continuation(b"a"),
        continuation(b"a", final=False),
        text(b"a", final=False) + text(b"b"),
        text(b"a", final=False) + client_frame(0x02, b"b"),
        client_frame(0x81, b"x" * 125, form=16),
        client_frame(0x81, b"x" * 125, form=64),
        client_frame(0x81, b"x" * 300, form=64),
        client_frame(0x82, b"", form=64, announced=1 << 63),
        client_frame(0x82, b"", form=64, announced=(1 << 64) - 1),
        client_frame(0x88, b"x"),
        *(close(code) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)),
    ],
)
def test_framing_violations_are_1002(frame: bytes) -> None:
    """Each rule of sections 5.2 to 5.5 and 7.4, broken once, after a frame that still counts."""
    frames, code = decode(ping(b"before") + frame + ping(b"after"))
    assert code == 1002
    assert frames[0] == (PING, b"before")
    assert (PING, b"after") not in frames


@pytest.mark.parametrize(
    "payload", [b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok\x80"]
)
def test_text_that_is_not_utf8_is_1007(payload: bytes) -> None:
    """Section 8.1: in one frame, in fragments at any place, and in the reason of a Close."""
    assert decode(text(payload)) == ([], 1007)
    for cut in range(len(payload) + 1):
        stream = text(payload[:cut], final=False) + continuation(payload[cut:])
        assert decode(stream)[1] == 1007
    assert decode(close(1000, payload)) == ([], 1007)


def test_fragmented_text_fails_with_the_first_bad_fragment() -> None:
    """The rest of a message that cannot become UTF-8 is not waited for."""
    assert decode(text(b"\xff", final=False)) == ([], 1007)


@pytest.mark.parametrize("code", [None, 1000, 1001, 1007, 1014, 3000, 4999])
def test_close_frames_that_are_fine(code: int | None) -> None:
    """A Close may be empty or carry a registered or private code."""
    frames, violation = decode(close(code) + b"whatever follows")
    assert violation is None
    assert frames == [(CLOSE, b"" if code is None else code.to_bytes(2))]


def test_a_message_at_the_limit_passes_and_one_byte_more_is_1009() -> None:
    """SE-5: the limit is inclusive, for one frame and for the sum of fragments."""
    assert decode(text(b"x" * LIMIT))[1] is None
    assert decode(text(b"x" * (LIMIT + 1))) == ([], 1009)
    stream = text(b"x" * LIMIT, final=False)
    assert decode(stream + continuation(b""))[0][-1] == (TEXT, b"x" * LIMIT)
    assert decode(stream + continuation(b"x")) == ([FRAGMENT], 1009)


def test_a_message_that_is_too_long_is_refused_by_its_header() -> None:
    """SE-6: the announced length decides, before a byte of the payload has come."""
    head = client_frame(0x82, b"", form=64, announced=1 << 40)[:10]
    assert decode(head) == ([], 1009)


def test_control_frames_do_not_count_towards_the_limit() -> None:
    """A Ping inside a message that has reached the limit is no violation."""
    stream = text(b"x" * 10, final=False) + ping(b"y" * 100) + continuation(b"")
    assert decode(stream, limit=10)[1] is None


def test_empty_fragments_without_end_hold_no_memory() -> None:
    """SE-6: a message made of nothing, a million times, costs what one costs."""
    decoder = Decoder(max_message=LIMIT)
    list(decoder.feed(text(b"", final=False)))
    flood = continuation(b"", final=False) * 1000
    tracemalloc.start()
    for _ in range(20):
        for _frame in decoder.feed(flood):
            pass
    kept, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 4096


def test_a_message_in_drips_is_not_copied_with_every_drip() -> None:
    """SE-6: a long message that comes byte by byte costs a byte per byte."""
    size = 1 << 20
    stream = binary(b"x" * size)
    decoder = Decoder(max_message=size)
    list(decoder.feed(stream[:-101]))
    copies = 0
    tracemalloc.start()
    for byte in stream[-101:-1]:
        tracemalloc.reset_peak()
        list(decoder.feed(bytes((byte,))))
        copies += tracemalloc.get_traced_memory()[1] > size // 2
        tracemalloc.clear_traces()
    tracemalloc.stop()
    assert copies < 10
    assert list(decoder.feed(stream[-1:])) == [(BINARY, b"x" * size)]


def chunks_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The stream, cut at these places."""
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(places)]


PIECES = st.one_of(
    st.text(max_size=40).map(lambda value: text(value.encode())),
    st.binary(max_size=40).map(binary),
    st.binary(max_size=10).map(lambda value: text(value, final=False)),
    st.builds(continuation, st.binary(max_size=10), final=st.booleans()),
    st.binary(max_size=125).map(ping),
    st.sampled_from([text(b"x" * 200), binary(b"y" * 66000), close(1000), close(1005)]),
    st.binary(max_size=12),
)


@given(
    stream=st.lists(PIECES, max_size=8).map(b"".join),
    cuts=st.lists(st.integers(0, 1 << 20), max_size=8),
)
def test_any_split_of_a_stream_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    """Frames and verdict do not depend on how the bytes happened to arrive."""
    assert decode(*chunks_of(stream, cuts), limit=65000) == decode(stream, limit=65000)


def test_a_stream_byte_by_byte() -> None:
    """The extreme split: one byte at a time, over all length forms."""
    stream = text(b"a" * 3) + text(b"b" * 300) + ping(b"c") + text(b"d", final=False)
    stream += continuation(b"e" * 65536) + close(4000, b"bye")
    assert decode(*(bytes((byte,)) for byte in stream), limit=70000) == decode(stream, limit=70000)
    assert decode(stream, limit=70000)[0][-1] == (CLOSE, b"\x0f\xa0bye")


def test_fragment_events_say_continuation() -> None:
    """A caller that counts frames may count events."""
    assert FRAGMENT == (CONTINUATION, b"")
