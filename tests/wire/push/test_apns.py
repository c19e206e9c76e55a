"""What APNs is sent and what its answers mean, row by row of C.3 (push.md)."""

import uuid

import orjson
import pytest
from tests.fakes.pushes import ALERT, RULES, VOIP, gateway, published

from tocsin.model.notification import Priority
from tocsin.model.outcome import Deferred, Delivered, Gone, Refused, Sign, Word
from tocsin.ops.metrics import PUSH_REASONS
from tocsin.wire.push.apns import (
    _TABLE,
    Fault,
    fault,
    fixed_headers,
    headers,
    pauses_key,
    push_id,
    verdict,
)
from tocsin.wire.push.apns_payload import apns_push
from tocsin.wire.push.verdict import Cause, Repeat, Verdict

ALARM, PAUSE, DELAY = (frozenset({word}) for word in (Word.ALARM, Word.PAUSE_KEY, Word.DELAY))
CALL = gateway("NotifyIncomingCall", Selector="S", Id="C1", UserName="+1613")


def bad_request(status: int) -> Refused:
    return Refused("bad_request", status, words=ALARM)


def paused(words: frozenset[Word] = PAUSE) -> Deferred:
    return Deferred("credential", 60.0, 403, sign=Sign.CONTACT, words=words)


def later(status: int) -> Deferred:
    return Deferred("unavailable", 900.0, status)


ROWS: dict[tuple[int, str], Verdict] = {
    (200, ""): Delivered(200),
    (410, "Unregistered"): Gone("unregistered", 410),
    (410, "ExpiredToken"): Gone("unregistered", 410),
    (400, "BadDeviceToken"): Repeat(Cause.ENVIRONMENT, Gone("bad_token", 400, is_guarded=True)),
    (400, "DeviceTokenNotForTopic"): Gone("wrong_topic", 400, is_guarded=True),
    (400, "TopicDisallowed"): bad_request(400),
    (400, "MissingTopic"): bad_request(400),
    (400, "BadTopic"): bad_request(400),
    (400, "InvalidPushType"): bad_request(400),
    (400, "BadPriority"): bad_request(400),
    (400, "BadExpirationDate"): bad_request(400),
    (400, "BadCollapseId"): bad_request(400),
    (400, "BadMessageId"): bad_request(400),
    (400, "DuplicateHeaders"): bad_request(400),
    (400, "PayloadEmpty"): bad_request(400),
    (400, "MissingDeviceToken"): bad_request(400),
    (404, "BadPath"): bad_request(404),
    (405, "MethodNotAllowed"): bad_request(405),
    (400, "IdleTimeout"): Repeat(
        Cause.CONNECTION, Deferred("shutdown", status=400, sign=Sign.CONTACT)
    ),
    (413, "PayloadTooLarge"): Repeat(Cause.TRIM, Refused("payload_too_large", 413)),
    (403, "ExpiredProviderToken"): Repeat(Cause.TOKEN, paused(ALARM)),
    (403, "InvalidProviderToken"): paused(),
    (403, "MissingProviderToken"): paused(),
    (403, "BadCertificate"): paused(),
    (403, "BadCertificateEnvironment"): paused(),
    (403, "BadEnvironmentKeyIdInToken"): paused(),
    (403, "BadEnvironmentKeyInToken"): paused(),
    (403, "UnrelatedKeyIdInToken"): paused(),
    (403, "Forbidden"): paused(),
    (429, "TooManyRequests"): Deferred(
        "throttled_device", status=429, sign=Sign.CONTACT, words=DELAY
    ),
    (429, "TooManyProviderTokenUpdates"): Deferred("credential", status=429, sign=Sign.CONTACT),
    (503, "Shutdown"): Repeat(Cause.SHUTDOWN, later(503)),
    (500, "InternalServerError"): later(500),
    (503, "ServiceUnavailable"): later(503),
    # A reason nobody knows, or none.
    (403, "New"): paused(),
    (410, "New"): Gone("unregistered", 410),
    (429, "New"): Deferred("throttled_device", status=429, sign=Sign.CONTACT, words=DELAY),
    (502, "New"): later(502),
    (400, "New"): bad_request(400),
    (404, ""): bad_request(404),
    (302, ""): bad_request(302),
    # A reason under a status that is not its own.
    (400, "Unregistered"): bad_request(400),
    (500, "BadDeviceToken"): later(500),
}


def body(reason: str, **more: object) -> bytes:
    return orjson.dumps({"reason": reason, **more}) if reason else b""


@pytest.mark.parametrize(("answer", "expected"), ROWS.items(), ids=str)
def test_answers(answer: tuple[int, str], expected: Verdict) -> None:
    """C.3, PU-91: every row, for a push that is not urgent."""
    status, reason = answer
    for priority in (Priority.NORMAL, Priority.LOW):
        assert verdict(status, body(reason), priority=priority) == expected


