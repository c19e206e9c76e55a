"""What FCM is sent and what its answers mean, row by row of C.4 (push.md)."""

import orjson
import pytest

from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Delivered, Gone, Refused, Sign, Word
from tocsin.ops.metrics import PUSH_REASONS
from tocsin.wire.push.fcm import Fault, fault, fixed_headers, path, verdict
from tocsin.wire.push.verdict import Cause, Repeat, Verdict

NOW = 1_700_000_000_000
PREFIX = "type.googleapis.com/google."


def error(*details: dict[str, object], message: str = "") -> bytes:
    return orjson.dumps({"error": {"message": message, "details": details}})


def fcm_error(code: str) -> dict[str, object]:
    return {"@type": PREFIX + "firebase.fcm.v1.FcmError", "errorCode": code}


def violation(field: str, description: str = "") -> dict[str, object]:
    one = {"field": field, "description": description}
    return {"@type": PREFIX + "rpc.BadRequest", "fieldViolations": [one]}


def quota(subject: str, description: str = "") -> dict[str, object]:
    one = {"subject": subject, "description": description}
    return {"@type": PREFIX + "rpc.QuotaFailure", "violations": [one]}


def credential(status: int, *words: Word) -> Deferred:
    return Deferred("credential", 60.0, status, sign=Sign.CONTACT, words=frozenset(words))


def throttled(reason: str, seconds: float | None, word: Word) -> Deferred:
    return Deferred(reason, seconds, 429, sign=Sign.CONTACT, words=frozenset({word}))


BAD_REQUEST = Refused("bad_request", 400, words=frozenset({Word.ALARM}))
BAD_TOKEN = Gone("bad_token", 400, is_guarded=True)
TOO_LARGE = Repeat(Cause.TRIM, Refused("payload_too_large", 400))
INVALID = fcm_error("INVALID_ARGUMENT")
ROWS: dict[str, tuple[int, bytes, Verdict]] = {
    "delivered": (200, b'{"name":"projects/p/messages/0"}', Delivered(200)),
    "unregistered": (404, error(fcm_error("UNREGISTERED")), Gone("unregistered", 404)),
    "wrong project": (404, error(), credential(404, Word.PAUSE_KEY, Word.ALARM)),
    "wrong path": (404, b"<html>", credential(404, Word.PAUSE_KEY, Word.ALARM)),
    "other sender": (
        403,
        error(fcm_error("SENDER_ID_MISMATCH")),
        Gone("wrong_topic", 403, is_guarded=True),
    ),
    "API disabled": (403, error(), credential(403, Word.PAUSE_KEY)),
    "bad token": (400, error(INVALID), BAD_TOKEN),
    "bad token, said twice": (400, error(INVALID, violation("message.token")), BAD_TOKEN),
    "bad field": (400, error(INVALID, violation("message.data[0].value")), BAD_REQUEST),
    "bad field alone": (400, error(violation("message")), BAD_REQUEST),
    "bad without details": (400, error(), BAD_REQUEST),
    "bad without a body": (400, b"", BAD_REQUEST),
    "too big": (400, error(INVALID, message="Android message is too big"), TOO_LARGE),
    "too big a field": (400, error(INVALID, violation("message", "Message too big")), TOO_LARGE),
    "413": (413, b"", Repeat(Cause.TRIM, Refused("payload_too_large", 413))),
    "bad APNs credential": (
        401,
        error(fcm_error("THIRD_PARTY_AUTH_ERROR")),
        credential(401, Word.PAUSE_APP, Word.ALARM),
    ),
    "access token": (401, error(), Repeat(Cause.TOKEN, credential(401, Word.PAUSE_KEY))),
    "quota of the device": (
        429,
        error(fcm_error("QUOTA_EXCEEDED"), quota("device:t", "Device message rate exceeded")),
        throttled("throttled_device", None, Word.DELAY),
    ),
    "quota of the project": (
        429,
        error(fcm_error("QUOTA_EXCEEDED"), quota("project:p", "Message rate exceeded")),
        throttled("quota", 60.0, Word.PAUSE_QUOTA),
    ),
    "quota, no details": (429, error(), throttled("quota", 60.0, Word.PAUSE_QUOTA)),
    "internal": (500, error(fcm_error("INTERNAL")), Deferred("unavailable", 10.0, 500)),
    "unavailable": (503, error(fcm_error("UNAVAILABLE")), Deferred("unavailable", 10.0, 503)),
    "bad gateway": (502, b"<!DOCTYPE html>", Deferred("unavailable", 10.0, 502)),
    "redirect": (302, b"", Refused("bad_request", 302, words=frozenset({Word.ALARM}))),
    "token's code, other status": (400, error(fcm_error("UNREGISTERED")), BAD_REQUEST),
    "500 about the token": (
        500,
        error(fcm_error("UNREGISTERED")),
        Deferred("unavailable", 10.0, 500),
    ),
}


