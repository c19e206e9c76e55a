"""Channel resources in the `netapi` dialect: JSON in, JSON out (channels.md, sections 1, 3, 4)."""

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

import attrs

from tocsin.model.channel import BY_LOWER_NAME, Channel, ChannelType
from tocsin.model.errors import invalid, not_one_of
from tocsin.wire.integers import integer

ROLES = ("client", "server")
SERVED = (ChannelType.WEBSOCKETS, ChannelType.WEBHOOKS)
AUTHORIZATION = re.compile(r"[ -~]{1,4096}")
HIDDEN = "*****"
UNRESERVED_IN_PATH = "!$&'()*+,;=:@"


@attrs.frozen
class WebhookRequest:
    """The webhook members of a channel request; the URL is checked for its form elsewhere."""

    url: str
    authorization: str | None
    secret: str | None


@attrs.frozen
class ChannelRequest:
    """A channel as a client asks for it."""

    type: ChannelType
    client_correlator: str
    application_tag: str | None
    lifetime: int | None
    check_role: str | None
    webhook: WebhookRequest | None


def parse_channel(document: object, *, check_secret: Callable[[str], None]) -> ChannelRequest:
    """The channel a POST asks for.

    Raises `RequestError` naming the first bad member in the order of section 4. `check_secret`
    raises ValueError for what is no webhook secret.
    """
    members = document.get("notificationChannel") if isinstance(document, dict) else None
    if not isinstance(members, dict):
        raise invalid("notificationChannel")
    kind = _type(members.get("channelType"))
    is_socket = kind is ChannelType.WEBSOCKETS
    return ChannelRequest(
        type=kind,
        client_correlator=_required_text(members, "clientCorrelator"),
        application_tag=_text(members, "applicationTag"),
        lifetime=_lifetime(members) if is_socket else None,
        check_role=_role(members.get("x-connCheckRole")) if is_socket else None,
        webhook=None if is_socket else _webhook(members.get("channelData"), check_secret),
    )


def _type(value: object) -> ChannelType:
    if value is None:
        raise invalid("channelType")
    kind = BY_LOWER_NAME.get(value.lower()) if isinstance(value, str) else None
    if kind not in SERVED:
        raise not_one_of("channelType", SERVED)
    return kind


def _required_text(members: dict[str, Any], name: str) -> str:
    value = _text(members, name)
    if value is None:
        raise invalid(name)
    return value


def _text(members: dict[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= 256:
        raise invalid(name)
    return value


def _lifetime(members: dict[str, Any]) -> int | None:
    """A positive integer, however large (CH-40); null is not one."""
    if "channelLifetime" not in members:
        return None
    seconds = integer(members["channelLifetime"])
    if seconds is None or seconds <= 0:
        raise invalid("channelLifetime")
    return seconds


def _role(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in ROLES:
        raise not_one_of("x-connCheckRole", ROLES)
    return value


def _webhook(value: object, check_secret: Callable[[str], None]) -> WebhookRequest:
    if not isinstance(value, dict):
        raise invalid("channelData")
    url = value.get("x-webhookURL")
    if not isinstance(url, str):
        raise invalid("channelData.x-webhookURL")
    authorization = value.get("x-authorization")
    if authorization is not None and not (
        isinstance(authorization, str) and AUTHORIZATION.fullmatch(authorization)
    ):
        raise invalid("channelData.x-authorization")
    secret = value.get("x-webhookSecret")
    if secret is not None:
        try:
            check_secret(secret if isinstance(secret, str) else "")
        except ValueError:
            raise invalid("channelData.x-webhookSecret") from None
    return WebhookRequest(url, authorization, secret)


class NetApi:
    """The paths and answers of the dialect, under one prefix."""

    def __init__(self, prefix: str, *, echo_secrets: bool) -> None:
        self.prefix = prefix
        self._echo_secrets = echo_secrets

    def channels_path(self, user: str) -> str:
        """Where a user's channels are."""
        return f"{self.prefix}/notificationchannel/v1/{escaped(user)}/channels"

    def channel_path(self, channel: Channel) -> str:
        """A channel's resourceURL."""
        return f"{self.channels_path(channel.user)}/{channel.id}"

    def channel(self, channel: Channel) -> dict[str, Any]:
        """`{"notificationChannel": {..}}`"""
        return {"notificationChannel": self._members(channel, echo=self._echo_secrets)}

    def channel_list(self, user: str, channels: Iterable[Channel]) -> dict[str, Any]:
        """`{"notificationChannelList": {..}}`; the list is always there, secrets never are."""
        return {
            "notificationChannelList": {
                "notificationChannel": [self._members(one, echo=False) for one in channels],
                "resourceURL": self.channels_path(user),
            }
        }

    def _members(self, channel: Channel, *, echo: bool) -> dict[str, Any]:
        """Members in the order of section 3's example, without those that have no value."""
        resource = self.channel_path(channel)
        members = {
            "callbackURL": channel.id,
            "channelData": self._data(channel, resource, echo=echo),
            "channelLifetime": channel.lifetime,
            "channelType": channel.type.value,
            "clientCorrelator": channel.client_correlator,
            "applicationTag": channel.application_tag,
            "x-connCheckRole": channel.check_role,
            "resourceURL": resource,
        }
        return {name: value for name, value in members.items() if value is not None}

    def _data(self, channel: Channel, resource: str, *, echo: bool) -> dict[str, str]:
        webhook = channel.webhook
        if webhook is None:
            return {"channelURL": f"{resource}/websocket"}
        data = {"x-webhookURL": webhook.url}
        if webhook.authorization is not None:
            data["x-authorization"] = webhook.authorization if echo else HIDDEN
        if webhook.secret is not None:
            data["x-webhookSecret"] = webhook.secret if echo else HIDDEN
        return data


def escaped(segment: str) -> str:
    """A path segment; `+` and `@` stand for themselves (CH-3)."""
    return quote(segment, safe=UNRESERVED_IN_PATH)
