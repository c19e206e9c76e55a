"""Subscription resources: paths, envelopes and members per service (channels.md, section 10).

A subscription's JSON text is stored once and answered in every dialect: its `resourceURL` is the
last member and has neither base nor prefix until `located` puts them in.
"""

import re
from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from tocsin.model.channel import Channel, ChannelType
from tocsin.model.errors import invalid, not_one_of
from tocsin.model.ids import CHANNEL_ID
from tocsin.model.subscription import Subscription
from tocsin.wire.dialect import escaped
from tocsin.wire.integers import dumps, integer

IN_URL = re.compile(r"/channels/([^/?#]+)")
PLACEHOLDER = re.compile(r"{([A-Za-z]+)}")
RESOURCE = b'"resourceURL":"'
ADDRESS_LIMIT = 256
POLICIES = ("all", "escalate")
NOTIFY_URL = "callbackReference.notifyURL"


@attrs.frozen
class Kind:
    """One row of section 10's table. `path` stands behind the prefix, without the id.

    `filtered`: the sms filter counts (CH-94). `by_correlator`: its clients go by clientCorrelator,
    for the channel (CH-91) and for what is listed. `spans`: a list over several collections,
    nothing else.
    """

    service: str
    path: str
    envelope: str
    filtered: bool = False
    by_correlator: bool = False
    spans: bool = False

    @property
    def list_envelope(self) -> str:
        """The envelope of a list."""
        return f"{self.envelope}List"

    @property
    def is_project(self) -> bool:
        """Its notifications are a project's, not a person's (CH-96)."""
        return "{proj}" in self.path

    def place(self, values: Mapping[str, str]) -> "Place":
        """The collection that a request with these values in its path is about."""
        path = PLACEHOLDER.sub(lambda match: escaped(values[match[1]]), self.path)
        if self.is_project:
            return Place(self, path, f"{values['acct']}/{values['proj']}", listing=path)
        return Place(self, path, values["user"], values.get("sender"), values.get("listId"))


@attrs.frozen
class Place:
    """One collection of subscriptions: those of `user` with this sender or list."""

    kind: Kind
    path: str
    user: str
    sender: str | None = None
    listing: str | None = None

    def holds(self, subscription: Subscription) -> bool:
        """Whether a subscription of the user is found here."""
        if subscription.service != self.kind.service:
            return False
        wanted = (self.sender, self.listing)
        return self.kind.spans or (subscription.sender, subscription.listing) == wanted


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
CALL = Kind(
    "call",
    "/webrtcsignaling/v1/{user}/subscriptions",
    "wrtcsNotificationSubscription",
    by_correlator=True,
)
PRESENCE = Kind(
    "presence",
    "/presence/v1/{user}/subscriptions/presenceListSubscriptions/{listId}",
    "presenceListSubscription",
)
PRESENCE_LISTS = attrs.evolve(PRESENCE, path="/presence/v1/{user}/subscriptions", spans=True)
ACCOUNT = Kind("account", "/account/v1/{user}/subscriptions", "projectSubscription")
PROJECT = attrs.evolve(ACCOUNT, path="/portal/v1/accounts/{acct}/projects/{proj}/subscriptions")
KINDS = (SMS_INBOUND, SMS_RECEIPTS, CHAT, CALL, PRESENCE, PRESENCE_LISTS, ACCOUNT, PROJECT)


@attrs.frozen
class SubscriptionRequest:
    """A subscription as a client asks for it; `members` is what will be echoed."""

    channel: Channel
    destination: str | None
    duration: int | None
    policy: str | None
    members: dict[str, Any]


