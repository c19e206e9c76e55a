"""A notification as FCM is given it: data, notification, platform (push.md, B.2, B.4, PU-33).

What a device gets is data, all of it texts, and the app shows it; only NotifyGenericTextMessage is
shown by the system. An app on Apple's devices gets the payload of APNs inside the message.
"""

from collections.abc import Mapping
from typing import Final

import attrs
import orjson

from tocsin.model.notification import Notification
from tocsin.wire.push.apns_payload import apns_push
from tocsin.wire.push.app import App, PushRules
from tocsin.wire.push.attributes import (
    GATEWAY_SERVICE,
    KEYS,
    Attributes,
    extras,
    is_silent,
    names,
    read,
)
from tocsin.wire.push.roots import NotForAppError, is_for, row
from tocsin.wire.push.trimming import collapse_id, limit_of, trim_attributes, trim_notification
from tocsin.wire.push.verbs import (
    GENERIC_TEXT_MESSAGE,
    MISSED_CALL,
    REPROVISION,
    TEXT_MESSAGE,
    VERBS,
)

MOST_SECONDS: Final = 28 * 86_400
_COLLAPSE_KEYS = {MISSED_CALL: "missed", REPROVISION: "reprov"}
_SHOWN_KEYS = ("verb", "sel", "id")
_NOTIFICATION = b',"notification":'


@attrs.frozen
class FcmPush:
    """One push, but for its target and time to live.

    `message` is a JSON object without those two; its last member is the platform's, whose last
    member again is, but for Android, its headers. With `expires_at_once` nothing is to be stored.
    """

    message: bytes = attrs.field(repr=False)
    platform: str
    expires_at_once: bool = False

    def request(self, app: App, token: str, *, seconds: int, expires_at: int) -> bytes:
        """The body of the request: `{"message": {..}}`, with target and time to live (PU-31).

        `seconds` are left until `expires_at` (epoch seconds).
        """
        left = 0 if self.expires_at_once else min(seconds, MOST_SECONDS)
        target = b'{"message":{"%b":%b,' % (app.target.encode(), orjson.dumps(token))
        if self.platform == "android":
            return target + self.message[1:-2] + b',"ttl":"%ds"}}}' % left
        if self.platform == "web":
            return target + self.message[1:-3] + b',"TTL":"%d"}}}}' % left
        at = 0 if self.expires_at_once else expires_at
        return target + self.message[1:-3] + b',"apns-expiration":"%d"}}}}' % at


def fcm_push(
    notification: Notification, app: App, rules: PushRules, *, limit: int | None = None
) -> FcmPush:
    """The push of a notification to an app, at most `limit` bytes (by default the provider's).

    Raises `NotForAppError` if it is never pushed to this app, and `PayloadTooLargeError` if it
    does not fit without all it may lose.
    """
    most = limit_of(app) if limit is None else limit
    if app.platform == "apple":
        return _within_apns(notification, app, rules, most)
    if notification.service == GATEWAY_SERVICE:
        return _gateway_push(notification, app, rules, most)
    if not is_for(notification.root_key, app, rules):
        raise NotForAppError(notification.root_key)
    return _channel_push(notification, app, rules, most)


def _within_apns(notification: Notification, app: App, rules: PushRules, limit: int) -> FcmPush:
    push = apns_push(notification, app, rules, limit=limit)
    headers = {"apns-push-type": push.push_type, "apns-priority": str(push.priority)}
    if push.collapse_id is not None:
        headers["apns-collapse-id"] = push.collapse_id
    message = b'{"apns":{"payload":%b,"headers":%b}}' % (push.body, orjson.dumps(headers))
    return FcmPush(message, app.platform, push.expires_at_once)


def _gateway_push(notification: Notification, app: App, rules: PushRules, limit: int) -> FcmPush:
    given = read(notification)
    verb = given["verb"]
    named = names(app)
    if "extra" in given:
        given["extra"] = extras(given["extra"], app, named)
    if verb == GENERIC_TEXT_MESSAGE and app.platform == "android":
        return _shown(given, app, named, limit, tag=given.get("id") or notification.id)

    def render(tried: Attributes) -> bytes:
        return orjson.dumps(_data(tried, KEYS, named))

    is_silent_message = verb == TEXT_MESSAGE and is_silent(given, rules.silent_content_types)
    return _data_message(
        trim_attributes(given, render, limit),
        app,
        is_high=verb in VERBS and not is_silent_message,
        collapse_key=_COLLAPSE_KEYS.get(verb),
        expires_at_once="expires_at_once" in given,
    )


def _data(given: Attributes, keys: tuple[str, ...], named: Mapping[str, str]) -> dict[str, str]:
    """Every attribute as a text, those of others under their own names."""
    data = {named[key]: _text(value) for key in keys if (value := given.get(key, "")) != ""}
    if "extra" in given:
        data |= {key: _text(value) for key, value in given["extra"].items()}
    return data


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _shown(
    given: Attributes, app: App, named: Mapping[str, str], limit: int, *, tag: str
) -> FcmPush:
    """The one message the system shows by itself; of two with the same tag one is seen."""

    def render(tried: Attributes) -> bytes:
        body = {"body": text} if (text := tried.get("message")) else {}
        data = orjson.dumps(_data(tried, _SHOWN_KEYS, named))
        return data + _NOTIFICATION + orjson.dumps(body)

    shown = {"sound": given["sound"]} if "sound" in given else {}
    android = _android(app, is_high=True) | {"notification": {**shown, "tag": collapse_id(tag)}}
    sized = trim_attributes(given, render, limit + len(_NOTIFICATION))
    return FcmPush(
        b'{"data":%b,"android":%b}' % (sized, orjson.dumps(android)),
        app.platform,
        expires_at_once="expires_at_once" in given,
    )


def _channel_push(notification: Notification, app: App, rules: PushRules, limit: int) -> FcmPush:
    root_key = notification.root_key

    def render(carried: bytes, _shown: str) -> bytes:
        if app.payload_key:
            return orjson.dumps({app.payload_key: carried.decode()})
        return orjson.dumps({root_key: carried[carried.index(b":") + 1 : -1].decode()})

    said = orjson.loads(notification.body)[root_key]
    data = trim_notification(notification, "", render, limit)
    return _data_message(data, app, is_high=row(root_key, said, rules).is_high)


def _data_message(
    data: bytes,
    app: App,
    *,
    is_high: bool,
    collapse_key: str | None = None,
    expires_at_once: bool = False,
) -> FcmPush:
    if app.platform == "web":
        headers = {"Urgency": "high" if is_high else "normal"}
        if collapse_key is not None:
            headers["Topic"] = collapse_key
        message = b'{"webpush":{"data":%b,"headers":%b}}' % (data, orjson.dumps(headers))
    else:
        android = _android(app, is_high=is_high, collapse_key=collapse_key)
        message = b'{"data":%b,"android":%b}' % (data, orjson.dumps(android))
    return FcmPush(message, app.platform, expires_at_once)


def _android(app: App, *, is_high: bool, collapse_key: str | None = None) -> dict[str, object]:
    android: dict[str, object] = {"priority": "HIGH" if is_high else "NORMAL"}
    if collapse_key is not None:
        android["collapse_key"] = collapse_key
    if app.package:
        android["restricted_package_name"] = app.package
    return android
