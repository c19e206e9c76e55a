"""What pushes lose that are too long, and what they never lose (push.md, B.5; CH-73)."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.pushes import ALERT, ANDROID, APPLE, RULES, VOIP, WEB, gateway, published

from tocsin.wire.push.apns_payload import apns_push
from tocsin.wire.push.app import App
from tocsin.wire.push.fcm_payload import fcm_push
from tocsin.wire.push.trimming import (
    APNS_LIMIT,
    FCM_LIMIT,
    VOIP_LIMIT,
    PayloadTooLargeError,
    collapse_id,
    cut,
    limit_of,
    reductions,
    retry_limit,
)

P = TypeVar("P")
INVITATION = "wrtcsSessionInvitationNotification"
CALL_FROM = {"originatorAddress": "sip:bob@x", "originatorName": "Bob"}
CHAT_LINK = [{"href": "/cpaas/chat/v1/u/oneToOne/bob@x.com/adhoc/messages/M1"}]


def test_limits() -> None:
    """Each provider and kind has its limit; a second try gets 90 % of it (PU-39, PU-40)."""
    limits = [limit_of(app) for app in (ALERT, VOIP, ANDROID, WEB, APPLE)]
    assert limits == [4096, 5120, 4096, 4096, 4096]
    assert (retry_limit(ALERT), retry_limit(VOIP)) == (3686, 4608)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("C1", "C1"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "lTfF_fEgSC99WNJentWD9SwCtOME6oFNsWM61WWu1-k"),
    ],
)
def test_collapse_ids(value: str, expected: str) -> None:
    """A collapse id over 64 bytes is the base64url of its SHA-256 (PU-32)."""
    assert collapse_id(value) == expected


@pytest.mark.parametrize("value", ["", " a", "a ", "a\r\nb", "\u00e9", "\x7f", "\u20ac" * 22])
def test_collapse_ids_fit_a_header(value: str) -> None:
    """What no header can carry is hashed, too: an id comes from a caller (PU-32)."""
    assert len(collapse_id(value)) == 43


@given(text=st.text(min_size=1), limit=st.integers(0, 60))
def test_cutting(text: str, limit: int) -> None:
    """What is cut is the longest beginning that fits with its ellipsis, once encoded (PU-40)."""
    left = cut(text, orjson.dumps, limit)
    if left == text:
        assert len(orjson.dumps(text)) <= limit
        return
    longer = text[: max(len(left), 1)] + "…"
    assert left == "" or len(orjson.dumps(left)) <= limit
    assert left == "" or text.startswith(left.removesuffix("…"))
    assert len(longer) > len(text) or len(orjson.dumps(longer)) > limit


def test_a_call_loses_what_others_added_first() -> None:
    """Attributes passed through go first, the last of them first of all (PU-34, PU-39)."""
    extra = {f"x{number}": "y" * 90 for number in range(10)}
    asked = gateway("NotifyIncomingCall", Selector="S", Id="C1", Extra=extra)
    push = apns_push(asked, VOIP, RULES, limit=300)
    left = [key for key in orjson.loads(push.body) if key in extra]
    assert left == ["x0", "x1"]


def test_attributes_of_others_are_bounded() -> None:
    """Of unknown attributes 16 ride along and 1 KiB at most (PU-34)."""
    many = {f"x{number}": 1 for number in range(20)}
    large = {"a": "y" * 600, "b": "y" * 600, "c": "y"}
    for extra, expected in ((many, list(many)[:16]), (large, ["a", "c"])):
        asked = gateway("NotifyIncomingCall", Selector="S", Extra=extra)
        body = orjson.loads(apns_push(asked, VOIP, RULES).body)
        assert [key for key in body if key in extra] == expected


def test_a_message_is_cut_before_a_name() -> None:
    """The message goes before the name, the name before the push is refused (PU-39)."""
    said = {"Selector": "S" * 20, "Id": "I", "Message": "m" * 500, "UserDisplayName": "n" * 500}
    shown = [_alert_of(said, limit) for limit in (900, 500, 120)]
    assert shown[0]["title"] == "n" * 500
    assert shown[0]["body"].endswith("m…")
    assert shown[1].keys() == {"title"}
    assert shown[1]["title"].endswith("n…")
    assert shown[2] == {}
    with pytest.raises(PayloadTooLargeError):
        _alert_of(said, 100)


def _alert_of(said: Mapping[str, object], limit: int) -> dict[str, str]:
    push = apns_push(gateway("NotifyTextMessage", **said), ALERT, RULES, limit=limit)
    payload = orjson.loads(push.body)
    assert (payload["sel"], payload["id"]) == ("S" * 20, "I")
    alert: dict[str, str] = payload["aps"].get("alert", {})
    return alert


def test_reductions() -> None:
    """Session descriptions go first, then attachments, then all but what fetches it (CH-73)."""
    whole = {
        "offer": {"sdp": "v", "type": "x"},
        "chatMessage": {"text": "t", "attachment": [1]},
        "attachment": 1,
        "id": "N1",
        "dateTime": 12345678901234567890123,
        "link": [],
    }
    body = b'{"k":%b}' % orjson.dumps({**whole, "dateTime": 0}).replace(
        b'"dateTime":0', b'"dateTime":12345678901234567890123'
    )
    chat = {"chatMessage": {"text": "t"}}
    least = {"id": "N1", "dateTime": whole["dateTime"], "link": [], "truncated": True}
    assert [json.loads(reduced)["k"] for reduced in reductions("k", body)] == [
        {**whole, "offer": {"type": "x"}, "truncated": True},
        {"offer": {"type": "x"}, **chat, **least},
        least,
    ]


def test_nothing_to_reduce() -> None:
    """A notification of nothing but what fetches it has nothing to lose (CH-73)."""
    assert list(reductions("gone", b'{"gone":{"id":"N1","link":[]}}')) == []


def test_a_notification_loses_its_session_description_first() -> None:
    """Too long, an invitation keeps all but its SDP and is marked; the limit is voip's (CH-73)."""
    body = {**CALL_FROM, "offer": {"sdp": "v" * VOIP_LIMIT, "x": 1}}
    push = apns_push(published(INVITATION, body), VOIP, RULES)
    carried = orjson.loads(push.body)[INVITATION]
    assert carried == {
        **CALL_FROM,
        "offer": {"x": 1},
        "id": "N1",
        "dateTime": 1,
        "truncated": True,
    }


