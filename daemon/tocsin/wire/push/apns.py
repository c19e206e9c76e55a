"""APNs, without I/O: the headers of a push, and what its answer means (push.md, C.2 and C.3).

The answers are a table of status and reason. A reason that is not in it, or not under its status,
is judged by the class of its status, so that nothing unknown ever removes a token but a 410.
"""

import hashlib
from collections.abc import Mapping

import attrs
import orjson

from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Delivered, Gone, Outcome, Refused, Sign, Word
from tocsin.wire.push.apns_payload import ApnsPush
from tocsin.wire.push.verdict import Cause, Repeat, Verdict

HOSTS = {"production": "api.push.apple.com", "sandbox": "api.sandbox.push.apple.com"}
OTHER = {"production": "sandbox", "sandbox": "production"}
TOO_MANY_TOKENS = "TooManyProviderTokenUpdates"
PAUSE_SECONDS = 60.0
UNAVAILABLE_SECONDS = 900.0

_ALARM = frozenset({Word.ALARM})
_PAUSE = frozenset({Word.PAUSE_KEY})
_DELAY = frozenset({Word.DELAY})


def _refused(status: int) -> Refused:
    """Our bug or our configuration; the token is not to blame."""
    return Refused("bad_request", status, words=_ALARM)


def _credential(status: int, words: frozenset[Word]) -> Deferred:
    return Deferred("credential", PAUSE_SECONDS, status, sign=Sign.CONTACT, words=words)


def _throttled(status: int) -> Deferred:
    return Deferred("throttled_device", status=status, sign=Sign.CONTACT, words=_DELAY)


_TABLE: Mapping[tuple[int, str], Verdict] = {
    (410, "Unregistered"): Gone("unregistered", 410),
    (410, "ExpiredToken"): Gone("unregistered", 410),
    (400, "BadDeviceToken"): Repeat(Cause.ENVIRONMENT, Gone("bad_token", 400, is_guarded=True)),
    (400, "DeviceTokenNotForTopic"): Gone("wrong_topic", 400, is_guarded=True),
    **{
        (400, reason): _refused(400)
        for reason in (
            *("TopicDisallowed", "MissingTopic", "BadTopic", "InvalidPushType", "BadPriority"),
            *("BadExpirationDate", "BadCollapseId", "BadMessageId", "DuplicateHeaders"),
            *("PayloadEmpty", "MissingDeviceToken"),
        )
    },
    (404, "BadPath"): _refused(404),
    (405, "MethodNotAllowed"): _refused(405),
    (400, "IdleTimeout"): Repeat(
        Cause.CONNECTION, Deferred("shutdown", status=400, sign=Sign.CONTACT)
    ),
    (413, "PayloadTooLarge"): Repeat(Cause.TRIM, Refused("payload_too_large", 413)),
    (403, "ExpiredProviderToken"): Repeat(Cause.TOKEN, _credential(403, _ALARM)),
    **{
        (403, reason): _credential(403, _PAUSE)
        for reason in (
            *("InvalidProviderToken", "MissingProviderToken", "BadCertificate"),
            *("BadCertificateEnvironment", "BadEnvironmentKeyIdInToken"),
            *("BadEnvironmentKeyInToken", "UnrelatedKeyIdInToken", "Forbidden"),
        )
    },
    (429, "TooManyRequests"): _throttled(429),
    (429, TOO_MANY_TOKENS): Deferred("credential", status=429, sign=Sign.CONTACT),
}


@attrs.frozen
class Fault:
    """What the body of an answer says: `timestamp` is epoch milliseconds (PU-47)."""

    reason: str = ""
    timestamp: int | None = None


def fault(body: bytes) -> Fault:
    """The fault an answer's body, or a GOAWAY's debug data, tells of; empty where it is none."""
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Fault()
    if not isinstance(members, dict):
        return Fault()
    reason, timestamp = members.get("reason"), members.get("timestamp")
    return Fault(
        reason if isinstance(reason, str) else "",
        timestamp if type(timestamp) is int and timestamp > 0 else None,
    )


def verdict(status: int, body: bytes, *, priority: Priority) -> Verdict:
    """What an answer comes to (C.3)."""
    if status == 200:
        return Delivered(200)
    said = fault(body)
    found = _TABLE.get((status, said.reason)) or _by_class(status, said.reason, priority)
    return attrs.evolve(found, since=said.timestamp) if isinstance(found, Gone) else found


def _by_class(status: int, reason: str, priority: Priority) -> Verdict:
    if status >= 500:
        unavailable = _unavailable(status, priority)
        return Repeat(Cause.SHUTDOWN, unavailable) if reason == "Shutdown" else unavailable
    rows: Mapping[int, Outcome] = {
        403: _credential(403, _PAUSE),
        410: Gone("unregistered", 410),
        429: _throttled(429),
    }
    return rows.get(status) or _refused(status)


def _unavailable(status: int, priority: Priority) -> Deferred:
    """Apple asks to come back after 15 minutes; what is urgent would be over by then."""
    is_urgent = priority is Priority.URGENT
    return Deferred("unavailable", None if is_urgent else UNAVAILABLE_SECONDS, status)


def pauses_key(debug: bytes) -> bool:
    """Whether the debug data of a GOAWAY says that the credential is refused (PU-47)."""
    found = _TABLE.get((403, fault(debug).reason))
    return isinstance(found, Deferred) and Word.PAUSE_KEY in found.words


def push_id(notification_id: str, delivery_id: int) -> str:
    """The `apns-id`: the same in every attempt at a delivery, another for any other (PU-31).

    A UUID of version 8 (RFC 9562, section 5.8) over the two ids.
    """
    name = f"{notification_id}/{delivery_id}".encode()
    digits = hashlib.sha256(name).hexdigest()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def fixed_headers(authority: str, provider_token: str) -> list[tuple[bytes, bytes]]:
    """What every push to one host has in common as long as one token is good; after `:path`."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", authority.encode("ascii")),
        (b"authorization", b"bearer " + provider_token.encode("ascii")),
    ]


def headers(
    push: ApnsPush, *, token: str, topic: str, push_id: str, expires_at: int, now: int
) -> list[tuple[bytes, bytes]]:
    """The headers of one push, `:path` first (PU-45).

    `expires_at` is the deadline and `now` the time, both epoch milliseconds (PU-31).
    """
    pairs = [
        (b":path", b"/3/device/" + token.encode("ascii")),
        (b"apns-topic", topic.encode()),
        (b"apns-push-type", push.push_type.encode("ascii")),
        (b"apns-priority", b"%d" % push.priority),
        (b"apns-expiration", b"%d" % _expiration(push, expires_at, now)),
        (b"apns-id", push_id.encode("ascii")),
    ]
    if push.collapse_id is not None:
        pairs.append((b"apns-collapse-id", push.collapse_id.encode("ascii")))
    return pairs


def _expiration(push: ApnsPush, expires_at: int, now: int) -> int:
    """Epoch seconds; 0 lets Apple try once and store nothing."""
    if push.expires_at_once:
        return 0
    if push.most_seconds is not None:
        expires_at = min(expires_at, now + push.most_seconds * 1000)
    return expires_at // 1000
