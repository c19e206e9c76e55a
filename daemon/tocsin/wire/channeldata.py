"""The members of channelData, each in its place in the order of channels.md, section 4."""

import re
from collections.abc import Callable
from typing import Any, Protocol

import attrs

from tocsin.model.channel import Device
from tocsin.model.errors import RequestError, invalid, not_one_of
from tocsin.wire.devicetoken import PROVIDERS
from tocsin.wire.integers import integer
from tocsin.wire.netapi import optional_text

PARENT = "channelData."
AUTHORIZATION = re.compile(r"[ -~]{1,4096}")
TOKEN_LIMIT = 4096
DEVICE_TOKEN = "x-deviceToken"  # noqa: S105 - the name of a member
REGISTRATION_TOKEN = "registrationToken"  # noqa: S105 - the name of a member
EXTRAS = ("type", "channelSubType", "channelSubTypeVersion")
MOST_NOTIFICATIONS = 100
DEFAULT_NOTIFICATIONS = 20

Data = dict[str, Any]


class PushApp(Protocol):
    """A registered app, as far as a device token is concerned."""

    def normalise(self, token: str) -> str:
        """The one spelling of a token; ValueError if it is malformed."""


FindApp = Callable[[str, str], PushApp | None]


@attrs.frozen
class Registration:
    """A device as a client registers it; `token` as it was sent, `device.token` normalised."""

    device: Device
    token: str = attrs.field(repr=False)


def webhook_url(data: Data) -> str:
    """The URL of a webhook; what it is worth is judged elsewhere (CH-81)."""
    url = data.get("x-webhookURL")
    if not isinstance(url, str):
        raise _invalid("x-webhookURL")
    return url


def webhook_secrets(
    data: Data, check_secret: Callable[[str], None]
) -> tuple[str | None, str | None]:
    """Authorization and signing secret (CH-31); `check_secret` raises ValueError for none."""
    authorization = data.get("x-authorization")
    if authorization is not None and not (
        isinstance(authorization, str) and AUTHORIZATION.fullmatch(authorization)
    ):
        raise _invalid("x-authorization")
    secret = data.get("x-webhookSecret")
    if secret is not None:
        try:
            check_secret(secret if isinstance(secret, str) else "")
        except ValueError:
            raise _invalid("x-webhookSecret") from None
    return authorization, secret


def push_device(data: Data, find_app: FindApp, *, now: int) -> Registration:
    """The device of an OMAPush channel; app and provider must be registered (CH-32)."""
    app_id = optional_text(data, "appId", parent=PARENT)
    if app_id is None:
        raise _invalid("appId")
    provider = _provider(data.get("x-provider"))
    app = find_app(app_id, provider)
    if app is None:
        raise _invalid("appId")
    return _registration(data, DEVICE_TOKEN, app, Device(provider, app_id, "", now))


def native_device(data: Data, app_id: str, find_app: FindApp, *, now: int) -> Registration:
    """The device of a NativeChannel, which names its token only (CH-33)."""
    app = find_app(app_id, "fcm")
    if app is None:
        raise _invalid(REGISTRATION_TOKEN)
    return _registration(data, REGISTRATION_TOKEN, app, Device("fcm", app_id, "", now))


def max_notifications(data: Data) -> int:
    """How many notifications one answer to a poll has at most, clamped to what we give."""
    value = data.get("maxNotifications")
    wanted = DEFAULT_NOTIFICATIONS if value is None else integer(value)
    if wanted is None:
        raise _invalid("maxNotifications")
    return min(max(wanted, 1), MOST_NOTIFICATIONS)


def extras(data: Data) -> dict[str, str]:
    """Members that mean nothing to us and are echoed (CH-33)."""
    texts = {name: optional_text(data, name, parent=PARENT) for name in EXTRAS}
    texts[REGISTRATION_TOKEN] = optional_text(
        data, REGISTRATION_TOKEN, parent=PARENT, limit=TOKEN_LIMIT
    )
    return {name: text for name, text in texts.items() if text is not None}


def _registration(data: Data, member: str, app: PushApp, device: Device) -> Registration:
    token = optional_text(data, member, parent=PARENT, limit=TOKEN_LIMIT)
    try:
        normal = app.normalise(token or "")
    except ValueError:
        raise _invalid(member) from None
    return Registration(attrs.evolve(device, token=normal), token or "")


def _provider(value: object) -> str:
    if value is None:
        raise _invalid("x-provider")
    if not isinstance(value, str) or value not in PROVIDERS:
        raise not_one_of(f"{PARENT}x-provider", PROVIDERS)
    return value


def _invalid(member: str) -> RequestError:
    return invalid(PARENT + member)
