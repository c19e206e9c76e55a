"""SockJS frames, and how each transport writes them (sockjs.md, section 3).

A frame is ASCII JSON: everything else is escaped, so that no character is one that a transport,
a browser or a proxy treats in its own way, and lone surrogates survive (SJ-12). A message is
encoded once, when it is sent; frames are put together from encoded messages.
"""

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from tocsin.wire.sockjs.urls import Kind

OPEN: Final = b"o"
HEARTBEAT: Final = b"h"
NORMAL_CLOSURE: Final = (1000, "Normal closure")
INTERNAL_ERROR: Final = (1011, "Internal error")
SERVICE_RESTART: Final = (1012, "Service restart")
TRY_AGAIN_LATER: Final = (1013, "Try again later")
STILL_OPEN: Final = (2010, "Another connection still open")
BROKEN_FRAMING: Final = (3000, "Broken framing.")
UNAUTHORIZED: Final = (3000, "Unauthorized")
FORBIDDEN: Final = (3003, "Forbidden")
TIMEOUT: Final = (3008, "Timeout")

MESSAGE_BYTES: Final = 1_048_576
"""A whole message of a client, or a whole body of messages; more is refused (SJ-18, SJ-34)."""

# What a client says of itself; a server that sends one of them is misunderstood (SJ-35).
CLIENTS_OWN: Final = frozenset({1002, 1006, 2000, 2007})

XHR_PRELUDE: Final = b"h" * 2048 + b"\n"
EVENTSOURCE_PRELUDE: Final = b"\r\n"
UNFIT_FOR_EVENTS: Final = b"\r\n\0"


def encode_message(message: str | bytes) -> bytes:
    """A message as it stands in a frame: a JSON string in ASCII. Bytes are UTF-8."""
    text = message.decode() if isinstance(message, bytes) else message
    return json.dumps(text).encode("ascii")


def message_frame(encoded: Iterable[bytes]) -> bytes:
    """`a[...]` of encoded messages."""
    return b"a[%b]" % b",".join(encoded)


def close_frame(code: int, reason: str) -> bytes:
    """`c[code,"reason"]`. ValueError: a code that is the client's own (SJ-35)."""
    if code in CLIENTS_OWN:
        raise ValueError(f"{code} is for clients to say")
    return b"c[%d,%b]" % (code, encode_message(reason))


def wrapping(kind: Kind, callback: str = "") -> Callable[[bytes], bytes]:
    """What turns a frame into the bytes of a receiving transport's response body.

    ValueError: the kind receives nothing over HTTP.
    """
    match kind:
        case Kind.XHR | Kind.XHR_STREAMING:
            return wrap_xhr
        case Kind.EVENTSOURCE:
            return wrap_event
        case Kind.HTMLFILE:
            return wrap_script
        case Kind.JSONP:
            return partial(wrap_call, callback)
        case _:
            raise ValueError(f"{kind} receives nothing over HTTP")


def wrap_xhr(frame: bytes) -> bytes:
    """xhr and xhr_streaming: a line."""
    return frame + b"\n"


def wrap_event(frame: bytes) -> bytes:
    """eventsource: an event, of which the client decodes percent escapes (SJ-13).

    ValueError: a frame that would end the event or the line; none made here does.
    """
    if any(control in frame for control in UNFIT_FOR_EVENTS):
        raise ValueError("a frame is one line")
    return b"data: %b\r\n\r\n" % frame.replace(b"%", b"%25")


def wrap_script(frame: bytes) -> bytes:
    """htmlfile: a script for the page of `pages.htmlfile`."""
    return b"<script>\np(%b);\n</script>\r\n" % _quoted(frame)


def wrap_call(callback: str, frame: bytes) -> bytes:
    """jsonp: a call of the page's function, whose name has been checked (SJ-21)."""
    return b"/**/%b(%b);\r\n" % (callback.encode("ascii"), _quoted(frame))


def _quoted(frame: bytes) -> bytes:
    """The frame as a JSON string that cannot end a script (SJ-14)."""
    return encode_message(frame.decode("ascii")).replace(b"<", b"\\u003c")
