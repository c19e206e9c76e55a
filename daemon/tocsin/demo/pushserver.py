"""The server's side of HTTP/2, as far as a stand-in for APNs needs it: bytes in, pushes out.

RFC 9113 with what `wire/http2` has of it. Built to be talked to by our own client: what a strict
server would refuse ends the connection or is passed over, nothing is answered by halves.
"""

import attrs
import hpack

from tocsin.wire.http2.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_CONCURRENT_STREAMS,
    PADDED,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    ConnectionViolation,
    ErrorCode,
    frame,
    settings,
    window_update,
    without_padding,
)
from tocsin.wire.http2.headers import encode
from tocsin.wire.http2.reader import Frame, FrameReader

STREAMS = 100
BODY_BYTES = 8192
"""More than APNs takes of one push."""


@attrs.define
class Push:
    """One request, as far as it has come; a repeated header counts once, the last."""

    stream_id: int
    headers: dict[str, str]
    body: bytes = b""


class PushServer:
    """One connection. Its owner feeds `receive`, answers each push, and writes `outgoing`.

    Bounds: `STREAMS` at once, `BODY_BYTES` each; beyond either the connection ends.
    """

    def __init__(self) -> None:
        self._preface = PREFACE
        self._reader = FrameReader()
        self._decoder = hpack.Decoder()
        self._open: dict[int, Push] = {}
        self._out = settings({MAX_CONCURRENT_STREAMS: STREAMS})

    def outgoing(self) -> bytes:
        """Everything to write now; what was handed out is forgotten."""
        data, self._out = self._out, b""
        return data

    def receive(self, data: bytes) -> list[Push]:
        """The pushes that `data` completes; ConnectionViolation, after which nothing works."""
        frames = self._reader.read(self._behind_preface(data))
        return [push for one in frames if (push := self._take(one)) is not None]

    def answer(self, push: Push, status: int = 200) -> None:
        """As Apple answers what it takes: without a body."""
        pairs = [(b":status", str(status).encode())]
        if "apns-id" in push.headers:
            pairs.append((b"apns-id", push.headers["apns-id"].encode()))
        self._out += frame(HEADERS, END_HEADERS | END_STREAM, push.stream_id, encode(pairs))

    def _behind_preface(self, data: bytes) -> bytes:
        due = self._preface
        if not due:
            return data
        if not data.startswith(due) and not due.startswith(data):
            raise ConnectionViolation(ErrorCode.PROTOCOL_ERROR, "no preface")
        self._preface = due[len(data) :]
        return data[len(due) :]

    def _take(self, one: Frame) -> Push | None:
        kind, flags, stream_id, payload = one
        if kind == HEADERS:
            self._begin(stream_id, payload)
        elif kind == DATA:
            self._continue(flags, stream_id, payload)
        elif kind == SETTINGS and not flags & ACK:
            self._out += frame(SETTINGS, ACK, 0, b"")
        elif kind == PING and not flags & ACK:
            self._out += frame(PING, ACK, 0, payload)
        elif kind == RST_STREAM:
            self._open.pop(stream_id, None)
        is_last = kind in {HEADERS, DATA} and flags & END_STREAM
        return self._open.pop(stream_id, None) if is_last else None

    def _begin(self, stream_id: int, block: bytes) -> None:
        try:
            fields = self._decoder.decode(block, raw=True)
        except hpack.HPACKError:
            raise ConnectionViolation(ErrorCode.COMPRESSION_ERROR, "bad header block") from None
        if len(self._open) >= STREAMS:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "too many streams")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
        self._open[stream_id] = Push(stream_id, headers)

    def _continue(self, flags: int, stream_id: int, payload: bytes) -> None:
        if payload:
            self._out += window_update(0, len(payload))
        push = self._open.get(stream_id)
        if push is None:
            return
        push.body += without_padding(flags & PADDED, payload)
        if len(push.body) > BODY_BYTES:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "push too large")
