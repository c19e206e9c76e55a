"""Which addresses a URL given by a user may lead to (push.md, PU-73; security.md, SE-4).

an IPv6 address that carries an IPv4 one    -> judged by that (`_CARRIERS`)
any other outside 2000::/3                  -> not public: nothing else is allocated (RFC 4291)
in a row of IANA's registries               -> not public, though some rows are reachable: what
  of special-purpose addresses                 answers there is the network's, nobody's receiver
told a cloud's machines what they are       -> not public, whatever it looks like
"""

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

    `deny` adds to what is not public and `allow` makes exceptions; where both name an address
    the narrower network wins, `deny` when they are equally narrow.
    """
    ip = _judged(ip)
    allowed = _narrowest(ip, allow)
    denied = _narrowest(ip, deny)
    if denied >= 0:
        return denied >= allowed
    return allowed < 0 and not _is_public(ip)


def _is_public(ip: Address) -> bool:
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_UNICAST:
        return False
    return _narrowest(ip, _SPECIAL) < 0 and ip not in _METADATA


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
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_SPECIAL = parse_networks(
    (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # CGNAT
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",
        "2001::/23",  # protocol assignments: Teredo, benchmarks, AMT, AS112, ORCHID, drones
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_METADATA = frozenset(
    map(
        ipaddress.IPv4Address,
        (
            "168.63.129.16",  # Azure
            "192.80.8.124",  # Equinix Metal
        ),
    )
)
