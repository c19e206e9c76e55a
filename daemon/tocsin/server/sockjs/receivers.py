"""The responses to receiving requests: polls, streams (sockjs.md, sections 3 and 5).

All are the same: a prelude, frames, and the end after one frame or after `response_limit`. A
receiver stands between its session and its link; in the engine it takes no task, however long
it waits.
"""

from collections.abc import Callable
from typing import Final

import attrs

from tocsin.ops.metrics import Metrics
from tocsin.server.responselink import ResponseLink, ResponseWriter
from tocsin.server.sockjs.session import Session
from tocsin.wire.sockjs import frames, pages
from tocsin.wire.sockjs.cors import Header
from tocsin.wire.sockjs.urls import Kind

SCRIPT: Final = "application/javascript; charset=UTF-8"
NOSNIFF: Final[Header] = ("X-Content-Type-Options", "nosniff")
FRAME_KINDS: Final = {ord("o"): "open", ord("h"): "heartbeat", ord("a"): "messages"}
CLOSE: Final = "close"


@attrs.frozen
class Format:
    """How a transport writes over HTTP; `has_one` frame in a response, or many."""

    transport: str
    content_type: str
    has_one: bool
    headers: tuple[Header, ...] = ()


FORMATS: Final = {
    Kind.XHR: Format("xhr-polling", SCRIPT, has_one=True),
    Kind.XHR_STREAMING: Format("xhr-streaming", SCRIPT, has_one=False),
    Kind.EVENTSOURCE: Format("eventsource", "text/event-stream; charset=UTF-8", has_one=False),
    Kind.HTMLFILE: Format(
        "htmlfile", "text/html; charset=UTF-8", has_one=False, headers=(NOSNIFF,)
    ),
    Kind.JSONP: Format("jsonp-polling", SCRIPT, has_one=True, headers=(NOSNIFF,)),
}


def prelude(kind: Kind, callback: str) -> bytes:
    """What comes before the first frame."""
    match kind:
        case Kind.XHR_STREAMING:
            return frames.XHR_PRELUDE
        case Kind.EVENTSOURCE:
            return frames.EVENTSOURCE_PRELUDE
        case Kind.HTMLFILE:
            return pages.htmlfile(callback)
        case _:
            return b""


def count_frame(metrics: Metrics, transport: str, frame: bytes) -> None:
    """One more frame is on its way."""
    metrics.sockjs_frames[transport, FRAME_KINDS.get(frame[0], CLOSE)].inc()


def _nobody() -> None:
    """There is no session to be found any more."""


class ResponseReceiver(ResponseWriter):
    """A `Receiver` over a link that is lent for one response."""

    __slots__ = (
        "_find",
        "_has_ended",
        "_left",
        "_link",
        "_metrics",
        "_prelude",
        "_session",
        "_wrap",
        "transport",
    )

    def __init__(
        self,
        kind: Kind,
        *,
        callback: str,
        limit: int,
        find: Callable[[], Session | None],
        metrics: Metrics,
    ) -> None:
        """`find` gives the session, or None if it has become somebody else's meanwhile."""
        self.transport = FORMATS[kind].transport
        self._wrap = frames.wrapping(kind, callback)
        self._prelude = prelude(kind, callback)
        self._left = 0 if FORMATS[kind].has_one else limit
        self._find = find
        self._metrics = metrics
        self._link: ResponseLink | None = None
        self._session: Session | None = None
        self._has_ended = False

    # For the session.

    @property
    def blocked_since(self) -> float | None:
        """When what waits for the peer last moved."""
        return None if self._link is None else self._link.blocked_since

    def write(self, frame: bytes) -> bool:
        """See `Receiver`; bytes are counted as they stand in the body (SJ-15)."""
        count_frame(self._metrics, self.transport, frame)
        body = self._wrap(frame)
        self._left -= len(body)
        if self._link is None:
            return False
        if self._left > 0:
            self._link.write(body)
            return True
        self._link.finish(body)
        return False

    def end(self) -> None:
        """See `Receiver`."""
        if self._link is not None:
            self._link.finish()

    def abort(self) -> None:
        """See `Receiver`."""
        if self._link is not None:
            self._link.abort()

    # For the link.

    def begin(self, link: ResponseLink) -> None:
        """The head has left: only now the session hears of the request."""
        self._link = link
        if self._prelude:
            link.write(self._prelude)
        # The request behind it, headers and all, need not stay for as long as the response.
        find, self._find = self._find, _nobody
        self._session = find()
        if self._session is None:
            link.abort()
        else:
            self._session.attach(self)

    def ended(self) -> None:
        """The whole response was handed to the kernel."""
        self._has_ended = True
        if self._session is not None:
            self._session.ended(self)

    def drained(self) -> None:
        """There is room for the next frame."""
        if self._session is not None:
            self._session.drained(self)

    def closed(self, _code: int) -> None:
        """The connection is gone, or goes back to HTTP."""
        if self._has_ended:
            return
        self._metrics.sockjs_aborted[self.transport].inc()
        if self._session is not None:
            self._session.broken(self)
