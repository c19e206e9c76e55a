"""What a connection of HTTP/2 tells its owner (push.md, D.1)."""

from collections.abc import Mapping

import attrs


@attrs.frozen
class Ready:
    """The server's first SETTINGS have come: requests may go out."""


@attrs.frozen
class LimitsChanged:
    """Later SETTINGS or a WINDOW_UPDATE: `limit` or what `admits` says may be another."""


@attrs.frozen
class Answer:
    """A complete answer; its stream is closed. Interim answers and trailers are dropped.

    `headers` are by lower-case name, without `:status`; of a repeated one the last value.
    """

    stream_id: int
    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


@attrs.frozen
class Reset:
    """A stream ended without a complete answer: by the server's RST_STREAM, or by ours.

    Ours has the code PROTOCOL_ERROR or FLOW_CONTROL_ERROR for an answer that is none, and CANCEL
    for one that is over a bound. `was_sent` is what `Http2Connection.was_sent` said before it.
    """

    stream_id: int
    code: int
    was_sent: bool


@attrs.frozen
class Leaving:
    """The server's GOAWAY: no new streams here.

    `refused` are the open streams above `last_id`; the server has not looked at them and they
    are closed here. The others go on. A second GOAWAY may come with a lower `last_id`, and a
    first one with 2^31-1 is only a notice.
    """

    last_id: int
    code: int
    debug: bytes
    refused: tuple[int, ...]


@attrs.frozen
class PingAnswered:
    """Our PING came back."""

    payload: bytes


@attrs.frozen
class Broken:
    """The server broke the protocol or a bound: the last event there is.

    A GOAWAY with `code` is in `outgoing`, for a best effort; the connection is to be closed. All
    streams still open have ended without an answer.
    """

    code: int
    reason: str


Event = Ready | LimitsChanged | Answer | Reset | Leaving | PingAnswered | Broken
