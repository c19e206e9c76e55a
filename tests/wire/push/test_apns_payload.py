"""What APNs is given, row by row of B.2 and B.4 (push.md)."""

from typing import Any

import attrs
import orjson
import pytest
from tests.fakes.pushes import ALERT, RULES, VOIP, gateway, published

from tocsin.wire.push.apns_payload import apns_push
from tocsin.wire.push.app import App
from tocsin.wire.push.roots import NotForAppError

CALL = {"Selector": "S", "Id": "C1", "UserName": "+1613", "UserDisplayName": "Bob"}
TEXT = {
    **CALL,
    "Message": "hi",
    "Badge": 3,
    "Sound": "s1.caf",
    "ContentType": "text/plain",
    "ThreadId": "T1",
}
GATEWAY = {
    "call on a voip app": (
        VOIP,
        ("NotifyIncomingCall", CALL),
        ("voip", 10, None),
        '{"aps":{},"sel":"S","id":"C1","from":"+1613","name":"Bob","verb":"NotifyIncomingCall"}',
    ),
    "call on an alert app": (
        ALERT,
        ("NotifyIncomingCall", CALL),
        ("alert", 10, "C1"),
        (
            '{"aps":{"alert":{"title":"Bob"},"sound":"default"},'
            '"sel":"S","id":"C1","from":"+1613","name":"Bob","verb":"NotifyIncomingCall"}'
        ),
    ),
    "missed call": (
        ALERT,
        ("NotifyIncomingCallMissed", {**CALL, "Message": "Missed", "Sound": "s1.caf"}),
        ("alert", 10, "C1"),
        (
            '{"aps":{"alert":{"title":"Bob","body":"Missed"},"sound":"s1.caf"},'
            '"sel":"S","id":"C1","from":"+1613","name":"Bob","verb":"NotifyIncomingCallMissed"}'
        ),
    ),
    "missed call without more": (
        ALERT,
        ("NotifyIncomingCallMissed", {"Selector": "S", "Id": "C1", "UserName": "+1613"}),
        ("alert", 10, "C1"),
        (
            '{"aps":{"alert":{"title":"+1613"}},'
            '"sel":"S","id":"C1","from":"+1613","name":"+1613","verb":"NotifyIncomingCallMissed"}'
        ),
    ),
    "answered elsewhere": (
        ALERT,
        ("NotifyIncomingCallAnsweredElsewhere", CALL),
        ("background", 5, "C1"),
        (
            '{"aps":{"content-available":1},'
            '"sel":"S","id":"C1","verb":"NotifyIncomingCallAnsweredElsewhere"}'
        ),
    ),
    "text message": (
        ALERT,
        ("NotifyTextMessage", TEXT),
        ("alert", 10, "C1"),
        (
            '{"aps":{"alert":{"title":"Bob","body":"hi"},"badge":3,"sound":"s1.caf",'
            '"thread-id":"T1","mutable-content":1,"content-available":1},'
            '"sel":"S","id":"C1","ct":"text/plain","from":"+1613","verb":"NotifyTextMessage"}'
        ),
    ),
    "text message without Id, clearing the badge": (
        ALERT,
        ("NotifyTextMessage", {"Badge": 0, "Sound": "", "Selector": ""}),
        ("alert", 10, "N1"),
        '{"aps":{"badge":0,"mutable-content":1,"content-available":1},"verb":"NotifyTextMessage"}',
    ),
    "text message nobody is shown": (
        ALERT,
        ("NotifyTextMessage", {**TEXT, "ContentType": "message/imdn+xml"}),
        ("background", 5, "C1"),
        (
            '{"aps":{"content-available":1},'
            '"sel":"S","id":"C1","ct":"message/imdn+xml","from":"+1613","verb":"NotifyTextMessage"}'
        ),
    ),
    "generic text": (
        ALERT,
        ("NotifyGenericTextMessage", {"Message": "Sale", "Badge": 1, "Sound": "default"}),
        ("alert", 10, "N1"),
        (
            '{"aps":{"alert":{"body":"Sale"},"badge":1,"sound":"default"},'
            '"verb":"NotifyGenericTextMessage"}'
        ),
    ),
    "reprovision": (
        ALERT,
        ("NotifyReprovision", {"Selector": "S"}),
        ("background", 5, "reprov"),
        '{"aps":{"content-available":1},"sel":"S","verb":"NotifyReprovision"}',
    ),
    "reprovision on a voip app": (
        VOIP,
        ("NotifyReprovision", {"Selector": "S"}),
        ("voip", 10, None),
        '{"aps":{},"sel":"S","verb":"NotifyReprovision"}',
    ),
    "a verb that is passed on": (
        ALERT,
        ("NotifyDoor", {**TEXT, "Badge": 0, "Extra": {"Door": 7}}),
        ("background", 5, "C1"),
        (
            '{"aps":{"content-available":1},"verb":"NotifyDoor","sel":"S","id":"C1","from":"+1613",'
            '"name":"Bob","ct":"text/plain","thread":"T1","message":"hi","badge":0,"sound":"s1.caf",'
            '"Door":7}'
        ),
    ),
}