def test_an_alert_is_cut_before_its_notification() -> None:
    """Text is cut in the alert while it still rides along whole (PU-39)."""
    text = "é" * 1500
    body = {"inboundSMSMessage": {"message": text, "senderAddress": "+1613"}}
    push = apns_push(published("inboundSMSMessageNotification", body), ALERT, RULES)
    payload = orjson.loads(push.body)
    shown = payload["aps"]["alert"]["body"]
    assert payload["inboundSMSMessageNotification"]["inboundSMSMessage"]["message"] == text
    assert "truncated" not in payload["inboundSMSMessageNotification"]
    assert shown == "é" * (len(shown) - 1) + "…"
    assert APNS_LIMIT - 1 <= len(push.body) <= APNS_LIMIT


def test_a_long_text_is_shown_when_it_cannot_ride_along() -> None:
    """A text too long to ride along is still shown as far as it fits (PU-39, CH-73)."""
    body = {"chatMessage": {"text": "x" * 9000, "senderAddress": "bob@x.com"}, "link": CHAT_LINK}
    push = apns_push(published("chatMessageNotification", body), ALERT, RULES)
    payload = orjson.loads(push.body)
    assert payload["chatMessageNotification"] == {
        "link": CHAT_LINK,
        "id": "N1",
        "dateTime": 1,
        "truncated": True,
    }
    assert payload["aps"]["alert"]["body"].startswith("x" * 3000)
    assert len(push.body) == APNS_LIMIT


def test_what_cannot_be_made_to_fit() -> None:
    """A notification whose links alone are too long is refused (PU-39)."""
    with pytest.raises(PayloadTooLargeError):
        apns_push(published("gone", {"link": ["x" * APNS_LIMIT]}), ALERT, RULES)


def test_data_and_notification_fill_one_limit() -> None:
    """FCM counts the two together and nothing else, to the byte (PU-39)."""
    asked = gateway("NotifyGenericTextMessage", Selector="S", Message="m" * 9000)
    message = orjson.loads(fcm_push(asked, ANDROID, RULES).message)
    sized = orjson.dumps(message["data"]) + orjson.dumps(message["notification"])
    assert len(sized) == FCM_LIMIT


def test_a_data_message_is_reduced_as_well() -> None:
    """On FCM the notification loses the same, and escapes count (PU-39, PU-40)."""
    body = {"chatMessage": {"text": '"' * 1500, "attachment": ["x"]}, "link": CHAT_LINK}
    push = fcm_push(published("chatMessageNotification", body), ANDROID, RULES)
    data = orjson.loads(push.message)["data"]
    carried = orjson.loads(data["chatMessageNotification"])
    assert carried == {"link": CHAT_LINK, "id": "N1", "dateTime": 1, "truncated": True}


