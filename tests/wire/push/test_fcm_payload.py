"""What FCM is given, row by row of B.2 and B.4 (push.md), on each platform (PU-33)."""

from typing import Any

import attrs
import orjson
import pytest
from tests.fakes.pushes import ALERT, ANDROID, APPLE, RULES, WEB, gateway, published

from tocsin.model.notification import Notification
from tocsin.wire.push.apns_payload import apns_push
from tocsin.wire.push.app import App
from tocsin.wire.push.fcm_payload import fcm_push
from tocsin.wire.push.roots import NotForAppError

CALL = {"Selector": "S", "Id": "C1", "UserName": "+1613", "UserDisplayName": "Bob"}
CALL_DATA = {"sel": "S", "id": "C1", "sender": "+1613", "name": "Bob"}
TEXT = {
    **CALL,
    "Message": "hi",
    "Badge": 0,
    "Sound": "s1.caf",
    "ContentType": "text/plain",
    "ThreadId": "T1",
}
TEXT_DATA = {
    **CALL_DATA,
    "ct": "text/plain",
    "thread": "T1",
    "message": "hi",
    "badge": "0",
    "sound": "s1.caf",
}
HIGH = {"priority": "HIGH"}
NORMAL = {"priority": "NORMAL"}
GATEWAY: dict[str, tuple[dict[str, Any], dict[str, str], dict[str, str]]] = {
    "NotifyIncomingCall": (CALL, CALL_DATA, HIGH),
    "NotifyIncomingCallMissed": (CALL, CALL_DATA, {**HIGH, "collapse_key": "missed"}),
    "NotifyIncomingCallAnsweredElsewhere": (CALL, CALL_DATA, HIGH),
    "NotifyTextMessage": (TEXT, TEXT_DATA, HIGH),
    "NotifyReprovision": ({"Selector": "S"}, {"sel": "S"}, {**HIGH, "collapse_key": "reprov"}),
    "NotifyDoor": ({"Extra": {"Door": 7}}, {"Door": "7"}, NORMAL),
}


@pytest.mark.parametrize("verb", GATEWAY)
def test_gateway_rows(verb: str) -> None:
    """Each verb is a data message with every attribute as a text (B.2)."""
    attributes, data, android = GATEWAY[verb]
    push = fcm_push(gateway(verb, **attributes), ANDROID, RULES)
    assert orjson.loads(push.message) == {"data": {"verb": verb, **data}, "android": android}


def test_a_message_nobody_is_shown() -> None:
    """A silent content type wakes no device that sleeps (B.2)."""
    asked = gateway("NotifyTextMessage", ContentType="message/imdn+xml")
    message = orjson.loads(fcm_push(asked, ANDROID, RULES).message)
    assert message["android"] == NORMAL


def test_generic_text() -> None:
    """The system shows it; of two with the same tag one is seen (B.2, PU-32)."""
    asked = gateway("NotifyGenericTextMessage", Selector="S", Message="Sale", Sound="s1.caf")
    assert orjson.loads(fcm_push(asked, ANDROID, RULES).message) == {
        "data": {"verb": "NotifyGenericTextMessage", "sel": "S"},
        "notification": {"body": "Sale"},
        "android": {**HIGH, "notification": {"sound": "s1.caf", "tag": "N1"}},
    }


def test_the_tag_of_generic_text_is_its_id() -> None:
    """The tag is what APNs would collapse it by: its Id (PU-32)."""
    asked = gateway("NotifyGenericTextMessage", Message="Sale", Id="M" * 65)
    tag = orjson.loads(fcm_push(asked, ANDROID, RULES).message)["android"]["notification"]["tag"]
    assert tag == apns_push(asked, ALERT, RULES).collapse_id
    assert len(tag) == 43