@pytest.mark.parametrize(("app", "asked", "how", "payload"), GATEWAY.values(), ids=GATEWAY)
def test_gateway_rows(
    app: App, asked: tuple[str, dict[str, object]], how: tuple[object, ...], payload: str
) -> None:
    """Each verb becomes its row of B.2, byte for byte."""
    verb, attributes = asked
    push = apns_push(gateway(verb, **attributes), app, RULES)
    assert (push.push_type, push.priority, push.collapse_id) == how
    assert push.body.decode() == payload


SMS = {"inboundSMSMessage": {"message": "hi\x07", "senderAddress": "+1613"}}
CHAT_LINK = [{"href": "/cpaas/chat/v1/u/oneToOne/bob@x.com/adhoc/messages/M1"}]
CHAT = {"chatMessage": {"text": "hello", "senderAddress": "bob@x.com"}, "link": CHAT_LINK}
SESSION = [{"rel": "wrtcsSession", "href": "/cpaas/webrtcsignaling/v1/u/sessions/S1"}]
CALL_FROM = {"originatorAddress": "sip:bob@x", "originatorName": "Bob"}
INVITATION = "wrtcsSessionInvitationNotification"
SHOWN = {"sound": "default", "mutable-content": 1}
BACKGROUND = {"content-available": 1}
CHANNELS: dict[str, tuple[str, dict[str, Any], tuple[str, int, str], dict[str, Any]]] = {
    "invitation": (
        INVITATION,
        CALL_FROM,
        ("alert", 10, "N1"),
        {"alert": {"title-loc-key": f"{INVITATION}_title", "title-loc-args": ["Bob"]}, **SHOWN},
    ),
    "invitation without a name": (
        INVITATION,
        {"originatorAddress": "sip:bob@x"},
        ("alert", 10, "N1"),
        {
            "alert": {"title-loc-key": f"{INVITATION}_title", "title-loc-args": ["sip:bob@x"]},
            **SHOWN,
        },
    ),
    "call event": (
        "wrtcsEventNotification",
        {"link": SESSION},
        ("background", 5, "S1"),
        BACKGROUND,
    ),
    "other call": (
        "wrtcsOfferNotification",
        {"link": SESSION},
        ("background", 5, "N1"),
        BACKGROUND,
    ),
    "sms": (
        "inboundSMSMessageNotification",
        SMS,
        ("alert", 10, "N1"),
        {
            "alert": {
                "title-loc-key": "inboundSMSMessageNotification_title",
                "title-loc-args": ["+1613"],
                "body": "hi",
            },
            **SHOWN,
        },
    ),
    "chat": (
        "chatMessageNotification",
        CHAT,
        ("alert", 10, "N1"),
        {
            "alert": {
                "title-loc-key": "chatMessageNotification_title",
                "title-loc-args": ["bob@x.com"],
                "body": "hello",
            },
            **SHOWN,
            "thread-id": "oneToOne/bob@x.com",
        },
    ),
    "typing": (
        "chatMessageNotification",
        {"isComposing": {"state": "active"}},
        ("background", 5, "N1"),
        BACKGROUND,
    ),
    "group": (
        "groupChatSessionInvitationNotification",
        {"x-name": "g"},
        ("alert", 10, "N1"),
        {
            "alert": {
                "title-loc-key": "groupChatSessionInvitationNotification_title",
                "loc-key": "groupChatSessionInvitationNotification_body",
                "loc-args": ["g"],
            },
            **SHOWN,
        },
    ),
    "receipt": ("deliveryInfoNotification", {}, ("background", 5, "N1"), BACKGROUND),
    "gone": ("gone", {}, ("background", 5, "N1"), BACKGROUND),
    "any other": (
        "voicemailNotification",
        {},
        ("alert", 10, "N1"),
        {
            "alert": {
                "title-loc-key": "voicemailNotification_title",
                "loc-key": "voicemailNotification_body",
            },
            **SHOWN,
        },
    ),
}


@pytest.mark.parametrize(("root_key", "body", "how", "aps"), CHANNELS.values(), ids=CHANNELS)
def test_channel_rows(
    root_key: str, body: dict[str, Any], how: tuple[str, int, str], aps: dict[str, Any]
) -> None:
    """Each root key becomes its row of B.4, and the whole notification rides along (CH-72)."""
    notification = published(root_key, body)
    push = apns_push(notification, ALERT, RULES)
    assert (push.push_type, push.priority, push.collapse_id) == how
    assert orjson.loads(push.body) == {"aps": aps, **orjson.loads(notification.body)}


