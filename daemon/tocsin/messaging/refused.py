"""Why a subscriber may not do what he asks for (messaging.md, MS-17 and the table of section 4)."""

from tocsin.model.errors import TocsinError
from tocsin.wire.messaging.refusals import ErrorCode, MessageError


class Refused(TocsinError):  # noqa: N818 - an expected answer, no bug
    """An operation is refused and has had no effect; `error` is what the client is told."""

    def __init__(self, error: MessageError) -> None:
        super().__init__(f"{error.code}: {error.text}")
        self.error = error


def bad_request(text: str) -> Refused:
    """Something contradicts itself in a way the message alone does not tell."""
    return Refused(MessageError(ErrorCode.BAD_REQUEST, text))


def not_found(text: str = "no such channel") -> Refused:
    """It is absent, or not the asker's to see."""
    return Refused(MessageError(ErrorCode.NOT_FOUND, text))


def forbidden(text: str = "administrators only") -> Refused:
    """He sees it and lacks the right."""
    return Refused(MessageError(ErrorCode.FORBIDDEN, text))


def conflict(text: str) -> Refused:
    """The present state forbids it."""
    return Refused(MessageError(ErrorCode.CONFLICT, text))


def rate_limited(retry_after: int) -> Refused:
    """Too often; `retry_after` is whole seconds."""
    return Refused(MessageError(ErrorCode.RATE_LIMITED, "too often", retry_after))
