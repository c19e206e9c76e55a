"""Which addresses a URL given by a user may lead to (push.md, PU-73; security.md, SE-4)."""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks as an operator writes them (`10.0.0.0/8`, `fd00::/8`, one address).

    Raises ValueError that names the first one that is not a network.
    """
    return tuple(_parse_network(text) for text in texts)


def networks_problem(texts: list[str]) -> str | None:
    """What is wrong with a list of networks, in words for the operator, or None."""
    try:
        parse_networks(texts)
    except ValueError as error:
        return str(error)
    return None


def is_forbidden(
    ip: Address, *, allow: Iterable[Network] = (), deny: Iterable[Network] = ()
) -> bool:
    """Whether nothing may be sent to this address.

    `deny` adds to the table and `allow` makes exceptions; where both name an address the
    narrower network wins, `deny` when they are equally narrow.
    """
    ip = _judged(ip)
    allowed = _narrowest(ip, allow)
    denied = _narrowest(ip, deny)
    if denied >= 0:
        return denied >= allowed
    return allowed < 0 and _narrowest(ip, _FORBIDDEN) >= 0


def _parse_network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a network: {error}") from None
    if isinstance(network, ipaddress.IPv6Network):
        for carrier in _CARRIERS:
            if network.subnet_of(carrier):
                raise ValueError(f"{text!r} is judged by the IPv4 inside: name that network")
    return network


def _judged(ip: Address) -> Address:
    """The address the packets end up at: the IPv4 inside a mapped or NAT64 address."""
    if isinstance(ip, ipaddress.IPv6Address) and any(ip in carrier for carrier in _CARRIERS):
        return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip


def _narrowest(ip: Address, networks: Iterable[Network]) -> int:
    """The longest prefix among the networks that hold this address, -1 when none does."""
    return max(
        (net.prefixlen for net in networks if net.version == ip.version and ip in net), default=-1
    )


_CARRIERS = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))
_FORBIDDEN = parse_networks(
    (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/127",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
