"""What an iPhone shows and plays: the `aps` object of a payload (push.md, B.2, B.4, PU-38)."""

from typing import Any

from tocsin.wire.push.attributes import Attributes, visible
from tocsin.wire.push.roots import Object, Row, natural_key, text_at

Aps = dict[str, Any]


def silent(_given: Attributes) -> Aps:
    """Nothing; the app is woken in the background."""
    return {"content-available": 1}


def nothing(_given: Attributes) -> Aps:
    """Nothing; a PushKit push wakes the app by its type."""
    return {}


def ringing(given: Attributes) -> Aps:
    """A call where no PushKit token can be had: it makes a sound whatever its caller says."""
    return _with_sound(_alert(given.get("name")), given.get("sound", "default"))


def missed(given: Attributes) -> Aps:
    """A call whose caller gave up."""
    return _with_sound(_alert(given.get("name"), given.get("message")), given.get("sound"))


def message(given: Attributes) -> Aps:
    """A preview; the app fetches the message in the background and replaces it."""
    aps = _with_badge(_alert(given.get("name"), given.get("message")), given)
    if "thread" in given:
        aps["thread-id"] = given["thread"]
    aps["mutable-content"] = 1
    aps["content-available"] = 1
    return aps


def text(given: Attributes) -> Aps:
    """The text and nothing else."""
    return _with_badge(_alert(None, given.get("message")), given)


def _alert(title: str | None, body: str | None = None) -> Aps:
    shown = {}
    if title:
        shown["title"] = title
    if body:
        shown["body"] = body
    return {"alert": shown} if shown else {}


def _with_badge(aps: Aps, given: Attributes) -> Aps:
    """A badge of 0 is sent: it clears."""
    if "badge" in given:
        aps["badge"] = given["badge"]
    return _with_sound(aps, given.get("sound"))


def _with_sound(aps: Aps, sound: str | None) -> Aps:
    if sound:
        aps["sound"] = sound
    return aps


def localised(root_key: str, body: Object, row: Row, shown: str | None) -> Aps:
    """The alert of a notification: the app's own words for its root key, and the text `shown`."""
    alert: dict[str, Any] = {"title-loc-key": f"{root_key}_title"}
    if row.title:
        alert["title-loc-args"] = [visible(text_at(body, *row.title) or "")]
    if shown:
        alert["body"] = shown
    elif row.is_described:
        alert["loc-key"] = f"{root_key}_body"
        if row.subject:
            alert["loc-args"] = [visible(text_at(body, *row.subject) or "")]
    aps: Aps = {"alert": alert, "sound": "default", "mutable-content": 1}
    if row.has_thread and (thread := natural_key(root_key, body)):
        aps["thread-id"] = thread
    return aps
