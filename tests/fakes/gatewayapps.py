"""Apps and elements for the tests of the gateway."""

from tocsin.delivery.pushapps import AppRegistry, PushAppSettings

APP, VOIP, ANDROID = "valid.appid", "valid.appid.voip", "com.example.android"
TOKEN, OTHER_TOKEN = "ab" * 32, "cd" * 32
MISSED, ELSEWHERE = "NotifyIncomingCallMissed", "NotifyIncomingCallAnsweredElsewhere"
SETTINGS = {
    APP: PushAppSettings("apns", key="apple", topic=APP),
    ANDROID: PushAppSettings("fcm", key="google"),
    "durable.app": PushAppSettings("apns", key="apple", topic="durable.app", ack="durable"),
    "refusing.app": PushAppSettings(
        "apns", key="apple", topic="refusing.app", call_without_voip="refuse"
    ),
    "quick.app": PushAppSettings("apns", key="apple", topic="quick.app", call_ttl=7),
}
APPS = AppRegistry(SETTINGS, {"google": "project-1"})
GENERIC = {
    "verb": "NotifyGenericTextMessage",
    "AppId": APP,
    "DeviceToken": TOKEN,
    "Message": "Some message",
}
CALL = {
    "verb": "NotifyIncomingCall",
    "AppId": VOIP,
    "DeviceToken": TOKEN,
    "Selector": "alice",
    "Id": "call-1",
}


def text(token: str = TOKEN, **more: object) -> dict[str, object]:
    """A text for a phone; an attribute that is None is left out."""
    return _without_nothing({**GENERIC, "DeviceToken": token, **more})


def call(verb: str = "NotifyIncomingCall", **more: object) -> dict[str, object]:
    """Something about a call."""
    app = VOIP if verb == "NotifyIncomingCall" else APP
    return _without_nothing({**CALL, "verb": verb, "AppId": app, **more})


def _without_nothing(element: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in element.items() if value is not None}
