"""Frames to the byte, and that nothing in them can hurt a transport."""

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin.wire.sockjs import frames
from tocsin.wire.sockjs.frames import (
    close_frame,
    encode_message,
    message_frame,
    wrap_call,
    wrap_event,
    wrap_script,
    wrap_xhr,
    wrapping,
)
from tocsin.wire.sockjs.receiving import websocket_messages, xhr_messages
from tocsin.wire.sockjs.urls import Kind


def as_clients_see_it(text: str) -> str:
    """Two surrogates side by side are one character wherever strings are UTF-16."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


ANY_TEXT = st.text(st.characters(codec=None)).map(as_clients_see_it)
RECEIVING = [Kind.XHR, Kind.XHR_STREAMING, Kind.EVENTSOURCE, Kind.HTMLFILE, Kind.JSONP]
AWKWARD = "\x00\r\n\u200c\u2028\u206f\ufff0\uffff\ud800</script>\udfff%41\U0001f600\\\"'"


def frame(*messages: str) -> bytes:
    return message_frame(map(encode_message, messages))


def test_frames() -> None:
    """The table of section 3, without spaces (SJ-12)."""
    assert frames.OPEN == b"o"
    assert frames.HEARTBEAT == b"h"
    assert frame("x", "y") == b'a["x","y"]'
    assert close_frame(3000, "Go away!") == b'c[3000,"Go away!"]'


@pytest.mark.parametrize("code", [1002, 1006, 2000, 2007])
def test_codes_that_are_the_clients(code: int) -> None:
    """No close frame carries what a client says of itself (SJ-35)."""
    with pytest.raises(ValueError, match=str(code)):
        close_frame(code, "x")


def test_codes_with_their_reasons() -> None:
    """As sections 5 and 6 word them (SJ-23, SJ-28, SJ-33, SJ-35)."""
    assert close_frame(*frames.NORMAL_CLOSURE) == b'c[1000,"Normal closure"]'
    assert close_frame(*frames.SERVICE_RESTART) == b'c[1012,"Service restart"]'
    assert close_frame(*frames.TRY_AGAIN_LATER) == b'c[1013,"Try again later"]'
    assert close_frame(*frames.STILL_OPEN) == b'c[2010,"Another connection still open"]'
    assert close_frame(*frames.BROKEN_FRAMING) == b'c[3000,"Broken framing."]'
    assert close_frame(*frames.TIMEOUT) == b'c[3008,"Timeout"]'


@given(st.lists(ANY_TEXT, min_size=1))
@example([AWKWARD])
def test_any_text_survives(messages: list[str]) -> None:
    """What is framed is ASCII without controls and comes back as it was (SJ-12)."""
    encoded = frame(*messages)
    assert encoded.decode("ascii").isprintable()
    assert websocket_messages(encoded[1:]) == xhr_messages(encoded[1:]) == messages
    assert json.loads(encoded[1:]) == messages


@given(ANY_TEXT)
@example(AWKWARD)
def test_one_message_survives(message: str) -> None:
    """A single JSON string is a message of a framed WebSocket too (SJ-12, SJ-17)."""
    assert websocket_messages(encode_message(message)) == [message]


def test_wrappings() -> None:
    """One frame on every transport, to the byte (section 3's table)."""
    assert wrap_xhr(b"o") == b"o\n"
    assert wrap_event(b"o") == b"data: o\r\n\r\n"
    assert wrap_script(b"o") == b'<script>\np("o");\n</script>\r\n'
    assert wrap_call("cb.x-1_", b"o") == b'/**/cb.x-1_("o");\r\n'
    assert wrap_call("cb", b'a["x"]') == b'/**/cb("a[\\"x\\"]");\r\n'


def test_preludes() -> None:
    """2,048 times `h` and a line's end; an empty line (section 3's table)."""
    assert frames.XHR_PRELUDE == b"h" * 2048 + b"\n"
    assert frames.EVENTSOURCE_PRELUDE == b"\r\n"


def test_the_wrapping_of_each_kind() -> None:
    """A kind is wrapped as its transport wants it, and what receives nothing is no kind."""
    assert [wrapping(kind, "cb")(b"h") for kind in RECEIVING] == [
        wrap_xhr(b"h"),
        wrap_xhr(b"h"),
        wrap_event(b"h"),
        wrap_script(b"h"),
        wrap_call("cb", b"h"),
    ]
    for kind in set(Kind) - set(RECEIVING):
        with pytest.raises(ValueError, match="receives nothing"):
            wrapping(kind)


@given(ANY_TEXT)
@example(AWKWARD)
def test_an_event_is_one_line(message: str) -> None:
    """No CR, LF or NUL, and no `%` that is not one of ours: decodeURI gives the frame (SJ-13)."""
    sent = frame(message)
    data = wrap_event(sent).removeprefix(b"data: ").removesuffix(b"\r\n\r\n")
    assert not set(b"\r\n\0") & set(data)
    assert data.count(b"%") == data.count(b"%25")
    assert data.replace(b"%25", b"%") == sent


@pytest.mark.parametrize("control", [b"\r", b"\n", b"\0"])
def test_an_event_refuses_what_would_end_it(control: bytes) -> None:
    """A frame that was not made here does not get through unseen (SJ-13)."""
    with pytest.raises(ValueError, match="one line"):
        wrap_event(b'a["' + control + b'"]')


@given(ANY_TEXT)
@example(AWKWARD)
@example("<\\<\\\\<")
def test_scripts_carry_the_frame_and_nothing_else(message: str) -> None:
    """No `<` that could end the script, and the page's function gets the frame (SJ-14)."""
    sent = frame(message)
    for wrapped, shape in (
        (wrap_script(sent), rb"<script>\np\((.*)\);\n</script>\r\n"),
        (wrap_call("f", sent), rb"/\*\*/f\((.*)\);\r\n"),
    ):
        match = re.fullmatch(shape, wrapped)
        assert match is not None
        assert b"<" not in match[1]
        assert json.loads(match[1]) == sent.decode()
