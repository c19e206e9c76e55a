"""Differential fuzzing of the decoder against wsproto and the core of `websockets`.

All three get the same bytes; accepted messages and the verdict must agree. Where they may not:

- `websockets` does not ask for the shortest form of a length (section 5.2 does).
- `websockets` refuses a Close inside a fragmented message (section 5.4 allows control frames
  there), compares control frames with the message limit, and leaves the judgement of UTF-8 in
  text to the layers above its core.
- Of a frame that is wrong in two ways `websockets` names the other one first: the reason of a
  Close before its code, the limit before everything but the mask.
- wsproto does not know close code 1014 (registered after RFC 6455) and has no message limit
  below its connection object.
- wsproto judges text while a frame is still incomplete; so the streams here end with a frame.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.client_frames import client_frame
from websockets.frames import Opcode as TheirOpcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from tocsin.wire.websocket import BINARY, CLOSE, CONTINUATION, TEXT
from tocsin.wire.websocket_decoder import Decoder, ProtocolViolation

Verdict = tuple[list[tuple[int, bytes]], int | None]
LIMIT = 300
WRONG_IN_TWO_WAYS = {(1002, 1007), (1002, 1009)}


def ours(stream: bytes, limit: int) -> Verdict:
    """Our decoder's view."""
    frames = []
    try:
        for opcode, payload in Decoder(max_message=limit).feed(stream):
            if opcode != CONTINUATION:
                frames.append((opcode, payload))
    except ProtocolViolation as violation:
        return frames, violation.code
    return frames, None


def wsprotos(stream: bytes) -> Verdict:
    """The view of wsproto's frame layer, its pieces of messages put together."""
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(stream)
    frames: list[tuple[int, bytes]] = []
    message = b""
    try:
        for frame in protocol.received_frames():
            payload = frame.payload
            if frame.opcode is Opcode.CLOSE:
                code, reason = payload
                raw = b"" if code == 1005 else int(code).to_bytes(2) + reason.encode()
                frames.append((CLOSE, raw))
            elif frame.opcode.iscontrol():
                frames.append((int(frame.opcode), bytes(payload)))
            else:
                message += payload.encode() if isinstance(payload, str) else payload
                if frame.message_finished and frame.frame_finished:
                    frames.append((int(frame.opcode), message))
                    message = b""
    except ParseFailed as failure:
        return frames, int(failure.code)
    return frames, None


def websockets_view(stream: bytes, limit: int) -> Verdict:
    """The view of `websockets`' core, its fragments put together."""
    protocol = ServerProtocol(state=OPEN, max_size=limit)
    protocol.receive_data(stream)
    frames: list[tuple[int, bytes]] = []
    kind, message = 0, b""
    for frame in protocol.events_received():
        if frame.opcode in {TheirOpcode.CONT, TheirOpcode.TEXT, TheirOpcode.BINARY}:
            kind, message = int(frame.opcode) or kind, message + frame.data
            if frame.fin:
                frames.append((kind, bytes(message)))
                message = b""
        else:
            frames.append((int(frame.opcode), bytes(frame.data)))
    if protocol.parser_exc is None:
        return frames, None
    return frames, protocol.close_sent.code if protocol.close_sent else None


MASKS = st.binary(min_size=4, max_size=4)
TEXTS = st.text(max_size=60).map(str.encode)
PAYLOADS = st.one_of(TEXTS, st.binary(max_size=60), st.sampled_from([b"x" * 126, b"y" * 290]))
CLOSES = st.builds(
    lambda code, reason: code.to_bytes(2) + reason,
    st.one_of(st.sampled_from([1000, 1001, 1011, 3000, 4999]), st.integers(0, 6000)).filter(
        lambda code: code != 1014
    ),
    st.one_of(TEXTS, st.binary(max_size=8)).map(lambda reason: reason[:120]),
)
GOOD_FRAMES = st.one_of(
    st.builds(client_frame, st.sampled_from([0x81, 0x81, 0x01]), TEXTS, mask=MASKS),
    st.builds(client_frame, st.sampled_from([0x82, 0x02, 0x00, 0x80]), PAYLOADS, mask=MASKS),
    st.builds(client_frame, st.sampled_from([0x89, 0x8A]), st.binary(max_size=125), mask=MASKS),
)
ANY_FRAMES = st.one_of(
    GOOD_FRAMES,
    GOOD_FRAMES,
    st.builds(client_frame, st.sampled_from([0x81, 0x01, 0x80, 0x00]), PAYLOADS, mask=MASKS),
    st.builds(client_frame, st.just(0x88), st.one_of(CLOSES, st.binary(max_size=3)), mask=MASKS),
    st.builds(client_frame, st.integers(0, 255), st.binary(max_size=100), mask=MASKS),
    st.builds(client_frame, st.sampled_from([0x81, 0x82, 0x89]), TEXTS, mask=st.none()),
    st.builds(client_frame, st.sampled_from([0x89, 0x8A]), st.just(b"z" * 126), mask=MASKS),
)
WRONG_FORMS = st.builds(
    client_frame, st.sampled_from([0x81, 0x82]), TEXTS, mask=MASKS, form=st.sampled_from([16, 64])
)


