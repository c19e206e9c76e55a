"""`Config`: every Settings class in one tree. Its field names are the keys of the file."""

import re
from ipaddress import ip_address
from typing import Any, TypeVar

import attrs

from tocsin.config import places
from tocsin.config.together import Checks
from tocsin.delivery import pushapps
from tocsin.delivery.events import OperatorSettings
from tocsin.delivery.pushapps import PushSettings
from tocsin.delivery.settings import ChannelSettings, DeliveryLimits, DeliverySettings
from tocsin.model.channel import ChannelType
from tocsin.model.errors import StartupError
from tocsin.model.option import not_empty, option, section
from tocsin.model.services import SERVICES
from tocsin.ops.log import LogSettings
from tocsin.ops.supervisor import SupervisorSettings
from tocsin.server import auth, tls
from tocsin.server.auth import AuthSettings
from tocsin.server.jwks import read_key_file
from tocsin.server.longpoll import LongPollSettings
from tocsin.server.messaging import settings as messaging
from tocsin.server.messaging.settings import MessagingSettings
from tocsin.server.publish import PublishSettings
from tocsin.server.services import (
    ServiceSettings,
    service_registry,
    services_problem,
    subscription_kinds,
)
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
from tocsin.wire.addresses import is_forbidden, parse_networks
from tocsin.wire.endpoint import normal_host, parse_url

BASE_URL = re.compile(r"https?://(?P<host>\[[^\]]+\]|[^:/]+)(?::(?P<port>[0-9]{1,5}))?/?")

LOOPBACK = {"localhost": ("127.0.0.1", "::1")}
MESSAGING_REST = "/v1/messaging"
FIXED_PATHS = (
    *("/v1/notifications", MESSAGING_REST, "/pnm2", "/push/report"),
    *("/openapi.json", "/asyncapi.json"),
)

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
        "over a Unix socket.",
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


def _check_dialects(config: Config) -> list[str]:
    """What the dialects need of one another and of the rest, one line each."""
    problems = []
    prefix = config.netapi.prefix
    if config.public_base_url is not None:
        if not prefix:
            problems.append("netapi.prefix: must not be empty next to public_base_url")
        problems += [
            f"services.{name}.path: must not begin with netapi.prefix next to public_base_url"
            for name, service in config.services.items()
            if prefix and f"{service.path}/".startswith(f"{prefix}/")
        ]
    native = config.netapi.native_app_id
    app = None if native is None else config.push.apps.get(native)
    if native is not None and (app is None or app.provider != "fcm"):
        problems.append("netapi.native_app_id: must be an FCM app of [push.apps]")
    return problems


def _check_hooks(config: Config) -> list[str]:
    """Those we call ourselves are webhooks like any other (PU-74)."""
    problems = []
    for path, url in (
        ("operator.webhook_url", config.operator.webhook_url),
        ("push.feedback_url", config.push.feedback_url),
    ):
        try:
            if url is not None:
                _check_hook(url, config.webhooks)
        except ValueError as error:
            problems.append(f"{path}: {error}")
    return problems


def _check_hook(url: str, webhooks: WebhookSettings) -> None:
    """ValueError for what the guard would refuse, as far as that is known without a lookup."""
    host = parse_url(url, allow_http={normal_host(one) for one in webhooks.allow_http}).host
    allow, deny = parse_networks(webhooks.allow_networks), parse_networks(webhooks.deny_networks)
    try:
        addresses = [ip_address(one) for one in LOOPBACK.get(host, (host,))]
    except ValueError:
        return
    if all(is_forbidden(one, allow=allow, deny=deny) for one in addresses):
        raise ValueError(f"{addresses[0]} must be in webhooks.allow_networks, or is never called")


def _check_reporters(config: Config) -> list[str]:
    """What reported channels are subscribed to is something a phone can get (CH-93)."""
    services = service_registry(config.services)
    return [
        f"push.reporters.{name}.subscribe: {service} is no service for phones"
        for name, reporter in config.push.reporters.items()
        for service in reporter.subscribe
        if ChannelType.OMAPUSH not in services.types_of(service)
    ]


def _check_policies(config: Config) -> list[str]:
    known = {*SERVICES, *config.services}
    return [
        f"delivery.policies.{service}: is no service"
        for service in config.delivery.policies
        if service not in known
    ]


def _check_messaging(config: Config) -> list[str]:
    if config.messaging.introspect_jwt and config.auth.introspection.url is None:
        return ["messaging.introspect_jwt: needs auth.introspection.url"]
    return []


def _check_messaging_prefix(config: Config) -> list[str]:
    """Whatever is at or below it is taken for messaging, so nothing else may be there."""
    mine = config.messaging.prefix
    shared = [path for path in _paths(config) if _is_below(mine, path) or _is_below(path, mine)]
    if not config.messaging.enabled or not shared:
        return []
    return [f"messaging.prefix: {shared[0]} is something else; take a name of its own"]


def _check_messaging_rest(config: Config) -> list[str]:
    """What is below the path of messaging's REST face is taken for that."""
    if not config.messaging.enabled:
        return []
    problems = []
    if _is_below(config.netapi.prefix, MESSAGING_REST):
        problems.append(f"netapi.prefix: {MESSAGING_REST} is messaging's; take a name of its own")
    if not config.netapi.prefix or config.public_base_url is not None:
        problems += [
            f"services.{name}.path: {MESSAGING_REST} is messaging's; take a name of its own"
            for name, service in config.services.items()
            if service.path is not None and _is_below(service.path, MESSAGING_REST)
        ]
    return problems


def _paths(config: Config) -> list[str]:
    """What the rest of the public listener serves begins with one of these."""
    paths = [*FIXED_PATHS]
    if config.netapi.prefix:
        paths.append(config.netapi.prefix)
    if not config.netapi.prefix or config.public_base_url is not None:
        kinds = subscription_kinds(config.services)
        paths += ["/notificationchannel", "/auth", *(kind.path.split("/{")[0] for kind in kinds)]
    return paths


def _is_below(path: str, other: str) -> bool:
    return f"{path}/".startswith(f"{other}/")


def _check_key_file(settings: AuthSettings) -> list[str]:
    try:
        if settings.jwks_file:
            read_key_file(settings.jwks_file)
    except StartupError as error:
        return [str(error)]
    return []


CHECKS: Checks = {
    ListenSettings: (places.check_listen,),
    AuthSettings: (auth.check, _check_key_file),
    PushSettings: (pushapps.check,),
    MessagingSettings: (messaging.check,),
    TlsSettings: (tls.check,),
    Config: (
        places.check_state_dir,
        places.check_store,
        _check_dialects,
        _check_hooks,
        _check_policies,
        _check_reporters,
        _check_messaging,
        _check_messaging_prefix,
        _check_messaging_rest,
    ),
}
"""Rules across options, by the Settings class of the table they are in."""
