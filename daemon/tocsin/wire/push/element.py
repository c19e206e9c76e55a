"""One push as a caller describes it: its attributes judged, or the reply it gets (push.md, A.2)."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

import attrs
import orjson

from tocsin.model.gatewayuser import gateway_user
from tocsin.model.notification import GATEWAY_SERVICE, Notification
from tocsin.wire.integers import dumps, integer
from tocsin.wire.push.app import App
from tocsin.wire.push.pn import PnCountError, PnError, PnNotSupportedError, PnTarget, parse_pn, pick
from tocsin.wire.push.pnm2 import (
    ATTRIBUTES,
    MALFORMED_TOKEN,
    NOT_AN_OBJECT,
    PN_ATTRIBUTES,
    TOO_LARGE,
    UNKNOWN_APP,
    UNKNOWN_VERB,
    VERB_NOT_ALLOWED,
    Reply,
    bad,
    missing,
)
from tocsin.wire.push.verbs import (
    INCOMING_CALL,
    REPROVISION,
    TTL_ZERO_SECONDS,
    VERBS,
    Need,
    Verb,
    find,
)

MOST_BYTES: Final = 65_536
MOST_CHARACTERS: Final = 256
MOST_SECONDS: Final = 2_419_200
MOST_UNREAD: Final = 2**31 - 1
_INT64: Final = range(-(2**63), 2**63)


class Apps(Protocol):
    """The apps there are."""

    def find(self, app_id: str) -> App | None:
        """The one with exactly this id."""

    def find_pn(self, target: PnTarget) -> App | None:
        """The one a phone's SIP parameters are about (PU-27)."""


@attrs.frozen
class Push:
    """A push that can be accepted; `token` is normalised, `attributes` are what goes into the
    notification's body."""

    app: App
    token: str = attrs.field(repr=False)
    verb: Verb
    attributes: Mapping[str, Any] = attrs.field(repr=False)

    @property
    def user(self) -> str:
        """The user of its gateway channel."""
        return gateway_user(self.app.id, self.token)

    @property
    def selector(self) -> str:
        """The account on the device, or nothing."""
        return str(self.attributes.get("Selector", ""))

    @property
    def id(self) -> str:
        """What its caller knows it by, or nothing."""
        return str(self.attributes.get("Id", ""))

    @property
    def lacks_selector(self) -> bool:
        """It goes out without the Selector that its verb should have."""
        return self.verb.selector is Need.EXPECTED and not self.selector

    def notification(self, id_: str, *, now: int, producer: str) -> Notification:
        """What is stored of it, accepted now (PU-12, PU-23)."""
        ttl = self.attributes.get("Ttl")
        seconds = self.verb.seconds(self.app) if ttl is None else ttl or TTL_ZERO_SECONDS
        name = self.verb.name
        return Notification(
            id_,
            self.user,
            GATEWAY_SERVICE,
            name,
            orjson.dumps({name: self.attributes}),
            self.verb.priority,
            now,
            now + seconds * 1000,
            self._order_key or f"alone {id_}",
            _key("reprovision", self.selector) if name == REPROVISION else None,
            producer=producer,
        )

    @property
    def _order_key(self) -> str | None:
        if self.verb.is_call and self.id:
            return call_key(self.id)
        if thread := self.attributes.get("ThreadId"):
            return _key("thread", thread)
        return _key("account", self.selector) if self.selector else None


def call_key(id_: str) -> str:
    """The order key of everything about one call."""
    return _key("call", id_)


def parse_element(item: object, apps: Apps, pass_verbs: Collection[str] = ()) -> Push | Reply:
    """What is asked for, or why it cannot be: the first mistake in the order of A.4."""
    if not isinstance(item, dict):
        return NOT_AN_OBJECT
    if len(dumps(item)) > MOST_BYTES:
        return TOO_LARGE
    by_pn = any(item.get(name) is not None for name in PN_ATTRIBUTES)
    for name in ("verb",) if by_pn else ("verb", "AppId", "DeviceToken"):
        if (wrong := _wrong_name(item, name)) is not None:
            return wrong
    verb = find(item["verb"], pass_verbs)
    if verb is None:
        return UNKNOWN_VERB
    attributes = _attributes(item, verb)
    if isinstance(attributes, Reply):
        return attributes
    addressee = (
        _by_pn(item, verb, apps) if by_pn else (apps.find(item["AppId"]), item["DeviceToken"])
    )
    if isinstance(addressee, Reply):
        return addressee
    app, token = addressee
    return UNKNOWN_APP if app is None else _push(app, token, verb, attributes)


