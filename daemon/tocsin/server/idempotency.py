"""`Idempotency-Key`: the same request again gets the first answer (channels.md, CH-114)."""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from tocsin.delivery.submissions import Remembered, Submission, Submissions
from tocsin.model.errors import invalid
from tocsin.wire.request import Request
from tocsin.wire.response import Response

NAME: Final = "Idempotency-Key"
HEADER: Final = NAME.lower()
KEY: Final = re.compile(r"[!-~]{1,255}")
REPLAYED: Final = ("Idempotency-Replayed", "true")
NOTIFICATION_ID: Final = "X-Notification-Id"

First = Callable[[Request, Submission | None], Awaitable[Remembered]]


async def answer_once(
    submissions: Submissions, request: Request, path: str, first: First
) -> Response:
    """The answer that `first` makes, or the one it made before for this key of this producer.

    `first` gets the submission to have its answer remembered by, None without a key. `path` is
    what the key counts for, however the client wrote it. Raises 400 SVC0002 for a malformed key,
    409 for one that came with another body, and what `first` raises, which nobody remembers.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return _response(await first(request, None))
    if not KEY.fullmatch(key):
        raise invalid(NAME)
    async with submissions.claim(producer_of(request), path, key, request.body) as submission:
        if submission.remembered is not None:
            answer = _response(submission.remembered, REPLAYED)
        else:
            answer = _response(await first(request, submission))
    return answer


def producer_of(request: Request) -> str:
    """The client whose token this is (CH-12)."""
    return request.principal.producer if request.principal is not None else ""


def _response(remembered: Remembered, *headers: tuple[str, str]) -> Response:
    if remembered.notification_id is not None:
        headers = ((NOTIFICATION_ID, remembered.notification_id), *headers)
    return Response(remembered.status, remembered.body, headers)