def parse_subscription(
    document: object, kind: Kind, channels: Mapping[str, Channel]
) -> SubscriptionRequest:
    """The subscription a POST asks for; `channels` are those it may point to, oldest first.

    Raises `RequestError` naming the first bad member, in the order CH-91 to CH-98 have them.
    """
    if not isinstance(document, dict):
        raise invalid("body")
    members = document.get(kind.envelope)
    if not isinstance(members, dict):
        raise invalid(kind.envelope)
    correlator = members.get("clientCorrelator")
    reference = members.get("callbackReference")
    notify_url = reference.get("notifyURL") if isinstance(reference, dict) else None
    if kind.by_correlator and notify_url is None and isinstance(reference, dict | None):
        channel = _newest_socket(channels, correlator)
        members = {
            **members,
            "callbackReference": {**(reference or {}), "notifyURL": channel.id},
        }
    else:
        channel = _named(channels, notify_url)
    _check_format(members["callbackReference"].get("notificationFormat"))
    _check_correlator(correlator)
    return SubscriptionRequest(
        channel,
        _destination(members.get("destinationAddress")) if kind.filtered else None,
        _duration(members.get("duration")),
        _policy(members.get("x-deliveryPolicy")),
        _with_correlator(members, channel),
    )


def channel_id_in(notify_url: object) -> str:
    """The channel a notifyURL names: an id, or any URL or path with `/channels/{id}`."""
    if isinstance(notify_url, str):
        match = IN_URL.search(notify_url)
        candidate = match[1] if match else notify_url
        if CHANNEL_ID.fullmatch(candidate):
            return candidate
    raise invalid(NOTIFY_URL)


def render(place: Place, id_: str, members: Mapping[str, Any]) -> bytes:
    """The text to store: what is echoed, then what we add (CH-90)."""
    added = {"resourceURL": f"{place.path}/{id_}"}
    if place.kind.service == "presence":
        added = {"presenceListId": place.listing or "", **added}
    echoed = {name: value for name, value in members.items() if name not in added}
    return dumps({**echoed, **added})


def located(text: bytes, root: str) -> bytes:
    """A stored text as it is answered: `root`, base and prefix, put before its path."""
    at = text.rindex(RESOURCE) + len(RESOURCE)
    return text[:at] + orjson.dumps(root)[1:-1] + text[at:]


def correlator_of(text: bytes) -> object:
    """The clientCorrelator of a stored text."""
    return orjson.loads(text).get("clientCorrelator")


def _named(channels: Mapping[str, Channel], notify_url: object) -> Channel:
    channel = channels.get(channel_id_in(notify_url))
    if channel is None:
        raise invalid(NOTIFY_URL)
    return channel


def _newest_socket(channels: Mapping[str, Channel], correlator: object) -> Channel:
    """Where a call subscription goes that does not say where (CH-91)."""
    for channel in reversed(list(channels.values())):
        if channel.type is ChannelType.WEBSOCKETS and channel.client_correlator == correlator:
            return channel
    raise invalid(NOTIFY_URL)


def _check_format(value: object) -> None:
    if value is not None and value != "JSON":
        raise not_one_of("callbackReference.notificationFormat", ["JSON"])


def _check_correlator(value: object) -> None:
    if value is not None and not (isinstance(value, str) and 1 <= len(value) <= 256):
        raise invalid("clientCorrelator")


def _destination(value: object) -> str | None:
    if value is None:
        return None
    address = value.removeprefix("tel:") if isinstance(value, str) else ""
    if not 1 <= len(address) <= ADDRESS_LIMIT:
        raise invalid("destinationAddress")
    return address


def _duration(value: object) -> int | None:
    if value is None:
        return None
    seconds = integer(value)
    if seconds is None or seconds <= 0:
        raise invalid("duration")
    return seconds


def _policy(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in POLICIES:
        raise not_one_of("x-deliveryPolicy", POLICIES)
    return value


def _with_correlator(members: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """The members with a clientCorrelator: the channel's, if the client gave it one (CH-91)."""
    if members.get("clientCorrelator") is not None or channel.client_correlator == channel.id:
        return members
    return {**members, "clientCorrelator": channel.client_correlator}
