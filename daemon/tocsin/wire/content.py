"""What a client sends and accepts: media types and JSON bodies (channels.md, CH-4 and CH-8)."""

from functools import lru_cache
from typing import Any, Final

from tocsin.model import errors
from tocsin.wire import strictjson
from tocsin.wire.request import Request

UTF_8: Final = frozenset({"utf-8", "utf8"})
# How specifically a range names application/json (RFC 9110, 12.5.1).
PRECISION: Final = {"*/*": 0, "application/*": 1, "application/json": 2}


def json_body(request: Request) -> Any:
    """The request's body as a JSON value.

    Raises 415 `media_type` for another Content-Type or charset, 400 SVC0002 `body` for anything
    that is not strict JSON.
    """
    content_type = request.headers.get("content-type")
    if content_type is not None and not is_json(content_type):
        raise errors.service_error(415, "media_type")
    try:
        return strictjson.loads(request.body)
    except ValueError:
        raise errors.invalid("body") from None


@lru_cache(maxsize=64)
def is_json(content_type: str, media_type: str = "application/json") -> bool:
    """Whether a Content-Type is `media_type` in UTF-8; parameters other than charset pass."""
    kind, *parameters = content_type.lower().split(";")
    if kind.strip() != media_type:
        return False
    charsets = (value for name, value in map(_parameter, parameters) if name == "charset")
    return all(charset in UTF_8 for charset in charsets)


@lru_cache(maxsize=256)
def accepts_json(accept: str) -> bool:
    """Whether an Accept header lets `application/json` through: the most specific range decides.

    An empty or unreadable header excludes nothing.
    """
    best, allowed = -1, not accept.strip()
    for element in accept.lower().split(","):
        media_range, *parameters = element.split(";")
        precision = PRECISION.get(media_range.strip(), -1)
        if precision > best:
            best = precision
            allowed = all(_quality(v) > 0 for n, v in map(_parameter, parameters) if n == "q")
    return allowed


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0
