"""`Config`: every Settings class in one tree. Its field names are the keys of the file."""

import re
from typing import Any, TypeVar

import attrs

from tocsin.config import places, rules
from tocsin.config.together import Checks
from tocsin.delivery import pushapps
from tocsin.delivery.events import OperatorSettings
from tocsin.delivery.pushapps import PushSettings
from tocsin.delivery.settings import ChannelSettings, DeliveryLimits, DeliverySettings
from tocsin.model.option import not_empty, option, section
from tocsin.ops.log import LogSettings
from tocsin.ops.supervisor import SupervisorSettings
from tocsin.server import auth, tls
from tocsin.server.auth import AuthSettings
from tocsin.server.longpoll import LongPollSettings
from tocsin.server.messaging import settings as messaging
from tocsin.server.messaging.settings import MessagingSettings
from tocsin.server.publish import PublishSettings
from tocsin.server.services import ServiceSettings, services_problem
from tocsin.server.settings import (
    CorsSettings,
    HttpLimits,
    ListenSettings,
    check_networks,
    check_prefix,
)
from tocsin.server.tls import TlsSettings
from tocsin.server.websocket import WsSettings
from tocsin.store.sqlite import StoreSettings
from tocsin.transports.settings import WebhookSettings
from tocsin.wire.endpoint import normal_host

BASE_URL = re.compile(r"https?://(?P<host>\[[^\]]+\]|[^:/]+)(?::(?P<port>[0-9]{1,5}))?/?")

Part = TypeVar("Part", bound=attrs.AttrsInstance)


def _prefix_problem(prefix: str) -> str | None:
    problem = check_prefix(prefix)
    return f"must be empty, or {problem.removeprefix('must ')}" if prefix and problem else None


def _base_url_problem(url: str) -> str | None:
    match = BASE_URL.fullmatch(url)
    if match is None or not url.isascii() or not 0 < int(match["port"] or 1) < 65_536:
        return "must be http://host[:port] or https://host[:port], without a path"
    try:
        normal_host(match["host"])
    except ValueError as error:
        return str(error)
    return None


def _merged(*parts: type) -> dict[str, Any]:
    """The fields of several Settings classes, for one table that has several owners."""
    return {
        field.name: attrs.field(
            default=field.default,
            validator=field.validator,
            metadata=field.metadata,
            repr=field.repr,
            type=field.type,
        )
        for part in parts
        for field in attrs.fields(part)
    }


def _part(whole: object, part: type[Part]) -> Part:
    return part(**{field.name: getattr(whole, field.name) for field in attrs.fields(part)})


@attrs.frozen(these=_merged(HttpLimits, DeliveryLimits))
class Limits:
    """`[limits]`: one table for the operator, a part of it for each layer that has bounds."""

    @property
    def http(self) -> HttpLimits:
        """What protects the HTTP front."""
        return _part(self, HttpLimits)

    @property
    def delivery(self) -> DeliveryLimits:
        """What bounds the things stored."""
        return _part(self, DeliveryLimits)


@attrs.frozen
class NetapiSettings:
    """`[netapi]`"""

    prefix: str = option(
        "/cpaas", "What every path of the REST API begins with.", check=_prefix_problem
    )
    native_app_id: str | None = option(
        None,
        "The FCM app of [push.apps] that a NativeChannel of the strict dialect is for; not set, "
        "there are none.",
    )


@attrs.frozen
class DrainSettings:
    """`[drain]`"""

    window: float = option(
        5.0,
        "Seconds after SIGTERM over which sockets are closed and work in hand is finished.",
        minimum=0,
        maximum=600,
    )


@attrs.frozen
class Config:
    """The whole configuration; without a file, every option has its default."""

    state_dir: str = option(
        "state", "Where the daemon keeps what is not in the store.", check=not_empty
    )
    public_base_url: str | None = option(
        None,
        "http(s)://host[:port] that clients reach the daemon by; set, it turns on the strict "
        "dialect with absolute URLs, whose paths have no prefix.",
        check=_base_url_problem,
    )
    trusted_proxies: list[str] = option(
        [],
        'Networks whose Forwarded and X-Forwarded-For headers count; "unix" for proxies that come '
        "over a Unix socket. A proxy must set or remove each of them, and X-Real-IP, which counts "
        "for push.trusted_networks.",
        check=check_networks,
    )
    listen: ListenSettings = section(ListenSettings, "The addresses the daemon serves on.")
    tls: TlsSettings = section(TlsSettings, "TLS on the public listener.")
    store: StoreSettings = section(StoreSettings, "The store of channels and deliveries.")
    netapi: NetapiSettings = section(NetapiSettings, "The paths of the REST API.")
    cors: CorsSettings = section(CorsSettings, "What browsers of other origins may do.")
    auth: AuthSettings = section(AuthSettings, "Whose tokens are accepted; a key source is needed.")
    channels: ChannelSettings = section(ChannelSettings, "Channels and their lifetimes.")
    limits: Limits = section(Limits, "What one client, one request and the whole may cost.")
    publish: PublishSettings = section(PublishSettings, "The publish API.")
    ws: WsSettings = section(WsSettings, "The notification WebSocket.")
    longpoll: LongPollSettings = section(LongPollSettings, "Long polling.")
    webhooks: WebhookSettings = section(WebhookSettings, "Calling webhooks.")
    push: PushSettings = section(PushSettings, "Pushing to apps on phones.")
    messaging: MessagingSettings = section(MessagingSettings, "Messages between subscribers.")
    services: dict[str, ServiceSettings] = option(
        {}, "Services beside sms, chat, call, presence and account.", check=services_problem
    )
    delivery: DeliverySettings = section(DeliverySettings, "Attempts and retries.")
    operator: OperatorSettings = section(OperatorSettings, "What an operator is told.")
    drain: DrainSettings = section(DrainSettings, "Stopping.")
    log: LogSettings = section(LogSettings, "The log on standard output.")
    supervisor: SupervisorSettings = section(
        SupervisorSettings, "What happens to a part that crashes or hangs."
    )


CHECKS: Checks = {
    ListenSettings: (places.check_listen,),
    AuthSettings: (auth.check, rules.check_key_file),
    PushSettings: (pushapps.check,),
    MessagingSettings: (messaging.check,),
    TlsSettings: (tls.check,),
    Config: (
        places.check_state_dir,
        places.check_store,
        rules.check_dialects,
        rules.check_hooks,
        rules.check_http_bytes,
        rules.check_policies,
        rules.check_reporters,
        rules.check_messaging,
        rules.check_messaging_prefix,
        rules.check_messaging_rest,
    ),
}
"""Rules across options, by the Settings class of the table they are in."""
