"""What requests to the operator API ask for: parameters and bodies, checked."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from tocsin.model.channel import BY_LOWER_NAME, ChannelType
from tocsin.model.errors import invalid, not_one_of
from tocsin.store.archive import LetterQuery, LogQuery, Place
from tocsin.wire.devicetoken import PROVIDERS
from tocsin.wire.endpoint import normal_host, parse_url
from tocsin.wire.rfc3339 import epoch_ms

MOST = 500
DEFAULT = 100
MOST_IDS = 1_000
LONGEST = 500
LARGEST = 2**62


@attrs.frozen
class LetterOrder:
    """Dead letters to replay or to purge; `after` is where an earlier request has stopped."""

    query: LetterQuery
    after: Place | None = None


def limit_of(params: Mapping[str, str]) -> int:
    """How many items a page has."""
    limit = _number(params, "limit")
    if limit is not None and not 1 <= limit <= MOST:
        raise invalid("limit")
    return limit or DEFAULT


def before_of(params: Mapping[str, str]) -> int | None:
    """Where a page begins."""
    return _number(params, "before")


def channel_type_of(params: Mapping[str, str]) -> ChannelType | None:
    """The type, without regard to case."""
    text = params.get("type")
    if text is None:
        return None
    kind = BY_LOWER_NAME.get(text.lower())
    if kind is None:
        raise not_one_of("type", [one.value for one in ChannelType])
    return kind


def log_query(params: Mapping[str, str]) -> LogQuery:
    """Which lines of the log; at least one of three parameters is needed."""
    query = LogQuery(
        channel_id=_text(params, "channel"),
        user=_text(params, "user"),
        notification_id=_text(params, "notification"),
    )
    if query == LogQuery():
        raise invalid("channel")
    return query


def letter_query(params: Mapping[str, str]) -> LetterQuery:
    """Which dead letters are listed."""
    return LetterQuery(
        channel_id=_text(params, "channel"),
        user=_text(params, "user"),
        notification_id=_text(params, "notification"),
        since=None if params.get("since") is None else _instant(params["since"]),
    )


def place_of(params: Mapping[str, str]) -> Place | None:
    """Where a page of dead letters begins."""
    text = params.get("before")
    if text is None:
        return None
    died_at, id_ = _numbers(text, "before", 2)
    return died_at, id_


def letter_order(body: object) -> LetterOrder:
    """The body of a replay or purge: which letters, or `{"all": true}`; and `resume`."""
    if not isinstance(body, dict):
        raise invalid("body")
    if unknown := set(body) - {"ids", "channel", "user", "notification", "since", "all", "resume"}:
        raise invalid(min(unknown))
    query = LetterQuery(
        ids=_ids(body),
        channel_id=_text(body, "channel"),
        user=_text(body, "user"),
        notification_id=_text(body, "notification"),
        since=None if "since" not in body else _instant(body["since"]),
    )
    if (query == LetterQuery()) is not (body.get("all") is True):
        raise invalid("all")
    if "resume" not in body:
        return LetterOrder(query)
    died_at, id_, until = _numbers(body["resume"], "resume", 3)
    return LetterOrder(attrs.evolve(query, until=until), (died_at, id_))


def since_of(body: object) -> int:
    """The body of a restore: since when, epoch milliseconds."""
    if not isinstance(body, dict):
        raise invalid("body")
    if unknown := set(body) - {"since"}:
        raise invalid(min(unknown))
    return _instant(body.get("since"))


def lane_of(text: str) -> str:
    """The name of a lane as it is written here, from any spelling: a scheme, host and port, or a
    provider and an app."""
    if "://" not in text:
        provider, _, app = text.partition("/")
        if provider not in PROVIDERS or not app:
            raise invalid("lane")
        return text
    try:
        host = normal_host(urlsplit(text).hostname or "")
        endpoint = parse_url(text, allow_http={host})
    except ValueError:
        raise invalid("lane") from None
    if endpoint.target != "/":
        raise invalid("lane")
    return endpoint.origin


def delivery_id_of(text: str) -> int | None:
    """The id in a path; None is nobody's."""
    return int(text) if _is_number(text) else None


def _ids(body: Mapping[str, Any]) -> tuple[int, ...] | None:
    ids = body.get("ids")
    if ids is None and "ids" not in body:
        return None
    if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_IDS:
        raise invalid("ids")
    if any(type(one) is not int or not 0 <= one < LARGEST for one in ids):
        raise invalid("ids")
    return tuple(ids)


def _text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is None and name not in members:
        return None
    if not isinstance(value, str) or not value or len(value) > LONGEST:
        raise invalid(name)
    return value


def _number(params: Mapping[str, str], name: str) -> int | None:
    text = params.get(name)
    if text is None:
        return None
    if not _is_number(text):
        raise invalid(name)
    return int(text)


def _instant(value: object) -> int:
    """Epoch milliseconds, or RFC 3339."""
    if type(value) is int and 0 <= value < LARGEST:
        return value
    if isinstance(value, str) and _is_number(value):
        return int(value)
    at = epoch_ms(value)
    if at is None:
        raise invalid("since")
    return at


def _numbers(text: object, name: str, count: int) -> list[int]:
    parts = text.split("-") if isinstance(text, str) else []
    if len(parts) != count or not all(map(_is_number, parts)):
        raise invalid(name)
    return [int(part) for part in parts]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) < LARGEST