def judge(
    status: int, body: bytes, *, priority: Priority = Priority.NORMAL, wait: bytes | None = None
) -> Verdict:
    headers = {} if wait is None else {b"retry-after": wait}
    return verdict(status, headers, body, priority=priority, now=NOW)


@pytest.mark.parametrize(("status", "body", "expected"), ROWS.values(), ids=ROWS)
def test_answers(status: int, body: bytes, expected: Verdict) -> None:
    """C.4, PU-91: every row, for a push that is not urgent."""
    assert judge(status, body) == expected


@pytest.mark.parametrize("status", [429, 500, 503])
def test_retry_after(status: int) -> None:
    """C.4: it comes before our own numbers, in seconds or as a date; garbage does not."""
    dated = b"Tue, 14 Nov 2023 22:14:20 GMT"
    for wait, seconds in [(b"33", 33.0), (dated, 60.0), (b"soon", {429: 60.0}.get(status, 10.0))]:
        answer = judge(status, b"", wait=wait)
        assert isinstance(answer, Deferred)
        assert answer.retry_after == seconds


def test_urgent_pushes_come_again_soon() -> None:
    """C.4: after 5xx in a second, unless FCM says when."""
    assert judge(503, b"", priority=Priority.URGENT) == Deferred("unavailable", 1.0, 503)
    asked = judge(503, b"", priority=Priority.URGENT, wait=b"20")
    assert asked == Deferred("unavailable", 20.0, 503)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"\xff", b'{"error":[]}', b'{"error":{"details":{}}}'),
        *(b'{"error":{"details":[1,{"@type":2}]}}', b'{"error":{"message":7}}'),
        error({"@type": PREFIX + "rpc.BadRequest", "fieldViolations": "x"}),
        error({"@type": PREFIX + "rpc.QuotaFailure", "violations": [1]}),
    ],
)
def test_bodies_that_say_nothing(body: bytes) -> None:
    """C.4: whatever comes, reading it does not fail."""
    assert fault(body) == Fault()


def test_reasons_are_in_the_metrics() -> None:
    """OP-15: each reason is of the closed set."""
    verdicts = [expected for _, _, expected in ROWS.values()]
    outcomes = [one.otherwise if isinstance(one, Repeat) else one for one in verdicts]
    reasons = {one.reason for one in outcomes if not isinstance(one, Delivered)}
    assert reasons <= set(PUSH_REASONS)


def test_a_request() -> None:
    """PU-45: path and headers."""
    assert path("p-1") == (b":path", b"/v1/projects/p-1/messages:send")
    assert path("example.com:p") == (b":path", b"/v1/projects/example.com:p/messages:send")
    assert path("a/b") == (b":path", b"/v1/projects/a%2Fb/messages:send")
    assert fixed_headers("fcm.googleapis.com", "T") == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"fcm.googleapis.com"),
        (b"authorization", b"Bearer T"),
        (b"content-type", b"application/json"),
    ]
