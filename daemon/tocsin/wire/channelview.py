"""Channel resources as a dialect answers them (channels.md, sections 1, 3 and 4)."""

from collections.abc import Iterable
from typing import Any

from tocsin.model.channel import Channel, Device, Webhook
from tocsin.wire.channeldata import DEVICE_TOKEN, EXTRAS, REGISTRATION_TOKEN
from tocsin.wire.dialect import Dialect
from tocsin.wire.netapi import is_native

HIDDEN = "*****"
SPELLED = "channelType"

Members = dict[str, Any]


def echoed(spelled: str, channel: Channel, extras: dict[str, str], token: str) -> dict[str, str]:
    """What a channel keeps of its request only to answer it: `Channel.echoed`.

    That is the spelling of its type, where it is not ours; the device token as it was sent, where
    it is not the normal form; and members that mean nothing to us.
    """
    kept = dict(extras)
    if spelled != channel.type:
        kept[SPELLED] = spelled
    if channel.device is not None:
        name = REGISTRATION_TOKEN if is_native(spelled) else DEVICE_TOKEN
        kept.pop(name, None)
        if token != channel.device.token:
            kept[name] = token
    return kept


class ChannelView:
    """The answers of one dialect. `echo_secrets` shows the Authorization of webhooks (CH-31)."""

    def __init__(self, dialect: Dialect, *, echo_secrets: bool) -> None:
        self._dialect = dialect
        self._echo_secrets = echo_secrets

    def url(self, channel: Channel) -> str:
        """A channel's resourceURL, also its `Location`."""
        return self._dialect.channel_url(channel.user, channel.id)

    def channel(self, channel: Channel) -> Members:
        """`{"notificationChannel": {..}}`"""
        return {"notificationChannel": self._members(channel, echo=self._echo_secrets)}

    def channel_list(self, user: str, channels: Iterable[Channel]) -> Members:
        """`{"notificationChannelList": {..}}`; the list is always there, secrets never are."""
        return {
            "notificationChannelList": {
                "notificationChannel": [self._members(one, echo=False) for one in channels],
                "resourceURL": self._dialect.channels_url(user),
            }
        }

    def lifetime(self, seconds: int) -> Members:
        """`{"notificationChannelLifetime": {..}}`"""
        return {"notificationChannelLifetime": {"channelLifetime": seconds}}

    def type_of(self, channel: Channel) -> str:
        """The type as this dialect spells it (CH-30)."""
        if not self._dialect.keeps_spelling or channel.echoed is None:
            return channel.type.value
        return channel.echoed.get(SPELLED, channel.type.value)

    def correlator_of(self, channel: Channel) -> str | None:
        """The clientCorrelator, if its client gave one; else the channel's id stands for it."""
        return None if channel.client_correlator == channel.id else channel.client_correlator

    def _members(self, channel: Channel, *, echo: bool) -> Members:
        """Members in the order of section 3's example, without those that have no value."""
        resource = self.url(channel)
        kind = self.type_of(channel)
        members = {
            "callbackURL": (channel.id if self._dialect.callback_is_id else f"{resource}/callback"),
            "channelData": self._data(channel, kind, echo=echo),
            "channelLifetime": (
                channel.lifetime if channel.type.is_polled or is_native(kind) else None
            ),
            "channelType": kind,
            "clientCorrelator": self.correlator_of(channel),
            "applicationTag": channel.application_tag,
            "x-connCheckRole": channel.check_role,
            "resourceURL": resource,
        }
        return {name: value for name, value in members.items() if value is not None}

    def _data(self, channel: Channel, kind: str, *, echo: bool) -> Members:
        kept = channel.echoed or {}
        if channel.webhook is not None:
            data = _webhook(channel.webhook, echo=echo)
        elif channel.device is not None:
            data = _native(channel.device, kept) if is_native(kind) else _push(channel.device, kept)
        elif channel.max_notifications is not None:
            url = f"{self.url(channel)}/notifications"
            data = {"channelURL": url, "maxNotifications": channel.max_notifications}
        else:
            data = {"channelURL": self._dialect.socket_url(channel.user, channel.id)}
        if self._dialect.echoes_extras:
            data |= {name: kept[name] for name in (*EXTRAS, REGISTRATION_TOKEN) if name in kept}
        return data


def _webhook(webhook: Webhook, *, echo: bool) -> Members:
    data = {"x-webhookURL": webhook.url}
    if webhook.authorization is not None:
        data["x-authorization"] = webhook.authorization if echo else HIDDEN
    if webhook.secret is not None:
        data["x-webhookSecret"] = HIDDEN
    return data


def _push(device: Device, kept: dict[str, str]) -> Members:
    return {
        "appId": device.app,
        DEVICE_TOKEN: kept.get(DEVICE_TOKEN, device.token),
        "x-provider": device.provider,
    }


def _native(device: Device, kept: dict[str, str]) -> Members:
    return {REGISTRATION_TOKEN: kept.get(REGISTRATION_TOKEN, device.token)}