def test_no_row_goes_untested() -> None:
    """PU-91: the table has no reason that the test above does not have."""
    assert _TABLE.keys() <= ROWS.keys()


@pytest.mark.parametrize("status", [500, 503])
def test_urgent_pushes_do_not_wait_for_a_quarter_of_an_hour(status: int) -> None:
    """C.3: 5xx defers an urgent push by the retry list alone, and so does a second Shutdown."""
    now = Deferred("unavailable", status=status)
    assert verdict(status, b"", priority=Priority.URGENT) == now
    shutdown = verdict(status, body("Shutdown"), priority=Priority.URGENT)
    assert shutdown == Repeat(Cause.SHUTDOWN, now)


def test_when_a_token_went() -> None:
    """PU-47, PU-50: the timestamp of a 410, in milliseconds."""
    answer = verdict(410, body("Unregistered", timestamp=1_700_000), priority=Priority.NORMAL)
    assert answer == Gone("unregistered", 410, since=1_700_000)


@pytest.mark.parametrize("timestamp", ["1", True, -1, 1.5, None])
def test_a_timestamp_that_is_none(timestamp: object) -> None:
    """PU-47: what is no time is left out."""
    assert fault(body("Unregistered", timestamp=timestamp)) == Fault("Unregistered")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'"reason"', b'{"reason":1}'])
def test_bodies_that_say_nothing(text: bytes) -> None:
    """PU-47: whatever comes, reading it does not fail."""
    assert fault(text) == Fault()


def test_goaways_that_pause_the_key() -> None:
    """PU-47: a 403 reason in the debug data does, nothing else."""
    assert pauses_key(body("InvalidProviderToken"))
    assert not any(pauses_key(text) for text in (b"", body("Shutdown"), body("BadTopic"), b"{"))
    assert not pauses_key(body("ExpiredProviderToken"))


def test_reasons_are_in_the_metrics() -> None:
    """OP-15: each reason is of the closed set."""
    outcomes = [one.otherwise if isinstance(one, Repeat) else one for one in ROWS.values()]
    reasons = {one.reason for one in outcomes if not isinstance(one, Delivered)}
    assert reasons <= set(PUSH_REASONS)


def test_the_id_of_a_push() -> None:
    """PU-31: a canonical UUID, the same for ever, and another for any other delivery."""
    first = push_id("n-1", 7)
    assert first == "0e1b2b12-abee-8f30-8ccf-c46b6fb4ac92"  # sha256sum of "n-1/7"
    parsed = uuid.UUID(first)
    assert str(parsed) == first
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)
    assert len({first, push_id("n-1", 8), push_id("n-2", 7)}) == 3


def test_a_request() -> None:
    """PU-45: the headers of an alert, `:path` first, and what is the same for many."""
    push = apns_push(gateway("NotifyReprovision", Selector="S"), ALERT, RULES)
    pairs = headers(
        push, token="ab" * 32, topic="t", push_id="id", expires_at=1_700_000_000_999, now=0
    )
    assert pairs == [
        (b":path", b"/3/device/" + b"ab" * 32),
        (b"apns-topic", b"t"),
        (b"apns-push-type", b"background"),
        (b"apns-priority", b"5"),
        (b"apns-expiration", b"1700000000"),
        (b"apns-id", b"id"),
        (b"apns-collapse-id", b"reprov"),
    ]
    assert fixed_headers("api.push.apple.com", "JWT") == [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":authority", b"api.push.apple.com"),
        (b"authorization", b"bearer JWT"),
    ]


def test_a_call_has_no_collapse_id() -> None:
    """PU-32: never on voip."""
    push = apns_push(CALL, VOIP, RULES)
    pairs = headers(push, token="ab", topic="t", push_id="id", expires_at=0, now=0)
    assert b"apns-collapse-id" not in dict(pairs)


def test_now_or_never() -> None:
    """PU-31: with a Ttl of 0 Apple is to store nothing."""
    text = gateway("NotifyGenericTextMessage", Message="hi", Ttl=0)
    push = apns_push(text, ALERT, RULES)
    pairs = headers(push, token="ab", topic="t", push_id="id", expires_at=99_000, now=90_000)
    assert dict(pairs)[b"apns-expiration"] == b"0"


def test_a_notification_for_a_voip_app_expires_soon() -> None:
    """CH-73: at most 60 s from now, however long it lives."""
    call = published("wrtcsSessionInvitationNotification", {})
    push = apns_push(call, VOIP, RULES)
    for expires_at, seconds in [(10**9, b"160"), (130_000, b"130")]:
        pairs = headers(
            push, token="ab", topic="t", push_id="id", expires_at=expires_at, now=100_000
        )
        assert dict(pairs)[b"apns-expiration"] == seconds
