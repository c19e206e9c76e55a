"""What a poll sends and is answered (channels.md, CH-65, CH-67)."""

from collections.abc import Iterable
from typing import Final

from tocsin.model import errors
from tocsin.wire.content import json_body
from tocsin.wire.request import Request

POSITION: Final = "X-Channel-Position"


def check_body(request: Request) -> None:
    """What a poll's body says is ignored, but it has to be an object; a GET's is not looked at.

    Raises 400 SVC0002 `body` or 415.
    """
    if request.method == "GET" or not request.body:
        return
    if not isinstance(json_body(request), dict):
        raise errors.invalid("body")


def notification_list(bodies: Iterable[bytes]) -> bytes:
    """The answer to a poll, of the texts of notifications."""
    return b'{"notificationList":[%b]}' % b",".join(bodies)