def _push(app: App, token: str, verb: Verb, attributes: Mapping[str, Any]) -> Push | Reply:
    try:
        normal = app.normalise(token)
    except ValueError:
        return MALFORMED_TOKEN
    return Push(app, normal, verb, attributes) if verb.suits(app) else VERB_NOT_ALLOWED


def _by_pn(item: Mapping[str, Any], verb: Verb, apps: Apps) -> tuple[App | None, str] | Reply:
    """App and token of a phone's SIP parameters, which stand in place of ours (PU-27). Of two
    targets a call takes the one for calls; what else is about a call may not go there (PU-35)."""
    if item.get("AppId") is not None or item.get("DeviceToken") is not None:
        return bad("pn-provider")
    for name in PN_ATTRIBUTES:
        if not isinstance(item.get(name), str):
            return bad(name)
    try:
        targets = parse_pn({name: item[name] for name in PN_ATTRIBUTES})
    except PnNotSupportedError:
        return bad("pn-provider")
    except PnCountError:
        return bad("pn-prid")
    except PnError:
        return bad("pn-param")
    target = pick(targets, is_call=verb.name == INCOMING_CALL)
    return apps.find_pn(target), target.token


def _wrong_name(item: Mapping[str, Any], name: str) -> Reply | None:
    value = item.get(name)
    if value is None or value == "":
        return missing(name)
    return None if isinstance(value, str) else bad(name)


def _attributes(item: Mapping[str, Any], verb: Verb) -> dict[str, Any] | Reply:
    """Those that say something; what is null or empty counts as absent."""
    if verb.selector is Need.REQUIRED and _is_absent(item.get("Selector")):
        return missing("Selector")
    if verb.needs_message and _is_absent(item.get("Message")):
        return missing("Message")
    attributes: dict[str, Any] = {}
    for name, read in _READERS.items():
        value = item.get(name)
        if value is None:
            continue
        try:
            value = read(value)
        except ValueError:
            return bad(name)
        if value != "":
            attributes[name] = value
    if (verb.is_call or verb.name not in VERBS) and (extra := _extra(item)):
        attributes["Extra"] = extra
    return attributes


def _is_absent(value: object) -> bool:
    return value is None or value == ""


def _extra(item: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that mean nothing to us and ride along where they are scalars (PU-34)."""
    return {
        name: value
        for name, value in item.items()
        if name not in ATTRIBUTES
        and (isinstance(value, str | float) or (isinstance(value, int) and value in _INT64))
    }


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("no text")


def _name(value: object) -> str:
    text = _text(value)
    if len(text) > MOST_CHARACTERS:
        raise ValueError("too long")
    return text


def _id(value: object) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return _name(str(value) if is_number else value)


def _unread(value: object) -> int:
    return _within(integer(value), MOST_UNREAD)


def _seconds(value: object) -> int:
    return _within(None if isinstance(value, str) else integer(value), MOST_SECONDS)


def _within(number: int | None, most: int) -> int:
    if number is None or not 0 <= number <= most:
        raise ValueError("out of range")
    return number


_READERS: Final[Mapping[str, Callable[[object], Any]]] = {
    "Selector": _name,
    "Message": _text,
    "Badge": _unread,
    "Sound": _text,
    "UserName": _text,
    "UserDisplayName": _text,
    "ContentType": _text,
    "Id": _id,
    "ThreadId": _text,
    "Ttl": _seconds,
}


def _key(kind: str, name: str) -> str:
    """A key of queues: `name` itself where it is short and plain, else a digest of it."""
    if len(name) > MOST_CHARACTERS or not name.isprintable():
        return f"{kind} sha256 {hashlib.sha256(name.encode()).hexdigest()}"
    return f"{kind} {name}"
