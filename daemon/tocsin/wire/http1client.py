"""HTTP/1.1 answers: bytes in, a status out, whatever the far side does (PU-69).

One reader serves one connection for its whole life. What it takes from a far side that nobody
vouches for is bounded: 16 KiB of head, interim answers included, and 64 KiB after it. Past the
head the status is known, and trouble in the body costs only the connection.
"""

import httptools

from tocsin.model.errors import TocsinError

HEAD_LIMIT = 16_384
BODY_LIMIT = 65_536
BODY_KEPT = 2_048


class BadAnswerError(TocsinError):
    """The far side does not speak HTTP/1.x as it should; `problem` says how.

    `malformed`, `head_too_large` or `upgrade`.
    """

    reason = "bad_answer"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class AnswerReader:
    """Reads the answers on one connection, one at a time.

    After `feed`, `status` is set as soon as a whole final head has come (1xx are skipped),
    `headers` has its last values by lower-case name, `body` the first 2 KiB. `finished` says
    that nothing more is wanted; `reusable` that the connection can carry another request.
    """

    __slots__ = ("_parser", "_seen", "body", "finished", "headers", "reusable", "status")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.reset()

    def reset(self) -> None:
        """Make ready for the answer to the next request on a reusable connection."""
        self.status: int | None = None
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.finished = False
        self.reusable = False
        self._seen = 0

    @property
    def has_begun(self) -> bool:
        """The far side has said something, be it the first byte."""
        return self._seen > 0

    def feed(self, data: bytes) -> None:
        """Take what was received, b"" for the end of the stream.

        Raises BadAnswerError while there is no status; with one, trouble only ends the answer.
        """
        if not data:
            self.finished = True
            return
        while self.status is None and data:
            room = HEAD_LIMIT - self._seen
            if room <= 0:
                raise BadAnswerError("head_too_large")
            self._parse(data[:room])
            data = data[room:]
        if data and not self.finished:
            self._parse(data)
        if self._seen > HEAD_LIMIT + BODY_LIMIT:
            self.finished, self.reusable = True, False

    def _parse(self, data: bytes) -> None:
        self._seen += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise BadAnswerError("upgrade") from None
        except httptools.HttpParserError:
            if self.status is None:
                raise BadAnswerError("malformed") from None
            self.finished = True
            self.reusable = False

    # What httptools calls. An exception raised here would come out of feed_data wrapped.

    def on_message_begin(self) -> None:
        """Bytes after the answer we waited for: nobody asked for them."""
        if self.finished:
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of a head; trailers come when the status is known and are dropped."""
        if self.status is None:
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """A head is whole."""
        if self.finished:
            return
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
        else:
            self.headers = {}

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self.finished and len(self.body) < BODY_KEPT:
            self.body = (self.body + data)[:BODY_KEPT]

    def on_message_complete(self) -> None:
        """The end of an interim answer, or of the one we wait for."""
        if self.status is not None and not self.finished:
            self.finished = True
            self.reusable = bool(self._parser.should_keep_alive())