def test_generic_text_on_the_web() -> None:
    """Where there is no system to show it, its text is data for the page (PU-33)."""
    asked = gateway("NotifyGenericTextMessage", Message="Sale")
    assert orjson.loads(fcm_push(asked, WEB, RULES).message) == {
        "webpush": {
            "data": {"verb": "NotifyGenericTextMessage", "message": "Sale"},
            "headers": {"Urgency": "high"},
        }
    }


CHAT = {"chatMessage": {"text": "hello", "senderAddress": "bob@x.com"}}
CHANNELS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "invitation": ("wrtcsSessionInvitationNotification", {}, HIGH),
    "call event": ("wrtcsEventNotification", {}, HIGH),
    "other call": ("wrtcsOfferNotification", {}, NORMAL),
    "sms": ("inboundSMSMessageNotification", {"inboundSMSMessage": {}}, HIGH),
    "chat": ("chatMessageNotification", CHAT, HIGH),
    "typing": ("chatMessageNotification", {"isComposing": {}}, NORMAL),
    "group": ("groupChatSessionInvitationNotification", {}, HIGH),
    "receipt": ("deliveryInfoNotification", {}, NORMAL),
    "gone": ("gone", {}, NORMAL),
    "any other": ("voicemailNotification", {}, HIGH),
}


@pytest.mark.parametrize(("root_key", "body", "android"), CHANNELS.values(), ids=CHANNELS)
def test_channel_rows(root_key: str, body: dict[str, Any], android: dict[str, str]) -> None:
    """Each root key is data, its object a text, and nothing the system shows (B.4, CH-72)."""
    notification = published(root_key, body)
    message = orjson.loads(fcm_push(notification, ANDROID, RULES).message)
    carried = orjson.loads(notification.body)[root_key]
    assert message.keys() == {"data", "android"}
    assert message["android"] == android
    assert message["data"].keys() == {root_key}
    assert orjson.loads(message["data"][root_key]) == carried


def test_a_notification_under_one_name() -> None:
    """`payload_key` wraps the whole notification as one text (CH-72)."""
    notification = published("gone", {})
    app = attrs.evolve(ANDROID, payload_key="tocsin")
    message = orjson.loads(fcm_push(notification, app, RULES).message)
    assert message["data"] == {"tocsin": notification.body.decode()}


def test_a_notification_on_the_web() -> None:
    """The page's worker gets the same data, with an urgency (PU-33)."""
    message = orjson.loads(fcm_push(published("gone", {}), WEB, RULES).message)
    assert message["webpush"]["headers"] == {"Urgency": "normal"}
    assert orjson.loads(message["webpush"]["data"]["gone"])["id"] == "N1"


@pytest.mark.parametrize(
    "notification",
    [
        gateway("NotifyIncomingCall", **CALL),
        gateway("NotifyTextMessage", **TEXT),
        gateway("NotifyGenericTextMessage", Message="Sale"),
        gateway("NotifyReprovision"),
        published("wrtcsSessionInvitationNotification", {"originatorName": "Bob"}),
        published("gone", {}),
    ],
)
def test_apps_on_apples_devices(notification: Notification) -> None:
    """The message carries what APNs would get for an alert app, but no topic (PU-33)."""
    push = apns_push(notification, ALERT, RULES)
    message = orjson.loads(fcm_push(notification, APPLE, RULES).message)
    assert message == {
        "apns": {
            "payload": orjson.loads(push.body),
            "headers": {
                "apns-push-type": push.push_type,
                "apns-priority": str(push.priority),
                "apns-collapse-id": push.collapse_id,
            },
        }
    }


