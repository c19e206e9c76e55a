"""Pushes and apps for the tests of payloads."""

from typing import Any

import orjson

from tocsin.model.notification import Notification, Priority
from tocsin.wire.push.app import App, PushRules

RULES = PushRules()
ALERT = App("com.example.app", "apns", topic="com.example.app")
VOIP = App("com.example.app.voip", "apns", kind="voip", topic="com.example.app.voip")
ANDROID = App("com.example.android", "fcm")
WEB = App("com.example.web", "fcm", platform="web")
APPLE = App("com.example.apple", "fcm", platform="apple")


def gateway(verb: str, **attributes: object) -> Notification:
    """A push as the gateway accepts it."""
    return _notification("push", verb, attributes)


def published(root_key: str, body: dict[str, Any]) -> Notification:
    """A notification for channels, as its publisher handed it in."""
    return _notification("chat", root_key, {**body, "id": "N1", "dateTime": 1})


def _notification(service: str, root_key: str, body: dict[str, Any]) -> Notification:
    text = orjson.dumps({root_key: body})
    return Notification("N1", "me@x.com", service, root_key, text, Priority.NORMAL, 0, 1000, "k")
