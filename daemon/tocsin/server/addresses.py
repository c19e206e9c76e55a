"""The addresses a listener may have, as they are written in the configuration (OP-8)."""

import ipaddress
import os
import re
from typing import Final

import attrs

_TCP: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[\w.-]+)):(?P<port>\d{1,5})")
_NUMBERS: Final = re.compile(r"[\d.]+")
LONGEST_PATH: Final = 107
"""Bytes of the path of a Unix socket; the kernel's 108 are with the NUL at the end (unix(7))."""


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
        return _unix(rest)
    if kind == "systemd" and rest:
        return SystemdAddress(rest)
    match = _TCP.fullmatch(text)
    if kind in {"unix", "systemd"} or match is None or int(match["port"]) > 65535:
        raise AddressError(
            f'"{text}" is no address; write "127.0.0.1:8080", "[::1]:8080", "unix:/path" or '
            '"systemd:name"'
        )
    host = match["six"] or match["host"]
    if match["six"] or _NUMBERS.fullmatch(host):
        _check_ip(host)
    return TcpAddress(host, int(match["port"]))


def _unix(path: str) -> UnixAddress:
    if (size := len(os.fsencode(path))) > LONGEST_PATH:
        raise AddressError(
            f"unix:{path} is too long: a socket's path has at most {LONGEST_PATH} bytes, "
            f"this one {size}"
        )
    return UnixAddress(path)


def _check_ip(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise AddressError(f'"{host}" is no IP address') from None


def write_tcp(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
