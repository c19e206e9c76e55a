"""The gateway's answers, and how a request is taken apart (push.md, A.1, A.2, A.4).

Deployed clients delete a device token where `code` is 404 or the text contains `404`. So every
text comes from the closed list below, and none carries anything of a request (PU-3).
"""

import enum
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import attrs
import orjson

from tocsin.model.errors import RequestError
from tocsin.wire import strictjson
from tocsin.wire.content import is_json
from tocsin.wire.grant import FORM_TYPE
from tocsin.wire.integers import integer

MOST_BYTES: Final = 1_048_576
MOST_ELEMENTS: Final = 1000
FORM_FIELDS: Final = 1000


@attrs.frozen
class Reply:
    """What is said of one push: `code` is 200, 400, 404 or 500."""

    code: int
    response: str

    def as_dict(self) -> dict[str, object]:
        """Under both names that callers look for (PU-2)."""
        return {"code": self.code, "status": self.code, "response": self.response}


SENT: Final = Reply(200, "Your message was sent.")
QUEUED: Final = Reply(200, "Your message was queued.")
NOT_AN_OBJECT: Final = Reply(400, "Bad object you sent here")
UNKNOWN_VERB: Final = Reply(400, "Unknown verb")
UNKNOWN_APP: Final = Reply(400, "AppId is not registered")
MALFORMED_TOKEN: Final = Reply(400, "Malformed DeviceToken")
VERB_NOT_ALLOWED: Final = Reply(400, "Verb not allowed for this AppId")
TOO_LARGE: Final = Reply(400, "Payload too large")
BAD_REQUEST: Final = Reply(400, "Bad Request")
NOT_AUTHORIZED: Final = Reply(400, "Not authorized")
FAILED: Final = Reply(500, "Not sent, try again later")
BUSY: Final = Reply(500, "Busy, try again later")
_GONE: Final = Reply(404, "Pnmediator returned unknown error: ERR:404 Not Found")
_GONE_OF_MANY: Final = Reply(404, "Pnmediator returned an error: ERR:404 Not Found\n")

REQUIRED: Final = ("verb", "AppId", "DeviceToken", "Selector", "Message")
PN_ATTRIBUTES: Final = ("pn-provider", "pn-param", "pn-prid")
ATTRIBUTES: Final = (
    *REQUIRED,
    *("Badge", "Sound", "UserName", "UserDisplayName", "ContentType", "Id", "ThreadId", "Ttl"),
    *PN_ATTRIBUTES,
)
_MISSING: Final = {name: Reply(400, f"Missing attribute: {name}") for name in REQUIRED}
_BAD: Final = {name: Reply(400, f"Bad value: {name}") for name in ATTRIBUTES}
_OF_STATUS: Final = {401: NOT_AUTHORIZED, 403: NOT_AUTHORIZED, 413: TOO_LARGE}


def missing(name: str) -> Reply:
    """An attribute that has to be there is not, or is empty."""
    return _MISSING[name]


def bad(name: str) -> Reply:
    """An attribute has the wrong type, range or size."""
    return _BAD[name]


class Endpoint(enum.StrEnum):
    """The three ways in; the value is what metrics call it."""

    SEND = "send"
    MULTISEND = "multisend"
    FORM = "form"

    @property
    def path(self) -> str:
        """Where it is served."""
        return "/pnm2" if self is Endpoint.FORM else f"/pnm2/{self.value}"

    @property
    def gone(self) -> Reply:
        """What it says of a device token that is dead."""
        return _GONE_OF_MANY if self is Endpoint.MULTISEND else _GONE

    def render(self, replies: Sequence[Reply]) -> bytes:
        """The body of an answer with HTTP 200."""
        if self is Endpoint.MULTISEND:
            return orjson.dumps([reply.as_dict() for reply in replies])
        [reply] = replies
        return orjson.dumps(reply.as_dict())


class GatewayError(RequestError):
    """A request is refused as a whole, with what is said of it (PU-4, PU-5, PU-7)."""

    def __init__(self, status: int, reply: Reply) -> None:
        label = "body" if status == 400 else "too_many_items"
        super().__init__(status, "SVC0001", label, label=label)
        self.reply = reply


def reply_to(error: RequestError) -> Reply:
    """What the gateway says where other faces answer with what stands in an error (PU-5)."""
    if isinstance(error, GatewayError):
        return error.reply
    if error.status in {429, 503}:
        return BUSY
    if error.status >= 500:
        return FAILED
    return _OF_STATUS.get(error.status, BAD_REQUEST)


def elements_of(endpoint: Endpoint, content_type: str | None, body: bytes) -> Sequence[object]:
    """What a request asks for, one thing for each push. Raises `GatewayError`."""
    if endpoint is Endpoint.FORM:
        return [_form(content_type, body)]
    if content_type is None or not is_json(content_type):
        raise GatewayError(400, BAD_REQUEST)
    try:
        document = strictjson.loads(body)
    except ValueError:
        raise GatewayError(400, BAD_REQUEST) from None
    if endpoint is Endpoint.MULTISEND and isinstance(document, list):
        if len(document) > MOST_ELEMENTS:
            raise GatewayError(413, TOO_LARGE)
        return document
    if not isinstance(document, dict):
        raise GatewayError(400, BAD_REQUEST)
    return [document]


def _form(content_type: str | None, body: bytes) -> dict[str, Any]:
    """The attributes in a form: all text, a digit string for a number; what is empty is absent.

    Old callers send their names and passwords along. So whatever is no attribute ends here.
    """
    if content_type is None or not is_json(content_type, FORM_TYPE):
        raise GatewayError(400, BAD_REQUEST)
    try:
        fields = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS
        )
    except ValueError:
        raise GatewayError(400, BAD_REQUEST) from None
    form = dict(fields)
    if len(form) != len(fields):
        raise GatewayError(400, BAD_REQUEST)
    said: dict[str, Any] = {name: form[name] for name in ATTRIBUTES if form.get(name)}
    by_pn = any(name in said for name in PN_ATTRIBUTES)
    for name in ("verb",) if by_pn else ("verb", "AppId", "DeviceToken"):
        if name not in said:
            raise GatewayError(400, missing(name))
    if (seconds := integer(said.get("Ttl"))) is not None:
        said["Ttl"] = seconds
    return said
