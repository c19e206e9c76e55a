"""A notification as APNs is given it: payload, push type, collapse id (push.md, B.2, B.4)."""

from collections.abc import Callable
from typing import Final

import attrs
import orjson

from tocsin.model.notification import Notification
from tocsin.wire.push import alert
from tocsin.wire.push.app import App, PushRules
from tocsin.wire.push.attributes import (
    GATEWAY_SERVICE,
    KEYS,
    Attributes,
    extras,
    is_silent,
    names,
    read,
    visible,
)
from tocsin.wire.push.roots import NotForAppError, is_for, natural_key, row, text_at
from tocsin.wire.push.trimming import (
    collapse_id,
    limit_of,
    trim_attributes,
    trim_notification,
)
from tocsin.wire.push.verbs import (
    ANSWERED_ELSEWHERE,
    GENERIC_TEXT_MESSAGE,
    INCOMING_CALL,
    MISSED_CALL,
    REPROVISION,
    TEXT_MESSAGE,
    find,
)

MOST_VOIP_SECONDS: Final = 60
PRIORITIES: Final = {"alert": 10, "voip": 10, "background": 5}


@attrs.frozen
class ApnsPush:
    """One push, but for its token, topic, id and expiry.

    `collapse_id` is fit for a header; None for PushKit, where nothing is collapsed. With
    `expires_at_once` the provider is to store nothing (`apns-expiration` 0); `most_seconds` is a
    bound on its expiry beside its deadline (CH-73).
    """

    push_type: str
    priority: int
    collapse_id: str | None
    body: bytes = attrs.field(repr=False)
    expires_at_once: bool = False
    most_seconds: int | None = None


def apns_push(
    notification: Notification, app: App, rules: PushRules, *, limit: int | None = None
) -> ApnsPush:
    """The push of a notification to an app, at most `limit` bytes (by default the provider's).

    Raises `NotForAppError` if it is never pushed to this app, and `PayloadTooLargeError` if it
    does not fit without all it may lose.
    """
    most = limit_of(app) if limit is None else limit
    if notification.service == GATEWAY_SERVICE:
        return _gateway_push(notification, app, rules, most)
    if not is_for(notification.root_key, app, rules):
        raise NotForAppError(notification.root_key)
    if app.is_voip:
        return _invitation(notification, app, most)
    return _channel_push(notification, app, rules, most)


@attrs.frozen
class _Row:
    """A row of B.2: its keys in order, and what it collapses with if not with the same `Id`."""

    push_type: str
    aps: Callable[[Attributes], alert.Aps]
    keys: tuple[str, ...] = ("sel", "id", "verb")
    collapse: str | None = None


_CALL = ("sel", "id", "from", "name", "verb")
_MESSAGE = ("sel", "id", "ct", "from", "verb")
_VOIP = {
    INCOMING_CALL: _Row("voip", alert.nothing, _CALL),
    REPROVISION: _Row("voip", alert.nothing),
}
_ALERT = {
    INCOMING_CALL: _Row("alert", alert.ringing, _CALL),
    MISSED_CALL: _Row("alert", alert.missed, _CALL),
    ANSWERED_ELSEWHERE: _Row("background", alert.silent),
    TEXT_MESSAGE: _Row("alert", alert.message, _MESSAGE),
    GENERIC_TEXT_MESSAGE: _Row("alert", alert.text),
    REPROVISION: _Row("background", alert.silent, collapse="reprov"),
}
_SILENT_MESSAGE = _Row("background", alert.silent, _MESSAGE)
_PASSED = _Row("background", alert.silent, KEYS)


def _row_of(given: Attributes, app: App, rules: PushRules) -> _Row:
    name = given["verb"]
    verb = find(name, (name,))
    if verb is None or not verb.suits(app):
        raise NotForAppError(name)
    if app.is_voip:
        return _VOIP[name]
    if name == TEXT_MESSAGE and is_silent(given, rules.silent_content_types):
        return _SILENT_MESSAGE
    return _ALERT.get(name, _PASSED)


def _gateway_push(notification: Notification, app: App, rules: PushRules, limit: int) -> ApnsPush:
    given = read(notification)
    chosen = _row_of(given, app, rules)
    named = names(app)
    if "extra" in given:
        given["extra"] = extras(given["extra"], app, named)

    def render(tried: Attributes) -> bytes:
        payload = {"aps": chosen.aps(tried)}
        for key in chosen.keys:
            if (value := tried.get(key, "")) != "":
                payload[named[key]] = value
        return orjson.dumps({**payload, **tried["extra"]} if "extra" in tried else payload)

    is_voip = chosen.push_type == "voip"
    collapsing = chosen.collapse or given.get("id") or notification.id
    return ApnsPush(
        chosen.push_type,
        PRIORITIES[chosen.push_type],
        None if is_voip else collapse_id(collapsing),
        trim_attributes(given, render, limit),
        expires_at_once="expires_at_once" in given,
    )


def _invitation(notification: Notification, app: App, limit: int) -> ApnsPush:
    """The voip column of B.4: the app shows the call itself."""

    def render(carried: bytes, _shown: str) -> bytes:
        return _beside(alert.nothing({}), carried, app.payload_key)

    body = trim_notification(notification, "", render, limit)
    return ApnsPush("voip", PRIORITIES["voip"], None, body, most_seconds=MOST_VOIP_SECONDS)


def _channel_push(notification: Notification, app: App, rules: PushRules, limit: int) -> ApnsPush:
    root_key = notification.root_key
    said = orjson.loads(notification.body)[root_key]
    chosen = row(root_key, said, rules)
    text = visible(text_at(said, chosen.text) or "") if chosen.text else ""

    def render(carried: bytes, shown: str) -> bytes:
        if chosen.is_alert:
            aps = alert.localised(root_key, said, chosen, shown)
        else:
            aps = alert.silent({})
        return _beside(aps, carried, app.payload_key)

    push_type = "alert" if chosen.is_alert else "background"
    collapsing = natural_key(root_key, said) if chosen.collapses else None
    return ApnsPush(
        push_type,
        PRIORITIES[push_type],
        collapse_id(collapsing or notification.id),
        trim_notification(notification, text, render, limit),
    )


def _beside(aps: alert.Aps, carried: bytes, payload_key: str) -> bytes:
    """The whole notification rides along, as the text it is everywhere (CH-72)."""
    riding = orjson.dumps(payload_key) + b":" + carried + b"}" if payload_key else carried[1:]
    return b'{"aps":' + orjson.dumps(aps) + b"," + riding