def test_a_restricted_package() -> None:
    """`package` keeps other apps from getting it (A.7)."""
    app = attrs.evolve(ANDROID, package="com.example")
    for asked in (gateway("NotifyReprovision"), gateway("NotifyGenericTextMessage", Message="m")):
        android = orjson.loads(fcm_push(asked, app, RULES).message)["android"]
        assert android["restricted_package_name"] == "com.example"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"sel": "s", "from": "caller"}, {"verb", "s", "caller"}),
        ({"sel": "google.sel"}, {"verb", "sel", "sender"}),
        ({"sel": "id"}, {"verb", "sel", "sender"}),
    ],
)
def test_keys_have_other_names(names: dict[str, str], expected: set[str]) -> None:
    """`key_names` renames our keys, unless a forbidden or doubled name would come out (PU-33)."""
    app = attrs.evolve(ANDROID, key_names=names)
    asked = gateway("NotifyReprovision", Selector="S", UserName="u")
    data = orjson.loads(fcm_push(asked, app, RULES).message)["data"]
    assert data.keys() == expected | ({"name"})


def test_attributes_of_others_under_forbidden_names() -> None:
    """What FCM forbids as a name is dropped, the rest are texts (PU-33, PU-34)."""
    extra = {"from": 1, "message_type": 1, "google.x": 1, "gcm.x": 1, "ok": 1.5, "yes": True}
    asked = gateway("NotifyIncomingCall", Selector="S", Extra=extra)
    data = orjson.loads(fcm_push(asked, ANDROID, RULES).message)["data"]
    assert data == {"verb": "NotifyIncomingCall", "sel": "S", "ok": "1.5", "yes": "true"}


@pytest.mark.parametrize("root_key", ["presenceNotification", "userStatusNotification", "from"])
def test_what_is_not_for_phones(root_key: str) -> None:
    """Presence, user management and what FCM forbids are never pushed (B.4, PU-33)."""
    with pytest.raises(NotForAppError):
        fcm_push(published(root_key, {}), ANDROID, RULES)


TEXT_ASKED = gateway("NotifyTextMessage", Message="hi")
SHOWN_ASKED = gateway("NotifyGenericTextMessage", Message="hi")


@pytest.mark.parametrize(
    ("app", "asked", "path", "expected"),
    [
        (ANDROID, TEXT_ASKED, ("android", "ttl"), "30s"),
        (ANDROID, SHOWN_ASKED, ("android", "ttl"), "30s"),
        (WEB, TEXT_ASKED, ("webpush", "headers", "TTL"), "30"),
        (APPLE, TEXT_ASKED, ("apns", "headers", "apns-expiration"), "1767607200"),
    ],
)
def test_requests(app: App, asked: Notification, path: tuple[str, ...], expected: str) -> None:
    """A request is the message with its target and its time to live added (PU-31, PU-45)."""
    push = fcm_push(asked, app, RULES)
    request = orjson.loads(push.request(app, 'a"b', seconds=30, expires_at=1_767_607_200))
    message = request["message"]
    assert request.keys() == {"message"}
    assert message.pop("token") == 'a"b'
    *way, last = path
    within = message
    for name in way:
        within = within[name]
    assert within.pop(last) == expected
    assert message == orjson.loads(push.message)


@pytest.mark.parametrize("app", [ANDROID, WEB, APPLE])
def test_a_ttl_of_zero(app: App) -> None:
    """A `Ttl` of 0 asks the provider to store nothing, on every platform (A.2, PU-31)."""
    push = fcm_push(gateway("NotifyReprovision", Ttl=0), app, RULES)
    request = push.request(app, "t", seconds=10, expires_at=1_767_607_200)
    assert push.expires_at_once
    assert any(text in request for text in (b'"ttl":"0s"', b'"TTL":"0"', b'"apns-expiration":"0"'))


def test_installations_and_long_lives() -> None:
    """An installation id is a target of its own; nothing lives longer than 28 days (PU-31)."""
    app = attrs.evolve(ANDROID, target="fid")
    push = fcm_push(gateway("NotifyReprovision"), app, RULES)
    request = orjson.loads(push.request(app, "f", seconds=30 * 86_400, expires_at=0))
    assert request["message"]["fid"] == "f"
    assert request["message"]["android"]["ttl"] == "2419200s"
