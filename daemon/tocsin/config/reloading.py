"""What of a configuration can be taken over while the daemon runs (OP-7)."""

from collections.abc import Collection, Iterator
from typing import Any, TypeVar

import attrs

from tocsin.config.loading import ConfigError
from tocsin.config.settings import CHECKS, Config
from tocsin.config.together import impossible_together

AT_ONCE = frozenset(
    {
        *("trusted_proxies", "netapi.native_app_id", "cors", "auth", "limits", "publish", "tls"),
        *("longpoll", "push", "drain", "log"),
        *("webhooks.connect_timeout", "webhooks.total_timeout", "webhooks.retry_after_max"),
        *("webhooks.allow_http", "webhooks.allow_networks", "webhooks.deny_networks"),
        *("webhooks.signing_secret", "webhooks.echo_secrets"),
        *("webhooks.lane_width", "webhooks.hosts"),
        *("delivery.webhook_retries", "delivery.push_retries", "delivery.urgent_retries"),
        "delivery.jitter",
    }
)
"""Options, and tables with all that is in them; less what is `AT_START`."""
AT_START = frozenset(
    {
        *("auth.jwks_url", "auth.jwks_refresh", "auth.introspection", "auth.revocation"),
        *("limits.buffer_count", "limits.buffer_bytes"),
        *("push.feedback_url", "push.collect_unused_days"),
    }
)
"""What somebody runs with who is made only once."""
WITH_FETCHED_KEYS = frozenset({"auth.shared_secret"})

Settings = TypeVar("Settings", bound=attrs.AttrsInstance)


def merged(running: Config, wanted: Config) -> Config:
    """The running configuration with all of the wanted one that can be taken over now.

    Raises ConfigError where that is impossible together, because of what cannot. It parses keys
    again: not for the event loop.
    """
    held = AT_START | (WITH_FETCHED_KEYS if running.auth.jwks_url is not None else frozenset())
    config = _merged(running, wanted, "", held)
    if problems := impossible_together(config, CHECKS):
        why = f"as long as {', '.join(differences(config, wanted))} waits for a restart"
        raise ConfigError([f"{problem}, {why}" for problem in problems])
    return config


def differences(one: attrs.AttrsInstance, other: attrs.AttrsInstance, table: str = "") -> list[str]:
    """The paths of options that differ; of tables whose keys an operator chooses, the table's."""
    return list(_differences(one, other, table))


def _merged(running: Settings, wanted: Settings, table: str, held: Collection[str]) -> Settings:
    changes: dict[str, Any] = {}
    for name, path, old, new in _pairs(running, wanted, table):
        if attrs.has(type(old)):
            changes[name] = _merged(old, new, path, held)
        elif _is_below(path, AT_ONCE) and not _is_below(path, held):
            changes[name] = new
    return attrs.evolve(running, **changes)  # type: ignore[misc] # it knows no bound variables


def _differences(one: attrs.AttrsInstance, other: attrs.AttrsInstance, table: str) -> Iterator[str]:
    for _, path, old, new in _pairs(one, other, table):
        if attrs.has(type(old)):
            yield from _differences(old, new, path)
        elif old != new:
            yield path


def _pairs(
    one: attrs.AttrsInstance, other: attrs.AttrsInstance, table: str
) -> Iterator[tuple[str, str, Any, Any]]:
    for field in attrs.fields(type(one)):
        path = f"{table}.{field.name}".lstrip(".")
        yield field.name, path, getattr(one, field.name), getattr(other, field.name)


def _is_below(path: str, paths: Collection[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in paths)
