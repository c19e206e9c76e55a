"""The services: what carries them (CH-93), and their notifications' defaults (CH-101)."""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from tocsin.model.channel import ChannelType
from tocsin.model.notification import Priority

SERVICES = ("sms", "chat", "call", "presence", "account")
WEEK = 7 * 86_400

_EVERY = frozenset(ChannelType)
CHANNEL_TYPES: Mapping[str, frozenset[ChannelType]] = {
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


def defaults(service: str, root_key: str, body: Body) -> Defaults:
    """The row of CH-101's table for a root key; an unknown root key gets its service's."""
    if root_key == "wrtcsSessionInvitationNotification":
        return _INVITATION
    if root_key.startswith("wrtcs") or root_key == "gone":
        return _CALL
    if root_key == "chatMessageNotification" and "isComposing" in body:
        return _COMPOSING
    if root_key.startswith(("chat", "groupChat", "multimediaChat")):
        return _CHAT
    if "SMS" in root_key or root_key.startswith(("sms", "deliveryInfo")):
        return _SMS
    if root_key.startswith("presence"):
        return _PRESENCE
    return _OF_SERVICE[service]
