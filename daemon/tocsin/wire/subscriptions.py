"""Subscription resources: paths, envelopes and members per service (channels.md, section 10)."""

import re
from typing import Any

import attrs

from tocsin.model.errors import invalid, not_one_of
from tocsin.model.ids import CHANNEL_ID
from tocsin.wire.integers import integer
from tocsin.wire.netapi import escaped

IN_URL = re.compile(r"/channels/([^/?#]+)")
ADDRESS_LIMIT = 256
POLICIES = ("all", "escalate")


@attrs.frozen
class Kind:
    """One row of section 10's table. `path` stands behind the prefix, without the id."""

    service: str
    path: str
    envelope: str
    filtered: bool = False

    @property
    def list_envelope(self) -> str:
        """The envelope of a list."""
        return f"{self.envelope}List"

    def collection(self, prefix: str, user: str, sender: str | None) -> str:
        """The path of the collection."""
        path = self.path.replace("{user}", escaped(user))
        return prefix + path.replace("{sender}", escaped(sender or ""))


SMS_INBOUND = Kind(
    "sms", "/smsmessaging/v1/{user}/inbound/subscriptions", "subscription", filtered=True
)
SMS_RECEIPTS = Kind(
    "sms",
    "/smsmessaging/v1/{user}/outbound/{sender}/subscriptions",
    "deliveryReceiptSubscription",
    filtered=True,
)
CHAT = Kind("chat", "/chat/v1/{user}/subscriptions", "chatNotificationSubscription")
KINDS = (SMS_INBOUND, SMS_RECEIPTS, CHAT)


@attrs.frozen
class SubscriptionRequest:
    """A subscription as a client asks for it; `members` is what will be echoed."""

    channel_id: str
    destination: str | None
    members: dict[str, Any]


def parse_subscription(document: object, kind: Kind) -> SubscriptionRequest:
    """The subscription a POST asks for; `RequestError` names the first bad member (CH-91)."""
    members = document.get(kind.envelope) if isinstance(document, dict) else None
    if not isinstance(members, dict):
        raise invalid(kind.envelope)
    reference = members.get("callbackReference")
    if not isinstance(reference, dict):
        raise invalid("callbackReference.notifyURL")
    channel_id = channel_id_in(reference.get("notifyURL"))
    notification_format = reference.get("notificationFormat")
    if notification_format is not None and notification_format != "JSON":
        raise not_one_of("callbackReference.notificationFormat", ["JSON"])
    _check_correlator(members.get("clientCorrelator"))
    _check_duration(members.get("duration"))
    policy = members.get("x-deliveryPolicy")
    if policy is not None and policy not in POLICIES:
        raise not_one_of("x-deliveryPolicy", POLICIES)
    destination = _destination(members.get("destinationAddress")) if kind.filtered else None
    return SubscriptionRequest(channel_id, destination, members)


def channel_id_in(notify_url: object) -> str:
    """The channel a notifyURL names: an id, or any URL or path with `/channels/{id}`."""
    if isinstance(notify_url, str):
        match = IN_URL.search(notify_url)
        candidate = match[1] if match else notify_url
        if CHANNEL_ID.fullmatch(candidate):
            return candidate
    raise invalid("callbackReference.notifyURL")


def _check_correlator(value: object) -> None:
    if value is not None and not (isinstance(value, str) and 1 <= len(value) <= 256):
        raise invalid("clientCorrelator")


def _check_duration(value: object) -> None:
    if value is None:
        return
    seconds = integer(value)
    if seconds is None or seconds <= 0:
        raise invalid("duration")


def _destination(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= ADDRESS_LIMIT:
        raise invalid("destinationAddress")
    return value.removeprefix("tel:")
