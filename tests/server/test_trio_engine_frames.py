"""Cutting a client's stream into frames without reading them (SE-5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import client_frames as from_client

from tocsin.server.trio_engine_frames import FrameCutter
from tocsin.wire.websocket_decoder import ProtocolViolation

FRAMES = st.one_of(
    st.builds(from_client.client_frame, st.sampled_from([0x81, 0x82]), st.binary(max_size=300)),
    st.builds(
        from_client.client_frame,
        st.sampled_from([0x88, 0x89, 0x8A]),
        st.binary(max_size=125),
        mask=st.sampled_from([from_client.MASK, None]),
    ),
)


@given(frames=st.lists(FRAMES, max_size=6), pieces=st.integers(1, 40))
def test_frames_come_out_as_they_went_in(frames: list[bytes], pieces: int) -> None:
    """However the stream is cut up on its way, the frames come out whole, one by one."""
    cutter, stream = FrameCutter(max_message=300), b"".join(frames)
    cut = [
        frame.data
        for start in range(0, len(stream), pieces)
        for frame in cutter.feed(stream[start : start + pieces])
    ]
    assert cut == frames


@given(sizes=st.lists(st.integers(0, 120), min_size=1, max_size=6), limit=st.integers(1, 300))
def test_the_limit_is_that_of_a_message(sizes: list[int], limit: int) -> None:
    """SE-5: fragments count together, control frames between them do not, and a frame that
    would pass the limit is refused by its header alone."""
    cutter, taken = FrameCutter(max_message=limit), 0
    for number, size in enumerate(sizes):
        frame = from_client.client_frame(0x00 if number else 0x02, b"x" * size)
        if taken + size > limit:
            with pytest.raises(ProtocolViolation, match="1009"):
                list(cutter.feed(frame[:2]))
            return
        taken += size
        assert [one.data for one in cutter.feed(frame)] == [frame]
        assert len(list(cutter.feed(from_client.ping(b"p" * 125)))) == 1
    assert len(list(cutter.feed(from_client.continuation(b"")))) == 1
    whole = from_client.binary(b"x" * min(limit, 125))
    assert [one.data for one in cutter.feed(whole)] == [whole]


@pytest.mark.parametrize(
    "header",
    [b"\x89\xfe", b"\x8b\xff", from_client.client_frame(0x81, form=64, announced=1 << 63)],
)
def test_a_hopeless_header_is_passed_on_at_once(header: bytes) -> None:
    """What no payload could make right is not waited for: the library is to refuse it."""
    assert [frame.data for frame in FrameCutter(max_message=300).feed(header)] == [header]


def test_what_ends_a_message() -> None:
    """The last frame of a message, and never a control frame."""
    stream = (
        from_client.text(b"a", final=False) + from_client.ping() + from_client.continuation(b"b")
    )
    frames = FrameCutter(max_message=300).feed(stream + from_client.close())
    assert [frame.ends_message for frame in frames] == [False, False, True, False]