def test_an_invitation_on_a_voip_channel() -> None:
    """The app shows the call itself; the push expires within a minute (CH-73, B.4)."""
    push = apns_push(published(INVITATION, CALL_FROM), VOIP, RULES)
    assert (push.push_type, push.priority, push.collapse_id, push.most_seconds) == (
        *("voip", 10, None),
        60,
    )
    assert orjson.loads(push.body)["aps"] == {}
    assert orjson.loads(push.body)[INVITATION]["originatorName"] == "Bob"


def test_integers_ride_along_exactly() -> None:
    """A notification is not read and written again where it fits (CH-100)."""
    text = b'{"gone":{"id":"N1","n":123456789012345678901234567890}}'
    push = apns_push(attrs.evolve(published("gone", {}), body=text), ALERT, RULES)
    assert push.body == b'{"aps":{"content-available":1},' + text[1:]


def test_a_notification_under_one_name() -> None:
    """`payload_key` wraps the notification and leaves `aps` alone (CH-72)."""
    notification = published("gone", {})
    app = attrs.evolve(ALERT, payload_key="tocsin")
    assert orjson.loads(apns_push(notification, app, RULES).body) == {
        "aps": BACKGROUND,
        "tocsin": orjson.loads(notification.body),
    }


@pytest.mark.parametrize(
    ("notification", "app"),
    [
        (gateway("NotifyTextMessage"), VOIP),
        (gateway("NotifyDoor"), VOIP),
        (gateway("NotifyIncomingCall"), attrs.evolve(ALERT, call_without_voip="refuse")),
        (published("chatMessageNotification", {}), VOIP),
        (published("presenceNotification", {}), ALERT),
        (published("aps", {}), ALERT),
    ],
)
def test_what_is_not_for_an_app(notification: Any, app: App) -> None:
    """A push its app must not get is not made, whoever asks (PU-35, PU-36, B.4)."""
    with pytest.raises(NotForAppError):
        apns_push(notification, app, RULES)


def test_keys_have_other_names() -> None:
    """`key_names` renames our keys and nothing else (PU-30)."""
    app = attrs.evolve(ALERT, key_names={"sel": "s", "title": "t"})
    body = orjson.loads(apns_push(gateway("NotifyReprovision", Selector="S"), app, RULES).body)
    assert body == {"aps": BACKGROUND, "s": "S", "verb": "NotifyReprovision"}


def test_attributes_of_others_never_override_ours() -> None:
    """Unknown attributes of a call ride along beside `aps` and our keys (PU-34)."""
    extra = {"aps": "x", "verb": "x", "thread": "x", "Custom": 1, "Flag": True}
    push = apns_push(gateway("NotifyIncomingCall", **CALL, Extra=extra), VOIP, RULES)
    body = orjson.loads(push.body)
    assert body["aps"] == {}
    assert body["verb"] == "NotifyIncomingCall"
    assert (body["Custom"], body["Flag"]) == (1, True)
    assert "thread" not in body


def test_attributes_of_others_are_for_calls() -> None:
    """Other verbs take nothing unknown along (A.2)."""
    push = apns_push(gateway("NotifyTextMessage", Extra={"Custom": 1}), ALERT, RULES)
    assert "Custom" not in orjson.loads(push.body)


def test_ttl_of_zero() -> None:
    """A `Ttl` of 0 asks the provider to store nothing; any other does not (A.2, PU-31)."""
    assert apns_push(gateway("NotifyReprovision", Ttl=0), ALERT, RULES).expires_at_once
    assert not apns_push(gateway("NotifyReprovision", Ttl=9), ALERT, RULES).expires_at_once
    assert not apns_push(gateway("NotifyReprovision"), ALERT, RULES).expires_at_once


def test_a_sound_of_the_callers_for_a_call() -> None:
    """A call rings by default, and with the sound its caller names (B.2)."""
    push = apns_push(gateway("NotifyIncomingCall", **CALL, Sound="r.caf"), ALERT, RULES)
    assert orjson.loads(push.body)["aps"]["sound"] == "r.caf"


def test_controls_are_not_shown() -> None:
    """Control characters but tab and newline are dropped from what is shown (PU-30)."""
    push = apns_push(
        gateway("NotifyTextMessage", Message="a\x00\tb\r\nc", UserName="\x1bBob\x7f"), ALERT, RULES
    )
    assert orjson.loads(push.body)["aps"]["alert"] == {"title": "Bob\x7f", "body": "a\tb\nc"}
