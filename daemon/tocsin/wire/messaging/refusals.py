"""What is refused: by an `ack` with `status:false` (messaging.md, 4), or with an HTTP status
before there is a connection (section 3) and on the REST resources (section 11)."""

import enum
from types import MappingProxyType
from typing import Final

import attrs
import orjson

from tocsin.model.errors import RequestError

CHALLENGE: Final = "WWW-Authenticate"
NO_SUCH_METHOD: Final = 405


class ErrorCode(enum.StrEnum):
    """The closed set, fit for metrics; `UNAUTHORIZED` is said over HTTP alone (MS-6)."""

    BAD_REQUEST = "bad-request"
    NOT_FOUND = "not-found"
    FORBIDDEN = "forbidden"
    CONFLICT = "conflict"
    TOO_LARGE = "too-large"
    RATE_LIMITED = "rate-limited"
    UNAVAILABLE = "unavailable"
    UNAUTHORIZED = "unauthorized"


STATUS: Final = MappingProxyType(
    {
        ErrorCode.BAD_REQUEST: 400,
        ErrorCode.UNAUTHORIZED: 401,
        ErrorCode.FORBIDDEN: 403,
        ErrorCode.NOT_FOUND: 404,
        ErrorCode.CONFLICT: 409,
        ErrorCode.TOO_LARGE: 413,
        ErrorCode.RATE_LIMITED: 429,
        ErrorCode.UNAVAILABLE: 503,
    }
)
_OF_STATUS: Final = MappingProxyType({status: code for code, status in STATUS.items()})
_TEXTS: Final = MappingProxyType(
    {
        ErrorCode.BAD_REQUEST: "The request cannot be understood.",
        ErrorCode.UNAUTHORIZED: "A valid token is needed.",
        ErrorCode.FORBIDDEN: "This token may not do that.",
        ErrorCode.NOT_FOUND: "There is no such thing.",
        ErrorCode.CONFLICT: "The present state forbids it.",
        ErrorCode.TOO_LARGE: "That is too large.",
        ErrorCode.RATE_LIMITED: "Too many requests.",
        ErrorCode.UNAVAILABLE: "Not now; try again later.",
    }
)


@attrs.frozen
class MessageError:
    """Why an operation is refused; `retry_after` is whole seconds."""

    code: ErrorCode
    text: str
    retry_after: int | None = None

    def as_dict(self) -> dict[str, object]:
        """The `error` of an `ack`."""
        members: dict[str, object] = {"code": self.code, "text": self.text}
        if self.retry_after is not None:
            members["retry-after"] = self.retry_after
        return members


class RestError(RequestError):
    """A refused request of this face: its body is `{"error":{"code","text"}}` (MS-6).

    `label` is the word for metrics and logs, the code where there is no better one.
    """

    def __init__(
        self,
        error: MessageError,
        *,
        status: int | None = None,
        challenge: str | None = None,
        label: str | None = None,
    ) -> None:
        headers = [] if challenge is None else [(CHALLENGE, challenge)]
        if error.retry_after is not None:
            headers.append(("Retry-After", str(error.retry_after)))
        super().__init__(
            STATUS[error.code] if status is None else status,
            "POL0001",
            error.code.value,
            label=error.code.value if label is None else label,
            headers=headers,
        )
        self.error = error

    def body(self) -> bytes:
        """The JSON answer; how long to wait says the header."""
        return orjson.dumps({"error": {"code": self.error.code, "text": self.error.text}})


@attrs.frozen
class Refusal:
    """A row of section 3's table: what somebody is told who is not let in, and the word that the
    other faces have for it in metrics and logs.

    Make a new `RequestError` of it for each request.
    """

    status: int
    error: MessageError
    label: str
    challenge: str | None = None

    def refused(self) -> RestError:
        """The error to raise."""
        return RestError(self.error, status=self.status, challenge=self.challenge, label=self.label)


NO_TOKEN: Final = Refusal(
    401, MessageError(ErrorCode.UNAUTHORIZED, "A token is needed."), "token_missing", "Bearer"
)
INVALID_TOKEN: Final = Refusal(
    401,
    MessageError(ErrorCode.UNAUTHORIZED, _TEXTS[ErrorCode.UNAUTHORIZED]),
    "token_invalid",
    'Bearer error="invalid_token"',
)
TOKEN_TWICE: Final = Refusal(
    400,
    MessageError(ErrorCode.BAD_REQUEST, "The token must be in one place."),
    "invalid_value",
    'Bearer error="invalid_request"',
)
NOT_ALLOWED: Final = Refusal(
    403,
    MessageError(ErrorCode.FORBIDDEN, _TEXTS[ErrorCode.FORBIDDEN]),
    "scope_missing",
    'Bearer error="insufficient_scope"',
)


def in_our_words(error: RequestError) -> RestError:
    """The same refusal as this face says it: status, headers and label stay, the body is ours
    (MS-6)."""
    if isinstance(error, RestError):
        return error
    code = _code_of(error.status)
    ours = RestError(MessageError(code, _TEXTS[code]), status=error.status, label=error.label)
    ours.headers = error.headers
    return ours


def _code_of(status: int) -> ErrorCode:
    """A status that has no code of its own is the caller's mistake, or ours. What a path has no
    such method for is not found: nothing is wrong with the words of the request."""
    if status == NO_SUCH_METHOD:
        return ErrorCode.NOT_FOUND
    known = _OF_STATUS.get(status)
    if known is not None:
        return known
    return ErrorCode.BAD_REQUEST if status < 500 else ErrorCode.UNAVAILABLE
