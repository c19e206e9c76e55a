"""The addresses a listener may have, as they are written in the configuration (OP-8)."""

import re
from typing import Final

import attrs

_TCP: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^:\[\]\s/]+)):(?P<port>\d{1,5})"
)


class AddressError(ValueError):
    """A listen address that cannot be read."""


@attrs.frozen
class TcpAddress:
    """A host name or IP address and a port; port 0 takes a free one."""

    host: str
    port: int


@attrs.frozen
class UnixAddress:
    """A socket in the file system."""

    path: str


@attrs.frozen
class SystemdAddress:
    """Sockets inherited from systemd under this `FileDescriptorName`."""

    name: str


Address = TcpAddress | UnixAddress | SystemdAddress


def parse_address(text: str) -> Address:
    """Read `host:port`, `[ipv6]:port`, `unix:/path` or `systemd:name`. Raises AddressError."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest.startswith("/"):
        return UnixAddress(rest)
    if kind == "systemd" and rest:
        return SystemdAddress(rest)
    match = _TCP.fullmatch(text)
    if kind in {"unix", "systemd"} or match is None or int(match["port"]) > 65535:
        raise AddressError(
            f'"{text}" is no address; write "127.0.0.1:8080", "[::1]:8080", "unix:/path" or '
            '"systemd:name"'
        )
    return TcpAddress(match["six"] or match["host"], int(match["port"]))


def write_tcp(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
