"""Options of the HTTP front: `[listen]`, `[limits]` (its part), `[cors]`."""

import re
from typing import Final

import attrs

from tocsin.model.option import option
from tocsin.server.addresses import AddressError, parse_address
from tocsin.server.peers import Networks

ORIGIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s?#@]+")
PREFIX: Final = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
MODE: Final = re.compile(r"0?[0-7]{3}")
MOST_BODY: Final = 67_108_864


def check_networks(networks: list[str]) -> str | None:
    """What is wrong with a list of networks such as `trusted_proxies`."""
    try:
        Networks(networks)
    except ValueError as error:
        return str(error)
    return None


def _check_addresses(addresses: str | list[str]) -> str | None:
    if not addresses:
        return "must name at least one address"
    try:
        for address in [addresses] if isinstance(addresses, str) else addresses:
            parse_address(address)
    except AddressError as error:
        return str(error)
    return None


def _check_mode(mode: str) -> str | None:
    if mode and MODE.fullmatch(mode) is None:
        return 'must be three octal digits, as "0660"'
    return None


def check_prefix(prefix: str) -> str | None:
    """What is wrong with what paths are to begin with, such as `messaging.prefix`."""
    if PREFIX.fullmatch(prefix) is None:
        return "must begin with / and not end with it, and else be plain segments"
    return None


def check_origins(origins: list[str]) -> str | None:
    for origin in origins:
        if origin != "*" and ORIGIN.fullmatch(origin) is None:
            return (
                f'"{origin}" is no origin; write "https://app.example", without a path and without '
                'a slash at the end, or "*"'
            )
        if origin != (said := _as_browsers_say(origin)):
            return f'"{origin}" is never said by a browser; write "{said}"'
    return None


def _as_browsers_say(origin: str) -> str:
    """In lower case, and without the port that goes without saying."""
    said = origin.lower()
    for scheme, port in (("https://", ":443"), ("http://", ":80")):
        if said.startswith(scheme):
            said = said.removesuffix(port)
    return said


def _check_header_names(names: list[str]) -> str | None:
    for name in names:
        if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
            return f'"{name}" is no header name'
    return None


@attrs.frozen
class ListenSettings:
    """`[listen]`"""

    public: str | list[str] = option(
        "127.0.0.1:8080",
        "REST and sockets: host:port, [ipv6]:port, unix:/path, systemd:name, or a list of such.",
        check=_check_addresses,
    )
    admin: str | list[str] = option(
        "127.0.0.1:9464",
        "Metrics, health, console and operator API; the same forms.",
        check=_check_addresses,
    )
    unix_mode: str = option(
        "",
        'Who may connect to unix:/path, as the mode of its file: "0660" for the daemon\'s user and '
        "group; empty, the umask decides.",
        check=_check_mode,
    )

    @property
    def unix_permissions(self) -> int | None:
        """`unix_mode` as a number, None where the umask decides."""
        return int(self.unix_mode, 8) if self.unix_mode else None


@attrs.frozen
class HttpLimits:
    """The part of `[limits]` that protects the HTTP front."""

    body: int = option(
        131_072,
        "Bytes of a request's body, held in memory until it is answered; publish.body rules "
        "publishing.",
        minimum=1,
        maximum=MOST_BODY,
    )
    http_bytes: int = option(
        134_217_728,
        "Bytes of bodies, and of answers not read yet, that all clients together may have in "
        "memory; what does not fit is refused with 503, large ones in the last quarter of it.",
        minimum=4_194_304,
    )
    header_bytes: int = option(
        16_384, "Bytes of a request line and its headers.", minimum=512, maximum=1_048_576
    )
    header_timeout: float = option(
        10,
        "Seconds for a request's head to arrive, counted from its first byte; also for the first "
        "byte of a new connection.",
        minimum=0.1,
    )
    body_rate: int = option(
        1024,
        "Bytes per second a body must arrive with and an answer be read with, after a grace; "
        "0 is off.",
        minimum=0,
    )
    body_grace: float = option(10, "Seconds before body_rate counts.", minimum=0.1)
    idle_timeout: float = option(
        75, "Seconds a connection may stay without a request.", minimum=0.1
    )
    write_timeout: float = option(
        30, "Seconds an answer may be blocked, on top of its size at body_rate.", minimum=0.1
    )
    http_connections: int = option(
        10_000, "HTTP connections open at once; more are closed at accept.", minimum=1
    )
    connections_per_address: int = option(
        256, "Connections of one address (IPv6: /64); more are closed at accept.", minimum=1
    )
    unlimited_networks: list[str] = option(
        ["127.0.0.0/8", "::1/128"],
        "Networks connections_per_address and failed authentications are not counted for.",
        check=check_networks,
    )
    rate: float = option(
        20,
        "Requests per second and token on channel resources, and failed authentications per "
        "address; bursts of three times as many; 0 is off.",
        minimum=0,
    )


@attrs.frozen
class CorsSettings:
    """`[cors]`"""

    origins: list[str] = option(
        ["*"], "Origins whose pages may call; * is every one.", check=check_origins
    )
    headers: list[str] = option(
        [], "Request headers allowed besides the built-in ones.", check=_check_header_names
    )
