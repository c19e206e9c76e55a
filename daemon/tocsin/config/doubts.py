"""What works, but is hardly meant: told by `tocsin check` and in the log, and never a mistake."""

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from tocsin.config.settings import Config
from tocsin.server.auth import AuthSettings
from tocsin.server.tls import TlsSettings, validity


def doubts(config: Config, *, now: float) -> list[str]:
    """One line each, the option's path first. `now` is epoch seconds."""
    return [
        *_certificate(config.tls, now),
        *_unprotected(config.auth),
        *_everybody(config),
        *_scheme(config),
    ]


def _certificate(tls: TlsSettings, now: float) -> Iterator[str]:
    valid = validity(tls)
    if valid is None:
        return
    begin, end = valid
    if end <= now:
        yield f"tls.certificate: expired on {_day(end)}; clients refuse it"
    elif now < begin:
        yield f"tls.certificate: is not valid before {_day(begin)}; clients refuse it until then"


def _unprotected(auth: AuthSettings) -> Iterator[str]:
    """Answers that everybody on the way can write say whose tokens are good (SE-1)."""
    for option, url in (
        ("auth.jwks_url", auth.jwks_url),
        ("auth.introspection.url", auth.introspection.url),
    ):
        if url is not None and urlsplit(url).scheme == "http" and not _is_loopback(url):
            yield f"{option}: is plain http; whoever is on the way can make tokens valid"


def _everybody(config: Config) -> Iterator[str]:
    for option, networks, consequence in (
        ("trusted_proxies", config.trusted_proxies, "may say from which address he comes"),
        ("push.trusted_networks", config.push.trusted_networks, "may push without a token"),
    ):
        for network in networks:
            if network.endswith("/0"):
                yield f"{option}: {network} is everybody, who {consequence}"
    if "admin" in config.auth.default_scopes:
        yield "auth.default_scopes: has admin; who has any token without scopes is an operator"


def _scheme(config: Config) -> Iterator[str]:
    if config.tls.certificate and (config.public_base_url or "").startswith("http://"):
        yield "public_base_url: says http, but the public listener speaks TLS"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _day(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
