"""One request and what has come of its answer."""

from collections.abc import Mapping

from tocsin.wire.http2.frames import ErrorCode, StreamViolation
from tocsin.wire.http2.headers import Fields

BODY_LIMIT = 65_536

_NO_HEADERS: Mapping[bytes, bytes] = {}


class Stream:
    """An open stream: the end of its request, the beginning of its answer.

    `unsent` is what windows have not let out of the request's body. `spent` is how much of its
    window was used: the window is the server's initial one less this, so that a change of that
    (section 6.9.2) changes all windows at once, into the negative, too. `uncredited` is what was
    read of the answer and not given back by a WINDOW_UPDATE.
    """

    __slots__ = ("_body", "headers", "spent", "status", "uncredited", "unsent")

    def __init__(self, spent: int) -> None:
        self.spent = spent
        self.unsent = b""
        self.uncredited = 0
        self.status = 0
        self.headers = _NO_HEADERS
        self._body = bytearray()

    def take_fields(self, fields: Fields, *, is_last: bool) -> bool:
        """Take a header block; False for an interim answer, which is dropped.

        Raises StreamViolation for what cannot stand here.
        """
        if self.status:
            fields.check_trailers()
            if not is_last:
                raise StreamViolation(ErrorCode.PROTOCOL_ERROR)
            return True
        status, headers = fields.head()
        if status >= 200:
            self.status, self.headers = status, headers
        elif is_last:
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR)
        return status >= 200

    def take_data(self, data: bytes) -> None:
        """Take a piece of the answer's body; StreamViolation before the head or over the bound."""
        if not self.status:
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR)
        if len(self._body) + len(data) > BODY_LIMIT:
            raise StreamViolation(ErrorCode.CANCEL)
        self._body += data

    def finish(self) -> bytes:
        """The whole body; StreamViolation if it is not as long as was announced."""
        announced = self.headers.get(b"content-length")
        if announced is not None and self.status != 304 and int(announced) != len(self._body):
            raise StreamViolation(ErrorCode.PROTOCOL_ERROR)
        return bytes(self._body)
