"""What a configuration serves, for the descriptions (operations.md, OP-19)."""

from tocsin.config import Config
from tocsin.server.description.served import Served
from tocsin.server.services import service_registry, subscription_kinds
from tocsin.wire.dialect import Dialect, netapi, oma


def dialects(config: Config) -> list[Dialect]:
    """The strict one needs to know our own URL."""
    served = [netapi(config.netapi.prefix)]
    if config.public_base_url is not None:
        served.append(oma(config.public_base_url, native_app_id=config.netapi.native_app_id))
    return served


def token_path(config: Config) -> str:
    """Where tokens are to be had, if that is on."""
    return f"{config.netapi.prefix}/auth/v1/token"


def served(config: Config) -> Served:
    """What of the faces is on."""
    messaging = config.messaging if config.messaging.enabled else None
    base_url = config.public_base_url
    return Served(
        dialects=dialects(config),
        kinds=subscription_kinds(config.services),
        services=service_registry(config.services).names,
        base_url=None if base_url is None else base_url.removesuffix("/"),
        secure=bool(config.tls.certificate) or (base_url or "").startswith("https:"),
        publish_items=config.publish.max_items,
        notification_bytes=config.limits.delivery.notification,
        pass_verbs=config.push.pass_verbs,
        reporters=config.push.reporters,
        token_path=token_path(config) if config.auth.builtin.enabled else None,
        messaging=messaging,
        tells_operator=bool(config.operator.webhook_url or config.push.feedback_url),
        chat_page=messaging is not None and messaging.chat_page,
    )
