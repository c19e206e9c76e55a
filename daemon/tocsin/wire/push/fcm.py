"""FCM, without I/O: the headers of a push, and what its answer means (push.md, C.2 and C.4).

The code is that of the answer's FcmError; where there is none, or none that is known with this
status, the status decides. Only two pairs of status and code end a token's life.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs
import orjson

from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.wire.push.verdict import Cause, Repeat, Verdict
from tocsin.wire.retryafter import retry_after

HOST = "fcm.googleapis.com"
PAUSE_SECONDS = 60.0
UNAVAILABLE_SECONDS = {Priority.URGENT: 1.0, Priority.NORMAL: 10.0, Priority.LOW: 10.0}

_FCM_ERROR = "google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "google.rpc.BadRequest"
_QUOTA_FAILURE = "google.rpc.QuotaFailure"
_TARGETS = frozenset({"message.token", "message.fid"})
_TOO_LARGE = ("too big", "too large")


@attrs.frozen
class Fault:
    """What the body of an answer says; everything is empty where it is none of FCM's.

    `has_violations`: it finds a field wrong that is not the token (CH-76). `is_large`: it complains
    of the message's size. `is_of_device`: the quota that was exceeded is the device's own.
    """

    code: str = ""
    has_violations: bool = False
    is_large: bool = False
    is_of_device: bool = False


def fault(body: bytes) -> Fault:
    """The fault an answer's body tells of."""
    try:
        error = _object(_object(orjson.loads(body)).get("error"))
    except orjson.JSONDecodeError:
        return Fault()
    details = {_type_of(detail): detail for detail in map(_object, _list(error.get("details")))}
    violations = _list(details.get(_BAD_REQUEST, {}).get("fieldViolations"))
    quotas = _list(details.get(_QUOTA_FAILURE, {}).get("violations"))
    texts = [error, *violations]
    return Fault(
        code=_text(details.get(_FCM_ERROR, {}), "errorCode"),
        has_violations=any(_text(_object(one), "field") not in _TARGETS for one in violations),
        is_large=any(large in _words(text) for text in texts for large in _TOO_LARGE),
        is_of_device=any("device" in _words(quota) for quota in quotas),
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    return value if isinstance(value, str) else ""


def _type_of(detail: dict[str, Any]) -> str:
    """`type.googleapis.com/` and its like in front are left off."""
    return _text(detail, "@type").rpartition("/")[2]


def _words(value: object) -> str:
    """The texts for people in an error, a violation or an exceeded quota."""
    members = _object(value)
    texts = [_text(members, name) for name in ("message", "subject", "description")]
    return " ".join(texts).lower()


def _credential(status: int, *words: Word) -> Deferred:
    words_ = frozenset(words)
    return Deferred("credential", PAUSE_SECONDS, status, sign=Sign.CONTACT, words=words_)


_TABLE: Mapping[tuple[int, str], Verdict] = {
    (404, "UNREGISTERED"): Gone("unregistered", 404),
    (403, "SENDER_ID_MISMATCH"): Gone("wrong_topic", 403, is_guarded=True),
    (401, "THIRD_PARTY_AUTH_ERROR"): _credential(401, Word.PAUSE_APP, Word.ALARM),
}
_BY_STATUS: Mapping[int, Verdict] = {
    200: Delivered(200),
    401: Repeat(Cause.TOKEN, _credential(401, Word.PAUSE_KEY)),
    403: _credential(403, Word.PAUSE_KEY),
    404: _credential(404, Word.PAUSE_KEY, Word.ALARM),
}


def verdict(
    status: int, headers: Mapping[bytes, bytes], body: bytes, *, priority: Priority, now: int
) -> Verdict:
    """What an answer comes to; `headers` by lower-case name, `now` is epoch milliseconds."""
    if status == 200:
        return _BY_STATUS[200]
    said = fault(body)
    if status in {400, 413}:
        return _unwanted(status, said)
    if status == 429 or status >= 500:
        return _busy(status, said, _wait(headers, now), priority)
    return _TABLE.get((status, said.code)) or _BY_STATUS.get(status) or _refused(status)


def _wait(headers: Mapping[bytes, bytes], now: int) -> float | None:
    value = headers.get(b"retry-after")
    return None if value is None else retry_after(value.decode("latin-1"), now)


def _unwanted(status: int, said: Fault) -> Verdict:
    """Our payload, or the token: it is the token when FCM finds nothing else wrong."""
    if status == 413 or said.is_large:
        return Repeat(Cause.TRIM, Refused("payload_too_large", status))
    if said.code == "INVALID_ARGUMENT" and not said.has_violations:
        return Gone("bad_token", status, is_guarded=True)
    return _refused(status)


def _busy(status: int, said: Fault, wait: float | None, priority: Priority) -> Outcome:
    if status != 429:
        return Deferred("unavailable", wait or UNAVAILABLE_SECONDS[priority], status)
    if said.is_of_device:
        words = frozenset({Word.DELAY})
        return Deferred("throttled_device", wait, status, sign=Sign.CONTACT, words=words)
    words = frozenset({Word.PAUSE_QUOTA})
    return Deferred("quota", wait or PAUSE_SECONDS, status, sign=Sign.CONTACT, words=words)


def _refused(status: int) -> Refused:
    """Our bug or our configuration; the token is not to blame."""
    return Refused("bad_request", status, words=frozenset({Word.ALARM}))


def fixed_headers(authority: str, access_token: str) -> list[tuple[bytes, bytes]]:
    """What every push has in common as long as one access token is good; after `:path`."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", authority.encode("ascii")),
        (b"authorization", b"Bearer " + access_token.encode("ascii")),
        (b"content-type", b"application/json"),
    ]


def path(project: str) -> tuple[bytes, bytes]:
    """The `:path` of every push to one project (PU-45)."""
    return (b":path", f"/v1/projects/{quote(project, safe=':')}/messages:send".encode("ascii"))
