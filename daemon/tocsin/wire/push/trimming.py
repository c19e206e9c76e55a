"""What a payload loses when it is too long for its provider (push.md, B.5; CH-73).

What counts is the encoded result, so every try is encoded and measured; nothing is estimated. The
common push fits and is encoded once.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, Final

from tocsin.model.errors import TocsinError
from tocsin.model.notification import Notification
from tocsin.wire.integers import dumps
from tocsin.wire.push.app import App
from tocsin.wire.push.attributes import Attributes
from tocsin.wire.strictjson import loads

APNS_LIMIT: Final = 4096
VOIP_LIMIT: Final = 5120
FCM_LIMIT: Final = 4096
COLLAPSE_ID_LIMIT: Final = 64
ELLIPSIS: Final = "…"
SHOWN: Final = ("message", "name")
KEPT: Final[tuple[str, ...]] = ("id", "dateTime", "link")
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")

Object = dict[str, Any]


class PayloadTooLargeError(TocsinError):
    """Without all it may lose, a push is still longer than its provider takes."""


def limit_of(app: App) -> int:
    """How many bytes of payload the provider of an app takes (PU-39)."""
    if app.provider == "fcm":
        return FCM_LIMIT
    return VOIP_LIMIT if app.is_voip else APNS_LIMIT


def retry_limit(app: App) -> int:
    """What to trim to once the provider has found the payload too large all the same (PU-40)."""
    return limit_of(app) * 9 // 10


def collapse_id(value: str) -> str:
    """A value fit for `apns-collapse-id`: itself, or base64url of its SHA-256 (PU-32).

    That also stands for a value that no header can carry.
    """
    if len(value) <= COLLAPSE_ID_LIMIT and _HEADER_VALUE.fullmatch(value):
        return value
    digest = hashlib.sha256(value.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def trim_attributes(given: Attributes, render: Callable[[Attributes], bytes], limit: int) -> bytes:
    """What `render` makes of a gateway push, or of as much of it as fits (PU-39).

    It loses what callers passed through, the last first, then the end of the message and that of
    the name; never the account and the id. `render` has to take an empty text for none.
    """
    rendered = render(given)
    while len(rendered) > limit and given.get("extra"):
        given = {**given, "extra": dict(list(given["extra"].items())[:-1])}
        rendered = render(given)
    if len(rendered) <= limit:
        return rendered
    for key in SHOWN:
        bare = {**given, key: ""}
        if len(render(bare)) <= limit:
            return _refilled(given, key, render, limit)
        given = bare
    raise PayloadTooLargeError


def _refilled(
    given: Attributes, key: str, render: Callable[[Attributes], bytes], limit: int
) -> bytes:
    def with_text(text: str) -> bytes:
        return render({**given, key: text})

    return with_text(cut(given.get(key, ""), with_text, limit))


def trim_notification(
    notification: Notification, shown: str, render: Callable[[bytes, str], bytes], limit: int
) -> bytes:
    """What `render` makes of a notification's JSON and of `shown`, the text its alert repeats; or
    of as much of both as fits.

    First the alert's text is cut, then the notification reduced (CH-73); after each reduction the
    alert has as much of its text again as then fits.
    """
    rendered = render(notification.body, shown)
    if len(rendered) <= limit:
        return rendered
    reduced = reductions(notification.root_key, notification.body)
    for carried in chain([notification.body], reduced):
        if len(render(carried, "")) <= limit:
            return render(carried, cut(shown, partial(render, carried), limit))
    raise PayloadTooLargeError


def cut(text: str, render: Callable[[str], bytes], limit: int) -> str:
    """A text, or its longest beginning with an ellipsis after it, of which `render` makes no more
    than `limit` bytes; "" if there is none. It is cut between code points (PU-40).
    """
    if len(render(text)) <= limit:
        return text
    fitting, too_long = 0, len(text)
    while too_long - fitting > 1:
        middle = (fitting + too_long) // 2
        if len(render(text[:middle] + ELLIPSIS)) <= limit:
            fitting = middle
        else:
            too_long = middle
    return text[:fitting] + ELLIPSIS if fitting else ""


def reductions(root_key: str, body: bytes) -> Iterator[bytes]:
    """A notification's text with less and less in it, each time marked as truncated (CH-73).

    First go session descriptions, then attachments, then everything but what is needed to fetch
    it. A step that would take nothing away is left out.
    """
    whole: Object = loads(body)[root_key]
    reduced = _without(whole, "sdp", within=("offer", "answer"))
    if reduced != whole:
        yield _truncated(root_key, reduced)
    lighter = _without(reduced, "attachment", within=tuple(reduced))
    lighter.pop("attachment", None)
    if lighter != reduced:
        yield _truncated(root_key, lighter)
    least = {name: whole[name] for name in KEPT if name in whole}
    if least != lighter:
        yield _truncated(root_key, least)


def _without(whole: Object, name: str, *, within: tuple[str, ...]) -> Object:
    """A copy whose members `within` lack the member of this name."""
    return {
        member: _less(value, name) if member in within else value for member, value in whole.items()
    }


def _less(value: object, name: str) -> object:
    if not isinstance(value, dict):
        return value
    return {member: inner for member, inner in value.items() if member != name}


def _truncated(root_key: str, reduced: Object) -> bytes:
    return dumps({root_key: {**reduced, "truncated": True}})
