"""The services: what carries them (CH-93, CH-97), and their notifications' defaults (CH-101)."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import attrs

from tocsin.model.channel import Channel, ChannelType, Device
from tocsin.model.notification import Priority

SERVICES = ("sms", "chat", "call", "presence", "account")
WEEK = 7 * 86_400
REMEMBERED_ROOT_KEYS = 1024

_EVERY = frozenset(ChannelType)
_TYPES: Mapping[str, frozenset[ChannelType]] = {
    "sms": _EVERY,
    "chat": _EVERY,
    "call": _EVERY,
    "presence": _EVERY - {ChannelType.OMAPUSH},
    "account": frozenset({ChannelType.WEBHOOKS}),
}

Body = dict[str, Any]


@attrs.frozen
class Defaults:
    """What a notification gets where its publisher is silent; `expires_in` is seconds."""

    priority: Priority
    expires_in: int
    order_key: Callable[[Body], str | None]
    collapses: bool = False


@attrs.frozen
class Declared:
    """A service the operator has added (CH-97): what carries it, its root keys' defaults."""

    channel_types: frozenset[ChannelType] = _EVERY
    root_keys: frozenset[str] = frozenset()
    priority: Priority = Priority.NORMAL
    expires_in: int = WEEK


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _links(body: Body) -> list[object]:
    links = body.get("link")
    return links if isinstance(links, list) else []


def _session(body: Body) -> str | None:
    """The last segment of the `wrtcsSession` link."""
    for link in _links(body):
        if _member(link, "rel") == "wrtcsSession":
            href = _text(_member(link, "href"))
            return href.rstrip("/").rpartition("/")[2] or None if href else None
    return None


def _thread(body: Body) -> str | None:
    """`oneToOne/<peer>` or `group/<groupId>`, from the first link."""
    href = _text(_member(next(iter(_links(body)), None), "href"))
    segments = href.split("/") if href else []
    for kind in ("oneToOne", "group"):
        if kind in segments[:-1]:
            return f"{kind}/{segments[segments.index(kind) + 1]}"
    return None


def _correspondents(body: Body) -> str | None:
    """Sender and destination of an sms; the address of a receipt."""
    if address := _text(_member(body.get("deliveryInfo"), "address")):
        return address
    for name in ("inboundSMSMessage", "outboundSMSMessage"):
        message = body.get(name)
        ends = (
            _text(_member(message, "senderAddress")),
            _text(_member(message, "destinationAddress")),
        )
        if any(ends):
            return ">".join(end or "" for end in ends)
    return None


def _presentity(body: Body) -> str | None:
    return _text(body.get("presentityUserId"))


def _nobody(_body: Body) -> str | None:
    return None


_INVITATION = Defaults(Priority.URGENT, 45, _session)
_CALL = Defaults(Priority.URGENT, 60, _session)
_COMPOSING = Defaults(Priority.NORMAL, 10, _thread)
_CHAT = Defaults(Priority.NORMAL, WEEK, _thread)
_SMS = Defaults(Priority.NORMAL, WEEK, _correspondents)
_PRESENCE = Defaults(Priority.LOW, 3600, _presentity, collapses=True)
_ACCOUNT = Defaults(Priority.NORMAL, WEEK, _nobody)
_OF_SERVICE = {
    "call": _CALL,
    "chat": _CHAT,
    "sms": _SMS,
    "presence": _PRESENCE,
    "account": _ACCOUNT,
}


@lru_cache(maxsize=REMEMBERED_ROOT_KEYS)
def _row(root_key: str) -> tuple[str, Defaults] | None:
    """Service and defaults of a root key in CH-101's table; None if it is in no row."""
    if root_key == "wrtcsSessionInvitationNotification":
        return "call", _INVITATION
    if root_key.startswith("wrtcs") or root_key == "gone":
        return "call", _CALL
    if root_key.startswith(("chat", "groupChat", "multimediaChat")):
        return "chat", _CHAT
    if "SMS" in root_key or root_key.startswith(("sms", "deliveryInfo")):
        return "sms", _SMS
    if root_key.startswith("presence"):
        return "presence", _PRESENCE
    return ("account", _ACCOUNT) if root_key == "userStatusNotification" else None


def app_carries(service: str, device: Device) -> bool:
    """Whether an app may carry a service: a PushKit app carries calls alone (CH-73)."""
    return service == "call" or not device.is_voip


class Services:
    """The standard services and those declared beside them; immutable."""

    __slots__ = ("_of_root_key", "_of_service", "_types", "names")

    def __init__(self, declared: Mapping[str, Declared] | None = None) -> None:
        added = declared or {}
        self.names = (*SERVICES, *added)
        self._types = {**_TYPES, **{name: one.channel_types for name, one in added.items()}}
        rows = {
            name: Defaults(one.priority, one.expires_in, _nobody) for name, one in added.items()
        }
        self._of_service = {**_OF_SERVICE, **rows}
        self._of_root_key = {
            root_key: (name, rows[name])
            for name, one in added.items()
            for root_key in one.root_keys
        }

    def types_of(self, service: str) -> frozenset[ChannelType]:
        """The channel types that may carry a service (CH-93); none for one that is not known."""
        return self._types.get(service, frozenset())

    def allows(self, service: str, channel: Channel) -> bool:
        """Whether a channel may carry a service, by its type (CH-93) and its device (CH-73)."""
        return channel.type in self.types_of(service) and (
            channel.device is None or app_carries(service, channel.device)
        )

    def defaults(self, service: str, root_key: str, body: Body) -> Defaults:
        """The row of CH-101's table for a root key; an unknown root key gets its service's."""
        found = self._of_root_key.get(root_key) or _row(root_key)
        if found is None:
            return self._of_service[service]
        if root_key == "chatMessageNotification" and "isComposing" in body:
            return _COMPOSING
        return found[1]

    def of_root_key(self, root_key: str) -> str | None:
        """The service a root key belongs to (CH-101, CH-116); None if that is not known."""
        found = self._of_root_key.get(root_key) or _row(root_key)
        return found[0] if found is not None else None


STANDARD = Services()
