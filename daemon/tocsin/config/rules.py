"""What options of different tables need of one another, one line for each mistake (OP-6)."""

from ipaddress import ip_address
from typing import TYPE_CHECKING

from tocsin.model.channel import ChannelType
from tocsin.model.errors import StartupError
from tocsin.model.services import SERVICES
from tocsin.server.auth import AuthSettings
from tocsin.server.jwks import read_key_file
from tocsin.server.services import service_registry, subscription_kinds
from tocsin.transports.settings import WebhookSettings
from tocsin.wire.addresses import is_forbidden, parse_networks
from tocsin.wire.endpoint import normal_host, parse_url

if TYPE_CHECKING:
    from tocsin.config.settings import Config

LOOPBACK = {"localhost": ("127.0.0.1", "::1")}
MESSAGING_REST = "/v1/messaging"
FIXED_PATHS = (
    *("/v1/notifications", MESSAGING_REST, "/pnm2", "/push/report"),
    *("/openapi.json", "/asyncapi.json"),
)


def check_dialects(config: "Config") -> list[str]:
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


def check_hooks(config: "Config") -> list[str]:
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


def check_reporters(config: "Config") -> list[str]:
    """What reported channels are subscribed to is something a phone can get (CH-93)."""
    services = service_registry(config.services)
    return [
        f"push.reporters.{name}.subscribe: {service} is no service for phones"
        for name, reporter in config.push.reporters.items()
        for service in reporter.subscribe
        if ChannelType.OMAPUSH not in services.types_of(service)
    ]


def check_http_bytes(config: "Config") -> list[str]:
    """A body of the largest size has room beside another (SE-5)."""
    limits = config.limits.http
    least = 2 * max(limits.body, config.publish.body)
    if limits.http_bytes >= least:
        return []
    return [f"limits.http_bytes: must be at least {least}, for two bodies of the largest size"]


def check_policies(config: "Config") -> list[str]:
    """Policies are of services that there are (`delivery.policies`)."""
    known = {*SERVICES, *config.services}
    return [
        f"delivery.policies.{service}: is no service"
        for service in config.delivery.policies
        if service not in known
    ]


def check_messaging(config: "Config") -> list[str]:
    """Whom messaging asks about tokens is named elsewhere (MS-7)."""
    if config.messaging.introspect_jwt and config.auth.introspection.url is None:
        return ["messaging.introspect_jwt: needs auth.introspection.url"]
    return []


def check_messaging_prefix(config: "Config") -> list[str]:
    """Whatever is at or below it is taken for messaging, so nothing else may be there."""
    mine = config.messaging.prefix
    shared = [path for path in _paths(config) if _is_below(mine, path) or _is_below(path, mine)]
    if not config.messaging.enabled or not shared:
        return []
    return [f"messaging.prefix: {shared[0]} is something else; take a name of its own"]


def check_messaging_rest(config: "Config") -> list[str]:
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


def _paths(config: "Config") -> list[str]:
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


def check_key_file(settings: AuthSettings) -> list[str]:
    """The keys of `auth.jwks_file` are there and can be read (CH-11)."""
    try:
        if settings.jwks_file:
            read_key_file(settings.jwks_file)
    except StartupError as error:
        return [str(error)]
    return []
