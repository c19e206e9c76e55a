"""What a caller of the gateway said, under the keys of our payloads (push.md, A.2, PU-30, PU-34).

A gateway push is a notification of service "push". Its root key is the verb, its object holds the
attributes by the names callers give them, and `Extra` what else they sent.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

from tocsin.model.notification import Notification
from tocsin.wire.push.app import App
from tocsin.wire.push.roots import has_aps, is_reserved
from tocsin.wire.push.verbs import VERBS

GATEWAY_SERVICE: Final = "push"
KEYS: Final = ("verb", "sel", "id", "from", "name", "ct", "thread", "message", "badge", "sound")
SENDER: Final = "sender"
MOST_EXTRAS: Final = 16
MOST_EXTRA_BYTES: Final = 1024
_COPIED = (
    ("sel", "Selector"),
    ("id", "Id"),
    ("from", "UserName"),
    ("ct", "ContentType"),
    ("thread", "ThreadId"),
    ("badge", "Badge"),
    ("sound", "Sound"),
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f]")

Attributes = dict[str, Any]
"""By `KEYS`, and `extra`; those that were not given or are empty are not there."""


def read(notification: Notification) -> Attributes:
    """The attributes of a gateway push."""
    verb = notification.root_key
    said = orjson.loads(notification.body)[verb]
    given = {key: value for key, name in _COPIED if (value := said.get(name)) not in (None, "")}
    given["verb"] = verb
    if name := visible(said.get("UserDisplayName") or said.get("UserName") or ""):
        given["name"] = name
    if message := visible(said.get("Message") or ""):
        given["message"] = message
    if said.get("Ttl") == 0:
        given["expires_at_once"] = True
    if (extra := said.get("Extra")) and _takes_extra(verb):
        given["extra"] = extra
    return given


def _takes_extra(verb: str) -> bool:
    known = VERBS.get(verb)
    return known is None or known.is_call


def visible(text: str) -> str:
    """A text that is shown to a person, without control characters (PU-30)."""
    return _CONTROLS.sub("", text) if _CONTROLS.search(text) else text


def is_silent(given: Attributes, silent_content_types: tuple[str, ...]) -> bool:
    """Whether a message is of a content type that nobody is shown: `ContentType` in A.2.

    Upper and lower case are one, and parameters behind a semicolon do not count.
    """
    content_type: str | None = given.get("ct")
    if content_type is None:
        return False
    kind = content_type.partition(";")[0].strip().lower()
    return any(
        kind.startswith(one[:-1]) if one.endswith("/*") else kind == one
        for one in map(str.lower, silent_content_types)
    )


def names(app: App) -> Mapping[str, str]:
    """What our keys are called in the payloads of an app.

    Where `key_names` would have one name for two of them, or a name that is the provider's, our
    own names stand: nothing may be lost for a mistake in the configuration.
    """
    return _names(tuple(app.key_names.items()), has_aps=has_aps(app))


@lru_cache(maxsize=256)
def _names(renamed: tuple[tuple[str, str], ...], *, has_aps: bool) -> Mapping[str, str]:
    ours = {key: key for key in KEYS} | ({} if has_aps else {"from": SENDER})
    theirs = ours | {key: name for key, name in renamed if key in ours}
    is_clash = len(set(theirs.values())) < len(theirs)
    if is_clash or any(is_reserved(name, has_aps=has_aps) for name in theirs.values()):
        return ours
    return theirs


def extras(extra: Mapping[str, object], app: App, named: Mapping[str, str]) -> dict[str, object]:
    """What rides along of attributes that mean nothing to us (PU-34).

    The first that fit, 16 at most; none that has the name of one of ours or of the provider's.
    """
    taken = frozenset(named.values())
    kept: dict[str, object] = {}
    size = 0
    for key, value in extra.items():
        if (
            key in taken
            or is_reserved(key, has_aps=has_aps(app))
            or not isinstance(value, str | int | float)
        ):
            continue
        with_it = size + len(orjson.dumps({key: value})) - 1
        if with_it <= MOST_EXTRA_BYTES and len(kept) < MOST_EXTRAS:
            kept[key] = value
            size = with_it
    return kept