texts = st.text(st.characters(exclude_categories=["Cs"]))
long_texts = st.tuples(texts, st.integers(1, 3000)).map(lambda made: made[0] * made[1])
attributes = st.fixed_dictionaries(
    {"Selector": st.text(max_size=256), "Id": st.text(max_size=256)},
    optional={
        "Message": long_texts,
        "UserName": st.text(max_size=256),
        "UserDisplayName": long_texts,
        "Sound": texts,
        "ThreadId": texts,
        "ContentType": st.sampled_from(["text/plain", "message/imdn+xml", "x"]),
        "Badge": st.integers(0, 10),
        "Extra": st.dictionaries(
            texts | st.sampled_from(["from", "aps", "google.x"]),
            st.one_of(texts, st.integers(-(2**63), 2**64 - 1), st.booleans()),
        ),
    },
)
verbs = st.sampled_from(["NotifyTextMessage", "NotifyIncomingCall", "NotifyGenericTextMessage"])
limits = st.sampled_from([None, 1000])


@given(verb=verbs, said=attributes, limit=limits)
def test_any_attributes_fit_apns(verb: str, said: dict[str, Any], limit: int | None) -> None:
    """Whatever is said, the payload is JSON within its limit and has account and id (PU-39)."""
    most = limit or APNS_LIMIT
    asked = gateway(verb, **said)
    push = _unless_hopeless(lambda: apns_push(asked, ALERT, RULES, limit=limit), said, most)
    if push is None:
        return
    payload = orjson.loads(push.body)
    assert len(push.body) <= most
    assert isinstance(payload["aps"], dict)
    _has_what_is_never_lost(payload, verb, said)
    assert push.collapse_id is not None
    assert push.collapse_id.isascii()
    assert 1 <= len(push.collapse_id) <= 64


@given(verb=verbs, said=attributes, limit=limits)
def test_any_attributes_fit_fcm(verb: str, said: dict[str, Any], limit: int | None) -> None:
    """On FCM data and notification fit together, all of it texts under names allowed (PU-33)."""
    most = limit or FCM_LIMIT
    asked = gateway(verb, **said)
    push = _unless_hopeless(lambda: fcm_push(asked, ANDROID, RULES, limit=limit), said, most)
    if push is None:
        return
    message = orjson.loads(push.message)
    sized = [orjson.dumps(message[name]) for name in ("data", "notification") if name in message]
    assert sum(map(len, sized)) <= most
    assert all(isinstance(value, str) for value in message["data"].values())
    assert not any(_is_forbidden(key) for key in message["data"])
    _has_what_is_never_lost(message["data"], verb, said)


def _unless_hopeless(make: Callable[[], P], said: dict[str, Any], most: int) -> P | None:
    """None if the push is refused, and rightly: what it may not lose is too long already."""
    try:
        return make()
    except PayloadTooLargeError:
        kept = {**said, "Message": "", "UserDisplayName": "", "Extra": {}}
        assert len(orjson.dumps(kept)) > most - 400
        return None


def _is_forbidden(key: str) -> bool:
    return key in {"from", "message_type"} or key.startswith(("google.", "gcm."))


def _has_what_is_never_lost(payload: dict[str, Any], verb: str, said: dict[str, Any]) -> None:
    assert payload["verb"] == verb
    assert payload.get("sel", "") == said["Selector"]
    assert payload.get("id", "") == said["Id"]


@given(text=long_texts, rest=st.text(max_size=5000))
def test_any_notification_fits(text: str, rest: str) -> None:
    """Whatever rides along, the payload is JSON within its limit, with the id (PU-39, CH-73)."""
    body = {"chatMessage": {"text": text, "senderAddress": "bob"}, "other": rest}
    notification = published("chatMessageNotification", body)
    payload = apns_push(notification, ALERT, RULES).body
    data = orjson.dumps(orjson.loads(fcm_push(notification, ANDROID, RULES).message)["data"])
    assert len(payload) <= APNS_LIMIT
    assert len(data) <= FCM_LIMIT
    for carried in (
        orjson.loads(payload)["chatMessageNotification"],
        orjson.loads(orjson.loads(data)["chatMessageNotification"]),
    ):
        assert carried["id"] == "N1"
        assert carried.get("truncated") or carried == {**body, "id": "N1", "dateTime": 1}


@pytest.mark.parametrize("app", [ANDROID, WEB, APPLE])
def test_a_second_try_is_shorter(app: App) -> None:
    """`limit` replaces the provider's on every platform (PU-40)."""
    asked = gateway("NotifyTextMessage", Selector="S", Message="m" * 9000)
    first = fcm_push(asked, app, RULES)
    second = fcm_push(asked, app, RULES, limit=retry_limit(app))
    assert len(first.message) - len(second.message) == FCM_LIMIT - retry_limit(app)
