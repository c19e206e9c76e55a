"""Header blocks against the hpack package (PU-58)."""

import hpack
import pytest
from hypothesis import given
from hypothesis import settings as running
from hypothesis import strategies as st

from tocsin.wire.http2.frames import ConnectionViolation, ErrorCode, StreamViolation
from tocsin.wire.http2.headers import Fields, ReplyDecoder, encode

NAMES = st.sampled_from([b":path", b"authorization", b"content-type", b"apns-id", b"x" * 200])
PAIRS = st.lists(st.tuples(NAMES, st.binary(max_size=400)), max_size=8)
REPLY_VALUES = st.sampled_from(["", "a", "Sun, 22 Nov 2026", "x" * 60])
REPLY = st.lists(st.tuples(st.sampled_from(["date", "server", "x-a"]), REPLY_VALUES), max_size=4)


@running(deadline=None)
@given(pairs=PAIRS)
def test_blocks_decode_to_what_they_were_made_of(pairs: list[tuple[bytes, bytes]]) -> None:
    """Any names and values arrive as they are, also over the lengths' longer forms."""
    decoder = hpack.Decoder()
    assert list(decoder.decode(encode(pairs), raw=True)) == pairs
    assert not decoder.header_table.dynamic_entries


@running(deadline=None)
@given(first=PAIRS, second=PAIRS)
def test_blocks_can_be_joined(
    first: list[tuple[bytes, bytes]], second: list[tuple[bytes, bytes]]
) -> None:
    """PU-58: the part that many pushes share is encoded once."""
    assert encode(first) + encode(second) == encode(first + second)


def test_tokens_are_never_indexed() -> None:
    """RFC 7541, section 7.1.3: device tokens and credentials stay out of every table."""
    block = encode([(b":path", b"/3/device/00"), (b"authorization", b"b"), (b"apns-id", b"7")])
    fields = hpack.Decoder().decode(block, raw=True)
    assert [field.indexable for field in fields] == [False, False, True]


@pytest.mark.parametrize("length", [126, 127, 128, 254, 255, 16_383, 16_384])
def test_lengths_at_the_borders_of_their_forms(length: int) -> None:
    """RFC 7541, section 5.1: integers on both sides of each border."""
    pairs = [(b"n" * length, b"v" * length)]
    assert list(hpack.Decoder(1 << 20).decode(encode(pairs), raw=True)) == pairs


@running(deadline=None)
@given(replies=st.lists(REPLY, max_size=20), sizes=st.lists(st.integers(0, 4096), max_size=20))
def test_remembered_replies_are_what_decoding_again_would_give(
    replies: list[list[tuple[str, str]]], sizes: list[int]
) -> None:
    """No reply is taken for one that the table no longer says, whatever changes the table."""
    encoder, ours, fresh = hpack.Encoder(), ReplyDecoder(), hpack.Decoder()
    for turn, reply in enumerate(replies):
        if turn < len(sizes):
            encoder.header_table_size = sizes[turn]
        block = encoder.encode([(":status", "200"), *reply])
        headers = {name: value for name, value in fresh.decode(block, raw=True) if name[0] != 58}
        assert ours.decode(block).head() == (200, headers)


def test_equal_replies_are_decoded_once() -> None:
    """The hot path: a block of references is the same object the second time."""
    encoder, decoder = hpack.Encoder(), ReplyDecoder()
    reply = [(":status", "200"), ("server", "x")]
    decoder.decode(encoder.encode(reply))
    block = encoder.encode(reply)
    assert decoder.decode(block) is decoder.decode(block)


@pytest.mark.parametrize(
    "block",
    [b"\x80", b"\xff\xff\xff\xff\xff\xff\xff", b"\x40\x05ab", b"\xbe", b"\x3f\xff\x7f", b"\x00"],
    ids=["index 0", "long integer", "cut short", "no such entry", "table too large", "no name"],
)
def test_undecodable_blocks_end_the_connection(block: bytes) -> None:
    """RFC 9113, section 4.3: COMPRESSION_ERROR, since both tables are lost."""
    with pytest.raises(ConnectionViolation) as caught:
        ReplyDecoder().decode(block)
    assert caught.value.code == ErrorCode.COMPRESSION_ERROR


def test_a_header_bomb_ends_the_connection() -> None:
    """PU-59, PU-91: a few references that come to more than 64 KiB are not followed."""
    decoder = ReplyDecoder()
    decoder.decode(b"\x40\x01a" + b"\x7f\xa1\x1e" + b"v" * 4000)
    with pytest.raises(ConnectionViolation) as caught:
        decoder.decode(b"\xbe" * 20)
    assert caught.value.code == ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(b"server", b"x")],
        [(b"server", b"x"), (b":status", b"200")],
        [(b":status", b"200"), (b":status", b"200")],
        [(b":status", b"0200")],
        [(b":status", b"2x0")],
        [(b":status", b"")],
        [(b":status", b"101")],
        [(b":status", b"200"), (b":path", b"/")],
        [(b":status", b"200"), (b"Server", b"x")],
        [(b":status", b"200"), (b"", b"x")],
        [(b":status", b"200"), (b"a b", b"x")],
        [(b":status", b"200"), (b"a:b", b"x")],
        [(b":status", b"200"), (b"a\xff", b"x")],
        [(b":status", b"200"), (b"a", b"x\ny")],
        [(b":status", b"200"), (b"a", b"x\ry")],
        [(b":status", b"200"), (b"a", b"x\0y")],
        [(b":status", b"200"), (b"a", b" x")],
        [(b":status", b"200"), (b"a", b"x\t")],
        [(b":status", b"200"), (b"a", b" ")],
        [(b":status", b"200"), (b"connection", b"close")],
        [(b":status", b"200"), (b"transfer-encoding", b"chunked")],
        [(b":status", b"200"), (b"content-length", b"-1")],
        [(b":status", b"200"), (b"content-length", b"1"), (b"content-length", b"2")],
    ],
)
def test_malformed_answers(pairs: list[tuple[bytes, bytes]]) -> None:
    """RFC 9113, sections 8.1.1 to 8.3.2: a stream error of type PROTOCOL_ERROR."""
    with pytest.raises(StreamViolation) as caught:
        Fields(pairs).head()
    assert caught.value.code == ErrorCode.PROTOCOL_ERROR


def test_sound_answers() -> None:
    """What may stand in a header: inner blanks, empty values, bytes over 127, repetitions."""
    pairs = [
        (b":status", b"200"),
        (b"a", b"x y\tz"),
        (b"b", b""),
        (b"c", b"\xff"),
        (b"d", b"1"),
        (b"d", b"2"),
        (b"content-length", b"7"),
        (b"content-length", b"7"),
    ]
    assert Fields(pairs).head() == (
        200,
        {b"a": b"x y\tz", b"b": b"", b"c": b"\xff", b"d": b"2", b"content-length": b"7"},
    )


def test_trailers_have_no_pseudo_headers() -> None:
    """RFC 9113, section 8.1: others are fine, `:status` is not."""
    Fields([(b"grpc-status", b"0")]).check_trailers()
    with pytest.raises(StreamViolation):
        Fields([(b":status", b"200")]).check_trailers()