def unknown_close(stream: bytes) -> bool:
    """Whether the stream has the one close code that wsproto has never heard of."""
    return any(
        payload[:2] == b"\x03\xf6" for kind, payload in ours(stream, 1 << 20)[0] if kind == CLOSE
    )


@settings(max_examples=300)
@given(stream=st.lists(st.one_of(ANY_FRAMES, WRONG_FORMS), max_size=8).map(b"".join))
def test_wsproto_agrees(stream: bytes) -> None:
    """Same frames and the same verdict as wsproto, for streams of good and broken frames."""
    if not unknown_close(stream):
        assert ours(stream, 1 << 20) == wsprotos(stream)


@settings(max_examples=300)
@given(
    frames=st.lists(GOOD_FRAMES, min_size=1, max_size=5),
    place=st.integers(0, 1 << 16),
    change=st.integers(1, 255),
)
def test_wsproto_agrees_about_damaged_streams(frames: list[bytes], place: int, change: int) -> None:
    """One byte changed anywhere: nothing is accepted by one and differently by the other."""
    damaged = bytearray(b"".join(frames))
    damaged[place % len(damaged)] ^= change
    stream = bytes(damaged)
    (our_frames, our_code), (their_frames, their_code) = ours(stream, 1 << 63), wsprotos(stream)
    if not unknown_close(stream):
        shared = min(len(our_frames), len(their_frames))
        assert our_frames[:shared] == their_frames[:shared]
        if our_code and their_code:
            assert (our_frames, our_code) == (their_frames, their_code)
        elif not our_code and not their_code:
            assert our_frames == their_frames


def comparable_with_websockets(frames: list[bytes]) -> bool:
    """Leave out what the module docstring says `websockets` does not judge as the RFC does."""
    stream = b"".join(frames)
    if not all(_is_utf8(payload) for kind, payload in ours(stream, LIMIT)[0] if kind == TEXT):
        return False
    fragmented = any(not frame[0] & 0x80 for frame in frames)
    closing = any(frame[0] == 0x88 for frame in frames)
    return not fragmented or (not closing and len(stream) + 125 <= LIMIT)


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=300)
@given(frames=st.lists(ANY_FRAMES, max_size=8))
def test_websockets_agrees(frames: list[bytes]) -> None:
    """Same frames and the same verdict as the core of `websockets`, message limit included."""
    stream = b"".join(frames)
    verdict = ours(stream, LIMIT)
    if comparable_with_websockets(frames) and verdict[1] != 1007:
        theirs = websockets_view(stream, LIMIT)
        assert verdict[0] == theirs[0]
        assert verdict[1] == theirs[1] or (verdict[1], theirs[1]) in WRONG_IN_TWO_WAYS


def test_websockets_agrees_about_the_limit_over_fragments() -> None:
    """The limit counts the fragments of a message together, and starts anew with the next."""
    parts = [client_frame(0x02, b"a" * 200), client_frame(0x80, b"b" * 100)]
    for stream in (b"".join(parts * 2), parts[0] + client_frame(0x80, b"b" * 101)):
        assert ours(stream, LIMIT) == websockets_view(stream, LIMIT)
    assert ours(b"".join(parts), LIMIT)[0] == [(BINARY, b"a" * 200 + b"b" * 100)]
